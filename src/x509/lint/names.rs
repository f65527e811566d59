//! Rules on the attributes of names (RFC 5280, 4.1.2.4, 4.1.2.6 and appendix A).

use crate::domain::name::{AttributeType, NameAttribute, StringEncoding};
use crate::domain::plan::PlanKind;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::super::name;
use super::{Case, Findings, Rule};

pub(super) const RULES: &[Rule] = &[
    names_are_well_formed,
    attributes_keep_their_upper_bounds,
    attributes_are_of_their_prescribed_string_type,
    no_attribute_is_a_universal_string,
    country_has_two_letters,
    domain_components_are_labels,
    email_addresses_are_addresses,
    an_authority_has_a_subject,
    a_self_signed_authority_is_its_own_issuer,
];

fn names_are_well_formed(case: &Case<'_>, findings: &mut Findings) {
    for fault in case.subject.as_ref().err().into_iter().flatten() {
        findings.of_request(format!("the subject is malformed: {fault}"));
    }
    findings.demand(name::read(case.tbs.issuer.whole).is_ok(), "the issuer is malformed");
}

/// Appendix A.1 and X.520, the ub-… bounds, in characters.
fn attributes_keep_their_upper_bounds(case: &Case<'_>, findings: &mut Findings) {
    for_known_attributes(case, |known, attribute| {
        let length = attribute.value.chars().count();
        if length > known.max_length {
            findings.of_request(format!(
                "the subject's {} has {length} characters; it may have at most {} (RFC 5280, appendix A)",
                known.label, known.max_length
            ));
        }
    });
}

/// Appendix A.1: most attributes are DirectoryStrings, which are neither IA5String nor NumericString; serialNumber,
/// dnQualifier and C are PrintableStrings, emailAddress and DC IA5Strings.
fn attributes_are_of_their_prescribed_string_type(case: &Case<'_>, findings: &mut Findings) {
    for_known_attributes(case, |known, attribute| {
        let (fits, word) = match known.encoding {
            Some(StringEncoding::Ia5) => (attribute.encoding == StringEncoding::Ia5, "IA5String"),
            Some(_) => (attribute.encoding == StringEncoding::Printable, "PrintableString"),
            None => {
                let foreign = [StringEncoding::Ia5, StringEncoding::Numeric];
                (!foreign.contains(&attribute.encoding), "UTF8String or PrintableString")
            }
        };
        if !fits {
            findings
                .of_request(format!("the subject's {} must be encoded as {word} (RFC 5280, appendix A)", known.label));
        }
    });
}

/// 4.1.2.4 discourages it for new subjects, and hardly a reader knows it.
fn no_attribute_is_a_universal_string(case: &Case<'_>, findings: &mut Findings) {
    if attributes(case).iter().any(|attribute| attribute.encoding == StringEncoding::Universal) {
        findings.of_request("the subject holds a UniversalString; encode it as UTF8String");
    }
}

/// X.520: an ISO 3166 code.
fn country_has_two_letters(case: &Case<'_>, findings: &mut Findings) {
    let is_code = |value: &str| value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !values(case, AttributeType::Country).all(is_code) {
        findings.of_request("the subject's C must be a country code of two letters (ISO 3166)");
    }
}

/// RFC 4519, 2.4: one label of a domain name each.
fn domain_components_are_labels(case: &Case<'_>, findings: &mut Findings) {
    let is_label = |value: &str| {
        let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && !value.starts_with('-') && !value.ends_with('-')
    };
    if !values(case, AttributeType::DomainComponent).all(is_label) {
        findings.of_request("the subject's DC must be one label of a domain name, such as DC=example,DC=com");
    }
}

/// RFC 2985, 5.2.1: emailAddress is an addr-spec.
fn email_addresses_are_addresses(case: &Case<'_>, findings: &mut Findings) {
    for address in values(case, AttributeType::EmailAddress) {
        if let Err(fault) = SubjectAlternativeName::Email(address.to_owned()).check() {
            findings.of_request(format!("the subject's emailAddress: {fault}"));
        }
    }
}

/// 4.1.2.6: what signs must have a name, for it stands as the issuer elsewhere.
fn an_authority_has_a_subject(case: &Case<'_>, findings: &mut Findings) {
    let is_authority = matches!(case.plan.kind, PlanKind::Authority { .. } | PlanKind::Responder);
    findings.demand(!is_authority || !case.tbs.subject.value.is_empty(), "an authority's subject is empty");
}

/// 3.2: self-issued, and the key identifiers agree, since it is its own key that signs.
fn a_self_signed_authority_is_its_own_issuer(case: &Case<'_>, findings: &mut Findings) {
    if !matches!(case.plan.kind, PlanKind::Authority { self_signed: true, .. }) {
        return;
    }
    findings
        .demand(case.tbs.subject.whole == case.tbs.issuer.whole, "a self-signed authority's subject is not its issuer");
    let same_key = case.tbs.subject_key_identifier() == Ok(Some(case.plan.issuer.ski.as_slice()));
    findings.demand(same_key, "a self-signed authority's key is not its issuer's");
}

/// What a standard says of one type of attribute.
struct KnownAttribute {
    label: &'static str,
    max_length: usize,
    /// `None` is a DirectoryString.
    encoding: Option<StringEncoding>,
}

/// OID, name, upper bound in characters, and the one encoding if there is one: attributes that no profile speaks of
/// but requests carry (X.520; RFC 5280, appendix A).
const FURTHER_ATTRIBUTES: [(&str, &str, usize, Option<StringEncoding>); 9] = [
    ("2.5.4.9", "street", 128, None),
    ("2.5.4.15", "businessCategory", 128, None),
    ("2.5.4.17", "postalCode", 40, None),
    ("2.5.4.41", "name", 32_768, None),
    ("2.5.4.43", "initials", 32_768, None),
    ("2.5.4.44", "generationQualifier", 32_768, None),
    ("2.5.4.46", "dnQualifier", 64, Some(StringEncoding::Printable)),
    ("2.5.4.65", "pseudonym", 128, None),
    ("2.5.4.97", "organizationIdentifier", 256, None),
];

fn for_known_attributes(case: &Case<'_>, mut visit: impl FnMut(KnownAttribute, &NameAttribute)) {
    for attribute in attributes(case) {
        if let Some(known) = known(&attribute.oid) {
            visit(known, attribute);
        }
    }
}

fn known(oid: &str) -> Option<KnownAttribute> {
    if let Some(kind) = AttributeType::from_oid(oid) {
        let encoding = name::prescribed_encoding(kind);
        return Some(KnownAttribute { label: kind.short_name(), max_length: kind.max_length(), encoding });
    }
    let (_, label, max_length, encoding) = FURTHER_ATTRIBUTES.into_iter().find(|entry| entry.0 == oid)?;
    Some(KnownAttribute { label, max_length, encoding })
}

/// None where the subject cannot be read, which is the finding of another rule.
fn attributes<'c>(case: &'c Case<'_>) -> &'c [NameAttribute] {
    case.subject.as_ref().map_or(&[], |subject| subject.attributes.as_slice())
}

fn values<'c>(case: &'c Case<'_>, kind: AttributeType) -> impl Iterator<Item = &'c str> {
    attributes(case)
        .iter()
        .filter(move |attribute| attribute.oid == kind.oid())
        .map(|attribute| attribute.value.as_str())
}
