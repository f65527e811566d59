//! What of a check must not be read: sealed with it, kept when an edit does not speak of it, and never handed to another
//! server than the one it was given for.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Origin, Url};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::domain::check::{self, CheckBody, CheckHeader, Definition};
use crate::domain::id::{CheckId, IdentityId};
use crate::domain::violation::Violation;
use crate::store::SealedKey;

use super::checks::{CheckInput, HeaderInput};
use super::keyring::Record;
use super::{Service, ServiceError};

impl Service {
    pub(super) fn seal_secrets(&self, id: CheckId, secrets: &Secrets) -> Result<Option<SealedKey>, ServiceError> {
        if secrets.headers.is_empty() && secrets.body.is_none() {
            return Ok(None);
        }
        let failed = |error: serde_json::Error| ServiceError::Internal(error.to_string());
        let plain = Zeroizing::new(serde_json::to_vec(secrets).map_err(failed)?);
        self.keyring.seal(Record::Check(id), &plain).map(Some)
    }

    pub(super) fn open_secrets(&self, id: CheckId, sealed: Option<&SealedKey>) -> Result<Secrets, ServiceError> {
        let Some(sealed) = sealed else { return Ok(Secrets::default()) };
        let plain = self.keyring.unseal(Record::Check(id), sealed)?;
        // The error of a parser quotes what it read.
        serde_json::from_slice(&plain)
            .map_err(|_| ServiceError::Internal(format!("the secrets of check {id} cannot be read")))
    }
}

/// What of a check is sealed: the values of secret headers by their place, and a secret body.
#[derive(Default, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secrets {
    headers: Vec<(usize, String)>,
    body: Option<String>,
}

impl Secrets {
    pub(super) fn header(&self, index: usize) -> Option<&str> {
        self.headers.iter().find(|(place, _)| *place == index).map(|(_, value)| value.as_str())
    }

    pub(super) fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }
}

/// A definition with everything in it in the clear, to be judged.
pub(super) struct Laid {
    pub(super) definition: Definition,
    pub(super) secrets: Secrets,
    pub(super) headers: Vec<(String, SecretString)>,
    pub(super) body: Option<SecretString>,
    pub(super) sent_faults: Vec<Violation>,
}

/// Lays what was sent over what is there.
pub(super) fn lay_over(mut definition: Definition, before: Secrets, input: CheckInput) -> Laid {
    let mut faults = input.faults;
    let mut sealed = sealed_headers(&definition.headers);
    let before_place = place(&definition);
    definition.name = input.name.map(|name| name.trim().to_owned()).unwrap_or(definition.name);
    definition.url = input.url.unwrap_or(definition.url);
    definition.method = input.method.map(|method| method.to_ascii_uppercase()).unwrap_or(definition.method);
    definition.expectations = input.expectations.unwrap_or(definition.expectations);
    definition.identity = input.identity.unwrap_or(definition.identity);
    definition.trusted_ca = input.trusted_ca.unwrap_or(definition.trusted_ca);
    definition.interval_seconds = input.interval_seconds.unwrap_or(definition.interval_seconds);
    definition.timeout_millis = input.timeout_millis.unwrap_or(definition.timeout_millis);
    definition.is_enabled = input.is_enabled.unwrap_or(definition.is_enabled);

    // Whoever may edit a check may not learn its secrets by having them sent to a server of theirs.
    let goes_elsewhere = place(&definition) != before_place;
    let mut secrets = Secrets::default();
    let sent = input.headers.unwrap_or_else(|| unchanged(&definition.headers));
    let mut headers = Vec::new();
    let mut shown = Vec::new();
    for (index, header) in sent.into_iter().enumerate() {
        let kept = if header.value.is_none() { take_kept(&mut sealed, &before, &header.name) } else { None };
        let is_kept = kept.is_some();
        let mut refuse = |why: &str| faults.push(Violation::new(format!("/headers/{index}/value"), why));
        if is_kept && header.is_secret == Some(false) {
            refuse(SEALED);
        }
        if is_kept && goes_elsewhere {
            refuse(ELSEWHERE);
        }
        let Some(value) = header.value.or(kept) else {
            refuse("value is required: a string");
            continue;
        };
        // What was sealed stays sealed, whatever is said of it.
        let is_secret = is_kept || header.is_secret.unwrap_or_else(|| check::is_secret_by_name(&header.name));
        if is_secret {
            secrets.headers.push((shown.len(), value.expose_secret().to_owned()));
        }
        shown.push(CheckHeader {
            name: header.name.clone(),
            value: (!is_secret).then(|| value.expose_secret().to_owned()),
        });
        headers.push((header.name, value));
    }
    let was_secret = definition.body == CheckBody::Secret;
    if was_secret && input.body.is_none() {
        if input.is_body_secret == Some(false) {
            faults.push(Violation::new("/body", SEALED));
        }
        if goes_elsewhere {
            faults.push(Violation::new("/body", ELSEWHERE));
        }
    }
    let is_body_secret = input.is_body_secret.unwrap_or(was_secret) || (was_secret && input.body.is_none());
    let body = match input.body {
        Some(sent) => sent,
        None => match &definition.body {
            CheckBody::None => None,
            CheckBody::Shown(text) => Some(SecretString::from(text.clone())),
            CheckBody::Secret => before.body().map(|text| SecretString::from(text.to_owned())),
        },
    };
    let body = body.filter(|body| !body.expose_secret().is_empty());
    definition.body = match &body {
        None => CheckBody::None,
        Some(text) if is_body_secret => {
            secrets.body = Some(text.expose_secret().to_owned());
            CheckBody::Secret
        }
        Some(text) => CheckBody::Shown(text.expose_secret().to_owned()),
    };
    definition.headers = shown;
    Laid { definition, secrets, headers, body, sent_faults: faults }
}

const SEALED: &str = "it is sealed and cannot be shown again; send the value anew to keep it in the clear";
const ELSEWHERE: &str = "the check goes to another server, or verifies it by other CAs: send the secret value anew";

/// Where a check's secrets go: the server, and by what it is verified.
fn place(definition: &Definition) -> (Option<Origin>, Option<IdentityId>) {
    (Url::parse(&definition.url).ok().map(|url| url.origin()), definition.trusted_ca)
}

/// The headers as they are, for an edit that does not speak of them.
fn unchanged(headers: &[CheckHeader]) -> Vec<HeaderInput> {
    let as_sent = |header: &CheckHeader| HeaderInput {
        name: header.name.clone(),
        value: header.value.clone().map(SecretString::from),
        is_secret: Some(header.value.is_none()),
    };
    headers.iter().map(as_sent).collect()
}

/// The sealed headers by name, each with its place among the secrets.
fn sealed_headers(headers: &[CheckHeader]) -> Vec<(String, usize)> {
    let sealed = headers.iter().enumerate().filter(|(_, header)| header.value.is_none());
    sealed.map(|(place, header)| (header.name.to_ascii_lowercase(), place)).collect()
}

/// The value of the next sealed header of that name: of several, each is taken once.
fn take_kept(sealed: &mut Vec<(String, usize)>, secrets: &Secrets, name: &str) -> Option<SecretString> {
    let next = sealed.iter().position(|(kept, _)| kept.eq_ignore_ascii_case(name))?;
    let (_, place) = sealed.remove(next);
    secrets.header(place).map(|value| SecretString::from(value.to_owned()))
}
