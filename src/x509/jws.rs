//! Messages that are signed with the private key of a certificate: a flattened JSON Web Signature (RFC 7515, 7.2.2).
//!
//! Only what is needed to show the possession of one key that is known beforehand. The key is the certificate's and never
//! the message's: headers that would name or bring another one are refused, and so is every algorithm but that of the
//! key, which leaves nothing to confuse (RFC 8725, 2.1 and 3.1).

use aws_lc_rs::signature::{self as aws, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::json::Members;
use crate::domain::key::PublicKeyType;

use super::der::write;
use super::public_key;

/// The longest message that is read, in octets: an RSA signature of 8192 bits needs a tenth of it.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Headers by which a message would choose its key, or change what is signed (RFC 7515, 4.1; RFC 7797).
const REFUSED_HEADERS: [&str; 9] = ["jwk", "jku", "kid", "x5c", "x5u", "x5t", "x5t#S256", "crit", "b64"];

/// How a message is signed, in the words of RFC 7518, 3.1, and RFC 8037, 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    Es384,
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

/// A message as it was read: well-formed, and not yet believed.
#[derive(Debug)]
pub struct SignedMessage {
    algorithm: JwsAlgorithm,
    nonce: String,
    url: String,
    payload: Vec<u8>,
    /// What the signature covers: the two parts as they were sent, with a dot between them (RFC 7515, 5.1).
    signed: String,
    signature: Vec<u8>,
}

/// Proof that whoever sent a message holds the private key of a certificate. Only [`SignedMessage::verify`] makes one.
#[derive(Debug)]
pub struct Possession {
    spki_sha256: [u8; 32],
}

impl JwsAlgorithm {
    pub const ALL: [Self; 6] = [Self::Es256, Self::Es384, Self::Es512, Self::Rs256, Self::Ps256, Self::EdDsa];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the name exactly; `Ed25519` is the newer name of `EdDSA` with such a key (RFC 9864, 2.2).
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The one that a key of this type signs with here; RSA has a second one.
    pub fn of(key_type: PublicKeyType) -> Self {
        match key_type {
            PublicKeyType::P256 => Self::Es256,
            PublicKeyType::P384 => Self::Es384,
            PublicKeyType::P521 => Self::Es512,
            PublicKeyType::Rsa(_) => Self::Ps256,
            PublicKeyType::Ed25519 => Self::EdDsa,
        }
    }

    fn fits(self, key_type: PublicKeyType) -> bool {
        self == Self::of(key_type) || (self == Self::Rs256 && matches!(key_type, PublicKeyType::Rsa(_)))
    }

    /// The signatures of ECDSA are two numbers side by side, not DER (RFC 7518, 3.4).
    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &aws::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &aws::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &aws::ECDSA_P521_SHA512_FIXED,
            Self::Rs256 => &aws::RSA_PKCS1_2048_8192_SHA256,
            Self::Ps256 => &aws::RSA_PSS_2048_8192_SHA256,
            Self::EdDsa => &aws::ED25519,
        }
    }
}

