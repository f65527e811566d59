//! Rules on where revocation information is found (RFC 5280, 4.2.1.13 and 4.2.2.1; RFC 9608).

use crate::domain::plan::{PlanKind, RevocationPointers};

use super::super::der::{NULL, single};
use super::super::oid;
use super::{Case, Findings, Rule};

pub(super) const RULES: &[Rule] = &[
    distribution_point_is_the_issuers,
    information_access_is_the_issuers,
    pointers_are_web_addresses,
    no_rev_avail_is_null,
    no_rev_avail_stands_on_no_ca,
    no_rev_avail_stands_beside_no_pointer,
];

fn distribution_point_is_the_issuers(case: &Case<'_>, findings: &mut Findings) {
    let expected = has_distribution_point(case).then(|| vec![case.plan.issuer.crl_url.as_str()]);
    let is_right = case.distribution_points == Ok(expected);
    findings.demand(is_right, "cRLDistributionPoints is not the issuer's CRL");
}

fn information_access_is_the_issuers(case: &Case<'_>, findings: &mut Findings) {
    let ca_issuers = (oid::ACCESS_CA_ISSUERS.into(), case.plan.issuer.certificate_url.as_str());
    let ocsp = case.plan.issuer.ocsp_url.as_deref().map(|url| (oid::ACCESS_OCSP.into(), url));
    let expected = match &case.plan.kind {
        PlanKind::Client { revocation: RevocationPointers::Published, .. }
        | PlanKind::Authority { self_signed: false, .. } => Some(ocsp.into_iter().chain([ca_issuers]).collect()),
        // A responder is not asked about itself.
        PlanKind::Client { revocation: RevocationPointers::NotAvailable, .. } | PlanKind::Responder => {
            Some(vec![ca_issuers])
        }
        PlanKind::Authority { self_signed: true, .. } => None,
    };
    let is_right = case.information_access == Ok(expected);
    findings.demand(is_right, "authorityInfoAccess does not point to the issuer's services");
}

/// Whoever checks a certificate fetches by HTTP (4.2.1.13: at least one http or ldap URI).
fn pointers_are_web_addresses(case: &Case<'_>, findings: &mut Findings) {
    let points = case.distribution_points.iter().flatten().flatten();
    for address in points.chain(case.accesses().map(|(_, address)| address)) {
        let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let is_web = host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_web || !is_plain {
            findings.of_ours(format!("{address:?} is not an http or https address"));
        }
    }
}

/// RFC 9608, 2
fn no_rev_avail_is_null(case: &Case<'_>, findings: &mut Findings) {
    let Some(extension) = case.tbs.extension(oid::NO_REV_AVAIL) else { return };
    let is_null = single(extension.value, NULL, "noRevAvail").is_ok_and(|null| null.value.is_empty());
    findings.demand(is_null, "noRevAvail is not NULL");
}

/// RFC 9608, 3
fn no_rev_avail_stands_on_no_ca(case: &Case<'_>, findings: &mut Findings) {
    let is_ca = matches!(case.tbs.basic_constraints(), Ok(Some((true, _))));
    let has_it = case.tbs.extension(oid::NO_REV_AVAIL).is_some();
    findings.demand(!(is_ca && has_it), "a CA certificate has noRevAvail");
}

/// RFC 9608, 3: neither CRL distribution points, nor freshest CRL, nor OCSP.
fn no_rev_avail_stands_beside_no_pointer(case: &Case<'_>, findings: &mut Findings) {
    if case.tbs.extension(oid::NO_REV_AVAIL).is_none() {
        return;
    }
    let has_crl = [oid::CRL_DISTRIBUTION_POINTS, oid::FRESHEST_CRL].iter().any(|oid| case.tbs.extension(oid).is_some());
    let has_ocsp = case.accesses().any(|(method, _)| method == oid::ACCESS_OCSP);
    findings.demand(!has_crl && !has_ocsp, "noRevAvail stands beside a pointer to revocation information");
}

fn has_distribution_point(case: &Case<'_>) -> bool {
    match &case.plan.kind {
        PlanKind::Client { revocation, .. } => *revocation == RevocationPointers::Published,
        PlanKind::Authority { self_signed, .. } => !self_signed,
        PlanKind::Responder => false,
    }
}
