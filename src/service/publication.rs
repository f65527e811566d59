//! Publishing CRLs: the one way by which `pending_…` becomes `revoked` or `active` again.
//!
//! A publication has one number. Under it stand the complete CRL, the delta, and the shards that changed or have grown old;
//! all are stored in one transaction with what they make visible. Nothing of a long list is read from the database to be
//! signed again: the list before is in memory, and the transitions say what changes.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::audit::{Action, Actor, AuditEvent};
use crate::domain::authority::{Authority, AuthorityState, CrlScope};
use crate::domain::event::{Event, Subject};
use crate::domain::id::AuthorityId;
use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::status::{Status, settled};
use crate::domain::transition::Transition;
use crate::store::{Base, CarriedOut, Lease, Publication, PublishOutcome, Publishing};
use crate::x509::crl::delta_entries;

use super::crl_signing::whole_seconds;
use super::revision::Revision;
use super::revocation_lists::off_thread;
use super::{Service, ServiceError, measures};

/// How long a lease lasts; it is prolonged while its holder works.
pub const LEASE: TimeDelta = TimeDelta::seconds(10);
/// The most transitions that one CRL carries out, so that its transaction holds nobody up for long.
const MAX_TRANSITIONS: i64 = 500;
/// The most entries that leave the list because their certificates have ended, for the same reason.
const MAX_MISPLACED: i64 = 1000;
/// The longest delta, in entries: about 250 kB.
const MAX_DELTA: usize = 5000;
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
        let is_due = |publication: &Publication| {
            let is_old = self.is_due(publication.oldest_update) || is_far_ahead(publication.this_update, now);
            is_old && may_be_tried(publication, now)
        };
        let due = publications
            .iter()
            .filter(|publication| is_due(publication))
            .map(|publication| publication.authority)
            .collect();
        self.standing.publications_are(publications);
        Ok(due)
    }

    /// Tells the metrics how many transitions wait, and for how long.
    pub async fn measure_transitions(&self) -> Result<(), ServiceError> {
        let (count, oldest) = self.store.waiting_transitions().await?;
        metrics::gauge!("countersign_transitions_waiting").set(count as f64);
        self.standing.oldest_transition_is(oldest);
        Ok(())
    }

    /// Brings what the metrics tell of passing time up to now; to be done before they are shown.
    pub fn measure_ages(&self) {
        self.standing.tell(self.clock.now());
    }

    /// Claims the right to publish for an authority.
    pub async fn claim_lease(&self, authority: AuthorityId, owner: Uuid) -> Result<Option<Lease>, ServiceError> {
        let now = self.clock.now();
        Ok(self.store.claim_lease(authority, owner, now, now + LEASE).await?)
    }

    /// Gives up the right to publish, wherever this owner has it.
    pub async fn let_go_leases(&self, owner: Uuid) -> Result<(), ServiceError> {
        Ok(self.store.let_go_leases(owner).await?)
    }

    /// Signs and stores the authority's next CRL, with what waits for it.
    pub async fn publish(&self, lease: Lease) -> Result<Published, ServiceError> {
        let started = Instant::now();
        let outcome = self.publish_next(lease).await;
        if let Ok(Published::Crl { .. }) = &outcome {
            metrics::histogram!("countersign_publication_seconds").record(started.elapsed().as_secs_f64());
        }
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
        let before = self.revocation_list(&authority).await?;
        let (number, since_base) = self.store.crl_changes(authority.id, last.base.number).await?;
        if before.number != last.number || number != last.number {
            return Ok(Published::LeaseLost);
        }
        let transitions = self.store.transitions(lease.authority, MAX_TRANSITIONS).await?;
        let is_full = transitions.len() >= usize::try_from(MAX_TRANSITIONS).unwrap_or(usize::MAX);
        let shards = self.shard_updates(&authority).await?;
        // An entry leaves after it was on a CRL past its end (RFC 5280, 3.3), also on that of its shard, which may be older
        // than the complete one. And after a clock that ran ahead is put right, what left too early comes back.
        let oldest_shard = shards.iter().map(|(_, updated_at)| *updated_at).min();
        let ended_before = last.this_update.min(self.clock.now()).min(oldest_shard.unwrap_or(last.this_update));
        let misplaced = self.store.misplaced_revocations(authority.id, ended_before, MAX_MISPLACED).await?;
        let is_more_misplaced = misplaced.count() >= usize::try_from(MAX_MISPLACED).unwrap_or(usize::MAX);

        let number = last.number + 1;
        let signer = self.keyring.signer(&self.store, &authority).await?;
        let signing = self.crl_signing(&authority, &signer, number, self.next_date(&authority, &last))?;
        let of = authority.clone();
        let (revision, list, transitions) = off_thread(move || {
            let revision = Revision::of(&of, &before, &transitions, misplaced)?;
            let list = before.changed(&of, number, &revision.changes)?;
            Ok((revision, list, transitions))
        })
        .await?;

        let complete = signing.sign(CrlScope::Complete, list.entries(CrlScope::Complete)).await?;
        let (base, since_base) = self.delta_base(&last, since_base, &revision.changes);
        let delta = signing.sign_delta(base, delta_entries(&since_base, complete.this_update)?).await?;
        let mut next = Publication {
            authority: authority.id,
            number,
            this_update: complete.this_update,
            next_update: complete.next_update,
            attempts: 0,
            retry_at: DateTime::UNIX_EPOCH,
            base,
            oldest_update: complete.this_update,
        };
        let mut crls = vec![complete, delta];
        let touched = revision.shards(&authority);
        for (shard, updated_at) in shards {
            if touched.contains(&shard) || self.is_due(updated_at) {
                crls.push(signing.sign(CrlScope::Shard(shard), list.entries(CrlScope::Shard(shard))).await?);
            } else {
                next.oldest_update = next.oldest_update.min(updated_at);
            }
        }
        if is_more_misplaced {
            next.oldest_update = DateTime::UNIX_EPOCH;
        }

        let carried_out = transitions.into_iter().map(|transition| {
            let entry = revision.entries.get(&transition.serial).cloned();
            self.carried_out(&authority, &next, transition, entry)
        });
        let publishing = Publishing {
            carried_out: carried_out.collect(),
            event: self.crl_event(&authority, &next),
            next,
            crls: crls.clone(),
            changes: revision.changes,
            placed: revision.placed,
        };
        let requested_on: Vec<_> = publishing.carried_out.iter().map(|done| done.transition.requested_on).collect();
        match self.store.publish(lease, publishing).await? {
            PublishOutcome::Published { finished } => {
                measures::lag(&requested_on, self.clock.now());
                metrics::counter!("countersign_crls_published_total").increment(1);
                metrics::counter!("countersign_transitions_finished_total").increment(finished as u64);
                tracing::info!(authority = %authority.id, number, finished, entries = list.count(), "published a CRL");
                if is_full || is_more_misplaced {
                    self.work.notify_one();
                }
                self.crls.keep_signed(crls, &self.revocation_lists.keep(authority.id, list));
                Ok(Published::Crl { number, finished })
            }
            PublishOutcome::LeaseLost => Ok(Published::LeaseLost),
        }
    }

    /// The thisUpdate of the next CRL. It is not dated before the one it follows, unless that one was dated by a clock
    /// that ran far ahead: relying parties would not take such dates for a long time.
    fn next_date(&self, authority: &Authority, last: &Publication) -> DateTime<Utc> {
        let (now, previous) = (whole_seconds(self.clock.now()), last.this_update);
        if is_far_ahead(previous, now) {
            tracing::error!(authority = %authority.id, %previous, %now, "the last CRL was dated by a clock that ran ahead");
            return now;
        }
        previous.max(now)
    }

    /// The base of the next delta, and everything that changed since. It stays where it was, for those who hold a complete
    /// CRL from then, until it is old or the delta is long; then the CRL before this one is the new base.
    fn delta_base(&self, last: &Publication, since_base: Option<Changes>, changes: &Changes) -> (Base, Changes) {
        let is_old = self.is_due(last.base.this_update);
        if let Some(mut since_base) = since_base.filter(|_| !is_old) {
            since_base.extend(changes.clone());
            if since_base.len() <= MAX_DELTA {
                return (last.base, since_base);
            }
        }
        (Base { number: last.number, this_update: last.this_update }, changes.clone())
    }

    /// The shards, and when each was last signed.
    async fn shard_updates(&self, authority: &Authority) -> Result<Vec<(i32, DateTime<Utc>)>, ServiceError> {
        if authority.shards.is_none() {
            return Ok(Vec::new());
        }
        let updates = self.store.crl_updates(authority.id).await?.into_iter();
        let of_shard = |(scope, updated_at)| match scope {
            CrlScope::Shard(shard) => Some((shard, updated_at)),
            CrlScope::Complete | CrlScope::Delta => None,
        };
        Ok(updates.filter_map(of_shard).collect())
    }

    /// Whether a CRL of that date has used up half of its validity, or was dated by a clock that ran ahead.
    fn is_due(&self, this_update: DateTime<Utc>) -> bool {
        let now = self.clock.now();
        this_update + self.options.crl_validity / 2 <= now || is_far_ahead(this_update, now)
    }

    fn carried_out(
        &self,
        authority: &Authority,
        next: &Publication,
        transition: Transition,
        entry: Option<RevokedEntry>,
    ) -> CarriedOut {
        let status = settled(transition.status);
        let action = if status == Status::Revoked { Action::FinishRevocation } else { Action::FinishReactivation };
        let subject = transition.certificate.to_string();
        let mut event = self.event(Actor::system(), authority.account, Some(transition.zone), action, subject);
        event.detail = format!("CRL number {}", next.number);
        event.news = Some(Event::CertificateSettled {
            certificate: Subject {
                id: transition.certificate,
                authority: authority.id,
                serial: transition.serial.clone(),
            },
            status,
            reason: transition.reason,
            crl_number: next.number,
            published_on: next.this_update,
        });
        let shard = authority.shard_of(&transition.serial);
        CarriedOut { transition, shard, entry, event }
    }

    fn crl_event(&self, authority: &Authority, next: &Publication) -> AuditEvent {
        let subject = authority.id.to_string();
        let mut event = self.event(Actor::system(), authority.account, authority.zone, Action::PublishCrl, subject);
        event.detail = format!("number {}", next.number);
        event.news = Some(Event::CrlPublished {
            authority: authority.id,
            number: next.number,
            this_update: next.this_update,
            next_update: next.next_update,
        });
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

    #[test]
    fn retries_back_off_up_to_a_minute() {
        assert_eq!(retry_delay(0), TimeDelta::milliseconds(500));
        assert_eq!(retry_delay(3), TimeDelta::seconds(4));
        assert_eq!(retry_delay(i32::MAX), TimeDelta::minutes(1));
    }
}
