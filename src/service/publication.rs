//! Publishing CRLs: the one way by which `pending_…` becomes `revoked` or `active` again.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::audit::{Action, Actor, AuditEvent};
use crate::domain::authority::{Authority, AuthorityState, Crl};
use crate::domain::id::AuthorityId;
use crate::domain::serial::SerialNumber;
use crate::domain::status::{Status, settled};
use crate::domain::transition::Transition;
use crate::keys::signer::Signer;
use crate::store::{CarriedOut, Lease, Publication, PublishOutcome, PublishedRevocation};
use crate::x509;
use crate::x509::crl::{CrlPlan, RevokedEntry};

use super::{Service, ServiceError};

/// How long a lease lasts; it is prolonged while its holder works.
pub const LEASE: TimeDelta = TimeDelta::seconds(10);
/// The most transitions that one CRL carries out, so that its transaction holds nobody up for long.
const MAX_TRANSITIONS: i64 = 1000;
/// How far ahead of the clock a CRL may be dated: what clocks are corrected by in ordinary operation.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);
const FIRST_RETRY: TimeDelta = TimeDelta::milliseconds(500);
const LAST_RETRY: TimeDelta = TimeDelta::minutes(1);

/// What a round of publishing did for one authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// A CRL with this number; more transitions may wait.
    Crl { number: i64, finished: usize },
    /// Somebody else publishes for this authority.
    LeaseLost,
}

impl Service {
    /// Authorities with transitions that wait and may be tried now.
    pub async fn authorities_to_publish(&self) -> Result<Vec<AuthorityId>, ServiceError> {
        let now = self.clock.now();
        let mut due = Vec::new();
        for authority in self.store.authorities_with_transitions().await? {
            if self.store.publication(authority).await?.is_some_and(|publication| may_be_tried(&publication, now)) {
                due.push(authority);
            }
        }
        Ok(due)
    }

    /// Authorities whose CRL has used up half of its validity.
    pub async fn authorities_to_refresh(&self) -> Result<Vec<AuthorityId>, ServiceError> {
        let now = self.clock.now();
        let publications = self.store.publications().await?;
        let oldest = publications.iter().map(|publication| publication.this_update).min();
        if let Some(oldest) = oldest {
            metrics::gauge!("countersign_crl_age_seconds").set((now - oldest).num_seconds() as f64);
        }
        let is_due = |publication: &Publication| {
            let validity = publication.next_update - publication.this_update;
            let is_old = publication.this_update + validity / 2 <= now || is_far_ahead(publication.this_update, now);
            is_old && may_be_tried(publication, now)
        };
        Ok(publications
            .iter()
            .filter(|publication| is_due(publication))
            .map(|publication| publication.authority)
            .collect())
    }

    /// Tells the metrics how many transitions wait, and for how long.
    pub async fn measure_transitions(&self) -> Result<(), ServiceError> {
        let (count, oldest) = self.store.waiting_transitions().await?;
        let age = oldest.map_or(0.0, |oldest| (self.clock.now() - oldest).num_milliseconds() as f64 / 1000.0);
        metrics::gauge!("countersign_transitions_waiting").set(count as f64);
        metrics::gauge!("countersign_transitions_oldest_seconds").set(age);
        Ok(())
    }

    /// Claims the right to publish for an authority.
    pub async fn claim_lease(&self, authority: AuthorityId, owner: Uuid) -> Result<Option<Lease>, ServiceError> {
        let now = self.clock.now();
        Ok(self.store.claim_lease(authority, owner, now, now + LEASE).await?)
    }

