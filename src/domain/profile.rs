//! Profiles: the policy by which an authority signs, one TOML file each under `ca/profiles/`.
//!
//! A profile is read at the start and never changes while the service runs. Unknown keys, unknown words and
//! impossible combinations stop the start with a message that names file, line and key: a policy that is half
//! understood is worse than none.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::name::AttributeType;
use super::pattern::Pattern;
use super::plan::{ExtendedKeyUsage, KeyUsage, RevocationPointers};
use super::subject_alternative_name::SubjectAlternativeNameType;

/// The profile that a request without one gets.
pub const DEFAULT: &str = "client";

#[derive(Clone, Debug)]
pub struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    pub description: String,
    /// 1 to 36 500.
    pub max_validity_days: i64,
    /// Families of [`super::key::PublicKeyType::family`].
    pub key_types: Vec<String>,
    pub key_usage: Vec<KeyUsage>,
    pub extended_key_usage: Vec<ExtendedKeyUsage>,
    pub revocation: RevocationPointers,
    pub allow_hold: bool,
    /// Dotted OIDs of requested extensions that are copied.
    pub kept_extensions: Vec<String>,
    pub subject: BTreeMap<AttributeType, AttributeRule>,
    pub other_attributes_allowed: bool,
    /// Patterns by type; a type without an entry is left out of certificates.
    pub subject_alternative_names: BTreeMap<SubjectAlternativeNameType, Vec<Pattern>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRule {
    pub presence: Presence,
    /// The most characters a value may have; RFC 5280's bound holds besides.
    pub max_length: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    Optional,
    Required,
    Forbidden,
    /// Must be there with exactly this value.
    Fixed(String),
}

/// Why a profile cannot be used; the message names file, line (where it has one) and key.
#[derive(Debug, Error)]
#[error("{file}{}: {message}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ProfileError {
    pub file: String,
    pub line: Option<usize>,
    pub message: String,
}

