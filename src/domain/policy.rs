//! The policy decision: from a request and a profile to a plan, or to all the reasons why not.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::name::{AttributeType, Name};
use super::plan::{CertificationRequest, Issuer, Plan, PlanKind};
use super::profile::{Presence, Profile, is_decided_by_profile};
use super::serial::SerialNumber;
use super::subject_alternative_name::SubjectAlternativeName;
use super::violation::Violation;

/// How far notBefore lies in the past, for clocks that are late (wire contract, 1.5).
const BACKDATING: TimeDelta = TimeDelta::minutes(5);

/// The most subject alternative names a certificate may carry.
pub const MAX_SUBJECT_ALTERNATIVE_NAMES: usize = 1000;

/// And how long they may be together: TLS servers read only so much of a handshake, and lists hold a thousand of them.
pub const MAX_SUBJECT_ALTERNATIVE_NAME_OCTETS: usize = 32 * 1024;

/// What a caller asks to be signed, as far as it could be read. What is missing was found wrong before.
#[derive(Clone, Debug)]
pub struct IssueRequest {
    pub csr: Option<CertificationRequest>,
    /// In days; any number, the bounds are the policy's.
    pub validity_days: Option<i64>,
    /// Names asked for beside those of the CSR, in the order of the request.
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    /// What was found wrong while reading.
    pub faults: Vec<Violation>,
}

/// Decides a request under a profile. The error holds every violation, not the first, whatever else could not be read.
pub fn decide(
    profile: &Profile,
    request: IssueRequest,
    issuer: Issuer,
    serial: SerialNumber,
    now: DateTime<Utc>,
) -> Result<Plan, Vec<Violation>> {
    let mut violations = request.faults;
    let mut messages = Vec::new();
    let not_before = not_before(now);

    if let Some(csr) = &request.csr {
        check_key_type(profile, csr, &mut violations);
        check_subject(profile, &csr.subject, &mut violations);
        check_extensions(profile, csr, &mut violations, &mut messages);
    }
    let asked = &request.subject_alternative_names;
    let names = decide_names(profile, request.csr.as_ref(), asked, &mut violations, &mut messages);
    if request.csr.as_ref().is_some_and(|csr| csr.subject.is_empty()) && names.is_empty() {
        violations.push(Violation::csr(
            "the request names nobody: it has an empty subject and no subject alternative name that the profile allows",
        ));
    }
    if let Some(days) = request.validity_days {
        violations.extend(check_validity(profile, days, not_before, issuer.not_after).err());
    }
    let (Some(csr), Some(validity_days), true) = (request.csr, request.validity_days, violations.is_empty()) else {
        return Err(violations);
    };
    if names.is_empty() {
        messages.push(
            "the certificate has no subject alternative name; some TLS libraries (Python's cryptography, for one) ask for one".into(),
        );
    }

    let kept_extensions =
        csr.extensions.into_iter().filter(|extension| profile.kept_extensions.contains(&extension.oid)).collect();
    Ok(Plan {
        profile: profile.name.clone(),
        issuer,
        serial,
        subject: csr.subject,
        public_key: csr.public_key,
        not_before,
        not_after: not_before + TimeDelta::days(validity_days),
        kind: PlanKind::Client {
            subject_alternative_names: names,
            key_usage: profile.key_usage.clone(),
            extended_key_usage: profile.extended_key_usage.clone(),
            revocation: profile.revocation,
            kept_extensions,
        },
        messages,
    })
}

/// Five minutes ago, on the whole minute.
pub fn not_before(now: DateTime<Utc>) -> DateTime<Utc> {
    let past = now - BACKDATING;
    past.duration_trunc(TimeDelta::minutes(1)).unwrap_or(past)
}

fn check_validity(
    profile: &Profile,
    validity_days: i64,
    not_before: DateTime<Utc>,
    issuer_end: DateTime<Utc>,
) -> Result<(), Violation> {
    let issuer_days = (issuer_end - not_before).num_days();
    let max = profile.max_validity_days.min(issuer_days);
    if (1..=max).contains(&validity_days) {
        return Ok(());
    }
    let bound = if issuer_days < profile.max_validity_days {
        format!("the issuing authority itself ends after {issuer_days} days")
    } else {
        format!("the maximum of profile {:?}", profile.name)
    };
    let message =
        format!("validity_days must be a whole number from 1 to {max} ({bound}); {validity_days} was asked for");
    Err(Violation::new("/validity_days", message))
}

fn check_key_type(profile: &Profile, csr: &CertificationRequest, violations: &mut Vec<Violation>) {
    let key_type = csr.public_key.key_type;
    if !profile.key_types.iter().any(|family| family == key_type.family()) {
        let allowed = profile.key_types.join(", ");
        violations.push(Violation::csr(format!(
            "the key is of type {key_type}; profile {:?} allows {allowed}",
            profile.name
        )));
    }
}

