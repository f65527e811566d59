//! Rules on the attributes of names (RFC 5280, 4.1.2.4, 4.1.2.6 and appendix A).

use crate::domain::name::{AttributeType, Name, NameAttribute, StringEncoding};
use crate::domain::plan::PlanKind;

use super::super::name;
use super::{Case, Findings, Rule};

pub(super) const RULES: &[Rule] = &[
    names_are_well_formed,
    attributes_keep_their_upper_bounds,
    attributes_are_of_their_prescribed_string_type,
    country_has_two_letters,
    an_authority_has_a_subject,
    a_self_signed_authority_is_its_own_issuer,
];

fn names_are_well_formed(case: &Case<'_>, findings: &mut Findings) {
    if let Err(faults) = name::read(case.tbs.subject.whole) {
        faults.into_iter().for_each(|fault| findings.of_request(format!("the subject is malformed: {fault}")));
    }
    findings.demand(name::read(case.tbs.issuer.whole).is_ok(), "the issuer is malformed");
}

/// Appendix A.1, the ub-… bounds, in characters.
fn attributes_keep_their_upper_bounds(case: &Case<'_>, findings: &mut Findings) {
    for_known_attributes(case, |kind, attribute| {
        let length = attribute.value.chars().count();
        if length > kind.max_length() {
            findings.of_request(format!(
                "the subject's {} has {length} characters; it may have at most {} (RFC 5280, appendix A)",
                kind.short_name(),
                kind.max_length()
            ));
        }
    });
}

/// Appendix A.1: serialNumber and C are PrintableStrings, emailAddress and DC IA5Strings.
fn attributes_are_of_their_prescribed_string_type(case: &Case<'_>, findings: &mut Findings) {
    for_known_attributes(case, |kind, attribute| {
        let prescribed = name::prescribed_encoding(kind);
        if prescribed.is_some_and(|encoding| encoding != attribute.encoding) {
            let word = if prescribed == Some(StringEncoding::Ia5) { "IA5String" } else { "PrintableString" };
            findings.of_request(format!("the subject's {} must be a {word} (RFC 5280, appendix A)", kind.short_name()));
        }
    });
}

/// X.520: an ISO 3166 code.
fn country_has_two_letters(case: &Case<'_>, findings: &mut Findings) {
    for_known_attributes(case, |kind, attribute| {
        let is_code = attribute.value.len() == 2 && attribute.value.bytes().all(|byte| byte.is_ascii_alphabetic());
        if kind == AttributeType::Country && !is_code {
            findings.of_request("the subject's C must be a country code of two letters (ISO 3166)");
        }
    });
}

/// 4.1.2.6: what signs must have a name, for it stands as the issuer elsewhere.
fn an_authority_has_a_subject(case: &Case<'_>, findings: &mut Findings) {
    let is_authority = matches!(case.plan.kind, PlanKind::Authority { .. });
    findings.demand(!is_authority || !case.tbs.subject.value.is_empty(), "an authority's subject is empty");
}

/// 3.2: self-issued, and the key identifiers agree, since it is its own key that signs.
fn a_self_signed_authority_is_its_own_issuer(case: &Case<'_>, findings: &mut Findings) {
    if !matches!(case.plan.kind, PlanKind::Authority { self_signed: true, .. }) {
        return;
    }
    findings.demand(case.tbs.subject.whole == case.tbs.issuer.whole, "a self-signed authority's subject is not its issuer");
    let same_key = case.tbs.subject_key_identifier() == Ok(Some(case.plan.issuer.ski.as_slice()));
    findings.demand(same_key, "a self-signed authority's key is not its issuer's");
}

fn for_known_attributes(case: &Case<'_>, mut visit: impl FnMut(AttributeType, &NameAttribute)) {
    let subject: Name = name::read(case.tbs.subject.whole).unwrap_or_default();
    for attribute in &subject.attributes {
        if let Some(kind) = AttributeType::from_oid(&attribute.oid) {
            visit(kind, attribute);
        }
    }
}