    /// Signs and stores the authority's next CRL, with what waits for it.
    pub async fn publish(&self, lease: Lease) -> Result<Published, ServiceError> {
        let outcome = self.publish_next(lease).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, authority = %lease.authority, "publishing a CRL failed; it will be tried again");
            self.postpone(lease.authority).await;
        }
        outcome
    }

    async fn publish_next(&self, lease: Lease) -> Result<Published, ServiceError> {
        let missing = || ServiceError::Internal(format!("authority {} is missing", lease.authority));
        let authority = self.store.authority(lease.authority).await?.ok_or_else(missing)?;
        if authority.state == AuthorityState::Disabled {
            return Err(ServiceError::Internal(format!("authority {} is disabled and signs no CRL", authority.id)));
        }
        let last = self.store.publication(lease.authority).await?.ok_or_else(missing)?;
        let transitions = self.store.transitions(lease.authority, MAX_TRANSITIONS).await?;
        // Both: after a clock that ran ahead is put right, what left the list too early comes back.
        let listed_past_end = last.this_update.min(self.clock.now());
        let listed = self.store.revocations(lease.authority, listed_past_end).await?;
        let entries = next_entries(listed, &transitions);
        let carried_out = transitions.into_iter().map(|transition| self.carried_out(&authority, &entries, transition));
        let carried_out = carried_out.collect();

        let signer = self.keyring.signer(&self.store, &authority).await?;
        let crl = self
            .sign_crl(&authority, &signer, last.number + 1, Some(last.this_update), entries.into_values().collect())
            .await?;
        let number = crl.number;
        let event = self.crl_event(&authority, number);
        match self.store.publish(lease, crl, carried_out, event).await? {
            PublishOutcome::Published { finished } => {
                metrics::counter!("countersign_crls_published_total").increment(1);
                metrics::counter!("countersign_transitions_finished_total").increment(finished as u64);
                tracing::info!(authority = %authority.id, number, finished, "published a CRL");
                Ok(Published::Crl { number, finished })
            }
            PublishOutcome::LeaseLost => Ok(Published::LeaseLost),
        }
    }

    /// Signs a CRL over these entries. It is not dated before the one it follows, unless that one was dated by a clock
    /// that ran far ahead: relying parties would not take such dates for a long time.
    pub(super) async fn sign_crl(
        &self,
        authority: &Authority,
        signer: &Signer,
        number: i64,
        previous: Option<DateTime<Utc>>,
        entries: Vec<RevokedEntry>,
    ) -> Result<Crl, ServiceError> {
        let now = whole_seconds(self.clock.now());
        let this_update = match previous {
            Some(previous) if is_far_ahead(previous, now) => {
                tracing::error!(authority = %authority.id, %previous, %now, "the last CRL was dated by a clock that ran ahead");
                now
            }
            Some(previous) => previous.max(now),
            None => now,
        };
        let next_update = this_update + self.options.crl_validity;
        let plan = CrlPlan {
            issuer_subject: x509::certificate::read(&authority.certificate)?.subject.der,
            issuer_ski: authority.ski.clone(),
            key_type: authority.key_type,
            number: u64::try_from(number).unwrap_or_default(),
            this_update,
            next_update,
            entries,
        };
        let built = tokio::task::spawn_blocking(move || x509::crl::build(plan)).await;
        let tbs = built.map_err(|error| ServiceError::Internal(error.to_string()))??;
        let signed = signer.sign_crl(tbs).await?;
        Ok(Crl { authority: authority.id, number, this_update, next_update, der: signed.der().to_vec() })
    }

    fn carried_out(
        &self,
        authority: &Authority,
        entries: &BTreeMap<SerialNumber, RevokedEntry>,
        transition: Transition,
    ) -> CarriedOut {
        let action = match settled(transition.status) {
            Status::Revoked => Action::FinishRevocation,
            _ => Action::FinishReactivation,
        };
        let subject = transition.certificate.to_string();
        let event = self.event(Actor::system(), authority.account, Some(transition.zone), action, subject);
        let revoked_on = entries.get(&transition.serial).map(|entry| entry.revoked_on);
        CarriedOut { transition, revoked_on, event }
    }

    fn crl_event(&self, authority: &Authority, number: i64) -> AuditEvent {
        let subject = authority.id.to_string();
        let mut event = self.event(Actor::system(), authority.account, authority.zone, Action::PublishCrl, subject);
        event.detail = format!("number {number}");
        event
    }

    async fn postpone(&self, authority: AuthorityId) {
        let attempts = match self.store.publication(authority).await {
            Ok(Some(publication)) => publication.attempts,
            _ => 0,
        };
        let retry_at = self.clock.now() + retry_delay(attempts);
        if let Err(error) = self.store.postpone_publication(authority, retry_at).await {
            tracing::error!(%error, %authority, "a failed publication could not be noted");
        }
    }
}

