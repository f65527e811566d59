//! Running checks: by the worker when their time has come, and by hand. One run of a check at a time, wherever it is run.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

use crate::domain::audit::{Action, Actor, AuditEvent};
use crate::domain::check::{Check, CheckBody, CheckState, Selector, next_run};
use crate::domain::egress::check_url;
use crate::domain::event::Event;
use crate::domain::expectation::{Judgement, Observation};
use crate::domain::id::{AccountId, CheckId, RunId};
use crate::domain::run::Run;
use crate::store::{ClaimedCheck, StoredCheck};

use super::access::{AccountPermit, WriteChecks};
use super::call_reports::Called;
use super::check_secrets::Secrets;
use super::error::Noun;
use super::outgoing::{Target, as_bytes};
use super::turns::Turn;
use super::{Service, ServiceError};

/// Beyond its time-out, a run may wait for its turn and for the database. A run that comes later is not recorded.
const LEASE_MARGIN: TimeDelta = TimeDelta::seconds(30);
/// When a check that could not be run for a fault of ours is tried again.
const RETRY: TimeDelta = TimeDelta::seconds(30);

/// A run, with the answer for whoever asked for it.
pub struct Finished {
    pub run: Run,
    pub called: Called,
}

impl Service {
    /// Runs a check now, on schedule or not.
    pub async fn run_check(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
        _turn: Turn,
    ) -> Result<Finished, ServiceError> {
        let outcome = self.run_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    /// Checks whose time has come and that nobody is running.
    pub async fn checks_due(&self, limit: i64) -> Result<Vec<(AccountId, CheckId)>, ServiceError> {
        Ok(self.store.checks_due(self.clock.now(), LEASE_MARGIN, limit).await?)
    }

    /// Runs a check whose time has come, unless somebody else was faster. Once `given_up` resolves, it is left to whoever
    /// comes next.
    pub async fn run_due_check(
        &self,
        account: AccountId,
        id: CheckId,
        given_up: impl Future<Output = ()>,
    ) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let Some(claimed) = self.store.claim_check(account, id, now, LEASE_MARGIN, None).await? else {
            return Ok(());
        };
        let outcome = tokio::select! {
            outcome = self.run(&claimed.stored, true) => outcome,
            () = given_up => return Ok(self.store.release_check(claimed, Some(now)).await?),
        };
        self.settle(claimed, outcome).await.map(drop)
    }

