//! The responders of OCSP: short-lived keys, each with a certificate of its authority that says it may answer for it
//! (RFC 6960, 4.2.2.2). So the authority's own key signs nothing at the wish of strangers.
//!
//! Responders live in the store, keys sealed, and all processes share the newest of each authority. The worker makes the
//! next one at half the life of the last; a request that comes before the first one was made does not wait for the
//! worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use crate::domain::audit::{Action, Actor};
use crate::domain::authority::Authority;
use crate::domain::id::AuthorityId;
use crate::domain::key::AuthorityKeyType;
use crate::domain::name::AttributeType;
use crate::domain::plan::{Plan, PlanKind};
use crate::domain::policy;
use crate::domain::serial::SerialNumber;
use crate::keys::signer::Signer;
use crate::store::StoredResponder;
use crate::x509::{lint, name, tbs};

use super::keyring::Record;
use super::{Service, ServiceError, in_turn};

const LIFETIME: TimeDelta = TimeDelta::days(7);
/// How long a responder is kept after its end.
const KEPT_AFTER_END: TimeDelta = TimeDelta::days(1);
/// In the second half of a responder's life, how often the store is asked for a newer one.
const LOOK_OUT: TimeDelta = TimeDelta::seconds(30);
/// How many authorities are seen to in one go of the worker.
const BATCH: i64 = 100;
/// X.520, ub-common-name (RFC 5280, appendix A.1), in characters.
const MAX_COMMON_NAME: usize = 64;

/// The responders in use, with their keys open.
#[derive(Default)]
pub(super) struct Responders {
    known: RwLock<HashMap<AuthorityId, Arc<Responder>>>,
    /// One at a time makes what nobody has yet; the others find it made.
    making: Mutex<()>,
}

/// A responder whose key is open. It cannot be printed.
pub(super) struct Responder {
    serial: SerialNumber,
    certificate: Vec<u8>,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    signer: Signer,
    key_hash: [u8; 20],
    /// When the store was last asked for a newer one, in Unix milliseconds.
    looked_out_at: AtomicI64,
}

impl Responder {
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(super) fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// SHA-1 of the public key: the responderID byKey.
    pub(super) fn key_hash(&self) -> [u8; 20] {
        self.key_hash
    }

    fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether nothing newer is to be expected: the first half of its life, or it lasts as long as the authority.
    fn is_fresh(&self, authority: &Authority, now: DateTime<Utc>) -> bool {
        is_fresh((self.not_before, self.not_after), authority, now)
    }

    /// Whether it is time to look for a newer one; whoever is told so does it.
    fn is_to_look_out(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_millis();
        let last = self.looked_out_at.load(Ordering::Relaxed);
        // Either way: the clock may have been set back.
        let is_time = (now - last).abs() >= LOOK_OUT.num_milliseconds();
        is_time && self.looked_out_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Responders {
    fn find(&self, authority: AuthorityId, now: DateTime<Utc>) -> Option<Arc<Responder>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&authority).filter(|responder| responder.is_valid(now)).cloned()
    }

    fn keep(&self, authority: AuthorityId, responder: Responder) -> Arc<Responder> {
        let responder = Arc::new(responder);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(authority, Arc::clone(&responder));
        responder
    }
}

impl Service {
    /// The responder that answers for an authority now. The first one is made here if the worker has not been round.
    pub(super) async fn responder(
        &self,
        authority: &Authority,
        now: DateTime<Utc>,
    ) -> Result<Arc<Responder>, ServiceError> {
        if let Some(known) = self.responders.find(authority.id, now) {
            if known.is_fresh(authority, now) || !known.is_to_look_out(now) {
                return Ok(known);
            }
            return Ok(self.newer_responder(authority, &known, now).await.unwrap_or(known));
        }
        let _alone = self.responders.making.lock().await;
        if let Some(known) = self.responders.find(authority.id, now) {
            return Ok(known);
        }
        let stored = self.store.responder(authority.id, now).await?;
        let replaced = stored.as_ref().map(|stored| stored.serial.clone());
        if let Some(opened) = stored.and_then(|stored| self.open_or_warn(stored)) {
            return Ok(self.responders.keep(authority.id, opened));
        }
        let made = self.make_responder(authority, replaced, now).await?;
        Ok(self.responders.keep(authority.id, made))
    }

    /// Makes responders for the authorities whose last one is past half of its life, and forgets those that have ended.
    /// One failure does not hold up the others.
    pub async fn keep_responders_fresh(&self) -> Result<(), ServiceError> {
        loop {
            let now = self.clock.now();
            let due = self.store.authorities_without_fresh_responder(now, BATCH).await?;
            let mut renewed = 0;
            for id in &due {
                match self.renew_responder(*id, now).await {
                    Ok(()) => renewed += 1,
                    Err(error) => tracing::warn!(authority = %id, %error, "no OCSP responder could be made"),
                }
            }
            if renewed == 0 || i64::try_from(due.len()).unwrap_or(i64::MAX) < BATCH {
                break;
            }
        }
        self.store.forget_responders(self.clock.now() - KEPT_AFTER_END).await?;
        Ok(())
    }