fn check_subject(profile: &Profile, subject: &Name, violations: &mut Vec<Violation>) {
    for (attribute, rule) in &profile.subject {
        let key = attribute.key();
        let values: Vec<_> = subject.values(*attribute).collect();
        match &rule.presence {
            Presence::Required if values.is_empty() => {
                violations
                    .push(Violation::csr(format!("the subject has no {key}; profile {:?} requires one", profile.name)));
            }
            Presence::Forbidden if !values.is_empty() => {
                violations
                    .push(Violation::csr(format!("the subject has a {key}; profile {:?} forbids it", profile.name)));
            }
            Presence::Fixed(fixed) if values.len() != 1 || values.first() != Some(&fixed.as_str()) => {
                violations.push(Violation::csr(format!(
                    "the subject must have exactly one {key} with the value {fixed:?} (profile {:?})",
                    profile.name
                )));
            }
            _ => {}
        }
        let Some(max_length) = rule.max_length else { continue };
        if values.iter().any(|value| value.chars().count() > max_length) {
            violations.push(Violation::csr(format!(
                "the subject's {key} is longer than the {max_length} characters that profile {:?} allows",
                profile.name
            )));
        }
    }
    if profile.other_attributes_allowed {
        return;
    }
    for attribute in &subject.attributes {
        let listed = AttributeType::from_oid(&attribute.oid).is_some_and(|kind| profile.subject.contains_key(&kind));
        if !listed {
            violations.push(Violation::csr(format!(
                "the subject has an attribute of type {}, which profile {:?} does not list",
                attribute.oid, profile.name
            )));
        }
    }
}

fn check_extensions(
    profile: &Profile,
    csr: &CertificationRequest,
    violations: &mut Vec<Violation>,
    messages: &mut Vec<String>,
) {
    if csr.asks_for_ca {
        violations.push(Violation::csr(
            "the request asks for a CA certificate (basicConstraints CA:TRUE); client certificates are never CAs",
        ));
    }
    for extension in &csr.extensions {
        if profile.kept_extensions.contains(&extension.oid) {
            continue;
        }
        let is_known = is_decided_by_profile(&extension.oid);
        if extension.critical && !is_known {
            violations.push(Violation::csr(format!(
                "the request asks for the critical extension {}, which profile {:?} does not know",
                extension.name, profile.name
            )));
        } else {
            let why = if is_known { "the profile decides it" } else { "the profile does not keep it" };
            messages.push(format!("the requested extension {} was left out: {why}", extension.name));
        }
    }
}

fn decide_names(
    profile: &Profile,
    csr: Option<&CertificationRequest>,
    asked: &[SubjectAlternativeName],
    violations: &mut Vec<Violation>,
    messages: &mut Vec<String>,
) -> Vec<SubjectAlternativeName> {
    for kind in csr.iter().flat_map(|csr| &csr.unsupported_names) {
        messages.push(format!(
            "a subject alternative name of type {kind} was left out: only dns, email, uri and ip are copied"
        ));
    }
    let addresses = csr.map(|csr| subject_addresses(&csr.subject)).unwrap_or_default();
    let of_csr = csr.iter().flat_map(|csr| &csr.subject_alternative_names).chain(&addresses);
    let from_csr = of_csr.map(|name| (name, "/csr".to_owned()));
    let from_body = asked.iter().enumerate().map(|(index, name)| (name, format!("/subject_alternative_names/{index}")));

    let mut names: Vec<SubjectAlternativeName> = Vec::new();
    for (name, pointer) in from_csr.chain(from_body) {
        let Some(patterns) = profile.subject_alternative_names.get(&name.kind()) else {
            messages.push(format!(
                "the subject alternative name {name} was left out: profile {:?} copies none of its type",
                profile.name
            ));
            continue;
        };
        if let Err(why) = name.check() {
            violations.push(Violation::new(pointer, format!("subject alternative name: {why}")));
        } else if !patterns.iter().any(|pattern| pattern.matches(&name.value())) {
            violations.push(Violation::new(
                pointer,
                format!("the subject alternative name {name} is not allowed by profile {:?}", profile.name),
            ));
        } else if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let octets: usize = names.iter().map(|name| name.value().len()).sum();
    if octets > MAX_SUBJECT_ALTERNATIVE_NAME_OCTETS {
        violations.push(Violation::new(
            "/subject_alternative_names",
            format!("the subject alternative names may have {MAX_SUBJECT_ALTERNATIVE_NAME_OCTETS} octets together; these have {octets}"),
        ));
    }
    if names.len() > MAX_SUBJECT_ALTERNATIVE_NAMES {
        violations.push(Violation::new(
            "/subject_alternative_names",
            format!("at most {MAX_SUBJECT_ALTERNATIVE_NAMES} subject alternative names fit into one certificate; {} were asked for", names.len()),
        ));
    }
    names
}

/// E-mail addresses in the subject must stand among the alternative names too (RFC 5280, 4.1.2.6).
fn subject_addresses(subject: &Name) -> Vec<SubjectAlternativeName> {
    let addresses = subject.values(AttributeType::EmailAddress);
    addresses.map(|address| SubjectAlternativeName::Email(address.to_owned())).collect()
}
