//! Rules on the extensions (RFC 5280, 4.2), except those that point to revocation information.

use crate::domain::plan::{ExtendedKeyUsage, KeyUsage, Plan, PlanKind, RevocationPointers};

use super::super::der::{NULL, Reader, single};
use super::super::{extension, general_name, oid, parsed, public_key};
use super::{Case, Findings, Rule};

pub(super) const RULES: &[Rule] = &[
    extensions_stand_once,
    extensions_are_exactly_the_expected_ones,
    criticality_is_as_the_rfc_demands,
    basic_constraints_are_the_planned_ones,
    key_usage_is_the_planned_one,
    extended_key_usage_is_the_planned_one,
    subject_key_identifier_is_that_of_the_key,
    authority_key_identifier_is_that_of_the_issuer,
    subject_alternative_names_are_the_planned_ones,
    an_empty_subject_has_alternative_names,
    kept_extensions_are_those_of_the_request,
    ocsp_no_check_is_null,
];

/// 4.2
fn extensions_stand_once(case: &Case<'_>, findings: &mut Findings) {
    for oid in extension::duplicates(&case.tbs.extensions) {
        findings.of_ours(format!("the extension {} stands more than once", oid::name(oid)));
    }
}

fn extensions_are_exactly_the_expected_ones(case: &Case<'_>, findings: &mut Findings) {
    let expected = expected(case.plan);
    for (oid, _) in &expected {
        if case.tbs.extension(oid).is_none() {
            findings.of_ours(format!("the extension {} is missing", oid::name(oid)));
        }
    }
    for extension in &case.tbs.extensions {
        if !expected.iter().any(|(oid, _)| *oid == extension.oid) {
            findings.of_ours(format!("the extension {} does not belong there", oid::name(&extension.oid)));
        }
    }
}

/// 4.2.1.1 to 4.2.2.1, each in its sentence on criticality.
fn criticality_is_as_the_rfc_demands(case: &Case<'_>, findings: &mut Findings) {
    for (oid, critical) in expected(case.plan) {
        if case.tbs.extension(oid).is_some_and(|extension| extension.critical != critical) {
            let word = if critical { "must" } else { "must not" };
            findings.of_ours(format!("the extension {} {word} be critical", oid::name(oid)));
        }
    }
}

/// 4.2.1.9
fn basic_constraints_are_the_planned_ones(case: &Case<'_>, findings: &mut Findings) {
    let expected = match &case.plan.kind {
        PlanKind::Client { .. } | PlanKind::Responder => (false, None),
        PlanKind::Authority { path_length, .. } => (true, path_length.map(u64::from)),
    };
    let is_planned = case.tbs.basic_constraints() == Ok(Some(expected));
    findings.demand(is_planned, "basicConstraints are not the planned ones");
}

/// 4.2.1.3: the bits, and keyCertSign and cRLSign on CAs alone.
fn key_usage_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    const KEY_CERT_SIGN: usize = 5;
    const CRL_SIGN: usize = 6;
    let expected: Vec<usize> = match &case.plan.kind {
        PlanKind::Client { key_usage, .. } => key_usage.iter().map(|usage| bit(*usage)).collect(),
        PlanKind::Authority { .. } => vec![KEY_CERT_SIGN, CRL_SIGN],
        PlanKind::Responder => vec![bit(KeyUsage::DigitalSignature)],
    };
    let is_planned = match case.tbs.key_usage() {
        Ok(Some(bits)) => {
            (0..9).all(|index| bits.get(index).copied().unwrap_or(false) == expected.contains(&index))
                && bits.len() <= 9
        }
        Ok(None) => expected.is_empty(),
        Err(_) => false,
    };
    findings.demand(is_planned, "keyUsage is not the planned one");
}

/// 4.2.1.12
fn extended_key_usage_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    let expected: Vec<&str> = match &case.plan.kind {
        PlanKind::Client { extended_key_usage, .. } => extended_key_usage.iter().map(|usage| purpose(*usage)).collect(),
        PlanKind::Authority { .. } => Vec::new(),
        // RFC 6960, 4.2.2.2: the issuer's word that this key may answer for it.
        PlanKind::Responder => vec![oid::OCSP_SIGNING],
    };
    let is_planned = match case.tbs.extended_key_usage() {
        Ok(Some(purposes)) => purposes == expected,
        Ok(None) => expected.is_empty(),
        Err(_) => false,
    };
    findings.demand(is_planned, "extendedKeyUsage is not the planned one");
}

/// 4.2.1.2, method 1, calculated again from the key that stands in the certificate.
fn subject_key_identifier_is_that_of_the_key(case: &Case<'_>, findings: &mut Findings) {
    let expected = case.key.as_ref().map(|(_, key)| public_key::key_identifier(key));
    let found = case.tbs.subject_key_identifier();
    let is_right = matches!((&found, &expected), (Ok(Some(found)), Ok(expected)) if *found == expected.as_slice());
    findings.demand(is_right, "subjectKeyIdentifier is not the SHA-1 of the public key");
}

