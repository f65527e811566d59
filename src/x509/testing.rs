//! What the tests of this layer share: requests made by OpenSSL, the documents of the wire contract, and plans.
//!
//! The requests in `fixtures/` are from OpenSSL 3.0, `openssl req -new -key KEY -sha384 -subj …` with `-addext` for the
//! extensions and `-sigopt rsa_padding_mode:pss` for PSS; their keys were thrown away.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use chrono::{DateTime, TimeDelta, Utc};
use num_bigint::BigUint;

use crate::domain::key::{AuthorityKeyType, PublicKeyType};
use crate::domain::name::AttributeType;
use crate::domain::plan::{ExtendedKeyUsage, Issuer, KeyUsage, Plan, PlanKind, RevocationPointers};
use crate::domain::serial::SerialNumber;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::certificate::{self, CertificateFacts};
use super::der::{INTEGER, Reader, SEQUENCE, context_constructed, single, write};
use super::signature::Signed;
use super::{algorithm, name, oid, pem, public_key};

pub const CONTRACT_CERTIFICATE: &str = include_str!("fixtures/contract.crt.pem");
pub const CONTRACT_REQUEST: &str = include_str!("fixtures/contract.csr.pem");
pub const MULTI_VALUED: &str = include_str!("fixtures/multi-valued.csr.pem");
pub const ASKS_FOR_CA: &str = include_str!("fixtures/asks-for-ca.csr.pem");
pub const EMPTY_SUBJECT: &str = include_str!("fixtures/empty-subject.csr.pem");

const SUBJECT: &str = "C=PT, O=Example Org, OU=first, OU=second, CN=device-0001";

macro_rules! fixtures {
    ($($name:literal => $value:expr),* $(,)?) => {
        [$(($name, include_str!(concat!("fixtures/", $name, ".csr.pem")), $value)),*]
    };
}

/// Name, PEM and type of the key. All have the same subject.
pub const ACCEPTED: [(&str, &str, PublicKeyType); 16] = fixtures![
    "p256-sha256" => PublicKeyType::P256,
    "p256-sha384" => PublicKeyType::P256,
    "p256-sha512" => PublicKeyType::P256,
    "p384-sha256" => PublicKeyType::P384,
    "p384-sha384" => PublicKeyType::P384,
    "p384-sha512" => PublicKeyType::P384,
    "p521-sha256" => PublicKeyType::P521,
    "p521-sha384" => PublicKeyType::P521,
    "p521-sha512" => PublicKeyType::P521,
    "rsa-sha256" => PublicKeyType::Rsa(2048),
    "rsa-sha384" => PublicKeyType::Rsa(2048),
    "rsa-sha512" => PublicKeyType::Rsa(2048),
    "rsa-pss-sha256" => PublicKeyType::Rsa(2048),
    "rsa-pss-sha384" => PublicKeyType::Rsa(2048),
    "rsa-pss-sha512" => PublicKeyType::Rsa(2048),
    "ed25519" => PublicKeyType::Ed25519,
];

/// Name, PEM and words that the refusal must hold.
pub const REFUSED: [(&str, &str, &str); 10] = fixtures![
    "rsa-sha1" => "RSA with SHA-1 is not accepted; accepted are",
    "rsa-md5" => "RSA with MD5 is not accepted; accepted are",
    "p256-sha1" => "ECDSA with SHA-1 is not accepted; accepted are",
    "rsa-pss-long-salt" => "a salt of 64 octets is not accepted",
    "rsa1024" => "the RSA key has 1024 bits",
    "rsa-exponent-3" => "the public exponent 3; it must be 65537",
    "p224" => "the curve P-224 are not accepted; accepted are",
    "ed448" => "keys of the type Ed448 are not accepted; accepted are",
    "ed448" => "the signature algorithm Ed448 is not accepted; accepted are",
    "dsa" => "keys of the type DSA are not accepted; accepted are",
];

pub struct TestKey {
    pub spki: Vec<u8>,
}

/// A good key of each type.
pub fn keys() -> Vec<(TestKey, PublicKeyType)> {
    let names = ["p256-sha256", "p384-sha384", "p521-sha512", "rsa-sha256", "ed25519"];
    let of_each_type = ACCEPTED.iter().filter(|fixture| names.contains(&fixture.0));
    of_each_type.map(|(_, pem, key_type)| (TestKey { spki: spki_of(pem) }, *key_type)).collect()
}

pub fn accepted_subject() -> &'static str {
    SUBJECT
}

pub fn rsa_modulus() -> BigUint {
    modulus_of(ACCEPTED[9].1)
}

pub fn semiprime_of_1024_bits() -> BigUint {
    modulus_of(REFUSED[4].1)
}

pub fn contract_certificate() -> CertificateFacts {
    certificate::read(&pem::decode_all("CERTIFICATE", CONTRACT_CERTIFICATE).unwrap()[0]).unwrap()
}

