//! API checks. Secret header values and bodies are sealed by the service before they come here.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::check::{Check, CheckBody, CheckHeader, CheckState, Definition, Selector};
use crate::domain::id::{AccountId, CheckId};

use super::authorities::SealedKey;
use super::certificates::{Page, Window};
use super::connection::{Connection, MultiBackend};
use super::convert::{account_id, check_id, damaged, from_json, identity_id, millis, time, to_json};
use super::error::StoreError;
use super::schema::{check_runs, checks};
use super::{Store, audit};

const AUTO: i16 = 0;
const NONE: i16 = 1;
const EXPLICIT: i16 = 2;

/// A check with what of it is sealed.
#[derive(Clone)]
pub struct StoredCheck {
    pub check: Check,
    pub sealed_secrets: Option<SealedKey>,
    /// Counts claims and edits: an edit of what has changed since it was read is not stored.
    pub fence: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = checks)]
pub(super) struct CheckRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    state: Option<i16>,
    state_since: Option<i64>,
    last_run_at: Option<i64>,
    next_run_at: Option<i64>,
    pub(super) lease_until: i64,
    pub(super) fence: i64,
    created_at: i64,
    updated_at: i64,
    #[diesel(embed)]
    definition: DefinitionRow,
}

/// What an edit replaces.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = checks, treat_none_as_null = true)]
pub(super) struct DefinitionRow {
    name: String,
    url: String,
    method: String,
    headers: String,
    body: Option<String>,
    sealed_secrets: Option<Vec<u8>>,
    key_version: Option<i32>,
    expectations: String,
    identity_mode: i16,
    identity_id: Option<Vec<u8>>,
    trusted_ca_id: Option<Vec<u8>>,
    interval_seconds: Option<i64>,
    timeout_millis: i64,
    is_enabled: bool,
}

impl Store {
    /// The account's checks, of one state or of all, oldest first.
    pub async fn checks(
        &self,
        account: AccountId,
        state: Option<CheckState>,
        window: Window,
    ) -> Result<Page<Check>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<CheckRow> = filtered(account, state)
                .order(checks::id)
                .offset(window.offset)
                .limit(window.length)
                .select(CheckRow::as_select())
                .load(connection)?;
            let items = rows.into_iter().map(|row| Ok(row.into_domain()?.check)).collect::<Result<_, StoreError>>()?;
            Ok(Page { items, total: filtered(account, state).count().get_result(connection)? })
        })
        .await
    }

    /// The names and addresses of the account's checks that choose their identity by host.
    pub async fn checks_by_host(&self, account: AccountId) -> Result<Vec<(String, String)>, StoreError> {
        self.read(move |connection| {
            let automatic = filtered(account, None).filter(checks::identity_mode.eq(AUTO));
            Ok(automatic.order(checks::id).select((checks::name, checks::url)).load(connection)?)
        })
        .await
    }

    pub async fn check_by_id(&self, account: AccountId, id: CheckId) -> Result<Option<StoredCheck>, StoreError> {
        self.read(move |connection| find(connection, account, id)).await
    }

    /// Stores a check; `false` when the account has as many as `limit` already.
    pub async fn create_check(&self, new: StoredCheck, limit: i64, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let of_account = checks::table.filter(checks::account_id.eq(new.check.account.as_bytes().as_slice()));
            let count: i64 = of_account.count().get_result(connection)?;
            if count >= limit {
                return Ok(false);
            }
            diesel::insert_into(checks::table).values(CheckRow::of(&new)?).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// Replaces a check's definition and its next run, if it still stands as it was read; a run that is under way is not
    /// recorded any more. `false` when it does not.
    pub async fn edit_check(&self, edited: StoredCheck, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let check = &edited.check;
            let updated = diesel::update(own(check.account, check.id).filter(checks::fence.eq(edited.fence)))
                .set((
                    DefinitionRow::of(&edited)?,
                    checks::next_run_at.eq(check.next_run_on.map(millis)),
                    checks::updated_at.eq(millis(check.updated_on)),
                    checks::fence.eq(checks::fence + 1),
                ))
                .execute(connection)?;
            if updated == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(updated == 1)
        })
        .await
    }

    /// Deletes a check with its runs; `false` when there is no such check.
    pub async fn delete_check(&self, account: AccountId, id: CheckId, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let runs = check_runs::table
                .filter(check_runs::check_id.eq(id.as_bytes().as_slice()))
                .filter(check_runs::account_id.eq(account.as_bytes().as_slice()));
            diesel::delete(runs).execute(connection)?;
            let deleted = diesel::delete(own(account, id)).execute(connection)?;
            if deleted == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(deleted == 1)
        })
        .await
    }
}

type Filtered<'a> = checks::BoxedQuery<'a, MultiBackend>;

