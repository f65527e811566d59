//! API checks: defining, editing, deleting and showing them. What must not be read of them is sealed.

use std::collections::HashSet;

use secrecy::SecretString;

use crate::domain::audit::Action;
use crate::domain::check::{
    Check, CheckBody, CheckState, DEFAULT_TIMEOUT_MILLIS, Definition, MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS,
    Selector,
};
use crate::domain::expectation::Expectations;
use crate::domain::id::{CheckId, IdentityId};
use crate::domain::run::Run;
use crate::domain::text::label;
use crate::domain::violation::Violation;
use crate::store::{Page, StoredCheck, Window};

use super::access::{AccountPermit, ReadIdentities, WriteChecks};
use super::check_secrets::{Laid, Secrets, lay_over};
use super::error::Noun;
use super::outgoing::RequestParts;
use super::{Service, ServiceError};

const MAX_NAME_LENGTH: usize = 120;
const MAX_CHECKS: i64 = 1000;
/// How often an edit is decided anew because the check was changed or run in between.
const MAX_DECISIONS: usize = 16;

/// What a caller sent of a check, as far as it could be read; what is `None` has its default, or stays.
#[derive(Clone, Default)]
pub struct CheckInput {
    pub name: Option<String>,
    pub url: Option<String>,
    pub method: Option<String>,
    pub headers: Option<Vec<HeaderInput>>,
    /// `Some(None)` takes the body away.
    pub body: Option<Option<SecretString>>,
    pub is_body_secret: Option<bool>,
    pub expectations: Option<Expectations>,
    pub identity: Option<Selector>,
    pub trusted_ca: Option<Option<IdentityId>>,
    /// `Some(None)` makes it a check that is run by hand.
    pub interval_seconds: Option<Option<i64>>,
    pub timeout_millis: Option<i64>,
    pub is_enabled: Option<bool>,
    pub faults: Vec<Violation>,
}

/// A header as it was sent. Without a value, a secret one of the same name stays as it is.
#[derive(Clone)]
pub struct HeaderInput {
    pub name: String,
    pub value: Option<SecretString>,
    /// By its name, without.
    pub is_secret: Option<bool>,
}

impl Service {
    /// The account's checks, of one state or of all, oldest first.
    pub async fn checks(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        state: Option<CheckState>,
        window: Window,
    ) -> Result<Page<Check>, ServiceError> {
        Ok(self.store.checks(permit.account(), state, window).await?)
    }

