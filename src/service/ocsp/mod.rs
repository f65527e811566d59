//! Answering OCSP: what a relying party asks about the certificates of one authority. Public, so nothing here takes a
//! permit.
//!
//! Statuses and signed answers are remembered, yet no process says `good` once another has shown the revocation: each
//! request first passes the store's barrier, which tells how far the authority had published after the request came in,
//! and what changed up to there is forgotten before anything remembered is used (see [`memory`]).
//!
//! Faults of ours are answers too (RFC 6960, 2.3): `tryLater` when the store is away, `internalError` for the rest.

mod memory;
mod turns;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use crate::domain::authority::{Authority, AuthorityState};
use crate::domain::id::AuthorityId;
use crate::domain::ocsp::CertStatus;
use crate::domain::serial::SerialNumber;
use crate::store::Statuses;
use crate::x509::ocsp::issuer::IssuerHashes;
use crate::x509::ocsp::request::{self, CertId, CertIdForm, OcspRequest};
use crate::x509::ocsp::response::{self, OcspPlan, Refusal, SingleAnswer};

use super::cache::Cache;
use super::error::Noun;
use super::responders::Responder;
use super::secrets::sha256;
use super::{Service, ServiceError, measures};

use memory::Memory;
use turns::Turns;

/// With more changes than this since it last looked, a process forgets all it remembers of the authority.
const MAX_CHANGES: i64 = 10_000;

/// What an authority's answers stand on.
pub(super) struct Ocsp {
    authorities: Cache<AuthorityId, Asked>,
    memory: Memory,
    /// Whoever finds the memory behind brings it up to date; the others wait for that.
    catching_up: Mutex<()>,
    turns: Turns,
}

/// An authority that is asked about.
struct Asked {
    authority: Authority,
    hashes: IssuerHashes,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub enum OcspAnswer {
    /// The same for everybody who asks the same; caches may keep it.
    Shared(Arc<SignedAnswer>),
    /// For this request alone: it repeats its nonce, or speaks of a certificate that may yet be issued.
    Once(Bytes),
    Refused(Refusal),
}

/// A signed answer and how long it may be used.
#[derive(Debug)]
pub struct SignedAnswer {
    /// The OCSPResponse.
    pub der: Bytes,
    /// SHA-256 of it, in hex.
    pub digest: String,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
}

impl SignedAnswer {
    /// Up to half of its validity, like a CRL: nobody is handed one that is about to end.
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.this_update <= now && now < self.this_update + (self.next_update - self.this_update) / 2
    }
}

impl Ocsp {
    pub(super) fn new() -> Self {
        Self { authorities: Cache::new(), memory: Memory::new(), catching_up: Mutex::new(()), turns: Turns::new() }
    }
}

/// One of the certificates that a request asks about, found to be ours.
struct Question<'a> {
    cert_id: &'a CertId<'a>,
    form: CertIdForm,
}

impl Service {
    /// Answers an OCSP request to an authority. Fails only if there is no such authority.
    pub async fn answer_ocsp(&self, id: Option<AuthorityId>, request: &[u8]) -> Result<OcspAnswer, ServiceError> {
        let answer = match self.try_to_answer(id, request).await {
            Ok(answer) => answer,
            Err(error @ ServiceError::NotFound(_)) => return Err(error),
            Err(error @ ServiceError::Unavailable(_)) => {
                tracing::warn!(%error, "an OCSP request is put off");
                OcspAnswer::Refused(Refusal::TryLater)
            }
            Err(error) => {
                tracing::error!(%error, "an OCSP request cannot be answered");
                OcspAnswer::Refused(Refusal::InternalError)
            }
        };
        if let OcspAnswer::Refused(refusal) = &answer {
            measures::ocsp_answer(refusal.as_str());
        }
        Ok(answer)
    }

