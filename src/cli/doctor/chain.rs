//! Whether an authority's certificate verifies up to its root, and where the address in certificates leads to it.

use chrono::{DateTime, Utc};

use super::finding::Report;
use crate::cli::client::Client;
use crate::cli::objects::{Authority, Crl};
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::pem;

const MAX_LENGTH: usize = 8;
const WAY_OUT: &str = "was the database edited by hand? `countersign restore` puts a backup back";
const ADDRESS: &str = "COUNTERSIGN_PUBLIC_URL must be the address under which relying parties reach the server";

/// Verifies the signatures from the authority up to a root among the others.
pub fn check(report: &mut Report, check: &str, authority: &Authority, others: &[Authority], now: DateTime<Utc>) {
    match climb(authority, others, now) {
        Ok(0) => report.ok(check, "its own signature verifies"),
        Ok(steps) => report.ok(check, format!("verifies up to its root, {steps} above it")),
        Err(fault) => report.fail(check, fault, WAY_OUT),
    }
}

/// How many certificates are above it.
fn climb(authority: &Authority, others: &[Authority], now: DateTime<Utc>) -> Result<usize, String> {
    let pool = others.iter().map(certificate).collect::<Result<Vec<_>, _>>()?;
    let mut current = certificate(authority)?;
    for steps in 0..MAX_LENGTH {
        if current.is_signed_by(&current) == Some(true) {
            return Ok(steps);
        }
        let issuer = pool.iter().find(|one| one.subject == current.issuer && current.is_signed_by(one) == Some(true));
        let issuer = issuer.ok_or_else(|| format!("no authority's signature on {} verifies", current.label()))?;
        if now > issuer.not_after {
            return Err(format!("{}, which signed it, has ended", issuer.label()));
        }
        current = issuer.clone();
    }
    Err("its chain has no end".to_owned())
}

fn certificate(authority: &Authority) -> Result<ForeignCertificate, String> {
    let certificates = pem::decode_all("CERTIFICATE", &authority.certificate)?;
    let first = certificates.first().ok_or("there is no certificate in it")?;
    ForeignCertificate::from_der(first)
}

/// Fetches the certificate where the caIssuers address of what the authority signed leads.
pub async fn check_address(report: &mut Report, client: &Client, check: &str, authority: &Authority, crl: &Crl) {
    let Some(url) = crl.url.strip_suffix("/crl").map(|above| format!("{above}/ca.cer")) else { return };
    match client.fetch_anonymously(&url).await {
        // That the host is out of reach was said of its CRL.
        Err(_) => {}
        Ok(reply) if !reply.status.is_success() => {
            report.fail(check, format!("{url} answers {}", reply.status), ADDRESS)
        }
        Ok(reply) if certificate(authority).is_ok_and(|own| own.der == reply.body) => {
            report.ok(check, format!("certificate at {url}"));
        }
        Ok(_) => report.fail(check, format!("what is at {url} is not its certificate"), ADDRESS),
    }
}
