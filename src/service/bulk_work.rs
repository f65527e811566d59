//! Working on bulk jobs, a batch at a time. Whatever one batch asks is written in one transaction with the job's place in
//! its selection; batches are small and wait for the CRLs, so that nobody who asks for one certificate waits behind them.
//!
//! A job goes on when the token that asked for it is gone: it was permitted when it was asked for.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::bulk::{Progress, Selector};
use crate::domain::certificate::Certificate;
use crate::domain::id::{JobId, ZoneId};
use crate::store::{Batch, ClaimedJob, DueJob, Step};

use super::changes::{Asked, Decision};
use super::{Service, ServiceError};

/// How many certificates are asked in one transaction: a few tens of milliseconds of the only writer.
const BATCH: usize = 200;
/// How many transitions of jobs may wait for the CRLs of a zone before its jobs wait too.
const MAX_WAITING: i64 = 2000;
/// Longer than any batch takes; nobody else goes on with a job of a killed process before.
const LEASE: TimeDelta = TimeDelta::seconds(10);
const FIRST_RETRY: TimeDelta = TimeDelta::milliseconds(500);
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(1);
/// Half an hour of trying; what is broken by then is for the operator.
const MAX_ATTEMPTS: i32 = 36;
/// How often a batch is read anew at once because somebody changed one of its certificates.
const MAX_DECISIONS: usize = 16;
/// How many jobs of a zone, and of an account, are gone on with between two looks: a round stays short, and what is asked
/// for meanwhile gets its turn in the next.
const IN_ROUND_OF_ZONE: usize = 4;
const IN_ROUND_OF_ACCOUNT: usize = 16;
const KEPT: TimeDelta = TimeDelta::days(90);

/// What a turn of a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A batch was asked; there may be more.
    Batch,
    /// Every certificate has been asked.
    Ended,
    /// Its CRLs are behind, somebody else is at it, or it was cancelled.
    Passed,
}

impl Service {
    /// The next jobs that may be gone on with, in turns: however many one account or one zone has, the others' come too.
    pub async fn jobs_due(&self) -> Result<Vec<(ZoneId, JobId)>, ServiceError> {
        let now = self.clock.now();
        let due = self.store.jobs_due(now, now + LONGEST_RETRY, MAX_WAITING).await?;
        Ok(in_turns(due).into_iter().map(|due| (due.zone, due.id)).collect())
    }

    /// Goes on with a job by one batch.
    pub async fn advance_job(&self, zone: ZoneId, id: JobId) -> Result<Turn, ServiceError> {
        if self.store.waiting_of_jobs(zone).await? > MAX_WAITING {
            return Ok(Turn::Passed);
        }
        let now = self.clock.now();
        let Some(claimed) = self.store.claim_job(zone, id, now, now + LEASE).await? else {
            return Ok(Turn::Passed);
        };
        match self.advance_claimed(&claimed).await {
            Ok(turn) => Ok(turn),
            Err(error) => {
                self.postpone_job(claimed, &error).await?;
                Err(error)
            }
        }
    }

    /// Notes which jobs relying parties can see the whole of by now.
    pub async fn complete_published_jobs(&self) -> Result<(), ServiceError> {
        for (zone, id) in self.store.published_jobs().await? {
            self.store.complete_job(zone, id, self.clock.now()).await?;
            tracing::info!(job = %id, "a bulk job is completed");
        }
        Ok(())
    }

    /// Clears away jobs that ended long ago; the audit log keeps what they did.
    pub async fn forget_old_jobs(&self) -> Result<(), ServiceError> {
        let forgotten = self.store.forget_jobs(self.clock.now() - KEPT).await?;
        tracing::debug!(forgotten, "cleared away bulk jobs");
        Ok(())
    }

    async fn advance_claimed(&self, claimed: &ClaimedJob) -> Result<Turn, ServiceError> {
        for _ in 0..MAX_DECISIONS {
            let certificates = self.store.next_of_job(claimed.clone(), BATCH).await?;
            if certificates.is_empty() {
                self.store.end_job(claimed.clone()).await?;
                return Ok(Turn::Ended);
            }
            let batch = self.decide_batch(claimed, certificates).await?;
            let changed = batch.progress.changed;
            match self.store.advance_job(claimed.clone(), batch).await? {
                Step::Done => {
                    if changed > 0 {
                        self.work.notify_one();
                    }
                    return Ok(Turn::Batch);
                }
                Step::Lost => return Ok(Turn::Passed),
                Step::Overtaken => {}
            }
        }
        Err(ServiceError::Unavailable("the certificates of a bulk job are being changed by many at once".into()))
    }

