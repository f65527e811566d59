//! Outgoing calls with an identity: by checks, and by hand. The key is unsealed here, for one handshake.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use crate::domain::audit::{Action, AuditEvent};
use crate::domain::check::{
    DEFAULT_TIMEOUT_MILLIS, MAX_BODY, MAX_HEADERS, MAX_TIMEOUT_MILLIS, MIN_TIMEOUT_MILLIS, Selector,
};
use crate::domain::egress::{check_header, check_method, check_url};
use crate::domain::host_pattern::HostName;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::Identity;
use crate::domain::run::{Failure, Report};
use crate::domain::text::timestamp;
use crate::domain::violation::Violation;
use crate::egress::{OutgoingRequest, Presented};
use crate::x509::pem;

use super::access::{AccountPermit, UseIdentity};
use super::call_reports::{Called, presentation};
use super::choices::Selection;
use super::keyring::Record;
use super::turns::Turn;
use super::{Service, ServiceError};

const MAX_REDIRECTS: usize = 5;
/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// What is to be called.
pub struct Target {
    pub url: Url,
    pub method: String,
    pub headers: Vec<(String, SecretString)>,
    pub body: Option<Zeroizing<Vec<u8>>>,
    pub timeout: Duration,
    pub identity: Selector,
    /// A CA bundle of the store, where the identity has none of its own.
    pub trusted_ca: Option<IdentityId>,
}

/// A call that somebody asks for, as far as it could be read.
#[derive(Default)]
pub struct CallInput {
    pub url: Option<String>,
    pub method: Option<String>,
    pub headers: Vec<(String, SecretString)>,
    pub body: Option<SecretString>,
    pub timeout_millis: Option<i64>,
    pub identity: Option<Selector>,
    pub trusted_ca: Option<IdentityId>,
    pub faults: Vec<Violation>,
}

impl Service {
    /// Calls a server once, with an identity: does this certificate work on that host?
    pub async fn call(
        &self,
        permit: &AccountPermit<UseIdentity>,
        input: CallInput,
        _turn: Turn,
    ) -> Result<Called, ServiceError> {
        let account = permit.account();
        let target = self.target(account, input).await;
        let target = self.recorded(permit, "", target).await?;
        let what = format!("{} {}, identity {}", target.method, shown(&target.url), target.identity);
        // Before anything is sent: a crash in between must not leave a use of an identity that nobody knows of.
        let record = async |subject: String, detail: String| {
            let event = self.event(permit.caller().actor(), account, None, Action::UseIdentity, subject);
            self.store.record(AuditEvent { detail, ..event }).await
        };
        let named = match target.identity {
            Selector::Explicit(id) => id.to_string(),
            Selector::Auto | Selector::None => String::new(),
        };
        record(named, format!("begun: {what}")).await?;
        let called = self.call_target(account, target, false).await?;
        let subject = called.report.presentation.identity.clone().unwrap_or_default();
        record(subject, format!("ended: {what}: {}", outcome_in_words(&called.report))).await?;
        Ok(called)
    }

    /// Checks what is asked for, all faults at once.
    async fn target(&self, account: AccountId, input: CallInput) -> Result<Target, ServiceError> {
        let mut faults = input.faults;
        let parts = RequestParts {
            url: input.url.as_deref(),
            method: input.method.as_deref().unwrap_or("GET"),
            header_names: input.headers.iter().map(|(name, value)| (name.as_str(), Some(value))).collect(),
            body: input.body.as_ref(),
            timeout_millis: input.timeout_millis.unwrap_or(DEFAULT_TIMEOUT_MILLIS),
        };
        let url = parts.check(&mut faults);
        let timeout_millis = parts.timeout_millis;
        let identity = input.identity.unwrap_or(Selector::Auto);
        faults.extend(self.check_references(account, identity, input.trusted_ca).await?);
        match url {
            Some(url) if faults.is_empty() => Ok(Target {
                url,
                method: input.method.unwrap_or_else(|| "GET".into()).to_ascii_uppercase(),
                headers: input.headers,
                body: input.body.map(|body| as_bytes(&body)),
                timeout: Duration::from_millis(u64::try_from(timeout_millis).unwrap_or_default()),
                identity,
                trusted_ca: input.trusted_ca,
            }),
            _ => Err(ServiceError::Invalid(faults)),
        }
    }