impl Profile {
    /// Reads one profile. `file` is only for messages.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ProfileError> {
        let document: Document = toml::from_str(text).map_err(|error| ProfileError {
            file: file.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let wrong = |message: String| ProfileError { file: file.to_owned(), line: None, message };
        document.check(name).map_err(wrong)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    description: String,
    max_validity_days: i64,
    key_types: Vec<String>,
    key_usage: Vec<String>,
    extended_key_usage: Vec<String>,
    revocation: RevocationWord,
    allow_hold: bool,
    #[serde(default)]
    kept_extensions: Vec<String>,
    subject: SubjectDocument,
    #[serde(default)]
    subject_alternative_names: SubjectAlternativeNamesDocument,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RevocationWord {
    Published,
    NotAvailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDocument {
    other_attributes: OtherAttributes,
    common_name: Option<AttributeDocument>,
    organization: Option<AttributeDocument>,
    organizational_unit: Option<AttributeDocument>,
    country: Option<AttributeDocument>,
    state: Option<AttributeDocument>,
    locality: Option<AttributeDocument>,
    serial_number: Option<AttributeDocument>,
    email_address: Option<AttributeDocument>,
    domain_component: Option<AttributeDocument>,
    user_id: Option<AttributeDocument>,
    given_name: Option<AttributeDocument>,
    surname: Option<AttributeDocument>,
    title: Option<AttributeDocument>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum OtherAttributes {
    Allow,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeDocument {
    rule: RuleWord,
    value: Option<String>,
    max_length: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RuleWord {
    Optional,
    Required,
    Forbidden,
    Fixed,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectAlternativeNamesDocument {
    dns: Option<Vec<String>>,
    email: Option<Vec<String>>,
    uri: Option<Vec<String>>,
    ip: Option<Vec<String>>,
}

impl Document {
    fn check(self, name: &str) -> Result<Profile, String> {
        let families = ["rsa", "p256", "p384", "p521", "ed25519"];
        if !(1..=36_500).contains(&self.max_validity_days) {
            return Err("max_validity_days must be 1 to 36500".into());
        }
        if self.key_types.is_empty() {
            return Err(format!("key_types must name at least one of {}", families.join(", ")));
        }
        if let Some(unknown) = self.key_types.iter().find(|kind| !families.contains(&kind.as_str())) {
            return Err(format!("key_types: {unknown:?} is none of {}", families.join(", ")));
        }
        let key_usage = self.key_usage.iter().map(|word| key_usage(word)).collect::<Result<Vec<_>, _>>()?;
        if key_usage.is_empty() {
            return Err("key_usage must name at least one usage, normally digitalSignature".into());
        }
        let extended_key_usage =
            self.extended_key_usage.iter().map(|word| extended_key_usage(word)).collect::<Result<Vec<_>, _>>()?;
        if !extended_key_usage.contains(&ExtendedKeyUsage::ClientAuth) {
            return Err("extended_key_usage must contain clientAuth: Countersign issues client certificates".into());
        }
        if let Some(managed) = self.kept_extensions.iter().find(|oid| is_managed_extension(oid) || !is_oid(oid)) {
            return Err(format!(
                "kept_extensions: {managed:?} is no dotted OID, or an extension that Countersign writes itself"
            ));
        }
        let other_attributes_allowed = self.subject.other_attributes == OtherAttributes::Allow;
        Ok(Profile {
            name: name.to_owned(),
            description: self.description,
            max_validity_days: self.max_validity_days,
            key_types: self.key_types,
            key_usage,
            extended_key_usage,
            revocation: match self.revocation {
                RevocationWord::Published => RevocationPointers::Published,
                RevocationWord::NotAvailable => RevocationPointers::NotAvailable,
            },
            allow_hold: self.allow_hold,
            kept_extensions: self.kept_extensions,
            subject: self.subject.rules()?,
            other_attributes_allowed,
            subject_alternative_names: self.subject_alternative_names.patterns(),
        })
    }
}

impl SubjectDocument {
    fn rules(self) -> Result<BTreeMap<AttributeType, AttributeRule>, String> {
        let documents = [
            (AttributeType::CommonName, self.common_name),
            (AttributeType::Organization, self.organization),
            (AttributeType::OrganizationalUnit, self.organizational_unit),
            (AttributeType::Country, self.country),
            (AttributeType::State, self.state),
            (AttributeType::Locality, self.locality),
            (AttributeType::SerialNumber, self.serial_number),
            (AttributeType::EmailAddress, self.email_address),
            (AttributeType::DomainComponent, self.domain_component),
            (AttributeType::UserId, self.user_id),
            (AttributeType::GivenName, self.given_name),
            (AttributeType::Surname, self.surname),
            (AttributeType::Title, self.title),
        ];
        let mut rules = BTreeMap::new();
        for (attribute, document) in documents {
            if let Some(document) = document {
                let rule = document.rule().map_err(|why| format!("subject.{}: {why}", attribute.key()))?;
                rules.insert(attribute, rule);
            }
        }
        Ok(rules)
    }
}

impl AttributeDocument {
    fn rule(self) -> Result<AttributeRule, String> {
        let presence = match (self.rule, self.value) {
            (RuleWord::Fixed, Some(value)) => Presence::Fixed(value),
            (RuleWord::Fixed, None) => return Err("rule \"fixed\" needs a value".into()),
            (_, Some(_)) => return Err("value goes with rule \"fixed\" only".into()),
            (RuleWord::Optional, None) => Presence::Optional,
            (RuleWord::Required, None) => Presence::Required,
            (RuleWord::Forbidden, None) => Presence::Forbidden,
        };
        Ok(AttributeRule { presence, max_length: self.max_length })
    }
}

impl SubjectAlternativeNamesDocument {
    fn patterns(self) -> BTreeMap<SubjectAlternativeNameType, Vec<Pattern>> {
        use SubjectAlternativeNameType::{Dns, Email, Ip, Uri};
        [(Dns, self.dns), (Email, self.email), (Uri, self.uri), (Ip, self.ip)]
            .into_iter()
            .filter_map(|(kind, patterns)| Some((kind, patterns?.iter().map(|text| Pattern::new(text)).collect())))
            .collect()
    }
}

fn key_usage(word: &str) -> Result<KeyUsage, String> {
    let names = || KeyUsage::ALL.map(|entry| entry.1).join(", ");
    let found = KeyUsage::ALL.iter().find(|entry| entry.1 == word).map(|entry| entry.0);
    found.ok_or_else(|| format!("key_usage: {word:?} is none of {}", names()))
}

fn extended_key_usage(word: &str) -> Result<ExtendedKeyUsage, String> {
    let names = || ExtendedKeyUsage::ALL.map(|entry| entry.1).join(", ");
    let found = ExtendedKeyUsage::ALL.iter().find(|entry| entry.1 == word).map(|entry| entry.0);
    found.ok_or_else(|| format!("extended_key_usage: {word:?} is none of {}", names()))
}

/// Extensions that every request may ask for in any form, because the profile decides what is written instead.
pub(super) fn is_decided_by_profile(oid: &str) -> bool {
    const DECIDED: [&str; 6] = [
        "2.5.29.14", // subjectKeyIdentifier
        "2.5.29.15", // keyUsage
        "2.5.29.17", // subjectAltName
        "2.5.29.19", // basicConstraints
        "2.5.29.35", // authorityKeyIdentifier
        "2.5.29.37", // extKeyUsage
    ];
    DECIDED.contains(&oid)
}

/// Extensions that issuance writes, or whose presence would change what the certificate is: never copied.
fn is_managed_extension(oid: &str) -> bool {
    const MANAGED: [&str; 14] = [
        "2.5.29.14",         // subjectKeyIdentifier
        "2.5.29.15",         // keyUsage
        "2.5.29.17",         // subjectAltName
        "2.5.29.18",         // issuerAltName
        "2.5.29.19",         // basicConstraints
        "2.5.29.30",         // nameConstraints
        "2.5.29.31",         // cRLDistributionPoints
        "2.5.29.33",         // policyMappings
        "2.5.29.35",         // authorityKeyIdentifier
        "2.5.29.36",         // policyConstraints
        "2.5.29.37",         // extKeyUsage
        "2.5.29.46",         // freshestCRL
        "2.5.29.56",         // noRevAvail
        "1.3.6.1.5.5.7.1.1", // authorityInfoAccess
    ];
    MANAGED.contains(&oid)
}

fn is_oid(text: &str) -> bool {
    let arcs: Vec<_> = text.split('.').collect();
    arcs.len() >= 2 && arcs.iter().all(|arc| arc.parse::<u64>().is_ok())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = include_str!("../../ca/profiles/client.toml");
    const SHORT_LIVED: &str = include_str!("../../ca/profiles/short-lived.toml");

    #[test]
    fn the_shipped_profiles_are_read() {
        let client = Profile::parse("client", "client.toml", CLIENT).unwrap();
        assert_eq!(client.max_validity_days, 5475);
        assert!(client.allow_hold);
        let short = Profile::parse("short-lived", "short-lived.toml", SHORT_LIVED).unwrap();
        assert_eq!((short.max_validity_days, short.revocation), (7, RevocationPointers::NotAvailable));
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let text = CLIENT.replace("allow_hold = true", "allow_holds = true");
        let error = Profile::parse("client", "ca/profiles/client.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with("ca/profiles/client.toml, line "), "{error}");
        assert!(error.contains("allow_holds"), "{error}");
    }

    #[test]
    fn words_outside_the_vocabulary_are_refused() {
        for (from, to) in [
            ("\"digitalSignature\"", "\"keyCertSign\""),
            ("\"clientAuth\"", "\"serverAuth\""),
            ("\"p256\"", "\"p224\""),
            ("5475", "0"),
            ("kept_extensions = []", "kept_extensions = [\"2.5.29.19\"]"),
            ("\"published\"", "\"sometimes\""),
        ] {
            let text = CLIENT.replace(from, to);
            assert!(Profile::parse("client", "client.toml", &text).is_err(), "{to}");
        }
    }
}