    async fn decide_batch(&self, claimed: &ClaimedJob, certificates: Vec<Certificate>) -> Result<Batch, ServiceError> {
        let job = &claimed.job;
        let asked = Asked { wish: job.wish, actor: job.actor.clone(), account: job.account, job: Some(job.id) };
        let now = self.clock.now();
        let mut batch = Batch::default();
        let mut keys = Vec::new();
        for certificate in certificates {
            batch.read.push((certificate.id, certificate.status, certificate.version));
            batch.progress.processed += 1;
            self.add_to_batch(&asked, certificate, now, &mut batch, &mut keys);
        }
        // What a job for compromised keys is about, is blocked and looked for in every zone already.
        if !matches!(claimed.selector, Selector::Keys(_)) {
            keys.sort_unstable();
            keys.dedup();
            batch.compromise = self.compromise(&asked, keys, now).await?;
        }
        Ok(batch)
    }

    fn add_to_batch(
        &self,
        asked: &Asked,
        certificate: Certificate,
        now: DateTime<Utc>,
        batch: &mut Batch,
        keys: &mut Vec<Vec<u8>>,
    ) {
        let Progress { changed, unchanged, refused, .. } = &mut batch.progress;
        match self.decide_change(asked, certificate.clone(), now) {
            Decision::Changes(change) => {
                *changed += 1;
                keys.push(certificate.spki_sha256);
                batch.changes.push(*change);
            }
            Decision::Unchanged { note, .. } => {
                *unchanged += 1;
                keys.push(certificate.spki_sha256);
                batch.events.extend(note.map(|note| *note));
            }
            Decision::Refused(why) => {
                *refused += 1;
                batch.events.push(self.refused_change(asked, &certificate, why));
            }
        }
    }

    /// Tries again later. A database that is away is waited for, however long it takes.
    async fn postpone_job(&self, claimed: ClaimedJob, error: &ServiceError) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let job = claimed.job.id;
        let is_given_up = claimed.attempts >= MAX_ATTEMPTS && !matches!(error, ServiceError::Unavailable(_));
        tracing::error!(%error, %job, is_given_up, "a bulk job could not be gone on with");
        let failure = is_given_up.then(|| {
            let message =
                "an internal fault; the server's log tells it under the job's id. What was asked until then stands.";
            (message.to_owned(), now)
        });
        let retry_on = now + retry_delay(claimed.attempts);
        Ok(self.store.postpone_job(claimed, retry_on, failure).await?)
    }
}

/// The first job of each account, then the second of each, and so on. Within an account it goes by zones in the same way,
/// and there the one that was taken up least comes first; within a zone, the oldest. What spreads a compromise comes before
/// the others in each.
fn in_turns(mut due: Vec<DueJob>) -> Vec<DueJob> {
    due.sort_by_key(|job| (!job.spreads_compromise, job.id));
    let mut placed = with_places(due, |job| job.zone);
    placed.retain(|(place, _)| *place < IN_ROUND_OF_ZONE);
    placed.sort_by_key(|(place, job)| (*place, !job.spreads_compromise, job.claims, job.id));
    let mut placed = with_places(placed.into_iter().map(|(_, job)| job).collect(), |job| job.account);
    placed.retain(|(place, _)| *place < IN_ROUND_OF_ACCOUNT);
    placed.sort_by_key(|(place, job)| (*place, !job.spreads_compromise, job.claims, job.id));
    placed.into_iter().map(|(_, job)| job).collect()
}

/// Each with how many of the same kind come before it.
fn with_places<K: Eq + Hash>(due: Vec<DueJob>, kind: impl Fn(&DueJob) -> K) -> Vec<(usize, DueJob)> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let placed = due.into_iter().map(|job| {
        let next = places.entry(kind(&job)).or_default();
        let place = *next;
        *next += 1;
        (place, job)
    });
    placed.collect()
}

/// Half a second, doubled with every attempt, at most a minute.
fn retry_delay(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(0, 10);
    (FIRST_RETRY * 2_i32.pow(doublings.unsigned_abs())).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_tried_for_half_an_hour() {
        assert_eq!(retry_delay(0), FIRST_RETRY);
        assert_eq!(retry_delay(i32::MAX), LONGEST_RETRY);
        let tried: TimeDelta = (0..MAX_ATTEMPTS).map(retry_delay).sum();
        assert!(tried >= TimeDelta::minutes(28) && tried <= TimeDelta::minutes(32), "{tried}");
    }
}
