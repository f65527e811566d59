//! From what people type (names, serial numbers, fingerprints) to ids.

use serde_json::Value;

use super::client::{Call, Client, ClientError};
use super::envelope;
use super::error::CliError;
use super::escape::escape;
use super::objects::{Certificate, NamedObject, Zone};
use crate::domain::id::{AccountId, CertificateId, CheckId, IdentityId, WebhookId, ZoneId};
use crate::domain::serial::SerialNumber;

/// A zone by id or by name.
pub async fn zone(client: &Client, given: &str) -> Result<ZoneId, CliError> {
    if let Some(id) = ZoneId::parse(given) {
        return Ok(id);
    }
    let answer = client.call(Call::get("/client/v4/zones").query("name", given)).await;
    let answer = answer.map_err(|error| match error {
        ClientError::Refused { status: 403, .. } => CliError::failure(format_args!(
            "the token may not look up the zone {:?} by its name: give the zone's id with --zone, or take a token that may \
             zones:read too",
            escape(given)
        )),
        other => other.into(),
    })?;
    let zones: Vec<Zone> = answer.read()?;
    let mut named = zones.iter().filter(|zone| zone.name.eq_ignore_ascii_case(given));
    match (named.next(), named.next()) {
        (Some(zone), None) => {
            ZoneId::parse(&zone.id).ok_or_else(|| CliError::failure("the server gave a zone id that is none"))
        }
        (Some(_), Some(_)) => Err(CliError::failure(format_args!(
            "several zones are named {:?}; name one by its id, which `countersign zone list` shows",
            escape(given)
        ))),
        (None, _) => Err(CliError::failure(format_args!(
            "no zone is named {:?}; `countersign zone list` shows those that your token reaches",
            escape(given)
        ))),
    }
}

/// The account that was named, or the token's own.
pub async fn account(client: &Client, given: Option<&str>) -> Result<AccountId, CliError> {
    let accounts = Value::Array(client.items("/client/v4/accounts").await?);
    let accounts: Vec<NamedObject> = envelope::read(&accounts)?;
    let chosen = match (given, accounts.as_slice()) {
        (Some(given), all) => all.iter().find(|account| account.id == given || account.name == given),
        // A token sees its own account alone; the operator sees all, and its own is the oldest.
        (None, all) => all.first(),
    };
    chosen
        .and_then(|account| AccountId::parse(&account.id))
        .ok_or_else(|| CliError::failure("the token reaches no such account"))
}

/// Which of what is kept beside each other is meant by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    Any,
    /// A certificate with its key.
    Certificate,
    /// A bundle of CAs to trust.
    Authorities,
}

/// An identity by id, or by the name that it alone has.
pub async fn identity(
    client: &Client,
    account: AccountId,
    kind: IdentityKind,
    given: &str,
) -> Result<IdentityId, CliError> {
    if let Some(id) = IdentityId::parse(given) {
        return Ok(id);
    }
    let call = Call::get(format!("/client/v4/accounts/{account}/mtls_certificates")).query("name", given);
    let (call, noun) = match kind {
        IdentityKind::Any => (call, &IDENTITY),
        IdentityKind::Certificate => (call.query("ca", "false"), &IDENTITY),
        IdentityKind::Authorities => (call.query("ca", "true"), &CA_BUNDLE),
    };
    let found: Vec<NamedObject> = client.call(call).await.map_err(|error| noun.unnamed(given, error))?.read()?;
    let id = noun.only(given, found)?;
    IdentityId::parse(&id).ok_or_else(|| CliError::failure("the server gave an identity's id that is none"))
}

/// A check by id, or by the name that it alone has.
pub async fn check(client: &Client, account: AccountId, given: &str) -> Result<CheckId, CliError> {
    if let Some(id) = CheckId::parse(given) {
        return Ok(id);
    }
    let all = client.items(&format!("/client/v4/accounts/{account}/checks")).await;
    let all = all.map_err(|error| CHECK.unnamed(given, error))?;
    let id = CHECK.only(given, envelope::read(&Value::Array(all))?)?;
    CheckId::parse(&id).ok_or_else(|| CliError::failure("the server gave a check's id that is none"))
}

/// A webhook by id, or by the name that it alone has.
pub async fn webhook(client: &Client, zone: ZoneId, given: &str) -> Result<WebhookId, CliError> {
    if let Some(id) = WebhookId::parse(given) {
        return Ok(id);
    }
    let all = client.items(&format!("/client/v4/zones/{zone}/webhooks")).await?;
    let id = WEBHOOK.only(given, envelope::read(&Value::Array(all))?)?;
    WebhookId::parse(&id).ok_or_else(|| CliError::failure("the server gave a webhook's id that is none"))
}

/// What is looked for by name, where names need not be unique.
struct Noun {
    one: &'static str,
    several: &'static str,
    /// The command that shows them.
    list: &'static str,
}

const IDENTITY: Noun = Noun { one: "identity", several: "identities", list: "countersign identity list" };
const CA_BUNDLE: Noun = Noun { one: "CA bundle", several: "CA bundles", list: "countersign identity list --ca" };
const WEBHOOK: Noun = Noun { one: "webhook", several: "webhooks", list: "countersign webhook list" };
const CHECK: Noun = Noun { one: "check", several: "checks", list: "countersign check list" };

