//! Keys that an account gets no certificate for any more, because one of theirs was reported compromised.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, select};
use diesel::prelude::*;

use crate::domain::id::AccountId;
use crate::domain::reason::RevocationReason;

use super::connection::{Connection, on_either};
use super::convert::{account_id, millis};
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

/// Which of these keys are blocked, each in its account.
pub(super) fn among<'a>(
    connection: &mut Connection,
    keys: impl Iterator<Item = (AccountId, &'a [u8])>,
) -> Result<HashSet<(AccountId, Vec<u8>)>, StoreError> {
    let mut blocked = HashSet::new();
    match connection {
        Connection::Sqlite(connection) => {
            for (account, key) in keys {
                let found = blocked_keys::table.find((account.as_bytes().as_slice(), key));
                if select(exists(found)).get_result(connection)? {
                    blocked.insert((account, key.to_vec()));
                }
            }
        }
        // One round trip; of other accounts' keys the caller asks about none.
        Connection::Postgres(connection) => {
            let keys: Vec<&[u8]> = keys.map(|(_, key)| key).collect();
            let found: Vec<(Vec<u8>, Vec<u8>)> = blocked_keys::table
                .filter(blocked_keys::spki_sha256.eq_any(keys))
                .select((blocked_keys::account_id, blocked_keys::spki_sha256))
                .load(connection)?;
            for (account, key) in found {
                blocked.insert((account_id(&account)?, key));
            }
        }
    }
    Ok(blocked)
}
