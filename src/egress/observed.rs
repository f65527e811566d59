//! What a TLS handshake shows on its way, kept also when it fails.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;

/// Shared between the handshake, which writes, and the call, which reads when the handshake is over or cut short.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed(Arc<Mutex<Seen>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) server_chain: Vec<Vec<u8>>,
    /// As of the server's signature, or of the finished handshake.
    pub(super) version: Option<&'static str>,
    pub(super) identity_requested: Option<bool>,
    pub(super) accepted_issuers: Vec<Vec<u8>>,
    /// There is an identity, but its key fits none of the server's signature algorithms.
    pub(super) identity_does_not_fit: bool,
    pub(super) identity_offered: bool,
    /// The server proved that the certificate is its own. Nothing of the identity is sent before.
    pub(super) is_server_proven: bool,
}

impl Observed {
    pub(super) fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    pub(super) fn identity_presented(&self) -> bool {
        self.identity_offered && self.is_server_proven
    }

    /// Whether the server asked for a certificate, and got none.
    pub(super) fn misses_identity(&self) -> bool {
        self.identity_requested == Some(true) && !self.identity_offered
    }

    /// The server's certificates come after its request for ours (TLS 1.3), or are judged after it (TLS 1.2): what was
    /// not asked for by then is not asked for at all.
    pub(super) fn server_certificates(&mut self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
        let chain = std::iter::once(leaf).chain(others).take(MAXIMUM_CHAIN);
        self.server_chain = chain.map(|certificate| certificate.to_vec()).collect();
        self.identity_requested.get_or_insert(false);
    }

    pub(super) fn certificate_request(&mut self, issuers: &[&[u8]]) {
        self.identity_requested = Some(true);
        self.accepted_issuers = issuers.iter().take(MAXIMUM_ISSUERS).map(|name| name.to_vec()).collect();
    }
}

const MAXIMUM_CHAIN: usize = 16;
const MAXIMUM_ISSUERS: usize = 100;
