//! Outgoing calls with an identity: by checks, and by hand. The key is unsealed here, for one handshake.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use crate::domain::audit::{Action, AuditEvent};
use crate::domain::check::{
    DEFAULT_TIMEOUT_MILLIS, MAX_BODY, MAX_HEADERS, MAX_TIMEOUT_MILLIS, MIN_TIMEOUT_MILLIS, Selector,
};
use crate::domain::egress::{check_header, check_method, check_url};
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::Identity;
use crate::domain::run::{Failure, Presentation, Report, ServerCertificate, Timings};
use crate::domain::text::timestamp;
use crate::domain::violation::Violation;
pub use crate::egress::Response as Answer;
use crate::egress::{Exchange, OutgoingRequest, Presented};
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::{distinguished_name, pem};

use super::access::{AccountPermit, UseIdentity};
use super::choices::Selection;
use super::identity_uses::host_of;
use super::keyring::Record;
use super::turns::Turn;
use super::{Service, ServiceError};

const MAX_REDIRECTS: usize = 5;
/// Of what a server says of itself: so many characters, and so many names.
const MAX_WORDS: usize = 500;
const MAX_NAMES: usize = 100;
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

/// What came of a call: what may be kept, and the answer for whoever may see it.
pub struct Called {
    pub report: Report,
    pub answer: Option<Answer>,
    /// When the server's certificate ends.
    pub certificate_not_after: Option<DateTime<Utc>>,
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
        let Some(host) = host_of(target.url.as_str()) else {
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

impl Called {
    fn of(exchange: Exchange, started_on: DateTime<Utc>, is_scheduled: bool, presentation: Presentation) -> Self {
        let leaf = exchange.server_chain.first().and_then(|der| ForeignCertificate::from_der(der).ok());
        let certificate_not_after = leaf.as_ref().map(|leaf| leaf.not_after);
        let (answer, failure) = match exchange.outcome {
            Ok(answer) => (Some(answer), None),
            Err(failure) => {
                (None, Some(Failure { stage: failure.stage.as_str().to_owned(), message: tame(&failure.message) }))
            }
        };
        let milliseconds = |stage: Option<Duration>| stage.map(|time| (time.as_secs_f64() * 1e5).round() / 100.0);
        let timings = exchange.timings;
        let report = Report {
            started_on,
            is_scheduled,
            findings: Vec::new(),
            presentation: Presentation { is_presented: exchange.identity_presented, ..presentation },
            address: exchange.address.map(|address| address.to_string()),
            timings: Timings {
                dns: milliseconds(timings.dns),
                connect: milliseconds(timings.connect),
                tls: milliseconds(timings.tls),
                first_byte: milliseconds(timings.first_byte),
                total: milliseconds(timings.total),
            },
            tls_version: exchange.tls_version.map(str::to_owned),
            server_certificate: leaf.map(server_certificate),
            identity_requested: exchange.identity_requested,
            accepted_issuers: names(&exchange.accepted_issuers),
            status: answer.as_ref().map(|answer| answer.status),
            body_length: answer.as_ref().map(|answer| answer.body.len()).unwrap_or_default(),
            failure,
            redirects: exchange.redirects.iter().map(|url| without_query(url)).collect(),
            notes: answer.iter().flat_map(|answer| &answer.notes).map(|note| tame(note)).collect(),
        };
        Self { report, answer, certificate_not_after }
    }

    /// What was named is not there: nothing is called without it.
    fn not_made(started_on: DateTime<Utc>, is_scheduled: bool, presentation: Presentation, failure: Failure) -> Self {
        let report = Report {
            started_on,
            is_scheduled,
            findings: Vec::new(),
            presentation,
            address: None,
            timings: Timings::default(),
            tls_version: None,
            server_certificate: None,
            identity_requested: None,
            accepted_issuers: Vec::new(),
            status: None,
            body_length: 0,
            failure: Some(failure),
            redirects: Vec::new(),
            notes: Vec::new(),
        };
        Self { report, answer: None, certificate_not_after: None }
    }

    fn with_note(mut self, note: String) -> Self {
        self.report.notes.push(note);
        self
    }
}

fn presentation(identity: Option<&Identity>, reason: String) -> Presentation {
    Presentation {
        identity: identity.map(|identity| identity.id.to_string()),
        name: identity.map(|identity| identity.name.clone()),
        fingerprint_sha256: identity.map(|identity| hex::encode(&identity.facts.fingerprint_sha256)),
        reason,
        is_presented: false,
    }
}

fn server_certificate(leaf: ForeignCertificate) -> ServerCertificate {
    ServerCertificate {
        fingerprint_sha256: hex::encode(leaf.fingerprint_sha256),
        subject: tame(&leaf.subject),
        issuer: tame(&leaf.issuer),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        subject_alternative_names: leaf
            .subject_alternative_names
            .iter()
            .take(MAX_NAMES)
            .map(|name| tame(name))
            .collect(),
    }
}

pub(super) fn as_bytes(text: &SecretString) -> Zeroizing<Vec<u8>> {
    use secrecy::ExposeSecret;
    Zeroizing::new(text.expose_secret().as_bytes().to_vec())
}

fn without_query(url: &str) -> String {
    Url::parse(url).map(|url| shown(&url)).unwrap_or_default()
}

/// An address to be kept: what stands behind the path may be a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn names(encoded: &[Vec<u8>]) -> Vec<String> {
    let read = encoded.iter().take(MAX_NAMES).filter_map(|name| distinguished_name::read(name).ok());
    read.map(|name| tame(&name.text)).collect()
}

/// Words of a stranger's server, to be kept and shown: of bounded length, and without what controls a terminal or turns
/// the direction of writing.
fn tame(text: &str) -> String {
    let is_wild = |character: char| {
        character.is_control()
            || matches!(character, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().take(MAX_WORDS).map(|character| if is_wild(character) { '\u{fffd}' } else { character }).collect()
}

fn outcome_in_words(report: &Report) -> String {
    match (&report.failure, report.status) {
        (Some(failure), _) => format!("{}: {}", failure.stage, failure.message),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "no answer".into(),
    }
}