impl Noun {
    /// The id of the only one with this name.
    fn only(&self, given: &str, all: Vec<NamedObject>) -> Result<String, CliError> {
        let ids: Vec<String> = all.into_iter().filter(|one| one.name == given).map(|one| one.id).collect();
        match ids.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(CliError::failure(format_args!(
                "no {} is named {:?}; `{}` shows what there is",
                self.one,
                escape(given),
                self.list
            ))),
            several => Err(CliError::failure(format_args!(
                "several {} are named {:?}; name one by its id: {}",
                self.several,
                escape(given),
                escape(&several.join(", "))
            ))),
        }
    }

    /// A token that may use something need not be one that may look for it.
    fn unnamed(&self, given: &str, error: ClientError) -> CliError {
        match error {
            ClientError::Refused { status: 403, .. } => CliError::failure(format_args!(
                "the token may not look up the {} {:?} by its name: give its id, or take a token that may \
                 identities:read too",
                self.one,
                escape(given)
            )),
            other => other.into(),
        }
    }
}

/// What a certificate can be named by.
#[derive(Debug, PartialEq, Eq)]
pub enum CertificateReference {
    Id(CertificateId),
    Serial(SerialNumber),
    /// SHA-256 of the DER, 64 lower-case hex digits.
    Fingerprint(String),
}

impl CertificateReference {
    /// Reads an id, a SHA-256 fingerprint or a serial number, also in the form in which OpenSSL prints them
    /// (`serial=3F…`, `sha256 Fingerprint=AA:BB:…`).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(id) = CertificateId::parse(text) {
            return Some(Self::Id(id));
        }
        let (label, value) = text.split_once('=').unwrap_or(("", text));
        let plain = value.trim().replace(':', "").to_ascii_lowercase();
        if plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(Self::Fingerprint(plain));
        }
        // What OpenSSL prints is hex even where it happens to have digits only, and so is what has colons.
        let is_hex = label.trim() == "serial" || value.contains(':');
        let serial = if is_hex { hex_serial(&plain) } else { SerialNumber::parse(&plain) };
        serial.map(Self::Serial)
    }
}

fn hex_serial(digits: &str) -> Option<SerialNumber> {
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    SerialNumber::from_be_bytes(&hex::decode(even).ok()?)
}

/// The id of the certificate that was named.
pub async fn certificate(client: &Client, zone: ZoneId, given: &str) -> Result<CertificateId, CliError> {
    let reference = CertificateReference::parse(given).ok_or_else(|| {
        CliError::usage(format_args!(
            "{:?} is no certificate's id, serial number or SHA-256 fingerprint; `countersign list` shows the ids",
            escape(given)
        ))
    })?;
    let list = Call::get(format!("/client/v4/zones/{zone}/client_certificates"));
    let call = match reference {
        CertificateReference::Id(id) => return Ok(id),
        CertificateReference::Serial(serial) => list.query("serial_number", serial.to_decimal()),
        CertificateReference::Fingerprint(fingerprint) => list.query("fingerprint_sha256", fingerprint),
    };
    let found: Vec<Certificate> = client.call(call).await?.read()?;
    found.first().and_then(|certificate| CertificateId::parse(&certificate.id)).ok_or_else(|| {
        CliError::failure(format_args!(
            "no certificate of this zone has the serial number or fingerprint {}; another zone is named with --zone",
            escape(given)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECIMAL: &str = "178330214396732578226290616980440577183373074272";
    const HEX: &str = "1f3c9a7702be4d5588a1c6e09f24936b5ce81f60";

    fn serial(text: &str) -> Option<SerialNumber> {
        match CertificateReference::parse(text)? {
            CertificateReference::Serial(serial) => Some(serial),
            _ => None,
        }
    }

    #[test]
    fn serial_numbers_are_read_in_every_form_that_tools_print() {
        let colons =
            HEX.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect::<Vec<_>>().join(":");
        let expected = SerialNumber::from_be_bytes(&hex::decode(HEX).unwrap());
        let openssl = format!("serial={}", HEX.to_uppercase());
        for text in [HEX, &HEX.to_uppercase(), &format!("0x{HEX}"), &colons, &openssl] {
            assert_eq!(serial(text), expected, "{text}");
        }
        assert_eq!(serial(DECIMAL).unwrap().to_decimal(), DECIMAL);
        assert_eq!(serial("serial=10").unwrap().to_decimal(), "16");
        assert_eq!(serial("10").unwrap().to_decimal(), "10");
    }

    #[test]
    fn fingerprints_are_told_from_serial_numbers_by_their_length() {
        let fingerprint = "F0".repeat(32);
        let colons = vec!["F0"; 32].join(":");
        let expected = Some(CertificateReference::Fingerprint(fingerprint.to_lowercase()));
        for text in [&fingerprint, &colons, &format!("sha256 Fingerprint={colons}")] {
            assert_eq!(CertificateReference::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_is_enough_where_one_alone_has_it() {
        let named = |id: &str, name: &str| NamedObject { id: id.into(), name: name.into() };
        let all = || vec![named("1", "a"), named("2", "b"), named("3", "b")];
        assert_eq!(CHECK.only("a", all()).unwrap(), "1");
        let error = CHECK.only("b", all()).unwrap_err();
        assert_eq!(error.message(), Some("several checks are named \"b\"; name one by its id: 2, 3"));
        let error = CA_BUNDLE.only("B", all()).unwrap_err();
        assert!(error.message().unwrap().starts_with("no CA bundle is named \"B\""), "{error:?}");
    }

    #[test]
    fn ids_are_ids_and_the_rest_is_nothing() {
        let id = "0d89c70d-ad9f-4843-b99f-6cc0252067e9";
        assert!(matches!(CertificateReference::parse(id), Some(CertificateReference::Id(_))));
        for text in ["", "device-1", "../zones", "serial=", "serial=xyz", &"f".repeat(63)] {
            assert_eq!(CertificateReference::parse(text), None, "{text}");
        }
    }
}
