//! Key exchange on P-521. rustls brings none, and a client that does not name the curve among its groups may not present
//! a certificate with a P-521 key under TLS 1.2 (RFC 8422, 5.1.1): OpenSSL then ends the handshake.

use std::fmt;

use aws_lc_rs::agreement::{ECDH_P521, EphemeralPrivateKey, PublicKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};

pub(super) static SECP521R1: &dyn SupportedKxGroup = &Group;

/// The first octet of an uncompressed point, the only form that TLS uses (RFC 8446, 4.2.8.2).
const UNCOMPRESSED: u8 = 0x04;

struct Group;

struct Exchange {
    private_key: EphemeralPrivateKey,
    public_key: PublicKey,
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let failed = |_| Error::from(GetRandomFailed);
        let private_key = EphemeralPrivateKey::generate(&ECDH_P521, &SystemRandom::new()).map_err(failed)?;
        let public_key = private_key.compute_public_key().map_err(failed)?;
        Ok(Box::new(Exchange { private_key, public_key }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name(), formatter)
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let wrong = || Error::from(PeerMisbehaved::InvalidKeyShare);
        if peer.first() != Some(&UNCOMPRESSED) {
            return Err(wrong());
        }
        let peer = UnparsedPublicKey::new(&ECDH_P521, peer);
        // The library checks that the point is on the curve.
        agree_ephemeral(self.private_key, peer, wrong(), |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        self.public_key.as_ref()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
