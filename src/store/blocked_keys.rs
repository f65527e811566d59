//! Keys that an account gets no certificate for any more, because one of theirs was reported compromised.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, select};
use diesel::prelude::*;

use crate::domain::id::AccountId;
use crate::domain::reason::RevocationReason;

use super::connection::{Connection, on_either};
use super::convert::millis;
use super::error::StoreError;
use super::schema::blocked_keys;

/// A key to be blocked.
#[derive(Clone, Debug)]
pub struct BlockedKey {
    pub account: AccountId,
    pub spki_sha256: Vec<u8>,
    pub reason: RevocationReason,
    pub blocked_on: DateTime<Utc>,
}

/// Blocks a key; one that is blocked already stays as it is.
pub(super) fn insert(connection: &mut Connection, key: &BlockedKey) -> Result<(), StoreError> {
    let upsert = diesel::insert_into(blocked_keys::table)
        .values((
            blocked_keys::account_id.eq(key.account.as_bytes().as_slice()),
            blocked_keys::spki_sha256.eq(&key.spki_sha256),
            blocked_keys::reason.eq(key.reason.code()),
            blocked_keys::created_at.eq(millis(key.blocked_on)),
        ))
        .on_conflict((blocked_keys::account_id, blocked_keys::spki_sha256))
        .do_nothing();
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}

pub(super) fn contain(connection: &mut Connection, account: AccountId, spki_sha256: &[u8]) -> Result<bool, StoreError> {
    let blocked = blocked_keys::table.find((account.as_bytes().as_slice(), spki_sha256));
    Ok(select(exists(blocked)).get_result(connection)?)
}
