//! Which master key the store's sealed keys belong to.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::Store;
use super::connection::Connection;
use super::convert::millis;
use super::error::StoreError;
use super::schema::master_keys;

/// A value that opens under one master key alone.
#[derive(Clone)]
pub struct MasterKeyCheck {
    pub version: i32,
    pub check_value: Vec<u8>,
}

impl Store {
    /// The check value of the newest master key; none before the first start has finished.
    pub async fn master_key_check(&self) -> Result<Option<MasterKeyCheck>, StoreError> {
        self.read(|connection| {
            let row: Option<(i32, Vec<u8>)> = master_keys::table
                .order(master_keys::version.desc())
                .select((master_keys::version, master_keys::check_value))
                .first(connection)
                .optional()?;
            Ok(row.map(|(version, check_value)| MasterKeyCheck { version, check_value }))
        })
        .await
    }
}

pub(super) fn insert(
    connection: &mut Connection,
    check: &MasterKeyCheck,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(master_keys::table)
        .values((
            master_keys::version.eq(check.version),
            master_keys::check_value.eq(&check.check_value),
            master_keys::created_at.eq(millis(now)),
        ))
        .execute(connection)?;
    Ok(())
}
