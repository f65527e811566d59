//! Hashes of what is only compared: token values, idempotency keys and the requests under them.

use crate::x509::public_key;

/// SHA-256. Enough for tokens: they are random, so there is nothing to guess slowly.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    public_key::sha256(bytes)
}
