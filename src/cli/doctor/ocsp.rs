//! Asks the responder of an authority, and looks at its answer as a relying party does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::authorities::is_overdue;
use super::finding::Report;
use crate::cli::client::Client;
use crate::cli::objects::Authority;
use crate::x509::error::X509Error;
use crate::x509::ocsp::issuer::IssuerHashes;
use crate::x509::ocsp::reading::OcspFacts;
use crate::x509::ocsp::{asking, reading};
use crate::x509::{certificate, pem};

const WORKER: &str = "is the worker running? see /readyz and the server's log";
const ADDRESS: &str = "COUNTERSIGN_PUBLIC_URL must be the address under which relying parties reach the server";
const VERSIONS: &str = "use the same version of countersign on both sides";

/// Whether the responder answers, by whom its answer is signed, and how long that one lasts. `crl` is the address of the
/// authority's CRL, beside which it answers.
pub async fn check(
    report: &mut Report,
    client: &Client,
    check: &str,
    authority: &Authority,
    crl: &str,
    now: DateTime<Utc>,
) {
    let Some(url) = crl.strip_suffix("/crl").map(|above| format!("{above}/ocsp")) else {
        return report.warn(check, "the address of its responder cannot be told", VERSIONS);
    };
    let question = match Question::about(authority) {
        Ok(question) => question,
        Err(error) => return report.warn(check, format!("its certificate cannot be read: {error}"), VERSIONS),
    };
    match client.fetch_anonymously(&question.address(&url)).await {
        Err(_) => report.warn(check, format!("OCSP cannot be asked from here at {url}"), ADDRESS),
        Ok(reply) if !reply.status.is_success() => {
            report.fail(check, format!("{url} answers {}", reply.status), ADDRESS)
        }
        Ok(reply) => match question.judge(&reply.body, now) {
            Ok((begin, end)) => check_end(report, check, (begin, end), now),
            Err(error) => report.fail(check, format!("the answer of OCSP at {url} is not good: {error}"), WORKER),
        },
    }
}

fn check_end(report: &mut Report, check: &str, (begin, end): (DateTime<Utc>, DateTime<Utc>), now: DateTime<Utc>) {
    let message = format!("OCSP answers, its responder is valid until {}", end.format("%Y-%m-%dT%H:%M:%SZ"));
    if is_overdue(begin, end, now) {
        report.warn(check, format!("{message}, and should have been renewed by now"), WORKER);
    } else {
        report.ok(check, message);
    }
}

/// What is asked: about the authority's own serial number, since any answer shows that it answers.
struct Question {
    authority: Vec<u8>,
    cert_id: Vec<u8>,
    nonce: [u8; 16],
    request: Vec<u8>,
}

impl Question {
    fn about(authority: &Authority) -> Result<Self, X509Error> {
        let certificates = pem::decode_all("CERTIFICATE", &authority.certificate).map_err(X509Error::Content)?;
        let first = certificates.into_iter().next();
        let authority = first.ok_or_else(|| X509Error::Content("there is no certificate in it".into()))?;
        let (hashes, serial) = (IssuerHashes::of(&authority)?, certificate::read(&authority)?.serial);
        let nonce = Uuid::now_v7().into_bytes();
        let request = asking::request(&hashes, &[&serial], Some(&nonce))?;
        Ok(Self { cert_id: hashes.cert_id(&serial)?, authority, nonce, request })
    }

    /// RFC 6960, appendix A.1.
    fn address(&self, url: &str) -> String {
        let text = STANDARD.encode(&self.request).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("{url}/{text}")
    }

    /// From when until when the responder's certificate is valid, if one may rely on the answer (RFC 6960, 3.2).
    fn judge(&self, answer: &[u8], now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), X509Error> {
        let facts: OcspFacts = reading::read(answer)?;
        let wrong = |what: &str| Err(X509Error::Content(what.into()));
        if facts.nonce.as_deref() != Some(&self.nonce) {
            return wrong("it does not repeat the nonce, so it may be an old one");
        }
        let [only] = facts.answers.as_slice() else { return wrong("it does not speak of what was asked alone") };
        if only.cert_id != self.cert_id {
            return wrong("it speaks of another certificate");
        }
        if only.next_update <= now {
            return wrong("it is over already");
        }
        let responder = facts.responder(&self.authority, now)?;
        Ok((responder.not_before, responder.not_after))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::finding::Verdict;
    use super::*;
    use crate::cli::objects::time;

    #[test]
    fn a_responder_that_was_not_renewed_in_time_is_noticed() {
        let begin = time("2026-11-01T00:00:00Z").unwrap();
        for (days, expected) in [(1, Verdict::Ok), (4, Verdict::Ok), (5, Verdict::Warn)] {
            let mut report = Report::default();
            check_end(&mut report, "x", (begin, begin + TimeDelta::days(7)), begin + TimeDelta::days(days));
            assert_eq!(report.worst(), expected, "{days}");
        }
    }
}
