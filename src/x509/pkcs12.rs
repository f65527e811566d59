//! PKCS#12 files (RFC 7292): key, certificate and chain for import into browsers, phones and key stores.

use p12_keystore::error::Error;
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use secrecy::{ExposeSecret, SecretString};

use super::error::X509Error;

/// PBKDF2 rounds for the key. The file's whole protection is its password, so they are what makes guessing costly.
const ENCRYPTION_ITERATIONS: u32 = 200_000;
const MAC_ITERATIONS: u32 = 100_000;

/// The key (PKCS#8), its certificate and the chain above it, all in DER, under a password: PBES2 with
/// PBKDF2-HMAC-SHA256 and AES-256, and a SHA-256 MAC, as OpenSSL 3 writes them. Takes some tenths of a second.
pub fn bundle(
    certificate_der: &[u8],
    private_key_pkcs8_der: &[u8],
    chain: &[&[u8]],
    friendly_name: &str,
    password: &SecretString,
) -> Result<Vec<u8>, X509Error> {
    let wrong = |what: &'static str| move |error: Error| X509Error::Pkcs12(format!("{what}: {error}"));
    let certificates = std::iter::once(&certificate_der).chain(chain).map(|der| Certificate::from_der(der));
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(wrong("a certificate"))?;
    let key = PrivateKey::from_der(private_key_pkcs8_der).map_err(wrong("the private key"))?;
    // What ties the certificate to the key inside the file; its value means nothing else.
    let local_key_id = super::public_key::sha256(certificate_der);
    let entry = PrivateKeyChain::new(local_key_id.as_slice(), key, certificates);

    let mut store = KeyStore::new();
    store.add_entry(&in_ucs2(friendly_name), KeyStoreEntry::PrivateKeyChain(entry));
    let writer = store
        .writer(password.expose_secret())
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ENCRYPTION_ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(MAC_ITERATIONS);
    writer.write().map_err(wrong("the file"))
}

/// The name is a BMPString, which has no characters beyond U+FFFF.
fn in_ucs2(name: &str) -> String {
    name.chars().map(|character| if u32::from(character) > 0xffff { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use p12_keystore::Pkcs12ImportPolicy;

    use super::super::{pem, testing};
    use super::*;

    fn file(name: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let certificate = pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap().remove(0);
        let key = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec();
        let file = bundle(&certificate, &key, &[], name, &"Grüße".into()).unwrap();
        (file, certificate, key)
    }

    #[test]
    fn key_and_certificate_come_back_with_the_password_only() {
        let (file, certificate, key) = file("Gerät 1");
        let store = KeyStore::from_pkcs12(&file, "Grüße", Pkcs12ImportPolicy::Strict).unwrap();
        let (name, chain) = store.private_key_chain().unwrap();
        assert_eq!((name, chain.key().as_der()), ("Gerät 1", key.as_slice()));
        assert_eq!(chain.certs()[0].as_der(), certificate);
        assert!(KeyStore::from_pkcs12(&file, "other", Pkcs12ImportPolicy::Strict).is_err());
    }

    #[test]
    fn names_beyond_the_basic_plane_are_written_with_a_replacement() {
        let (file, ..) = file("😀");
        let store = KeyStore::from_pkcs12(&file, "Grüße", Pkcs12ImportPolicy::Strict).unwrap();
        assert_eq!(store.private_key_chain().unwrap().0, "\u{fffd}");
    }

    #[test]
    fn what_is_no_key_or_certificate_is_refused() {
        let (_, certificate, key) = file("x");
        assert!(bundle(&certificate, b"key", &[], "x", &"".into()).is_err());
        assert!(bundle(b"certificate", &key, &[], "x", &"".into()).is_err());
    }
}