impl SignedMessage {
    /// Reads a message. The error says what is wrong with it, in words for the caller.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        if body.len() > MAX_LENGTH {
            return Err(format!("it is longer than {} KiB", MAX_LENGTH / 1024));
        }
        let mut parts = Members::read(body)?;
        let [protected, payload, signature] =
            [parts.text("protected")?, parts.text("payload")?, parts.text("signature")?];
        parts.finish().map_err(|why| format!("{why}: a flattened JWS has protected, payload and signature"))?;

        let header = decode("protected", &protected)?;
        let mut header = Members::read(&header).map_err(|why| format!("the protected header: {why}"))?;
        if let Some(name) = REFUSED_HEADERS.into_iter().find(|name| header.has(name)) {
            return Err(format!("the protected header must not have {name}: the key is the certificate's own"));
        }
        let of_header = |why: String| format!("the protected header: {why}");
        let name = header.text("alg").map_err(of_header)?;
        let algorithm = JwsAlgorithm::parse(&name).ok_or_else(|| {
            let known: Vec<&str> = JwsAlgorithm::ALL.into_iter().map(JwsAlgorithm::as_str).collect();
            format!("alg must be the one of the certificate's key: {}", known.join(", "))
        })?;
        Ok(Self {
            algorithm,
            nonce: header.text("nonce").map_err(of_header)?,
            url: header.text("url").map_err(of_header)?,
            payload: decode("payload", &payload)?,
            signature: decode("signature", &signature)?,
            signed: signing_input(&protected, &payload),
        })
    }

    /// What it answers: the challenge, if it is honest.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Whom it is for.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether the private key of this SubjectPublicKeyInfo signed it. Without one, or with one that does not sign so,
    /// the same work is done with a key that nobody holds: how long the answer takes tells nothing about which
    /// certificates there are.
    pub fn verify(&self, spki: Option<&[u8]>) -> Option<Possession> {
        let identified = spki.and_then(|spki| Some((spki, public_key::identify(spki).ok()?)));
        match identified {
            Some((spki, (key_type, key))) if self.algorithm.fits(key_type) => {
                self.is_signed_with(key).then(|| Possession { spki_sha256: public_key::sha256(spki) })
            }
            _ => {
                self.is_signed_with(&decoy(self.algorithm));
                None
            }
        }
    }

    /// `key` is the contents of subjectPublicKey.
    fn is_signed_with(&self, key: &[u8]) -> bool {
        let verified = ParsedPublicKey::new(self.algorithm.verifier(), key)
            .is_ok_and(|key| key.verify_sig(self.signed.as_bytes(), &self.signature).is_ok());
        std::hint::black_box(verified)
    }
}

impl Possession {
    /// SHA-256 of the SubjectPublicKeyInfo whose private key was shown to be held.
    pub fn spki_sha256(&self) -> &[u8; 32] {
        &self.spki_sha256
    }
}

/// A protected header as it is sent.
pub fn protected_header(algorithm: JwsAlgorithm, nonce: &str, url: &str) -> String {
    encode(serde_json::json!({"alg": algorithm.as_str(), "nonce": nonce, "url": url}).to_string().as_bytes())
}

/// What is signed, of the two parts as they are sent.
pub fn signing_input(protected: &str, payload: &str) -> String {
    format!("{protected}.{payload}")
}

/// base64url without padding (RFC 7515, 2).
pub fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, String> {
    // Strict: padding, other characters and bits that are left over are refused, so each content has one form.
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{name} must be base64url without padding"))
}