/// What the next CRL lists: what the last one did, changed by what was asked for since.
fn next_entries(listed: Vec<PublishedRevocation>, transitions: &[Transition]) -> BTreeMap<SerialNumber, RevokedEntry> {
    let listed = listed.into_iter().map(|revocation| {
        let entry = entry(&revocation.serial, revocation.revoked_on, revocation.reason);
        (revocation.serial, entry)
    });
    let mut entries: BTreeMap<SerialNumber, RevokedEntry> = listed.collect();
    for transition in transitions {
        if settled(transition.status) == Status::Active {
            entries.remove(&transition.serial);
            continue;
        }
        let new = entry(&transition.serial, transition.requested_on, transition.reason);
        let entry = entries.entry(transition.serial.clone()).or_insert(new);
        entry.reason = transition.reason;
    }
    entries
}

fn entry(
    serial: &SerialNumber,
    revoked_on: DateTime<Utc>,
    reason: crate::domain::reason::RevocationReason,
) -> RevokedEntry {
    RevokedEntry { serial: serial.clone(), revoked_on: whole_seconds(revoked_on), reason, invalidity_date: None }
}

fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}

/// Whether the pause after a failure is over, or was set by a clock that ran ahead.
fn may_be_tried(publication: &Publication, now: DateTime<Utc>) -> bool {
    publication.retry_at <= now || publication.retry_at > now + LAST_RETRY
}

fn is_far_ahead(this_update: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    this_update > now + CLOCK_SKEW
}

/// Half a second, doubled with every attempt, at most a minute.
fn retry_delay(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(0, 10);
    (FIRST_RETRY * 2_i32.pow(doublings.unsigned_abs())).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{CertificateId, ZoneId};
    use crate::domain::reason::RevocationReason::{self, CertificateHold, KeyCompromise};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn serial(number: u8) -> SerialNumber {
        SerialNumber::from_be_bytes(&[number]).unwrap()
    }

    fn listed(number: u8, reason: RevocationReason) -> PublishedRevocation {
        let (certificate, zone) = (CertificateId::new(Uuid::nil()), ZoneId::new(Uuid::nil()));
        PublishedRevocation { serial: serial(number), certificate, zone, reason, revoked_on: at(1), not_after: at(99) }
    }

    fn asked(number: u8, status: Status, reason: RevocationReason) -> Transition {
        Transition {
            certificate: CertificateId::new(Uuid::nil()),
            zone: ZoneId::new(Uuid::nil()),
            authority: AuthorityId::new(Uuid::nil()),
            serial: serial(number),
            status,
            version: 1,
            reason,
            invalidity_date: None,
            requested_on: at(5),
            not_after: at(99),
            job: None,
        }
    }

    #[test]
    fn revoked_ones_are_added_released_ones_leave_and_final_reasons_keep_the_first_date() {
        let before = vec![listed(1, CertificateHold), listed(2, CertificateHold), listed(3, KeyCompromise)];
        let transitions = [
            asked(1, Status::PendingReactivation, CertificateHold),
            asked(2, Status::PendingRevocation, KeyCompromise),
            asked(4, Status::PendingRevocation, CertificateHold),
            asked(5, Status::PendingReactivation, CertificateHold),
        ];
        let entries = next_entries(before, &transitions);
        let seen: Vec<_> = entries.values().map(|e| (e.serial.as_bytes()[0], e.reason, e.revoked_on)).collect();
        assert_eq!(seen, [(2, KeyCompromise, at(1)), (3, KeyCompromise, at(1)), (4, CertificateHold, at(5))]);
    }

    #[test]
    fn retries_back_off_up_to_a_minute() {
        assert_eq!(retry_delay(0), TimeDelta::milliseconds(500));
        assert_eq!(retry_delay(3), TimeDelta::seconds(4));
        assert_eq!(retry_delay(i32::MAX), TimeDelta::minutes(1));
    }
}