    pub async fn check(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        id: Option<CheckId>,
    ) -> Result<Check, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Check))?;
        let stored = self.store.check_by_id(permit.account(), id).await?;
        Ok(stored.ok_or(ServiceError::NotFound(Noun::Check))?.check)
    }

    /// The last runs of a check, the newest first.
    pub async fn runs(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        id: Option<CheckId>,
    ) -> Result<Vec<Run>, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Check))?;
        self.store.runs(permit.account(), id).await?.ok_or(ServiceError::NotFound(Noun::Check))
    }

    /// Makes a check; one with an interval runs for the first time at once.
    pub async fn create_check(
        &self,
        permit: &AccountPermit<WriteChecks>,
        input: CheckInput,
    ) -> Result<Check, ServiceError> {
        let outcome = self.create_check_or_refuse(permit, input).await;
        self.recorded(permit, "", outcome).await
    }

    /// Changes what a PATCH names.
    pub async fn edit_check(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
        input: CheckInput,
    ) -> Result<Check, ServiceError> {
        let outcome = self.edit_check_or_refuse(permit, id, input).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    /// Deletes a check and its runs.
    pub async fn delete_check(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
    ) -> Result<CheckId, ServiceError> {
        let outcome = self.delete_check_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn create_check_or_refuse(
        &self,
        permit: &AccountPermit<WriteChecks>,
        input: CheckInput,
    ) -> Result<Check, ServiceError> {
        let now = self.clock.now();
        let id = CheckId::new(self.random.ordered_id(now));
        let defined = self.define(permit, blank(), Secrets::default(), input).await?;
        let check = Check {
            id,
            account: permit.account(),
            next_run_on: defined.definition.is_scheduled().then_some(now),
            definition: defined.definition,
            state: None,
            state_since: None,
            last_run_on: None,
            created_on: now,
            updated_on: now,
        };
        let sealed_secrets = self.seal_secrets(id, &defined.secrets)?;
        let mut event =
            self.event(permit.caller().actor(), permit.account(), None, Action::CreateCheck, id.to_string());
        event.detail = check.definition.described();
        let new = StoredCheck { check: check.clone(), sealed_secrets, fence: 0 };
        if !self.store.create_check(new, MAX_CHECKS, event).await? {
            return Err(ServiceError::invalid("", format!("an account can have at most {MAX_CHECKS} checks")));
        }
        Ok(check)
    }

    async fn edit_check_or_refuse(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
        input: CheckInput,
    ) -> Result<Check, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Check))?;
        for _ in 0..MAX_DECISIONS {
            let stored = self.store.check_by_id(permit.account(), id).await?;
            let stored = stored.ok_or(ServiceError::NotFound(Noun::Check))?;
            let edited = self.edited(permit, &stored, input.clone()).await?;
            let mut event =
                self.event(permit.caller().actor(), permit.account(), None, Action::EditCheck, id.to_string());
            event.detail = edited.check.definition.described();
            if self.store.edit_check(edited.clone(), event).await? {
                return Ok(edited.check);
            }
        }
        Err(ServiceError::Unavailable("the check is being changed by many at once".into()))
    }

    /// What an edit makes of a check as it was read.
    async fn edited(
        &self,
        permit: &AccountPermit<WriteChecks>,
        stored: &StoredCheck,
        input: CheckInput,
    ) -> Result<StoredCheck, ServiceError> {
        let check = stored.check.clone();
        let secrets = self.open_secrets(check.id, stored.sealed_secrets.as_ref())?;
        let before = check.definition.clone();
        let Defined { definition, secrets } = self.define(permit, check.definition, secrets, input).await?;
        let now = self.clock.now();
        let is_rescheduled = definition.is_scheduled() != before.is_scheduled()
            || definition.interval_seconds != before.interval_seconds
            || definition.url != before.url;
        let next_run_on = match (definition.is_scheduled(), is_rescheduled) {
            (false, _) => None,
            (true, true) => Some(now),
            (true, false) => check.next_run_on,
        };
        let sealed_secrets = self.seal_secrets(check.id, &secrets)?;
        let check = Check { definition, next_run_on, updated_on: now, ..check };
        Ok(StoredCheck { check, sealed_secrets, fence: stored.fence })
    }

    async fn delete_check_or_refuse(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
    ) -> Result<CheckId, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Check))?;
        let stored = self.store.check_by_id(permit.account(), id).await?;
        let stored = stored.ok_or(ServiceError::NotFound(Noun::Check))?;
        let mut event =
            self.event(permit.caller().actor(), permit.account(), None, Action::DeleteCheck, id.to_string());
        event.detail = stored.check.definition.described();
        if !self.store.delete_check(permit.account(), id, event).await? {
            return Err(ServiceError::NotFound(Noun::Check));
        }
        Ok(id)
    }

    /// Lays what was sent over what is there, and says everything that is wrong with the result.
    async fn define(
        &self,
        permit: &AccountPermit<WriteChecks>,
        before: Definition,
        secrets: Secrets,
        input: CheckInput,
    ) -> Result<Defined, ServiceError> {
        let mut faults = Vec::new();
        let Laid { definition, secrets, headers, body, mut sent_faults } = lay_over(before, secrets, input);
        faults.append(&mut sent_faults);
        if let Err(why) = label(&definition.name, MAX_NAME_LENGTH) {
            faults.push(Violation::new("/name", why));
        }
        let parts = RequestParts {
            url: (!definition.url.is_empty()).then_some(definition.url.as_str()),
            method: &definition.method,
            header_names: headers.iter().map(|(name, value)| (name.as_str(), Some(value))).collect(),
            body: body.as_ref(),
            timeout_millis: definition.timeout_millis,
        };
        parts.check(&mut faults);
        if definition
            .interval_seconds
            .is_some_and(|seconds| !(MIN_INTERVAL_SECONDS..=MAX_INTERVAL_SECONDS).contains(&seconds))
        {
            let message = format!(
                "interval_seconds is from {MIN_INTERVAL_SECONDS} to {MAX_INTERVAL_SECONDS}, or null for a check that is run by hand"
            );
            faults.push(Violation::new("/interval_seconds", message));
        }
        let expected = definition.expectations.faults();
        faults.extend(expected.into_iter().map(|(pointer, why)| Violation::new(format!("/expect{pointer}"), why)));
        faults.extend(self.check_references(permit.account(), definition.identity, definition.trusted_ca).await?);
        // What could not be read is told once, not a second time as missing.
        let mut told = HashSet::new();
        faults.retain(|fault| told.insert(fault.pointer.clone()));
        if faults.is_empty() { Ok(Defined { definition, secrets }) } else { Err(ServiceError::Invalid(faults)) }
    }
}

struct Defined {
    definition: Definition,
    secrets: Secrets,
}

fn blank() -> Definition {
    Definition {
        name: String::new(),
        url: String::new(),
        method: "GET".into(),
        headers: Vec::new(),
        body: CheckBody::None,
        expectations: Expectations::default(),
        identity: Selector::Auto,
        trusted_ca: None,
        interval_seconds: None,
        timeout_millis: DEFAULT_TIMEOUT_MILLIS,
        is_enabled: true,
    }
}
