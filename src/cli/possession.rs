//! `countersign revoke --certificate`: revoking without a token, by showing that one holds the certificate's private key.
//! The key signs the server's challenge here and goes nowhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::client::{Call, Client};
use super::connection::Connection;
use super::error::CliError;
use super::escape::escape;
use super::progress::Spinner;
use super::{Context, authority, envelope, files, output, private_key, transition};
use crate::domain::id::AuthorityId;
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;
use crate::keys::private_key::PrivateKey;
use crate::keys::proof;
use crate::x509::certificate::{self, CertificateFacts};
use crate::x509::pem;

const HEADING: &str = "Without a token";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct Holding {
    /// Revoke the first certificate in this PEM file, by its key [its own CA is asked, unless --url names another address]
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "key", conflicts_with_all = ["conditions", "dry_run", "yes", "detach"])]
    certificate: Option<PathBuf>,

    /// PEM file with its private key, which is not sent
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// The passphrase of the key is the first line of this file [env: COUNTERSIGN_PASSPHRASE]
    /// [default: asked for on a terminal, if there is need of one]
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,

    /// The authority that signed it [default: from the addresses in the certificate]
    #[arg(long, help_heading = HEADING, value_name = "ID", value_parser = authority::id, requires = "certificate")]
    authority: Option<AuthorityId>,
}

/// The files of somebody who holds a certificate with its key.
pub struct Held<'a> {
    certificate: &'a Path,
    key: &'a Path,
    passphrase: Option<&'a Path>,
    authority: Option<AuthorityId>,
}

#[derive(Deserialize)]
struct Given {
    challenge: String,
    url: String,
}

#[derive(Deserialize)]
struct Answered {
    serial_number: String,
    status: String,
    revocation: Option<AnsweredRevocation>,
}

#[derive(Deserialize)]
struct AnsweredRevocation {
    reason: String,
    crl_number: Option<i64>,
}

impl Holding {
    /// What was named; `None` where it is not about a certificate that somebody holds.
    pub fn files(&self) -> Option<Held<'_>> {
        Some(Held {
            certificate: self.certificate.as_deref()?,
            key: self.key.as_deref()?,
            passphrase: self.passphrase_file.as_deref(),
            authority: self.authority,
        })
    }
}

pub async fn run(
    held: Held<'_>,
    reason: Option<RevocationReason>,
    invalidity_date: Option<&str>,
    options: &transition::Selection,
    context: &Context,
) -> Result<(), CliError> {
    let certificate = read_certificate(held.certificate)?;
    let key = private_key::read(held.key, held.passphrase, context)?;
    if key.spki() != certificate.spki {
        return Err(CliError::failure(format_args!(
            "{} is the key of another certificate than {}",
            held.key.display(),
            held.certificate.display()
        )));
    }
    let place = Place::of(&certificate);
    let authority = held.authority.or(place.as_ref().map(|place| place.authority)).ok_or_else(|| {
        CliError::usage(
            "the certificate does not say by which authority of Countersign it was signed: name it with --authority",
        )
    })?;
    let client = open(&options.connection, place, context)?;

    let path = format!("/pki/{authority}/revocation");
    let payload = json!({
        "serial_number": certificate.serial.to_decimal(),
        "reason": reason.map(RevocationReason::as_str),
        "invalidity_date": invalidity_date,
    });
    let message = answer_challenge(&client, &path, &key, &payload).await?;
    // It can be sent again as it is: that changes nothing, and tells how far the revocation has come.
    let call = Call::post(path, message).harmless_to_repeat();
    let mut result = client.call(call.clone()).await?.result;
    if options.wait {
        result = wait(&client, &call, result, Duration::from_secs(options.timeout), context).await?;
    }
    print(&result, options.connection.json)?;
    if let Some(note) = later_compromise(&envelope::read(&result)?, reason) {
        output::note(note);
    }
    Ok(())
}

/// A reported compromise that changes nothing on the CRL is no failure, and yet not what was asked for.
fn later_compromise(answered: &Answered, asked: Option<RevocationReason>) -> Option<String> {
    let recorded = answered.revocation.as_ref().map(|revocation| revocation.reason.as_str())?;
    let compromise = RevocationReason::KeyCompromise;
    (asked == Some(compromise) && recorded != compromise.as_str()).then(|| {
        format!(
            "it was revoked before, as {}, which stays; the key is blocked, and what else holds it is revoked",
            escape(recorded)
        )
    })
}

fn read_certificate(path: &Path) -> Result<CertificateFacts, CliError> {
    let wrong = |why: String| CliError::failure(format_args!("{}: {why}", path.display()));
    let found = pem::decode_all("CERTIFICATE", &files::read_text(path)?).map_err(wrong)?;
    let first = found.first().ok_or_else(|| wrong("there is no certificate in PEM in it".into()))?;
    certificate::read(first).map_err(|error| wrong(format!("the certificate is none of Countersign's: {error}")))
}

