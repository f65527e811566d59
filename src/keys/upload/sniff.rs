//! What something is that is not what it should be, so that the answer can say how to put it right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::private_key::encryption::EncryptedKey;
use crate::x509::der::{self, INTEGER, OBJECT_IDENTIFIER, Reader, SEQUENCE, Tlv};
use crate::x509::foreign_certificate::ForeignCertificate;
use crate::x509::pem::bundle::Block;

/// A PEM block that is neither a certificate nor a private key that is read.
pub enum Other {
    Fault { message: String, is_key: bool },
    LeftOut(String),
}

/// Judges a block by its label.
pub fn other_block(label: &str) -> Other {
    let (message, is_key) = match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            ("there is a certificate signing request; send the certificate that the CA made from it", false)
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "EC PUBLIC KEY" => {
            ("there is a public key; send the certificate, which holds it, and the private key", false)
        }
        "OPENSSH PRIVATE KEY" => {
            ("there is a private key in OpenSSH's own format; ssh-keygen -p -m PEM -f FILE converts it", true)
        }
        "DSA PRIVATE KEY" => ("there is a DSA key, which TLS no longer uses", true),
        "PKCS7" | "CMS" => ("there is a PKCS#7 bundle; openssl pkcs7 -print_certs makes PEM certificates of it", false),
        "PKCS12" => ("there is a PKCS#12 file; send it in pkcs12, in base64", true),
        other if other.ends_with("PRIVATE KEY") => {
            return Other::Fault {
                message: format!(
                    "there is a private key of an unknown kind ({other}); openssl pkcs8 -topk8 converts it"
                ),
                is_key: true,
            };
        }
        other => return Other::LeftOut(format!("left out: a PEM block of the type {other}")),
    };
    Other::Fault { message: message.into(), is_key }
}

/// `TRUSTED CERTIFICATE` has OpenSSL's settings of trust after the certificate.
pub fn certificate_alone(block: &Block) -> &[u8] {
    if block.label != "TRUSTED CERTIFICATE" {
        return &block.der;
    }
    Reader::new(&block.der).expect(SEQUENCE, "").map_or(&block.der, |certificate| certificate.whole)
}

/// What text is that has no PEM block in it.
pub fn without_pem(text: &str) -> String {
    const AS_PEM: &str = "openssl x509 -inform DER and openssl pkey -inform DER make PEM of it, and a PKCS#12 file goes into pkcs12, in base64";
    let text = text.trim();
    if text.starts_with("PuTTY-User-Key-File") {
        return "it is a PuTTY key; PuTTYgen exports it in PEM".into();
    }
    if text.chars().any(|character| character == '\0' || character == '\u{fffd}') || text.starts_with("0\u{82}") {
        return format!("it is binary (DER or PKCS#12) and not PEM; {AS_PEM}");
    }
    let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
    text.split("\\n").flat_map(str::split_ascii_whitespace).for_each(|part| base64.push_str(part));
    if base64.len() < 64 || !base64.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
        return "there is no PEM block in it; one begins with a line like -----BEGIN CERTIFICATE-----".into();
    }
    let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).unwrap_or_default());
    let Some(what) = kind(&der) else {
        return "it is base64 without the lines that PEM has around it, -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----".into();
    };
    match what {
        Kind::Pkcs12 => "it is a PKCS#12 file in base64; send it in pkcs12".into(),
        Kind::Labelled(label) => format!(
            "it is base64 without the lines that PEM has around it; put -----BEGIN {label}----- before and -----END {label}----- after it"
        ),
    }
}

/// A hint for a block whose contents are something else than its label says.
pub fn mislabelled(der: &[u8]) -> Option<String> {
    match kind(der)? {
        Kind::Labelled("CERTIFICATE") => None,
        Kind::Labelled(label) => Some(format!("; what stands in it is a {label}")),
        Kind::Pkcs12 => Some("; what stands in it is a PKCS#12 file, which goes into pkcs12, in base64".into()),
    }
}

enum Kind {
    Pkcs12,
    Labelled(&'static str),
}

fn kind(der: &[u8]) -> Option<Kind> {
    if ForeignCertificate::from_der(der).is_ok() {
        return Some(Kind::Labelled("CERTIFICATE"));
    }
    let mut fields = Reader::new(der).expect(SEQUENCE, "").ok()?.contents();
    let first = fields.read().ok()?;
    let second = fields.read().ok()?;
    let is_algorithm =
        |element: &Tlv<'_>| element.tag == SEQUENCE && element.contents().peek() == Some(OBJECT_IDENTIFIER);
    if is_algorithm(&first) && second.tag == der::OCTET_STRING {
        return EncryptedKey::read(der).is_ok().then_some(Kind::Labelled("ENCRYPTED PRIVATE KEY"));
    }
    if is_algorithm(&first) && second.tag == der::BIT_STRING {
        return Some(Kind::Labelled("PUBLIC KEY"));
    }
    // A request: its content, the algorithm, the signature; its content begins with version 0.
    if first.tag == SEQUENCE && first.contents().read().is_ok_and(|version| version.whole == [INTEGER, 1, 0]) {
        return Some(Kind::Labelled("CERTIFICATE REQUEST"));
    }
    match (first.whole, second.tag) {
        ([INTEGER, 1, 3], SEQUENCE) => Some(Kind::Pkcs12),
        ([INTEGER, 1, 0 | 1], SEQUENCE) if is_algorithm(&second) => Some(Kind::Labelled("PRIVATE KEY")),
        ([INTEGER, 1, 0], INTEGER) => Some(Kind::Labelled("RSA PRIVATE KEY")),
        ([INTEGER, 1, 1], der::OCTET_STRING) => Some(Kind::Labelled("EC PRIVATE KEY")),
        _ => None,
    }
}
