//! Rules on the fields of the TBSCertificate (RFC 5280, 4.1.2).

use chrono::Datelike;

use crate::domain::plan::PlanKind;

use super::super::der::{GENERALIZED_TIME, Tlv, UTC_TIME};
use super::super::{algorithm, time};
use super::{Case, Findings, Rule};

pub(super) const RULES: &[Rule] = &[
    version_is_3,
    serial_number_is_positive_and_short,
    serial_number_is_the_planned_one,
    signature_algorithm_is_that_of_the_issuers_key,
    issuer_is_the_planned_one,
    issuer_is_not_empty,
    subject_is_the_planned_one,
    public_key_is_the_planned_one,
    public_key_is_of_an_accepted_kind,
    validity_is_the_planned_one,
    validity_is_not_empty,
    validity_ends_with_the_issuers_at_the_latest,
    times_are_encoded_by_their_year,
];

/// 4.1.2.1
fn version_is_3(case: &Case<'_>, findings: &mut Findings) {
    findings.demand(case.tbs.version == 2, "the version is not 3");
}

/// 4.1.2.2: positive, at most 20 octets including the sign's.
fn serial_number_is_positive_and_short(case: &Case<'_>, findings: &mut Findings) {
    let serial = &case.tbs.serial;
    let is_positive = serial.unsigned_integer("").is_ok_and(|magnitude| !magnitude.is_empty());
    findings
        .demand(is_positive && serial.value.len() <= 20, "the serial number is not positive, or longer than 20 octets");
}

fn serial_number_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    let is_planned =
        case.tbs.serial.unsigned_integer("").is_ok_and(|magnitude| magnitude == case.plan.serial.as_bytes());
    findings.demand(is_planned, "the serial number is not the planned one");
}

/// 4.1.2.3
fn signature_algorithm_is_that_of_the_issuers_key(case: &Case<'_>, findings: &mut Findings) {
    let expected = algorithm::identifier(case.plan.issuer.key_type);
    let is_right = expected.is_ok_and(|expected| expected == case.tbs.signature_algorithm.whole);
    findings.demand(is_right, "the signature algorithm is not that of the issuer's key");
}

fn issuer_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    findings.demand(case.tbs.issuer.whole == case.plan.issuer.subject, "the issuer is not the authority's subject");
}

/// 4.1.2.4
fn issuer_is_not_empty(case: &Case<'_>, findings: &mut Findings) {
    findings.demand(!case.tbs.issuer.value.is_empty(), "the issuer is empty");
}

fn subject_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    findings.demand(case.tbs.subject.whole == case.plan.subject.der, "the subject is not the planned one");
}

fn public_key_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    findings.demand(case.tbs.spki.whole == case.plan.public_key.spki, "the public key is not the planned one");
}

/// 4.1.2.7. The curve is that of the key itself, so a key that another algorithm's parameters were put on shows here.
fn public_key_is_of_an_accepted_kind(case: &Case<'_>, findings: &mut Findings) {
    match &case.key {
        Ok((key_type, _)) => {
            findings.demand(*key_type == case.plan.public_key.key_type, "the public key is not of the planned type");
        }
        Err(fault) => findings.of_request(fault.clone()),
    }
}

fn validity_is_the_planned_one(case: &Case<'_>, findings: &mut Findings) {
    let is_planned =
        |element: &Tlv<'_>, planned| time::read(element, "").is_ok_and(|read| read == time::truncated(planned));
    findings.demand(is_planned(&case.tbs.not_before, case.plan.not_before), "notBefore is not the planned one");
    findings.demand(is_planned(&case.tbs.not_after, case.plan.not_after), "notAfter is not the planned one");
}

fn validity_is_not_empty(case: &Case<'_>, findings: &mut Findings) {
    let (start, end) = (time::read(&case.tbs.not_before, ""), time::read(&case.tbs.not_after, ""));
    findings.demand(matches!((start, end), (Ok(start), Ok(end)) if start < end), "notAfter is not after notBefore");
}

/// Nothing outlives the key that vouches for it: path validation (6.1.3) would fail after the issuer's end.
fn validity_ends_with_the_issuers_at_the_latest(case: &Case<'_>, findings: &mut Findings) {
    if matches!(case.plan.kind, PlanKind::Authority { self_signed: true, .. }) {
        return;
    }
    let ends_in_time = time::read(&case.tbs.not_after, "").is_ok_and(|end| end <= case.plan.issuer.not_after);
    findings.demand(ends_in_time, "notAfter lies beyond the issuer's own");
}

/// 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
fn times_are_encoded_by_their_year(case: &Case<'_>, findings: &mut Findings) {
    for element in [&case.tbs.not_before, &case.tbs.not_after] {
        let is_right = time::read(element, "").is_ok_and(|moment| {
            let expected = if (1950..2050).contains(&moment.year()) { UTC_TIME } else { GENERALIZED_TIME };
            element.tag == expected
        });
        findings.demand(is_right, "a time is not in the encoding of its year");
    }
}