/// Signs a hand-made CertificationRequestInfo with the key of [`ed25519_spki`]; the answer is PEM.
pub fn sign_request(info: &[u8]) -> String {
    let signature = ed25519().sign(info);
    let identifier = algorithm::without_parameters(oid::ED25519).unwrap();
    pem::encode("CERTIFICATE REQUEST", &write::sequence(&[info, &identifier, &write::bit_string(signature.as_ref())]))
}

pub fn ed25519_spki() -> Vec<u8> {
    let key = ed25519();
    write::sequence(&[
        &algorithm::without_parameters(oid::ED25519).unwrap(),
        &write::bit_string(key.public_key().as_ref()),
    ])
}

/// A CertificationRequestInfo of version 1 from its parts; `attributes` is the contents of [0].
pub fn request_info(subject: &[u8], attributes: &[u8]) -> Vec<u8> {
    write::sequence(&[&[2, 1, 0], subject, &ed25519_spki(), &write::element(context_constructed(0), attributes)])
}

/// A plan that passes every lint: everything present that can be.
pub fn client_plan() -> Plan {
    let (key, _) = keys().remove(0);
    let attributes =
        [(AttributeType::Organization, "Example Org".into()), (AttributeType::CommonName, "device-0001".into())];
    Plan {
        profile: "client".into(),
        issuer: issuer(),
        serial: SerialNumber::from_be_bytes(&[0x7f; 20]).unwrap(),
        subject: name::build(&attributes).unwrap(),
        public_key: public_key::check(&key.spki).unwrap(),
        not_before: noon(),
        not_after: noon() + TimeDelta::days(365),
        kind: PlanKind::Client {
            subject_alternative_names: vec![
                SubjectAlternativeName::Dns("device-0001.example".into()),
                SubjectAlternativeName::Ip("192.0.2.1".parse().unwrap()),
            ],
            key_usage: vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
            extended_key_usage: vec![ExtendedKeyUsage::ClientAuth],
            revocation: RevocationPointers::Published,
            kept_extensions: Vec::new(),
        },
        messages: Vec::new(),
    }
}

pub fn short_lived_plan() -> Plan {
    let mut plan = client_plan();
    plan.not_after = plan.not_before + TimeDelta::days(7);
    if let PlanKind::Client { revocation, .. } = &mut plan.kind {
        *revocation = RevocationPointers::NotAvailable;
    }
    plan
}

/// A plan of an issuing authority under the issuer of the other plans.
pub fn authority_plan() -> Plan {
    Plan { kind: PlanKind::Authority { path_length: Some(0), self_signed: false }, ..client_plan() }
}

/// A plan of the OCSP responder of the issuer of the other plans.
pub fn responder_plan() -> Plan {
    let mut plan = client_plan();
    plan.kind = PlanKind::Responder;
    plan.not_after = plan.not_before + TimeDelta::days(7);
    plan
}

/// A plan of a root.
pub fn root_plan() -> Plan {
    let mut plan = client_plan();
    plan.kind = PlanKind::Authority { path_length: None, self_signed: true };
    plan.issuer.subject = plan.subject.der.clone();
    plan.issuer.ski = plan.public_key.ski.to_vec();
    plan.not_after = plan.not_before + TimeDelta::days(10_957);
    plan
}

pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap()
}

pub fn issuer() -> Issuer {
    let attributes = [
        (AttributeType::DomainComponent, "test".into()),
        (AttributeType::DomainComponent, "example".into()),
        (AttributeType::CommonName, "Issuing CA".into()),
    ];
    Issuer {
        subject: name::build(&attributes).unwrap().der,
        ski: vec![7; 20],
        key_type: AuthorityKeyType::P256,
        not_after: noon() + TimeDelta::days(9131),
        crl_url: "http://ca.example/pki/1/crl".into(),
        certificate_url: "http://ca.example/pki/1/ca.cer".into(),
        ocsp_url: Some("http://ca.example/pki/1/ocsp".into()),
    }
}

fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap()
}

fn spki_of(pem: &str) -> Vec<u8> {
    let request = pem::read_request(pem).unwrap();
    let mut fields = Signed::read(&request.der).unwrap().content.contents();
    fields.read().unwrap();
    fields.read().unwrap();
    fields.read().unwrap().whole.to_vec()
}

fn modulus_of(pem: &str) -> BigUint {
    let spki = spki_of(pem);
    let mut fields: Reader<'_> = single(&spki, SEQUENCE, "").unwrap().contents();
    fields.read().unwrap();
    let key = fields.read().unwrap().octet_aligned_bits("").unwrap();
    single(key, SEQUENCE, "").unwrap().contents().expect(INTEGER, "").unwrap().big_unsigned("").unwrap()
}
