//! A CA for tests, and what it issues.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use zeroize::Zeroizing;

use crate::egress::Presented;

pub(super) struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(super) struct Issued {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: Vec<u8>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = ca(name);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// A CA that this one has signed.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = ca(name);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub(super) fn certificate(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// For a server of these names and addresses, valid now.
    pub(super) fn server(&self, names: &[&str]) -> Issued {
        self.issue(names, |_| {})
    }

    /// For a server on 127.0.0.1, with changes.
    pub(super) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a leaf");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: vec![leaf.der().to_vec()], key: key.serialize_der() }
    }

    pub(super) fn identity(&self) -> Presented {
        self.issue(&["client.example"], |_| {}).into()
    }

    pub(super) fn expired_identity(&self) -> Presented {
        self.issue(&["client.example"], expired).into()
    }
}

impl From<Issued> for Presented {
    fn from(issued: Issued) -> Self {
        Self { chain: issued.chain, private_key: Zeroizing::new(issued.key) }
    }
}

pub(super) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 2, 3);
}

fn ca(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    (params, KeyPair::generate().unwrap())
}