    /// Whether the identities that are named are there and of the right kind.
    pub(super) async fn check_references(
        &self,
        account: AccountId,
        identity: Selector,
        trusted_ca: Option<IdentityId>,
    ) -> Result<Vec<Violation>, ServiceError> {
        let mut faults = Vec::new();
        if let Selector::Explicit(id) = identity {
            match self.store.identity(account, id).await? {
                None => faults.push(Violation::new("/identity", format!("there is no identity {id}"))),
                Some(found) if found.is_ca => {
                    faults.push(Violation::new("/identity", format!("{id} is a CA bundle, and has no key to present")));
                }
                Some(_) => {}
            }
        }
        if let Some(id) = trusted_ca {
            match self.store.identity(account, id).await? {
                None => faults.push(Violation::new("/trusted_ca", format!("there is no CA bundle {id}"))),
                Some(found) if !found.is_ca => {
                    faults
                        .push(Violation::new("/trusted_ca", format!("{id} is no CA bundle; upload one with ca: true")));
                }
                Some(_) => {}
            }
        }
        Ok(faults)
    }

    /// Chooses, presents, calls, and reports. Only a fault of ours is an error: whatever the server does is a report.
    pub(super) async fn call_target(
        &self,
        account: AccountId,
        target: Target,
        is_scheduled: bool,
    ) -> Result<Called, ServiceError> {
        let started_on = self.clock.now();
        let Some(host) = HostName::of_url(target.url.as_str()) else {
            return Err(ServiceError::invalid("/url", "url names no host"));
        };
        let Selection { identity, reason } = self.select(account, target.identity, &host).await?;
        let presentation = presentation(identity.as_ref(), reason);
        if identity.is_none() && matches!(target.identity, Selector::Explicit(_)) {
            let failure = Failure { stage: "identity".into(), message: presentation.reason.clone() };
            return Ok(Called::not_made(started_on, is_scheduled, presentation, failure));
        }
        let Some(trusted_ca) = self.trusted(account, identity.as_ref(), target.trusted_ca).await? else {
            let message = "the CA bundle that was named is not there any more".to_owned();
            let failure = Failure { stage: "trusted_ca".into(), message };
            return Ok(Called::not_made(started_on, is_scheduled, presentation, failure));
        };
        let presented = match &identity {
            Some(identity) => self.present(identity).await?,
            None => None,
        };
        if presented.is_none() && identity.is_some() {
            let message = "the identity that was chosen has just been removed".to_owned();
            let failure = Failure { stage: "identity".into(), message };
            return Ok(Called::not_made(started_on, is_scheduled, presentation, failure));
        }
        let exchange = self
            .egress
            .send(OutgoingRequest {
                url: target.url,
                method: target.method,
                headers: target.headers,
                body: target.body,
                timeout: target.timeout,
                max_body: MAX_ANSWER,
                max_redirects: MAX_REDIRECTS,
                identity: presented,
                trusted_ca,
            })
            .await;
        let mut called = Called::of(exchange, started_on, is_scheduled, presentation);
        if target.trusted_ca.is_some() && identity.as_ref().is_some_and(|identity| !identity.trusted_ca.is_empty()) {
            called =
                called.with_note("the server was verified by the identity's own CAs, not by the bundle named".into());
        }
        metrics::counter!("countersign_outgoing_calls_total").increment(1);
        Ok(match identity {
            Some(identity) if identity.facts.not_after <= started_on => called.with_note(format!(
                "the identity {:?} expired on {}",
                identity.name,
                timestamp(identity.facts.not_after)
            )),
            _ => called,
        })
    }

