//! Sessions of the console: signing in with a token, staying signed in, and forms that are taken once.
//!
//! A session may do what its token may do, asked of the database at every request: it ends with the token, whoever ended
//! that. Of the cookie's value only the hash is kept; the forms of a session are signed with a key made from that value, so
//! whoever does not have the cookie can make none.
//!
//! A form is taken before its act begins, so that two of the same never act at once. Where the act then finds the database
//! away or too much waiting, the same form is good once more with a voucher: for it alone, and spent like a form.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::domain::audit::Action;
use crate::domain::id::SessionId;
use crate::domain::session::Session;
use crate::domain::token::TokenStatus;
use crate::store::NewSession;

use super::access::Caller;
use super::secrets::sha256;
use super::{Service, ServiceError};

/// How many sessions one token may have; the oldest makes room.
const MAX_SESSIONS: i64 = 100;

/// A session that is good, with the caller that its token makes of its owner.
#[derive(Clone)]
pub struct SignedIn {
    pub session: Session,
    pub caller: Caller,
    forms: hmac::Key,
}

/// What a form's proof is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormProof {
    Good,
    /// It was sent before.
    Repeated,
    /// It does not come from a page of this session.
    Forged,
}

impl Service {
    /// Opens a session in exchange for a token; its value is returned here and never again. `None` when the token is unknown
    /// or not good now.
    pub async fn sign_in(
        &self,
        token: &str,
        source: String,
        agent: &str,
    ) -> Result<Option<Zeroizing<String>>, ServiceError> {
        let Some(caller) = self.authenticate(token, source.clone()).await? else { return Ok(None) };
        let now = self.clock.now();
        let value = self.random.session_value()?;
        let id = SessionId::new(self.random.ordered_id(now));
        let new = NewSession {
            session: Session::new(id, caller.account(), source, agent, now),
            value_sha256: sha256(value.as_bytes()),
            token_sha256: sha256(token.as_bytes()),
        };
        let event = self.event(caller.actor(), caller.account(), None, Action::SignIn, id.to_string());
        self.store.open_session(new, MAX_SESSIONS, event).await?;
        Ok(Some(value))
    }

    /// The session behind a cookie's value; `None` when it is over, or its token is. `is_act` when its owner did something:
    /// pages that look again by themselves keep nobody signed in.
    pub async fn session(&self, value: &str, source: String, is_act: bool) -> Result<Option<SignedIn>, ServiceError> {
        let now = self.clock.now();
        let Some((session, token)) = self.store.session_by_value(sha256(value.as_bytes())).await? else {
            return Ok(None);
        };
        if session.is_over(now) || token.status(now) != TokenStatus::Active {
            return Ok(None);
        }
        if is_act && session.is_worth_noting(now) {
            self.store.note_session(session.id, now).await?;
        }
        let forms = hmac::Key::new(hmac::HMAC_SHA256, format!("forms of {value}").as_bytes());
        Ok(Some(SignedIn { session, caller: Caller::with_token(Arc::new(token), source), forms }))
    }

    /// The sessions of the same token, newest first; those that are over are not among them.
    pub async fn sessions(&self, signed_in: &SignedIn) -> Result<Vec<Session>, ServiceError> {
        let mut sessions = self.store.sessions_beside(signed_in.session.id).await?;
        let now = self.clock.now();
        sessions.retain(|session| !session.is_over(now));
        Ok(sessions)
    }

    /// Ends a session of the same token, this one or another; false when there is none of that id.
    pub async fn end_session(&self, signed_in: &SignedIn, id: SessionId) -> Result<bool, ServiceError> {
        let caller = &signed_in.caller;
        let event = self.event(caller.actor(), caller.account(), None, Action::EndSession, id.to_string());
        Ok(self.store.end_session(signed_in.session.id, id, event).await?)
    }

    /// What a form of this session carries to be believed.
    pub fn form_proof(&self, signed_in: &SignedIn) -> Result<String, ServiceError> {
        let nonce = self.random.form_nonce()?;
        let tag = hmac::sign(&signed_in.forms, &nonce);
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), tag.as_ref()].concat()))
    }

    /// Judges a form without taking it: one that changes nothing may be sent again.
    pub fn is_own_form(&self, signed_in: &SignedIn, proof: &str) -> bool {
        nonce_of(signed_in, proof).is_some()
    }

    /// Takes a form, once; and once more for each voucher that was given for it.
    pub async fn take_form(
        &self,
        signed_in: &SignedIn,
        proof: &str,
        voucher: Option<&str>,
    ) -> Result<FormProof, ServiceError> {
        let Some(nonce) = nonce_of(signed_in, proof) else { return Ok(FormProof::Forged) };
        let (session, now) = (signed_in.session.id, self.clock.now());
        if self.store.spend_form(session, nonce, now).await? {
            return Ok(FormProof::Good);
        }
        let vouched = voucher.and_then(|voucher| nonce_of_voucher(signed_in, nonce, voucher));
        let is_good = match vouched {
            Some(vouched) => self.store.spend_form(session, vouched, now).await?,
            None => false,
        };
        Ok(if is_good { FormProof::Good } else { FormProof::Repeated })
    }

    /// What lets a form of this session be sent once more; none for what is no form of it.
    pub fn form_voucher(&self, signed_in: &SignedIn, proof: &str) -> Result<Option<String>, ServiceError> {
        let Some(form) = nonce_of(signed_in, proof) else { return Ok(None) };
        let nonce = self.random.form_nonce()?;
        let tag = hmac::sign(&signed_in.forms, &vouched(form, nonce));
        Ok(Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), tag.as_ref()].concat())))
    }

    /// Clears away sessions that are over.
    pub async fn forget_sessions(&self) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let forgotten = self.store.forget_sessions(now, Session::oldest_seen(now)).await?;
        tracing::debug!(forgotten, "cleared away sessions that are over");
        Ok(())
    }
}

/// The nonce of a form that a page of this session holds.
fn nonce_of(signed_in: &SignedIn, proof: &str) -> Option<[u8; 16]> {
    signed_nonce(signed_in, proof, |nonce| nonce.to_vec())
}

/// The nonce of a voucher for this form.
fn nonce_of_voucher(signed_in: &SignedIn, form: [u8; 16], voucher: &str) -> Option<[u8; 16]> {
    signed_nonce(signed_in, voucher, |nonce| vouched(form, nonce))
}

fn signed_nonce(signed_in: &SignedIn, text: &str, signed: impl Fn([u8; 16]) -> Vec<u8>) -> Option<[u8; 16]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, tag) = bytes.split_first_chunk::<16>()?;
    hmac::verify(&signed_in.forms, &signed(*nonce), tag).ok()?;
    Some(*nonce)
}

/// What a voucher signs: longer than what a form does, so that neither is ever the other.
fn vouched(form: [u8; 16], nonce: [u8; 16]) -> Vec<u8> {
    [b"again".as_slice(), &form, &nonce].concat()
}
