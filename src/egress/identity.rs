//! The client certificate in the form that the TLS library uses.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::call::unsendable;
use super::outcome::Failure;
use super::request::Presented;

/// Reads chain and key, and refuses a key that is not the certificate's: every server would refuse it, in worse words.
pub(super) fn load(identity: Presented) -> Result<Arc<CertifiedKey>, Failure> {
    if identity.chain.is_empty() {
        return Err(unsendable("the identity has no certificate"));
    }
    let document = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.private_key.as_slice()));
    // The library's message is left out: it speaks of the key.
    let key = any_supported_type(&document)
        .map_err(|_| unsendable("the identity's private key is not a PKCS#8 key of RSA, ECDSA or Ed25519"))?;
    let chain = identity.chain.into_iter().map(CertificateDer::from).collect();
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => {
            Err(unsendable("the identity's private key does not belong to its certificate"))
        }
        Err(_) => Err(unsendable("the identity's certificate cannot be read as X.509 in DER")),
    }
}
