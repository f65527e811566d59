//! Certificates and keys from files, in the forms in which people hold them. What is in them is judged by the server; here
//! is only found out what they are, and whether a passphrase has to be asked for.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::cli::client::Sent;
use crate::cli::error::CliError;
use crate::cli::{Context, files, private_key};
use crate::keys::upload::{self, Upload};
use crate::x509::ber;
use crate::x509::der::{INTEGER, Reader, SEQUENCE};
use crate::x509::foreign_certificate::ForeignCertificate;

/// Java's own key store begins so.
const JAVA_KEY_STORE: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

#[derive(Args, Debug)]
pub struct MaterialOptions {
    /// PEM file with the private key, if it does not stand beside the certificate (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// PEM file with the CAs that the servers it is presented to are verified by [default: what the system that
    /// Countersign runs on trusts]
    #[arg(long, value_name = "FILE")]
    trusted_ca: Option<PathBuf>,

    /// The passphrase of the key or the PKCS#12 file is the first line of this file [env: COUNTERSIGN_PASSPHRASE]
    /// [default: asked for on a terminal, if there is need of one]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What is sent of it all.
#[derive(Default, Serialize)]
pub struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<Sent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<Sent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pkcs12: Option<Pkcs12>,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Sent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_ca: Option<Sent>,
}

/// A PKCS#12 file, which is sent in base64.
struct Pkcs12(Zeroizing<Vec<u8>>);

/// What a file is.
enum Content {
    /// PEM, or what the server may know a better word about.
    Text(SecretString),
    Pkcs12(Zeroizing<Vec<u8>>),
}

pub fn read(certificates: &[PathBuf], options: &MaterialOptions, context: &Context) -> Result<Material, CliError> {
    let named = certificates.iter().chain(&options.key).chain(&options.trusted_ca);
    if named.filter(|path| is_stdin(path)).count() > 1 {
        return Err(CliError::usage("stdin can be read once only: give the other files by their names"));
    }
    let mut material = Material::default();
    let mut texts = Zeroizing::new(String::new());
    for path in certificates {
        match content(path)? {
            Content::Text(text) => {
                texts.push_str(text.expose_secret());
                texts.push('\n');
            }
            Content::Pkcs12(_) if material.pkcs12.is_some() => {
                return Err(CliError::usage("there are two PKCS#12 files: each is an identity of its own"));
            }
            Content::Pkcs12(file) => material.pkcs12 = Some(Pkcs12(file)),
        }
    }
    material.certificates = (!texts.is_empty()).then(|| Sent(SecretString::from(texts.as_str())));
    material.private_key = options.key.as_deref().map(|path| text(path, "--key")).transpose()?;
    material.trusted_ca = options.trusted_ca.as_deref().map(|path| text(path, "--trusted-ca")).transpose()?;
    material.passphrase = passphrase(&material, options, context)?.map(Sent);
    Ok(material)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn text(path: &Path, option: &str) -> Result<Sent, CliError> {
    match content(path)? {
        Content::Text(text) => Ok(Sent(text)),
        Content::Pkcs12(_) => Err(CliError::usage(format_args!(
            "{} is a PKCS#12 file, which holds certificates and key together: give it without {option}",
            path.display()
        ))),
    }
}

fn content(path: &Path) -> Result<Content, CliError> {
    classify(files::read_bytes(path)?).map_err(|why| CliError::failure(format_args!("{}: {why}", path.display())))
}

fn classify(bytes: Zeroizing<Vec<u8>>) -> Result<Content, &'static str> {
    if let Ok(text) = std::str::from_utf8(&bytes) {
        return if text.trim().is_empty() { Err("it is empty") } else { Ok(Content::Text(SecretString::from(text))) };
    }
    if let Ok(certificate) = ForeignCertificate::from_der(&bytes) {
        return Ok(Content::Text(SecretString::from(certificate.to_pem())));
    }
    if is_pkcs12(&bytes) {
        return Ok(Content::Pkcs12(bytes));
    }
    if bytes.starts_with(&JAVA_KEY_STORE) {
        return Err("it is a Java key store; keytool -importkeystore -deststoretype PKCS12 makes a PKCS#12 file of it");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is text in UTF-16; save it as UTF-8");
    }
    // Names in another encoding around the blocks do no harm.
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    if text.contains("-----BEGIN ") {
        return Ok(Content::Text(SecretString::from(text.as_str())));
    }
    Err("it is neither PEM nor PKCS#12 nor a certificate in DER; openssl pkey -inform DER makes PEM of a key in DER, \
         openssl pkcs7 -inform DER -print_certs of a PKCS#7 bundle")
}

/// The outermost SEQUENCE begins with version 3 (RFC 7292, 4). It may be written in BER.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let Ok(der) = ber::to_der(bytes) else { return false };
    let first = Reader::new(&der).expect(SEQUENCE, "").and_then(|file| file.contents().read().map(|tlv| tlv.whole));
    first.is_ok_and(|version| version == [INTEGER, 1, 3])
}

/// The passphrase that was given, or that the files ask for.
fn passphrase(
    material: &Material,
    options: &MaterialOptions,
    context: &Context,
) -> Result<Option<SecretString>, CliError> {
    if let Some(path) = &options.passphrase_file {
        return files::read_password(path).map(Some);
    }
    if !material.is_locked(context) {
        return Ok(None);
    }
    private_key::passphrase(context).map(Some)
}

impl Material {
    /// Whether only a passphrase opens it. Every other fault is left to the server to tell.
    fn is_locked(&self, context: &Context) -> bool {
        let sent = Upload {
            certificates: self.certificates.as_ref().map(|Sent(text)| text.expose_secret()),
            private_key: self.private_key.as_ref().map(|Sent(text)| text.expose_secret()),
            pkcs12: self.pkcs12.as_ref().map(|Pkcs12(file)| file.as_slice()),
            passphrase: None,
            trusted_ca: None,
        };
        let faults = upload::read(&sent, context.clock.now()).err().unwrap_or_default();
        faults.iter().any(|fault| fault.pointer == upload::PASSPHRASE)
    }
}

impl Serialize for Pkcs12 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&self.0)))
    }
}

#[cfg(test)]
mod tests;
