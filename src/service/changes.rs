//! What becomes of a certificate when somebody asks for a change: decided here alike, whether it is asked of one or of a
//! hundred thousand.

use chrono::{DateTime, Utc};

use crate::domain::audit::{Action, Actor, AuditEvent, AuditResult};
use crate::domain::bulk::{Job, JobState, Progress, Wish};
use crate::domain::certificate::Certificate;
use crate::domain::event::{Event, Subject};
use crate::domain::id::{AccountId, JobId};
use crate::domain::reason::RevocationReason;
use crate::domain::status::{self, Change, Outcome, Refusal, Standing};
use crate::domain::text::timestamp;
use crate::domain::transition::Transition;
use crate::store::{BlockedKey, Compromise, KeyJob, RequestedChange};

use super::{Service, ServiceError};

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub wish: Wish,
    pub actor: Actor,
    pub account: AccountId,
    /// The bulk job that asks.
    pub job: Option<JobId>,
}

pub(super) enum Decision {
    Changes(Box<RequestedChange>),
    /// It is as was asked already. A compromise that was not known before is noted all the same, and one that was is
    /// spread again to what still holds the key.
    Unchanged {
        certificate: Box<Certificate>,
        note: Option<Box<AuditEvent>>,
    },
    /// In words for the caller.
    Refused(String),
}

impl Asked {
    fn action(&self) -> Action {
        match self.wish {
            Wish::Revoke { .. } => Action::RevokeCertificate,
            Wish::Reactivate => Action::ReactivateCertificate,
        }
    }

    /// Whether it reports keys as compromised.
    pub(super) fn is_compromise(&self) -> bool {
        matches!(self.wish, Wish::Revoke { reason: Some(RevocationReason::KeyCompromise), .. })
    }
}

impl Service {
    pub(super) fn decide_change(&self, asked: &Asked, certificate: Certificate, now: DateTime<Utc>) -> Decision {
        let change = match self.change_of(asked.wish, &certificate.profile) {
            Ok(change) => change,
            Err(why) => return Decision::Refused(why),
        };
        match status::change(certificate.standing(now), change) {
            Outcome::Unchanged => {
                let note = self.note_of_compromise(asked, &certificate).map(Box::new);
                Decision::Unchanged { certificate: Box::new(certificate), note }
            }
            Outcome::Refused(refusal) => Decision::Refused(explain(refusal, certificate.not_after)),
            Outcome::Moves { to, reason } => {
                let mut event = self.event_of_change(asked, &certificate);
                event.detail = format!("reason {reason}");
                event.news =
                    Some(Event::CertificatePending { certificate: Subject::of(&certificate), status: to, reason });
                let invalidity_date = match asked.wish {
                    Wish::Revoke { invalidity_date, .. } => invalidity_date,
                    Wish::Reactivate => None,
                };
                let requested = certificate.clone().requested(to, reason, invalidity_date, now);
                let transition = Transition { job: asked.job, ..Transition::of(&requested, reason, now) };
                Decision::Changes(Box::new(RequestedChange { was: certificate, requested, transition, event }))
            }
        }
    }

    /// What would become of so many certificates that stand alike.
    pub(super) fn foresee_change(&self, wish: Wish, standing: Standing, profile: &str, count: i64) -> Progress {
        let outcome = self.change_of(wish, profile).map(|change| status::change(standing, change));
        let none = Progress { processed: count, ..Progress::default() };
        match outcome {
            Ok(Outcome::Moves { .. }) => Progress { changed: count, ..none },
            Ok(Outcome::Unchanged) => Progress { unchanged: count, ..none },
            Ok(Outcome::Refused(_)) | Err(_) => Progress { refused: count, ..none },
        }
    }

    /// What is asked of a certificate of this profile, or why it cannot be asked.
    fn change_of(&self, wish: Wish, profile: &str) -> Result<Change, String> {
        let hold_is_allowed = || self.allows_hold(profile);
        match wish {
            Wish::Reactivate => Ok(Change::Reactivate),
            Wish::Revoke { reason: Some(reason), .. } if reason.is_hold() && !hold_is_allowed() => {
                Err(format!("profile {profile:?} allows no hold: name a final reason, such as superseded"))
            }
            Wish::Revoke { reason: Some(reason), .. } => Ok(Change::Revoke(reason)),
            Wish::Revoke { reason: None, .. } if hold_is_allowed() => {
                Ok(Change::Revoke(RevocationReason::CertificateHold))
            }
            Wish::Revoke { reason: None, .. } => Ok(Change::Revoke(RevocationReason::Unspecified)),
        }
    }

