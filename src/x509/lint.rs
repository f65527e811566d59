//! Judges a TBSCertificate before it is signed: against RFC 5280, and against the plan that it claims to carry out.
//!
//! The bytes are read back by our own reader, which shares nothing with the encoder, so a fault of either shows, and by
//! x509-parser, which shares nothing with either. Each rule is one small function, named after what it demands.

mod extensions;
mod fields;
mod names;
mod revocation;
mod second_opinion;

use crate::domain::key::PublicKeyType;
use crate::domain::name::Name;
use crate::domain::plan::Plan;
use crate::domain::violation::Violation;

use super::der::DerError;
use super::parsed::{Access, ParsedTbs};
use super::tbs::Tbs;
use super::{name, public_key};

/// A TBSCertificate that may be signed. Only [`lint`] makes one.
pub struct LintedTbs {
    der: Vec<u8>,
    plan: Plan,
}

/// Lets a TBS through, or tells everything that is wrong with it. What the request brought (names, key) is a
/// violation at `/csr`; anything else is a fault of ours and points nowhere.
pub fn lint(tbs: Tbs) -> Result<LintedTbs, Vec<Violation>> {
    let mut violations = match ParsedTbs::read(&tbs.der) {
        Ok(parsed) => examine(&Case::new(parsed, &tbs.plan)),
        Err(error) => vec![Violation::new("", format!("the certificate to be signed is malformed: {error}"))],
    };
    let disagreements = second_opinion::disagreements(&tbs.der, &tbs.plan).into_iter();
    violations
        .extend(disagreements.map(|what| Violation::new("", format!("a second parser reads {what} differently"))));
    if violations.is_empty() { Ok(LintedTbs { der: tbs.der, plan: tbs.plan }) } else { Err(violations) }
}

impl LintedTbs {
    /// The bytes to sign.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn into_parts(self) -> (Vec<u8>, Plan) {
        (self.der, self.plan)
    }
}

/// What a rule looks at.
struct Case<'a> {
    tbs: ParsedTbs<'a>,
    plan: &'a Plan,
    /// The subject as it stands in the TBS, or what is wrong with it.
    subject: Result<Name, Vec<String>>,
    /// The kind and the contents of the public key, or what is wrong with it.
    key: Result<(PublicKeyType, &'a [u8]), String>,
    /// The addresses of its CRLs and of its issuer's services; `None` without the extension.
    distribution_points: Result<Option<Vec<&'a str>>, DerError>,
    information_access: Result<Option<Vec<Access<'a>>>, DerError>,
}

impl<'a> Case<'a> {
    fn new(tbs: ParsedTbs<'a>, plan: &'a Plan) -> Self {
        let (subject, key) = (name::read(tbs.subject.whole), public_key::identify(tbs.spki.whole));
        let (distribution_points, information_access) = (tbs.crl_distribution_points(), tbs.information_access());
        Self { tbs, plan, subject, key, distribution_points, information_access }
    }

    fn accesses(&self) -> impl Iterator<Item = &Access<'a>> {
        self.information_access.iter().flatten().flatten()
    }
}

type Rule = fn(&Case<'_>, &mut Findings);

fn examine(case: &Case<'_>) -> Vec<Violation> {
    let mut findings = Findings::default();
    for rule in fields::RULES.iter().chain(extensions::RULES).chain(names::RULES).chain(revocation::RULES) {
        rule(case, &mut findings);
    }
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    /// A fault of what the request brought.
    fn of_request(&mut self, message: impl Into<String>) {
        self.0.push(Violation::csr(message));
    }

    /// A fault of ours.
    fn of_ours(&mut self, message: impl Into<String>) {
        self.0.push(Violation::new("", message));
    }

    fn demand(&mut self, holds: bool, message: &str) {
        if !holds {
            self.of_ours(message);
        }
    }
}

#[cfg(test)]
mod tests;