fn filtered(account: AccountId, state: Option<CheckState>) -> Filtered<'static> {
    let query = checks::table.into_boxed().filter(checks::account_id.eq(account.as_bytes().to_vec()));
    match state {
        Some(state) => query.filter(checks::state.eq(state.code())),
        None => query,
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn own(account: AccountId, id: CheckId) -> _ {
    let id: Vec<u8> = id.as_bytes().to_vec();
    let account: Vec<u8> = account.as_bytes().to_vec();
    checks::table.filter(checks::account_id.eq(account)).filter(checks::id.eq(id))
}

pub(super) fn find(
    connection: &mut Connection,
    account: AccountId,
    id: CheckId,
) -> Result<Option<StoredCheck>, StoreError> {
    let row = own(account, id).select(CheckRow::as_select()).first(connection).optional()?;
    row.map(CheckRow::into_domain).transpose()
}

impl CheckRow {
    fn of(stored: &StoredCheck) -> Result<Self, StoreError> {
        let check = &stored.check;
        Ok(Self {
            id: check.id.as_bytes().to_vec(),
            account_id: check.account.as_bytes().to_vec(),
            state: check.state.map(CheckState::code),
            state_since: check.state_since.map(millis),
            last_run_at: check.last_run_on.map(millis),
            next_run_at: check.next_run_on.map(millis),
            lease_until: 0,
            fence: 0,
            created_at: millis(check.created_on),
            updated_at: millis(check.updated_on),
            definition: DefinitionRow::of(stored)?,
        })
    }

    pub(super) fn into_domain(self) -> Result<StoredCheck, StoreError> {
        let (definition, sealed_secrets) = self.definition.into_domain()?;
        let check = Check {
            id: check_id(&self.id)?,
            account: account_id(&self.account_id)?,
            definition,
            state: self.state.map(state).transpose()?,
            state_since: self.state_since.map(time).transpose()?,
            last_run_on: self.last_run_at.map(time).transpose()?,
            next_run_on: self.next_run_at.map(time).transpose()?,
            created_on: time(self.created_at)?,
            updated_on: time(self.updated_at)?,
        };
        Ok(StoredCheck { check, sealed_secrets, fence: self.fence })
    }
}

impl DefinitionRow {
    fn of(stored: &StoredCheck) -> Result<Self, StoreError> {
        let definition = &stored.check.definition;
        let headers: Vec<_> = definition.headers.iter().map(|header| (&header.name, &header.value)).collect();
        let (mode, identity) = match definition.identity {
            Selector::Auto => (AUTO, None),
            Selector::None => (NONE, None),
            Selector::Explicit(id) => (EXPLICIT, Some(id.as_bytes().to_vec())),
        };
        Ok(Self {
            name: definition.name.clone(),
            url: definition.url.clone(),
            method: definition.method.clone(),
            headers: to_json(&headers)?,
            body: match &definition.body {
                CheckBody::None => None,
                // A sealed body is marked by an empty one: a body that is shown has at least one character.
                CheckBody::Secret => Some(String::new()),
                CheckBody::Shown(text) => Some(text.clone()),
            },
            sealed_secrets: stored.sealed_secrets.as_ref().map(|sealed| sealed.bytes.clone()),
            key_version: stored.sealed_secrets.as_ref().map(|sealed| sealed.version),
            expectations: to_json(&definition.expectations)?,
            identity_mode: mode,
            identity_id: identity,
            trusted_ca_id: definition.trusted_ca.map(|id| id.as_bytes().to_vec()),
            interval_seconds: definition.interval_seconds,
            timeout_millis: definition.timeout_millis,
            is_enabled: definition.is_enabled,
        })
    }

    fn into_domain(self) -> Result<(Definition, Option<SealedKey>), StoreError> {
        let headers: Vec<(String, Option<String>)> = from_json(&self.headers)?;
        let sealed = self.key_version.zip(self.sealed_secrets).map(|(version, bytes)| SealedKey { version, bytes });
        let identity = match (self.identity_mode, self.identity_id) {
            (AUTO, None) => Selector::Auto,
            (NONE, None) => Selector::None,
            (EXPLICIT, Some(id)) => Selector::Explicit(identity_id(&id)?),
            _ => return Err(damaged("a check's choice of identity")),
        };
        let definition = Definition {
            name: self.name,
            url: self.url,
            method: self.method,
            headers: headers.into_iter().map(|(name, value)| CheckHeader { name, value }).collect(),
            body: match self.body {
                None => CheckBody::None,
                Some(text) if text.is_empty() => CheckBody::Secret,
                Some(text) => CheckBody::Shown(text),
            },
            expectations: from_json(&self.expectations)?,
            identity,
            trusted_ca: self.trusted_ca_id.as_deref().map(identity_id).transpose()?,
            interval_seconds: self.interval_seconds,
            timeout_millis: self.timeout_millis,
            is_enabled: self.is_enabled,
        };
        Ok((definition, sealed))
    }
}

pub(super) fn state(code: i16) -> Result<CheckState, StoreError> {
    CheckState::from_code(code).ok_or_else(|| damaged("a check's state"))
}