    async fn try_to_answer(&self, id: Option<AuthorityId>, request: &[u8]) -> Result<OcspAnswer, ServiceError> {
        // Before the barrier: whatever is said will have been true at this moment or later.
        let now = self.clock.now();
        let asked = self.asked(id.ok_or(ServiceError::NotFound(Noun::Authority))?, now).await?;
        let request = match request::read(request) {
            Ok(request) => request,
            Err(fault) => {
                tracing::debug!(%fault, "a malformed OCSP request");
                return Ok(OcspAnswer::Refused(Refusal::MalformedRequest));
            }
        };
        let Some(questions) = asked.questions(&request, now) else {
            return Ok(OcspAnswer::Refused(Refusal::Unauthorized));
        };
        // Also before the barrier: making one takes its time, in which statuses would grow old.
        let responder = self.responder(&asked.authority, now).await?;
        let published = self.catch_up(asked.authority.id).await?;

        let shared = shared_question(&request, &questions);
        if let Some((serial, form)) = shared
            && let Some(known) = self.ocsp.memory.answer(asked.authority.id, serial, form)
            && known.1.is_fresh(now)
        {
            measures::ocsp_answer(known.0);
            return Ok(OcspAnswer::Shared(known.1));
        }
        let Some(statuses) = self.statuses(&asked.authority, &questions, published).await? else {
            tracing::debug!("an OCSP request is put off: too many are to be looked up");
            return Ok(OcspAnswer::Refused(Refusal::TryLater));
        };
        statuses.iter().for_each(|status| measures::ocsp_answer(status.as_str()));
        let is_known = statuses.iter().all(|status| *status != CertStatus::Unknown);
        let status = statuses.first().cloned();
        let signed = self.sign_answer(&responder, &request, statuses, now).await?;
        if request.nonce.is_some() || !is_known {
            return Ok(OcspAnswer::Once(signed.der));
        }
        let signed = Arc::new(signed);
        if let (Some((serial, form)), Some(status)) = (shared, status) {
            self.ocsp.memory.keep_answer(asked.authority.id, serial, form, &status, &signed);
        }
        Ok(OcspAnswer::Shared(signed))
    }

    /// The authority, as it was within the last second: its name and key never change.
    async fn asked(&self, id: AuthorityId, now: DateTime<Utc>) -> Result<Arc<Asked>, ServiceError> {
        if let Some(known) = self.ocsp.authorities.find(&id, now) {
            return Ok(known);
        }
        let authority = self.public_authority(Some(id)).await?;
        let hashes = IssuerHashes::of(&authority.certificate)?;
        Ok(self.ocsp.authorities.keep(id, Asked { authority, hashes }, now))
    }

    /// Passes the barrier: after this, nothing is remembered that was published otherwise before the request came. Gives
    /// the number up to which that is.
    async fn catch_up(&self, authority: AuthorityId) -> Result<i64, ServiceError> {
        let published = self.store.published_number(authority).await?.ok_or_else(|| never_published(authority))?;
        if self.ocsp.memory.number(authority, published) >= published {
            return Ok(published);
        }
        let _alone = self.ocsp.catching_up.lock().await;
        let known = self.ocsp.memory.number(authority, published);
        if known < published {
            let changes = self.store.changes_since(authority, known, MAX_CHANGES).await?;
            let changes = changes.ok_or_else(|| never_published(authority))?;
            require(changes.number, published)?;
            self.ocsp.memory.catch_up(authority, known, changes);
        }
        Ok(published)
    }