    async fn run_or_refuse(
        &self,
        permit: &AccountPermit<WriteChecks>,
        id: Option<CheckId>,
    ) -> Result<Finished, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Check))?;
        let account = permit.account();
        let stored = self.store.check_by_id(account, id).await?.ok_or(ServiceError::NotFound(Noun::Check))?;
        let mut asked = self.event(permit.caller().actor(), account, None, Action::RunCheck, id.to_string());
        asked.detail = stored.check.definition.described();
        let claimed = self.store.claim_check(account, id, self.clock.now(), LEASE_MARGIN, Some(asked)).await?;
        let busy =
            || ServiceError::invalid("", "the check is being run at this moment; its result will be among its runs");
        let claimed = claimed.ok_or_else(busy)?;
        let outcome = self.run(&claimed.stored, false).await;
        self.settle(claimed, outcome).await
    }

    async fn settle(
        &self,
        claimed: ClaimedCheck,
        outcome: Result<Finished, ServiceError>,
    ) -> Result<Finished, ServiceError> {
        match outcome {
            Ok(finished) => {
                self.record(claimed, &finished.run).await?;
                Ok(finished)
            }
            Err(error) => {
                let again = claimed.stored.check.definition.is_scheduled().then_some(self.clock.now() + RETRY);
                self.store.release_check(claimed, again).await?;
                Err(error)
            }
        }
    }

    async fn run(&self, stored: &StoredCheck, is_scheduled: bool) -> Result<Finished, ServiceError> {
        let check = &stored.check;
        let secrets = self.open_secrets(check.id, stored.sealed_secrets.as_ref())?;
        let target = target(check, &secrets)?;
        let mut called = self.call_target(check.account, target, is_scheduled).await?;
        let judgement = judge(check, &called, self.clock.now());
        called.report.findings = judgement.findings;
        let id = RunId::new(self.random.ordered_id(self.clock.now()));
        let run = Run { id, check: check.id, state: judgement.state, report: called.report.clone() };
        Ok(Finished { run, called })
    }

    async fn record(&self, claimed: ClaimedCheck, run: &Run) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let check = claimed.stored.check.clone();
        let definition = &check.definition;
        let next = definition.interval_seconds.filter(|_| definition.is_enabled);
        let next = next.map(|interval| next_run(check.id, interval, now));
        let change = (check.state != Some(run.state)).then(|| {
            let event = Event::CheckChanged {
                check: check.id,
                name: definition.name.clone(),
                from: check.state,
                to: run.state,
                findings: run.report.findings.clone(),
            };
            (run.state, now, self.news(check.account, Action::ChangeCheckState, event))
        });
        if let Some((state, ..)) = &change {
            tracing::info!(check = %check.id, name = definition.name, state = state.as_str(), "a check changed its state");
        }
        metrics::counter!("countersign_check_runs_total", "state" => run.state.as_str()).increment(1);
        if !self.store.record_run(claimed, run.clone(), next, change).await? {
            tracing::info!(check = %check.id, "a run came too late, or the check was changed under it: it is not recorded");
        }
        Ok(())
    }

    /// The audit event of something that happened by itself.
    pub(super) fn news(&self, account: AccountId, action: Action, event: Event) -> AuditEvent {
        let mut audit = self.event(Actor::system(), account, None, action, event.subject());
        audit.detail = event.to_json().to_string();
        audit.news = Some(event);
        audit
    }
}

fn target(check: &Check, secrets: &Secrets) -> Result<Target, ServiceError> {
    let definition = &check.definition;
    let headers = definition.headers.iter().enumerate().filter_map(|(index, header)| {
        let value = header.value.as_deref().or_else(|| secrets.header(index))?;
        Some((header.name.clone(), SecretString::from(value.to_owned())))
    });
    let body = match &definition.body {
        CheckBody::None => None,
        CheckBody::Shown(text) => Some(text.as_str()),
        CheckBody::Secret => secrets.body(),
    };
    Ok(Target {
        url: check_url(&definition.url).map_err(|why| ServiceError::invalid("/url", why))?,
        method: definition.method.clone(),
        headers: headers.collect(),
        body: body.map(|text| as_bytes(&SecretString::from(text.to_owned()))),
        timeout: Duration::from_millis(u64::try_from(definition.timeout_millis).unwrap_or_default()),
        identity: definition.identity,
        trusted_ca: definition.trusted_ca,
    })
}

fn judge(check: &Check, called: &Called, now: DateTime<Utc>) -> Judgement {
    let mut judgement = match (&called.report.failure, &called.answer) {
        (None, Some(answer)) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds, never negative")]
            let latency_millis = called.report.timings.total.unwrap_or_default().max(0.0) as u64;
            check.definition.expectations.judge(&Observation {
                status: answer.status,
                headers: &answer.headers,
                body: &answer.body,
                is_truncated: answer.is_truncated,
                certificate_not_after: called.certificate_not_after,
                latency_millis,
                now,
            })
        }
        (Some(failure), _) => Judgement { state: CheckState::Failing, findings: vec![failure.message.clone()] },
        (None, None) => Judgement { state: CheckState::Failing, findings: vec!["there is no answer".into()] },
    };
    let presentation = &called.report.presentation;
    if judgement.state == CheckState::Failing
        && check.definition.identity == Selector::Auto
        && presentation.identity.is_none()
    {
        judgement.findings.push(format!("no client certificate was presented: {}", presentation.reason));
    }
    judgement
}
