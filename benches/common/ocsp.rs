//! OCSP requests, written by hand: what judges the responder must not come from it (RFC 6960, 4.1.1).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

use super::http::request;
use super::load::Source;
use super::{Outcome, fault};

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const INTEGER: u8 = 0x02;
/// AlgorithmIdentifier of SHA-1, with NULL.
const SHA1: &[u8] = &[0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
/// id-pkix-ocsp-nonce.
const NONCE: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
const NONCE_LENGTH: usize = 32;

/// The issuer, as requests name it.
pub struct Issuer {
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
}

impl Issuer {
    /// From its certificate in DER.
    pub fn of(der: &[u8]) -> Outcome<Self> {
        let (_, certificate) = parse_x509_certificate(der)?;
        let sha1 = |octets: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec();
        Ok(Self {
            name_hash: sha1(certificate.subject().as_raw()),
            key_hash: sha1(&certificate.public_key().subject_public_key.data),
        })
    }

    /// An OCSPRequest about one certificate, with an optional nonce.
    pub fn request(&self, serial: &[u8], nonce: Option<&[u8]>) -> Outcome<Vec<u8>> {
        let parts = [
            SHA1.to_vec(),
            element(OCTET_STRING, &[&self.name_hash])?,
            element(OCTET_STRING, &[&self.key_hash])?,
            element(INTEGER, &[serial])?,
        ];
        let cert_id = element(SEQUENCE, &[&parts.concat()])?;
        let list = element(SEQUENCE, &[&element(SEQUENCE, &[&cert_id])?])?;
        let extensions = match nonce {
            Some(nonce) => {
                let value = element(OCTET_STRING, &[&element(OCTET_STRING, &[nonce])?])?;
                element(0xa2, &[&element(SEQUENCE, &[&element(SEQUENCE, &[NONCE, &value])?])?])?
            }
            None => Vec::new(),
        };
        element(SEQUENCE, &[&element(SEQUENCE, &[&list, &extensions])?])
    }
}

/// The serial number of a certificate in PEM, as the contents of an INTEGER.
pub fn serial(pem: &str) -> Outcome<Vec<u8>> {
    let (_, pem) = parse_x509_pem(pem.as_bytes())?;
    let (_, certificate) = parse_x509_certificate(&pem.contents)?;
    Ok(certificate.raw_serial().to_vec())
}

/// The request in the address.
pub fn get(authority: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    request("GET", &format!("/pki/{authority}/ocsp/{text}"), &[], &[])
}

/// The request in the body.
pub fn post(authority: &str, der: &[u8]) -> Vec<u8> {
    request("POST", &format!("/pki/{authority}/ocsp"), &[("content-type", "application/ocsp-request")], der)
}

/// A request that can be sent again and again, each time with another nonce.
#[derive(Clone)]
pub struct Fresh {
    request: Vec<u8>,
    count: u64,
}

impl Fresh {
    pub fn of(authority: &str, issuer: &Issuer, serial: &[u8]) -> Outcome<Self> {
        Ok(Self { request: post(authority, &issuer.request(serial, Some(&[0xa5; NONCE_LENGTH]))?), count: 0 })
    }
}

impl Source for Fresh {
    /// The nonce stands at the end of the request.
    fn next(&mut self) -> &[u8] {
        self.count += 1;
        if let Some(last) = self.request.last_chunk_mut() {
            *last = self.count.to_be_bytes();
        }
        &self.request
    }
}

/// Whether it is an OCSPResponse that says `successful`.
pub fn is_successful(der: &[u8]) -> bool {
    matches!(der, [SEQUENCE, 0x82, _, _, 0x0a, 0x01, 0x00, 0xa0, ..])
}

fn element(tag: u8, contents: &[&[u8]]) -> Outcome<Vec<u8>> {
    let contents = contents.concat();
    match u8::try_from(contents.len()) {
        Ok(length @ 0..=0x7f) => Ok([&[tag, length], contents.as_slice()].concat()),
        Ok(length) => Ok([&[tag, 0x81, length], contents.as_slice()].concat()),
        Err(_) => fault("a request is longer than expected"),
    }
}
