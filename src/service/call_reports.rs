//! What came of an outgoing call, in a form that can be kept and shown: without the answer's body and headers, and with the
//! words of a stranger's server tamed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::identity::Identity;
use crate::domain::run::{Failure, Presentation, Report, ServerCertificate, Timings};
use crate::egress::Exchange;
pub use crate::egress::Response as Answer;
use crate::x509::distinguished_name;
use crate::x509::foreign_certificate::ForeignCertificate;

use super::outgoing::shown;

/// Of what a server says of itself: so many characters, and so many names.
const MAX_WORDS: usize = 500;
const MAX_NAMES: usize = 100;

/// What came of a call: what may be kept, and the answer for whoever may see it.
pub struct Called {
    pub report: Report,
    pub answer: Option<Answer>,
    /// When the server's certificate ends.
    pub certificate_not_after: Option<DateTime<Utc>>,
}

impl Called {
    pub(super) fn of(
        exchange: Exchange,
        started_on: DateTime<Utc>,
        is_scheduled: bool,
        presentation: Presentation,
    ) -> Self {
        let leaf = exchange.server_chain.first().and_then(|der| ForeignCertificate::from_der(der).ok());
        let certificate_not_after = leaf.as_ref().map(|leaf| leaf.not_after);
        let (answer, failure) = match exchange.outcome {
            Ok(answer) => (Some(answer), None),
            Err(failure) => {
                (None, Some(Failure { stage: failure.stage.as_str().to_owned(), message: tame(&failure.message) }))
            }
        };
        let milliseconds = |stage: Option<Duration>| stage.map(|time| (time.as_secs_f64() * 1e5).round() / 100.0);
        let timings = exchange.timings;
        let report = Report {
            started_on,
            is_scheduled,
            findings: Vec::new(),
            presentation: Presentation { is_presented: exchange.identity_presented, ..presentation },
            address: exchange.address.map(|address| address.to_string()),
            timings: Timings {
                dns: milliseconds(timings.dns),
                connect: milliseconds(timings.connect),
                tls: milliseconds(timings.tls),
                first_byte: milliseconds(timings.first_byte),
                total: milliseconds(timings.total),
            },
            tls_version: exchange.tls_version.map(str::to_owned),
            server_certificate: leaf.map(server_certificate),
            identity_requested: exchange.identity_requested,
            accepted_issuers: names(&exchange.accepted_issuers),
            status: answer.as_ref().map(|answer| answer.status),
            body_length: answer.as_ref().map(|answer| answer.body.len()).unwrap_or_default(),
            failure,
            redirects: exchange.redirects.iter().map(|url| without_query(url)).collect(),
            notes: answer.iter().flat_map(|answer| &answer.notes).map(|note| tame(note)).collect(),
        };
        Self { report, answer, certificate_not_after }
    }

    /// What was named is not there: nothing is called without it.
    pub(super) fn not_made(
        started_on: DateTime<Utc>,
        is_scheduled: bool,
        presentation: Presentation,
        failure: Failure,
    ) -> Self {
        let report = Report {
            started_on,
            is_scheduled,
            findings: Vec::new(),
            presentation,
            address: None,
            timings: Timings::default(),
            tls_version: None,
            server_certificate: None,
            identity_requested: None,
            accepted_issuers: Vec::new(),
            status: None,
            body_length: 0,
            failure: Some(failure),
            redirects: Vec::new(),
            notes: Vec::new(),
        };
        Self { report, answer: None, certificate_not_after: None }
    }

    pub(super) fn with_note(mut self, note: String) -> Self {
        self.report.notes.push(note);
        self
    }
}

pub(super) fn presentation(identity: Option<&Identity>, reason: String) -> Presentation {
    Presentation {
        identity: identity.map(|identity| identity.id.to_string()),
        name: identity.map(|identity| identity.name.clone()),
        fingerprint_sha256: identity.map(|identity| hex::encode(&identity.facts.fingerprint_sha256)),
        reason,
        is_presented: false,
    }
}

fn server_certificate(leaf: ForeignCertificate) -> ServerCertificate {
    ServerCertificate {
        fingerprint_sha256: hex::encode(leaf.fingerprint_sha256),
        subject: tame(&leaf.subject),
        issuer: tame(&leaf.issuer),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        subject_alternative_names: leaf
            .subject_alternative_names
            .iter()
            .take(MAX_NAMES)
            .map(|name| tame(name))
            .collect(),
    }
}

fn without_query(url: &str) -> String {
    url::Url::parse(url).map(|url| shown(&url)).unwrap_or_default()
}

fn names(encoded: &[Vec<u8>]) -> Vec<String> {
    let read = encoded.iter().take(MAX_NAMES).filter_map(|name| distinguished_name::read(name).ok());
    read.map(|name| tame(&name.text)).collect()
}

/// Words of a stranger's server, to be kept and shown: of bounded length, and without what controls a terminal or turns
/// the direction of writing.
fn tame(text: &str) -> String {
    let is_wild = |character: char| {
        character.is_control()
            || matches!(character, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().take(MAX_WORDS).map(|character| if is_wild(character) { '\u{fffd}' } else { character }).collect()
}