/// 4.2.1.1
fn authority_key_identifier_is_that_of_the_issuer(case: &Case<'_>, findings: &mut Findings) {
    let found = parsed::authority_key_identifier(&case.tbs.extensions);
    let is_right = found == Ok(Some(case.plan.issuer.ski.as_slice())) && !case.plan.issuer.ski.is_empty();
    findings.demand(is_right, "authorityKeyIdentifier is not the issuer's key identifier");
}

/// 4.2.1.6: well-formed (the reader checks the form of each type), and the planned ones.
fn subject_alternative_names_are_the_planned_ones(case: &Case<'_>, findings: &mut Findings) {
    let expected = match &case.plan.kind {
        PlanKind::Client { subject_alternative_names, .. } => subject_alternative_names.as_slice(),
        PlanKind::Authority { .. } | PlanKind::Responder => &[],
    };
    let Some(extension) = case.tbs.extension(oid::SUBJECT_ALT_NAME) else { return };
    match general_name::read(extension.value) {
        Ok(read) if read.names == expected && read.unsupported.is_empty() => {}
        Ok(_) => findings.of_ours("subjectAltName is not the planned one"),
        Err(faults) => faults.into_iter().for_each(|fault| findings.of_request(fault)),
    }
}

/// 4.1.2.6
fn an_empty_subject_has_alternative_names(case: &Case<'_>, findings: &mut Findings) {
    let has_names = case.tbs.extension(oid::SUBJECT_ALT_NAME).is_some();
    if case.tbs.subject.value.is_empty() && !has_names {
        findings.of_request("the subject is empty and there is no subjectAltName; a certificate must name its holder");
    }
}

/// Carried byte for byte; but what is no DER at all has no place in a certificate (4.2: extnValue holds DER).
fn kept_extensions_are_those_of_the_request(case: &Case<'_>, findings: &mut Findings) {
    let PlanKind::Client { kept_extensions, .. } = &case.plan.kind else { return };
    for kept in kept_extensions {
        let carried = case.tbs.extension(&kept.oid).is_some_and(|extension| extension.value == kept.value);
        findings.demand(carried, "a kept extension is not the one of the request");
        let mut reader = Reader::new(&kept.value);
        if reader.read().is_err() || !reader.is_empty() {
            findings.of_request(format!("the requested extension {} does not hold DER", kept.name));
        }
    }
}

/// RFC 6960, 4.2.2.2.1
fn ocsp_no_check_is_null(case: &Case<'_>, findings: &mut Findings) {
    let Some(extension) = case.tbs.extension(oid::OCSP_NO_CHECK) else { return };
    // What a request brought is judged with the kept extensions.
    if matches!(case.plan.kind, PlanKind::Responder) {
        let is_null = single(extension.value, NULL, "ocspNoCheck").is_ok_and(|null| null.value.is_empty());
        findings.demand(is_null, "ocspNoCheck is not NULL");
    }
}

/// The extensions of a plan, and whether each is critical.
fn expected(plan: &Plan) -> Vec<(&str, bool)> {
    let mut expected = vec![
        (oid::AUTHORITY_KEY_IDENTIFIER, false),
        (oid::SUBJECT_KEY_IDENTIFIER, false),
        (oid::BASIC_CONSTRAINTS, true),
    ];
    let mut expect_if = |wanted: bool, oid, critical| expected.extend(wanted.then_some((oid, critical)));
    match &plan.kind {
        PlanKind::Client { subject_alternative_names, key_usage, extended_key_usage, revocation, kept_extensions } => {
            let is_published = *revocation == RevocationPointers::Published;
            expect_if(!key_usage.is_empty(), oid::KEY_USAGE, true);
            expect_if(!extended_key_usage.is_empty(), oid::EXTENDED_KEY_USAGE, false);
            expect_if(!subject_alternative_names.is_empty(), oid::SUBJECT_ALT_NAME, plan.subject.is_empty());
            expect_if(is_published, oid::CRL_DISTRIBUTION_POINTS, false);
            expect_if(!is_published, oid::NO_REV_AVAIL, false);
            expect_if(true, oid::AUTHORITY_INFORMATION_ACCESS, false);
            expected.extend(kept_extensions.iter().map(|kept| (kept.oid.as_str(), kept.critical)));
        }
        PlanKind::Authority { self_signed, .. } => {
            expect_if(true, oid::KEY_USAGE, true);
            expect_if(!self_signed, oid::CRL_DISTRIBUTION_POINTS, false);
            expect_if(!self_signed, oid::AUTHORITY_INFORMATION_ACCESS, false);
        }
        PlanKind::Responder => expected.extend([
            (oid::KEY_USAGE, true),
            (oid::EXTENDED_KEY_USAGE, false),
            (oid::OCSP_NO_CHECK, false),
            (oid::AUTHORITY_INFORMATION_ACCESS, false),
        ]),
    }
    expected
}

fn bit(usage: KeyUsage) -> usize {
    match usage {
        KeyUsage::DigitalSignature => 0,
        KeyUsage::ContentCommitment => 1,
        KeyUsage::KeyEncipherment => 2,
        KeyUsage::KeyAgreement => 4,
    }
}

fn purpose(usage: ExtendedKeyUsage) -> &'static str {
    ExtendedKeyUsage::ALL.iter().find(|entry| entry.0 == usage).map_or("", |entry| entry.2)
}