    async fn renew_responder(&self, id: AuthorityId, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let Some(authority) = self.store.authority(id).await? else { return Ok(()) };
        let last = self.store.responder(id, now).await?;
        if last.as_ref().is_some_and(|last| is_fresh((last.not_before, last.not_after), &authority, now)) {
            // Another process was faster.
            return Ok(());
        }
        let made = self.make_responder(&authority, last.map(|last| last.serial), now).await?;
        self.responders.keep(id, made);
        Ok(())
    }

    /// Another responder than the one we have, if the store has one that lasts longer.
    async fn newer_responder(
        &self,
        authority: &Authority,
        known: &Responder,
        now: DateTime<Utc>,
    ) -> Option<Arc<Responder>> {
        let stored = match self.store.responder(authority.id, now).await {
            Ok(stored) => stored?,
            Err(error) => {
                tracing::warn!(authority = %authority.id, %error, "the newest OCSP responder could not be read");
                return None;
            }
        };
        if stored.serial == known.serial {
            return None;
        }
        Some(self.responders.keep(authority.id, self.open_or_warn(stored)?))
    }

    /// Makes a responder in the place of `replaced`. If another process was faster, it is that one's.
    async fn make_responder(
        &self,
        authority: &Authority,
        replaced: Option<SerialNumber>,
        now: DateTime<Utc>,
    ) -> Result<Responder, ServiceError> {
        let key_type = responder_key_type(authority.key_type);
        let (signer, pkcs8) = in_turn(&self.renewal, move || Signer::generate(key_type)).await??;
        let plan = self.plan_responder(authority, &signer, now)?;
        let (serial, not_before, not_after) = (plan.serial.clone(), plan.not_before, plan.not_after);
        let linted = lint::lint(tbs::build(plan)?).map_err(|violations| {
            let all = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            ServiceError::Internal(format!("the lint stopped a responder: {all}"))
        })?;
        let signed = self.keyring.signer(&self.store, authority).await?.sign_certificate(linted).await?;
        let stored = StoredResponder {
            authority: authority.id,
            serial: serial.clone(),
            certificate: signed.der().to_vec(),
            key_type,
            sealed_key: self.keyring.seal(Record::Responder(authority.id, serial.clone()), &pkcs8)?,
            not_before,
            not_after,
        };
        let subject = authority.id.to_string();
        let mut event = self.event(Actor::system(), authority.account, authority.zone, Action::IssueResponder, subject);
        event.detail = format!("serial number {}, until {}", serial.to_hex(), not_after.to_rfc3339());
        match self.store.add_responder(stored.clone(), replaced, now, event).await? {
            Some(faster) => self.open_responder(faster),
            None => {
                tracing::info!(authority = %authority.id, until = %not_after, "made an OCSP responder");
                Ok(responder(stored, signer))
            }
        }
    }

    fn plan_responder(&self, authority: &Authority, signer: &Signer, now: DateTime<Utc>) -> Result<Plan, ServiceError> {
        let not_before = policy::not_before(now);
        let common_name: String = format!("OCSP of {}", authority.name).chars().take(MAX_COMMON_NAME).collect();
        Ok(Plan {
            profile: String::new(),
            issuer: self.issuer(authority)?,
            serial: self.random.serial()?,
            subject: name::build(&[(AttributeType::CommonName, common_name)])?,
            public_key: signer.public_key(),
            not_before,
            not_after: (not_before + LIFETIME).min(authority.not_after),
            kind: PlanKind::Responder,
            messages: Vec::new(),
        })
    }

    fn open_responder(&self, stored: StoredResponder) -> Result<Responder, ServiceError> {
        let record = Record::Responder(stored.authority, stored.serial.clone());
        let pkcs8 = self.keyring.unseal(record, &stored.sealed_key)?;
        let signer = Signer::from_pkcs8(stored.key_type, &pkcs8)?;
        Ok(responder(stored, signer))
    }

    /// A key that does not open is worth no more than none: the next one takes its place.
    fn open_or_warn(&self, stored: StoredResponder) -> Option<Responder> {
        let authority = stored.authority;
        let opened = self.open_responder(stored);
        opened.map_err(|error| tracing::error!(%authority, %error, "an OCSP responder's key cannot be opened")).ok()
    }
}

fn is_fresh((begin, end): (DateTime<Utc>, DateTime<Utc>), authority: &Authority, now: DateTime<Utc>) -> bool {
    now < begin + (end - begin) / 2 || end >= authority.not_after
}

fn responder(stored: StoredResponder, signer: Signer) -> Responder {
    Responder {
        serial: stored.serial,
        certificate: stored.certificate,
        not_before: stored.not_before,
        not_after: stored.not_after,
        key_hash: signer.public_key().ski,
        signer,
        looked_out_at: AtomicI64::new(0),
    }
}

/// P-256 signs fastest; but who trusts an RSA authority may know nothing else.
fn responder_key_type(authority: AuthorityKeyType) -> AuthorityKeyType {
    match authority {
        AuthorityKeyType::Rsa2048 | AuthorityKeyType::Rsa3072 | AuthorityKeyType::Rsa4096 => AuthorityKeyType::Rsa2048,
        AuthorityKeyType::P256 | AuthorityKeyType::P384 | AuthorityKeyType::Ed25519 => AuthorityKeyType::P256,
    }
}