    /// A compromise that is reported after another final reason changes no CRL, but the key is blocked all the same.
    fn note_of_compromise(&self, asked: &Asked, certificate: &Certificate) -> Option<AuditEvent> {
        let recorded = certificate.revocation.as_ref().map(|revocation| revocation.reason);
        if !asked.is_compromise() || recorded == Some(RevocationReason::KeyCompromise) {
            return None;
        }
        let mut event = self.event_of_change(asked, certificate);
        event.detail = "the key is blocked; the recorded reason stays".into();
        Some(event)
    }

    /// The audit event of a refusal.
    pub(super) fn refused_change(&self, asked: &Asked, certificate: &Certificate, why: String) -> AuditEvent {
        AuditEvent { result: AuditResult::Refused, detail: why, ..self.event_of_change(asked, certificate) }
    }

    /// Keys that are reported compromised, with what revokes every other certificate that holds one of them, in all zones
    /// of the account; `None` when nothing of that kind is reported.
    pub(super) async fn compromise(
        &self,
        asked: &Asked,
        keys: Vec<Vec<u8>>,
        now: DateTime<Utc>,
    ) -> Result<Option<Compromise>, ServiceError> {
        if !asked.is_compromise() || keys.is_empty() {
            return Ok(None);
        }
        // Whoever has the key could ask for another certificate with it, so there is none in the whole account.
        let blocked = |spki_sha256| BlockedKey {
            account: asked.account,
            spki_sha256,
            reason: RevocationReason::KeyCompromise,
            blocked_on: now,
        };
        let zones = self.store.zones(asked.account).await?;
        let jobs = zones.into_iter().map(|zone| {
            let job = Job {
                id: JobId::new(self.random.ordered_id(now)),
                account: asked.account,
                zone: zone.id,
                wish: asked.wish,
                state: JobState::Queued,
                total: 0,
                progress: Progress::default(),
                actor: asked.actor.clone(),
                failure: None,
                created_on: now,
                started_on: None,
                finished_on: None,
            };
            let (actor, subject) = (asked.actor.clone(), job.id.to_string());
            let mut event = self.event(actor, asked.account, Some(zone.id), Action::CreateJob, subject);
            event.detail = "revoke whatever holds a key that was reported compromised".into();
            KeyJob { job, event }
        });
        let keys = keys.into_iter().map(blocked).collect();
        Ok(Some(Compromise { account: asked.account, keys, jobs: jobs.collect() }))
    }

    fn event_of_change(&self, asked: &Asked, certificate: &Certificate) -> AuditEvent {
        let subject = certificate.id.to_string();
        self.event(asked.actor.clone(), asked.account, Some(certificate.zone), asked.action(), subject)
    }

    /// Refuses a date that nobody can know yet, and one that no CRL can carry: a single entry that cannot be encoded would
    /// hold up every other revocation.
    pub(super) fn check_invalidity_date(&self, date: Option<DateTime<Utc>>, pointer: &str) -> Result<(), ServiceError> {
        let message = match date {
            Some(date) if date > self.clock.now() => {
                "the invalidity date lies in the future; it says since when the key is believed to be in wrong hands (RFC 5280, 5.3.2)"
            }
            Some(date) if date < DateTime::UNIX_EPOCH => {
                "the invalidity date lies before 1970; it says since when the key is believed to be in wrong hands (RFC 5280, 5.3.2)"
            }
            _ => return Ok(()),
        };
        Err(ServiceError::invalid(pointer, message))
    }
}

fn explain(refusal: Refusal, not_after: DateTime<Utc>) -> String {
    match refusal {
        Refusal::RevocationIsFinal(reason) => format!(
            "the certificate is revoked with the reason {reason}, which is final: only a certificateHold can be lifted (RFC 5280, 5.3.1)"
        ),
        Refusal::HasExpired => {
            format!("the certificate expired on {}; issue a new one instead", timestamp(not_after))
        }
    }
}