/// The server that the certificate names is asked where no other was: whoever holds a certificate need not know more.
fn open(connection: &Connection, place: Option<Place>, context: &Context) -> Result<Client, CliError> {
    let mut connection = connection.clone();
    if connection.url(context).is_none() {
        connection.url = place.map(|place| place.server);
    }
    Ok(connection.open(context)?.into_stranger())
}

/// A message that asks for the revocation, signed over a fresh challenge.
async fn answer_challenge(client: &Client, path: &str, key: &PrivateKey, payload: &Value) -> Result<Value, CliError> {
    let ask = json!({ "serial_number": payload["serial_number"] });
    let ask = Call::post(format!("{path}/challenge"), ask).harmless_to_repeat();
    let given: Given = client.call(ask).await?.read()?;
    if !given.url.ends_with(path) {
        return Err(CliError::failure(format_args!(
            "the server wants the message signed for {}, which is another address than the one asked",
            escape(&given.url)
        )));
    }
    proof::answer(key, &given.challenge, &given.url, payload).map_err(CliError::failure)
}

/// Sends the message again until the CRL lists the certificate.
async fn wait(
    client: &Client,
    call: &Call,
    mut result: Value,
    patience: Duration,
    context: &Context,
) -> Result<Value, CliError> {
    let deadline = Instant::now() + patience;
    let _spinner = Spinner::start("waiting for the CRL".to_owned());
    let mut pause = FIRST_PAUSE;
    loop {
        let answered: Answered = envelope::read(&result)?;
        if answered.status == Status::Revoked.as_str() {
            return Ok(result);
        }
        if Instant::now() >= deadline {
            return Err(CliError::failure(format_args!(
                "it is still {}; the server goes on with it: call this again, or wait longer with --timeout",
                escape(&answered.status)
            )));
        }
        context.clock.sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        result = client.call(call.clone()).await?.result;
    }
}

fn print(result: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json_line(result);
    }
    let answered: Answered = envelope::read(result)?;
    let revocation = answered.revocation.map(|revocation| match revocation.crl_number {
        Some(number) => format!("by CRL {number}, with the reason {}", escape(&revocation.reason)),
        None => format!("until the next CRL is published, with the reason {}", escape(&revocation.reason)),
    });
    let line = format!(
        "{}  {}  {}",
        escape(&answered.serial_number),
        escape(&answered.status),
        revocation.unwrap_or_default()
    );
    output::line(line.trim_end())
}

/// Where a certificate says that its authority publishes.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Without a slash at the end.
    server: String,
    authority: AuthorityId,
}

impl Place {
    fn of(certificate: &CertificateFacts) -> Option<Self> {
        certificate.crl_urls.iter().chain(&certificate.issuer_urls).find_map(|url| Self::parse(url))
    }

    /// `https://ca.example/pki/{authority}/…`, also below a path of the server's own.
    fn parse(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let (before, after) = url.path().rsplit_once("/pki/")?;
        let authority = AuthorityId::parse(after.split('/').next()?)?;
        let server = format!("{}{before}", url.origin().ascii_serialization());
        Some(Self { server, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compromise_that_comes_after_another_reason_is_told() {
        let answered = |reason: &str| Answered {
            serial_number: "1".into(),
            status: "revoked".into(),
            revocation: Some(AnsweredRevocation { reason: reason.into(), crl_number: None }),
        };
        let compromise = Some(RevocationReason::KeyCompromise);
        assert!(later_compromise(&answered("superseded"), compromise).unwrap().contains("as superseded, which stays"));
        assert_eq!(later_compromise(&answered("keyCompromise"), compromise), None);
        assert_eq!(later_compromise(&answered("superseded"), Some(RevocationReason::Superseded)), None);
    }

    #[test]
    fn the_server_and_the_authority_are_read_from_the_addresses_in_the_certificate() {
        let id = "568b6b74-7b0c-4755-8840-4e3b8c24adeb";
        let place = |server: &str| Some(Place { server: server.into(), authority: AuthorityId::parse(id).unwrap() });
        for (url, expected) in [
            (format!("http://127.0.0.1:8080/pki/{id}/crl"), place("http://127.0.0.1:8080")),
            (format!("https://ca.example/pki/{id}/crl/3"), place("https://ca.example")),
            (format!("https://ca.example/ca/pki/{id}/ca.cer"), place("https://ca.example/ca")),
            (format!("ldap://ca.example/pki/{id}/crl"), None),
            ("https://ca.example/pki/x/crl".into(), None),
            ("https://ca.example/crl".into(), None),
        ] {
            assert_eq!(Place::parse(&url), expected, "{url}");
        }
    }
}