    /// The CAs to verify a server by: the identity's own, which nobody who only uses it can switch off; else those named;
    /// an empty list for those of the system. `None` when those named are gone.
    async fn trusted(
        &self,
        account: AccountId,
        identity: Option<&Identity>,
        bundle: Option<IdentityId>,
    ) -> Result<Option<Vec<Vec<u8>>>, ServiceError> {
        let own = identity.map(|identity| identity.trusted_ca.clone()).unwrap_or_default();
        let text = match bundle {
            Some(id) if own.is_empty() => match self.store.identity(account, id).await? {
                Some(bundle) => bundle.certificates,
                None => return Ok(None),
            },
            _ => own,
        };
        pem::decode_all("CERTIFICATE", &text).map(Some).map_err(ServiceError::Internal)
    }

    /// The certificate with its key, as they stand now: what was chosen may have been replaced since.
    async fn present(&self, chosen: &Identity) -> Result<Option<Presented>, ServiceError> {
        let Some((identity, key)) = self.store.identity_with_key(chosen.account, chosen.id).await? else {
            return Ok(None);
        };
        let key = key.ok_or_else(|| ServiceError::Internal(format!("identity {} has no key", identity.id)))?;
        let private_key = self.keyring.unseal(Record::Identity(identity.id), &key)?;
        let chain = pem::decode_all("CERTIFICATE", &identity.certificates).map_err(ServiceError::Internal)?;
        Ok(Some(Presented { chain, private_key }))
    }
}

/// The parts of a request that are checked alike for checks and for calls by hand.
pub(super) struct RequestParts<'a> {
    pub(super) url: Option<&'a str>,
    pub(super) method: &'a str,
    /// The value of a header that is kept sealed is known to be good.
    pub(super) header_names: Vec<(&'a str, Option<&'a SecretString>)>,
    pub(super) body: Option<&'a SecretString>,
    pub(super) timeout_millis: i64,
}

impl RequestParts<'_> {
    /// The address, if it is one; every fault is noted.
    pub(super) fn check(&self, faults: &mut Vec<Violation>) -> Option<Url> {
        use secrecy::ExposeSecret;
        let mut refuse = |pointer: String, why: String| faults.push(Violation::new(pointer, why));
        let url = match self.url {
            Some(url) => check_url(url).map_err(|why| refuse("/url".into(), why)).ok(),
            None => {
                refuse("/url".into(), "url is required: an https address".into());
                None
            }
        };
        if let Err(why) = check_method(&self.method.to_ascii_uppercase()) {
            refuse("/method".into(), why);
        }
        if self.header_names.len() > MAX_HEADERS {
            refuse("/headers".into(), format!("there can be at most {MAX_HEADERS} headers"));
        }
        for (index, (name, value)) in self.header_names.iter().take(MAX_HEADERS).enumerate() {
            if let Err(why) = check_header(name, value.map_or("", |value| value.expose_secret())) {
                refuse(format!("/headers/{index}"), why);
            }
        }
        if self.body.is_some_and(|body| body.expose_secret().len() > MAX_BODY) {
            refuse("/body".into(), format!("body has at most {MAX_BODY} bytes"));
        }
        if !(MIN_TIMEOUT_MILLIS..=MAX_TIMEOUT_MILLIS).contains(&self.timeout_millis) {
            refuse("/timeout_ms".into(), format!("timeout_ms is from {MIN_TIMEOUT_MILLIS} to {MAX_TIMEOUT_MILLIS}"));
        }
        url
    }
}

pub(super) fn as_bytes(text: &SecretString) -> Zeroizing<Vec<u8>> {
    use secrecy::ExposeSecret;
    Zeroizing::new(text.expose_secret().as_bytes().to_vec())
}

/// An address to be kept: what stands behind the path may be a secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn outcome_in_words(report: &Report) -> String {
    match (&report.failure, report.status) {
        (Some(failure), _) => format!("{}: {}", failure.stage, failure.message),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "no answer".into(),
    }
}
