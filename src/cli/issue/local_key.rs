//! Making the key here and having it signed.
//!
//! The key is on disk before the certificate is asked for: a certificate whose key is lost could only be revoked. With
//! `--force` the new key waits beside the old one until the certificate has come, so that a refusal destroys nothing.

use secrecy::SecretString;
use serde_json::json;

use super::artifacts::Artifacts;
use super::request::{self, Issued};
use super::{Arguments, LocalKey};
use crate::cli::client::{Call, Client, ClientError};
use crate::cli::error::CliError;
use crate::cli::escape::{escape, program, shell_word};
use crate::cli::files::read_password;
use crate::cli::progress::Spinner;
use crate::cli::{Context, output};
use crate::domain::id::AuthorityId;
use crate::keys::client_key::ClientKey;
use crate::x509::{pem, pkcs12};

const CERTIFICATE_LABEL: &str = "CERTIFICATE";

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let local = &arguments.local;
    let artifacts = Artifacts::plan(local.common_name.as_deref(), arguments.out.as_deref(), local.pkcs12.as_deref());
    artifacts.check_free(local.force)?;
    let passwords = Passwords::read(local)?;
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;

    let key = generate(local)?;
    let csr = key.certification_request(&local.subject(), &arguments.sans);
    let csr = csr.map_err(|error| CliError::failure(format_args!("the CSR cannot be made: {error}")))?;
    artifacts.write_key(&key_pem(&key, &passwords)?, local.force)?;

    // The names are in the CSR already.
    let issued = match request::send(&client, zone, &csr, &[], &arguments).await {
        Ok(answer) => request::open(answer)?,
        Err(error) => return Err(without_certificate(&artifacts, local.force, error)),
    };
    artifacts.write_certificate(issued.certificate.certificate.as_bytes(), local.force)?;
    complete(&client, &artifacts, &issued, &key, &passwords).await.map_err(|error| incomplete(&issued, &error))?;
    tell(&artifacts, issued, &arguments)
}

struct Passwords {
    key: Option<SecretString>,
    pkcs12: Option<SecretString>,
}

impl Passwords {
    fn read(local: &LocalKey) -> Result<Self, CliError> {
        Ok(Self {
            key: local.key_passphrase_file.as_deref().map(read_password).transpose()?,
            pkcs12: local.pkcs12_password_file.as_deref().map(read_password).transpose()?,
        })
    }
}

fn generate(local: &LocalKey) -> Result<ClientKey, CliError> {
    let _spinner = Spinner::start("making the key".to_owned());
    ClientKey::generate(local.key_type).map_err(CliError::failure)
}

fn key_pem(key: &ClientKey, passwords: &Passwords) -> Result<zeroize::Zeroizing<String>, CliError> {
    match &passwords.key {
        Some(passphrase) => key.to_encrypted_pkcs8_pem(passphrase),
        None => key.to_pkcs8_pem(),
    }
    .map_err(CliError::failure)
}

/// The key goes again only where it is certain that there is no certificate for it.
fn without_certificate(artifacts: &Artifacts, force: bool, error: ClientError) -> CliError {
    if error.is_definite() {
        artifacts.remove_key(force);
        return error.into();
    }
    CliError::failure(format_args!(
        "{error}\nthe key is in {}; look with `countersign list` whether its certificate has been issued",
        artifacts.pending_key(force).display()
    ))
}

/// Chain and PKCS#12. The chain is public, so a token that can only issue is enough.
async fn complete(
    client: &Client,
    artifacts: &Artifacts,
    issued: &Issued,
    key: &ClientKey,
    passwords: &Passwords,
) -> Result<(), CliError> {
    let authority = AuthorityId::parse(&issued.certificate.certificate_authority.id)
        .ok_or_else(|| CliError::failure("the server gave an authority id that is none"))?;
    let authorities = client.fetch(Call::get(format!("/pki/{authority}/bundle.pem"))).await?;
    let authorities = String::from_utf8(authorities).map_err(CliError::failure)?;
    artifacts.write_chain(&format!("{}{authorities}", issued.certificate.certificate))?;
    if let (Some(path), Some(password)) = (&artifacts.pkcs12, &passwords.pkcs12) {
        let leaf = certificates(&issued.certificate.certificate)?;
        let leaf = leaf.first().ok_or_else(|| CliError::failure("the server's answer holds no certificate"))?;
        let chain = certificates(&authorities)?;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let content = pkcs12::bundle(leaf, key.pkcs8_der(), &chain, issued.certificate.label(), password)
            .map_err(CliError::failure)?;
        artifacts.write_private(path, &content)?;
    }
    Ok(())
}

fn certificates(text: &str) -> Result<Vec<Vec<u8>>, CliError> {
    pem::decode_all(CERTIFICATE_LABEL, text).map_err(CliError::failure)
}

fn incomplete(issued: &Issued, error: &CliError) -> CliError {
    CliError::failure(format_args!(
        "the certificate {} is issued and written with its key, but the other files are not complete: {}",
        escape(&issued.certificate.id),
        error.message().unwrap_or("writing was broken off")
    ))
}

/// What there is now, and what can be done with it.
fn tell(artifacts: &Artifacts, issued: Issued, arguments: &Arguments) -> Result<(), CliError> {
    let Issued { mut value, certificate } = issued;
    if arguments.connection.json {
        if let Some(fields) = value.as_object_mut() {
            let files = json!({
                "key": artifacts.key, "certificate": artifacts.certificate,
                "chain": artifacts.chain, "pkcs12": artifacts.pkcs12,
            });
            fields.insert("files".to_owned(), files);
        }
        return output::json(&value);
    }
    let id = escape(&certificate.id);
    output::line(format_args!("certificate {id}, valid until {}", escape(&certificate.expires_on)))?;
    let files = [
        (Some(&artifacts.key), "the private key: keep it to yourself"),
        (Some(&artifacts.certificate), "the certificate"),
        (Some(&artifacts.chain), "the certificate and its authorities"),
        (artifacts.pkcs12.as_ref(), "all of it as PKCS#12"),
    ];
    let files = files.into_iter().filter_map(|(path, what)| Some((path?.display().to_string(), what)));
    let files: Vec<_> = files.collect();
    let width = files.iter().map(|(path, _)| path.chars().count()).max().unwrap_or_default();
    for (path, what) in &files {
        output::line(format_args!("  {path:width$}  {what}"))?;
    }
    let zone = arguments.zone.zone.as_deref().map(|zone| format!(" --zone {}", shell_word(zone))).unwrap_or_default();
    let (chain, leaf) =
        (shell_word(&artifacts.chain.to_string_lossy()), shell_word(&artifacts.certificate.to_string_lossy()));
    output::line("next:")?;
    output::line(format_args!("  openssl verify -purpose sslclient -CAfile {chain} {leaf}"))?;
    output::line(format_args!("  {} revoke {id}{zone}{} --wait", program(), arguments.connection.repeated()))
}
