//! Hashes of secrets.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256. Enough for tokens: they are random, so there is nothing to guess slowly.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