    /// The status of each certificate; `None` when it is not its turn in time. Unless all are remembered, all are looked
    /// up: what is remembered would grow old while a turn is waited for.
    async fn statuses(
        &self,
        authority: &Authority,
        questions: &[Question<'_>],
        published: i64,
    ) -> Result<Option<Vec<CertStatus>>, ServiceError> {
        let of_memory = |question: &Question<'_>| match &question.cert_id.serial {
            Some(serial) => self.ocsp.memory.status(authority.id, serial),
            None => Some(CertStatus::Unknown),
        };
        if let Some(known) = questions.iter().map(of_memory).collect() {
            return Ok(Some(known));
        }
        let serials: Vec<_> = questions.iter().filter_map(|question| question.cert_id.serial.clone()).collect();
        let Some(_turn) = self.ocsp.turns.take(serials.len()).await else { return Ok(None) };
        let mut found = self.look_up(authority, serials, published).await?.into_iter();
        let status = |question: &Question<'_>| match question.cert_id.serial {
            Some(_) => found.next(),
            None => Some(CertStatus::Unknown),
        };
        let complete: Option<Vec<CertStatus>> = questions.iter().map(status).collect();
        complete.map(Some).ok_or_else(|| ServiceError::Internal("the store left out a status".into()))
    }

    async fn look_up(
        &self,
        authority: &Authority,
        serials: Vec<SerialNumber>,
        published: i64,
    ) -> Result<Vec<CertStatus>, ServiceError> {
        let found = self.store.certificate_statuses(authority.clone(), serials.clone()).await?;
        let Statuses { number, statuses } = found.ok_or_else(|| never_published(authority.id))?;
        require(number, published)?;
        for (serial, status) in serials.into_iter().zip(&statuses) {
            self.ocsp.memory.keep_status(authority.id, serial, status, number);
        }
        Ok(statuses)
    }

    async fn sign_answer(
        &self,
        responder: &Responder,
        request: &OcspRequest<'_>,
        statuses: Vec<CertStatus>,
        now: DateTime<Utc>,
    ) -> Result<SignedAnswer, ServiceError> {
        let this_update = whole_seconds(now);
        let next_update = (this_update + self.options.ocsp_validity).min(responder.not_after());
        let answers = request.certificates.iter().zip(statuses).map(|(cert_id, status)| SingleAnswer {
            cert_id: cert_id.der,
            status,
            this_update,
            next_update,
        });
        let plan = OcspPlan {
            responder_key: responder.key_hash(),
            key_type: responder.signer().key_type(),
            responder_certificate: responder.certificate(),
            produced_at: this_update,
            answers: answers.collect(),
            nonce: request.nonce,
        };
        let signed = responder.signer().sign_ocsp(response::build(&plan)?).await?;
        let der = Bytes::from(signed.into_der());
        // Nobody keeps what has a nonce.
        let digest = if request.nonce.is_none() { hex::encode(sha256(&der)) } else { String::new() };
        Ok(SignedAnswer { der, digest, this_update, next_update })
    }
}

impl Asked {
    /// What is asked of this authority; `None` when it does not answer, or when anything is asked that is not its
    /// business.
    fn questions<'a>(&self, request: &'a OcspRequest<'a>, now: DateTime<Utc>) -> Option<Vec<Question<'a>>> {
        if self.authority.state == AuthorityState::Disabled || now >= self.authority.not_after {
            return None;
        }
        let question = |cert_id: &'a CertId<'a>| Some(Question { cert_id, form: self.hashes.form_of(cert_id)? });
        request.certificates.iter().map(question).collect()
    }
}

/// The one certificate of a request that others will ask in the same words.
fn shared_question<'a>(
    request: &OcspRequest<'_>,
    questions: &[Question<'a>],
) -> Option<(&'a SerialNumber, CertIdForm)> {
    match questions {
        [only] if request.nonce.is_none() => Some((only.cert_id.serial.as_ref()?, only.form)),
        _ => None,
    }
}

fn never_published(authority: AuthorityId) -> ServiceError {
    ServiceError::Internal(format!("authority {authority} has published nothing"))
}

/// What is read after the barrier must not be older than what the barrier told, as it is where a copy of the database
/// lags behind.
fn require(number: i64, published: i64) -> Result<(), ServiceError> {
    if number >= published {
        return Ok(());
    }
    Err(ServiceError::Unavailable(format!("the database is behind: at CRL {number}, and {published} is published")))
}

fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::nanoseconds(i64::from(time.timestamp_subsec_nanos()))
}