/// Keys that nobody holds, in the form of subjectPublicKey: the base points of the curves (SEC 2, RFC 8032), and the
/// largest number of 2048 bits.
fn decoy(algorithm: JwsAlgorithm) -> Vec<u8> {
    const P256: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                        4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    const P384: &str = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
                        3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
    const P521: &str = "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ff\
                        a8de3348b3c1856a429bf97e7e31c2e5bd66011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd1727\
                        3e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650";
    const ED25519: &str = "5866666666666666666666666666666666666666666666666666666666666666";
    let point = |text: &str| hex::decode(text).unwrap_or_default();
    match algorithm {
        JwsAlgorithm::Es256 => point(P256),
        JwsAlgorithm::Es384 => point(P384),
        JwsAlgorithm::Es512 => point(P521),
        JwsAlgorithm::EdDsa => point(ED25519),
        JwsAlgorithm::Rs256 | JwsAlgorithm::Ps256 => {
            write::sequence(&[&write::unsigned_integer(&[0xff; 256]), &write::unsigned_integer(&[1, 0, 1])])
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::oid;
    use super::*;

    struct Key(EcdsaKeyPair);

    impl Key {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn spki(&self) -> Vec<u8> {
            let oids = [oid::EC_PUBLIC_KEY, oid::CURVE_P256].map(|oid| write::object_identifier(oid).unwrap());
            let point = write::bit_string(self.0.public_key().as_ref());
            write::sequence(&[&write::sequence(&[&oids[0], &oids[1]]), &point])
        }

        fn message(&self, header: &Value, payload: &str) -> Value {
            let (protected, payload) = (encode(header.to_string().as_bytes()), encode(payload.as_bytes()));
            let signed = signing_input(&protected, &payload);
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            json!({"protected": protected, "payload": payload, "signature": encode(signature.as_ref())})
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256", "nonce": "n", "url": "https://ca.example/x", "typ": "JOSE"})
    }

    fn read(message: &Value) -> Result<SignedMessage, String> {
        SignedMessage::read(message.to_string().as_bytes())
    }

    #[test]
    fn the_holder_of_the_key_is_known_by_it() {
        let key = Key::new();
        let message = read(&key.message(&header(), "{}")).unwrap();
        assert_eq!(
            (message.nonce(), message.url(), message.payload()),
            ("n", "https://ca.example/x", b"{}".as_slice())
        );
        let possession = message.verify(Some(&key.spki())).unwrap();
        assert_eq!(possession.spki_sha256(), &public_key::sha256(&key.spki()));
        assert!(message.verify(Some(&Key::new().spki())).is_none());
        assert!(message.verify(Some(b"no key")).is_none());
        assert!(message.verify(None).is_none());
    }

    #[test]
    fn what_was_changed_is_not_signed() {
        let key = Key::new();
        let message = key.message(&header(), "{}");
        for (part, text) in [
            ("payload", encode(b"{ }")),
            (
                "protected",
                encode(json!({"alg": "ES256", "nonce": "m", "url": "https://ca.example/x"}).to_string().as_bytes()),
            ),
            ("signature", encode(&[1; 64])),
            ("signature", String::new()),
        ] {
            let mut changed = message.clone();
            changed[part] = text.into();
            assert!(read(&changed).unwrap().verify(Some(&key.spki())).is_none(), "{part}");
        }
    }

    #[test]
    fn no_other_algorithm_than_that_of_the_key_counts() {
        let key = Key::new();
        for name in ["none", "HS256", "es256", "ES256K", "RS1", ""] {
            let refused = read(&key.message(&json!({"alg": name, "nonce": "n", "url": "u"}), "{}")).unwrap_err();
            assert!(refused.starts_with("alg must be"), "{refused}");
        }
        for name in ["ES384", "ES512", "RS256", "PS256", "EdDSA", "Ed25519"] {
            let message = read(&key.message(&json!({"alg": name, "nonce": "n", "url": "u"}), "{}")).unwrap();
            assert!(message.verify(Some(&key.spki())).is_none(), "{name}");
        }
    }

    #[test]
    fn headers_that_bring_a_key_are_refused() {
        for name in REFUSED_HEADERS {
            let mut header = header();
            header[name] = json!(["alg"]);
            let refused = read(&Key::new().message(&header, "{}")).unwrap_err();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn each_message_has_one_form() {
        let message = Key::new().message(&header(), "{}");
        let with = |name: &str, value: Value| {
            let mut changed = message.clone();
            changed[name] = value;
            changed
        };
        let payload = message["payload"].as_str().unwrap();
        for wrong in [
            with("payload", format!("{payload}=").into()),
            with("payload", format!("{payload} ").into()),
            with("payload", "e31".into()),
            with("payload", "+/8".into()),
            with("payload", Value::Null),
            with("signature", json!(1)),
            with("header", json!({})),
            with("protected", encode(b"[]").into()),
            with("protected", encode(br#"{"alg":"ES256","alg":"ES256","nonce":"n","url":"u"}"#).into()),
            with("protected", encode(br#"{"alg":"ES256","nonce":"n"}"#).into()),
            with("protected", encode(br#"{"alg":"ES256","nonce":1,"url":"u"}"#).into()),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        let twice = message.to_string().replacen('{', &format!("{{\"payload\":{},", message["payload"]), 1);
        assert!(SignedMessage::read(twice.as_bytes()).is_err());
        assert!(SignedMessage::read(format!("{message}{{}}").as_bytes()).is_err());
        assert!(SignedMessage::read(&vec![b' '; MAX_LENGTH + 1]).unwrap_err().contains("16 KiB"));
    }

    #[test]
    fn the_keys_that_nobody_holds_cost_the_work_of_others() {
        for algorithm in JwsAlgorithm::ALL {
            assert!(ParsedPublicKey::new(algorithm.verifier(), decoy(algorithm)).is_ok(), "{algorithm:?}");
            assert_eq!(JwsAlgorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }

    proptest! {
        #[test]
        fn no_mutation_brings_the_reader_down(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut message = Key::new().message(&header(), "{}").to_string().into_bytes();
            for (place, octet) in &changes {
                let place = place.index(message.len());
                message[place] = *octet;
            }
            if let Ok(message) = SignedMessage::read(&message) {
                let _ = message.verify(None);
            }
        }

        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SignedMessage::read(&bytes);
        }
    }
}
