//! The certificates and sealed keys of OCSP responders. All processes share the newest of each authority.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::authority::AuthorityState;
use crate::domain::id::AuthorityId;
use crate::domain::key::AuthorityKeyType;
use crate::domain::serial::SerialNumber;

use super::connection::Connection;
use super::convert::{authority_id, damaged, millis, serial, time};
use super::error::StoreError;
use super::schema::{authorities, ocsp_responders};
use super::{SealedKey, Store, audit};

/// A responder's certificate with its sealed key.
#[derive(Clone)]
pub struct StoredResponder {
    pub authority: AuthorityId,
    pub serial: SerialNumber,
    /// DER.
    pub certificate: Vec<u8>,
    pub key_type: AuthorityKeyType,
    pub sealed_key: SealedKey,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = ocsp_responders)]
struct ResponderRow {
    authority_id: Vec<u8>,
    serial: Vec<u8>,
    certificate: Vec<u8>,
    key_type: String,
    sealed_key: Vec<u8>,
    key_version: i32,
    not_before: i64,
    not_after: i64,
}

impl Store {
    /// The authority's responder that is valid now and lasts longest.
    pub async fn responder(
        &self,
        authority: AuthorityId,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredResponder>, StoreError> {
        self.read(move |connection| newest(connection, authority, now)).await
    }

    /// Stores a responder, unless another one than `replaced` has become the newest meanwhile: that one is then given
    /// back, and nothing was written.
    pub async fn add_responder(
        &self,
        new: StoredResponder,
        replaced: Option<SerialNumber>,
        now: DateTime<Utc>,
        event: AuditEvent,
    ) -> Result<Option<StoredResponder>, StoreError> {
        self.write(move |connection| {
            let newest = newest(connection, new.authority, now)?;
            if newest.as_ref().map(|newest| &newest.serial) != replaced.as_ref() {
                return Ok(newest);
            }
            insert(connection, &new, now)?;
            audit::insert(connection, &event)?;
            Ok(None)
        })
        .await
    }

    /// Authorities that answer and have no responder in the first half of its life, nor one that lasts as long as they
    /// do themselves.
    pub async fn authorities_without_fresh_responder(
        &self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<AuthorityId>, StoreError> {
        self.read(move |connection| {
            let (start, end) = (ocsp_responders::not_before, ocsp_responders::not_after);
            let fresh = ocsp_responders::table
                .filter(ocsp_responders::authority_id.eq(authorities::id))
                .filter(start.le(millis(now)))
                .filter(end.gt(millis(now)))
                .filter((start + end).gt(2 * millis(now)).or(end.ge(authorities::not_after)));
            let rows: Vec<Vec<u8>> = authorities::table
                .filter(authorities::state.ne(AuthorityState::Disabled.code()))
                .filter(authorities::not_after.gt(millis(now)))
                .filter(not(exists(fresh)))
                .order(authorities::id)
                .limit(limit)
                .select(authorities::id)
                .load(connection)?;
            rows.iter().map(|id| authority_id(id)).collect()
        })
        .await
    }

    /// Forgets responders that ended before this.
    pub async fn forget_responders(&self, ended_before: DateTime<Utc>) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let ended = ocsp_responders::table.filter(ocsp_responders::not_after.lt(millis(ended_before)));
            Ok(diesel::delete(ended).execute(connection)?)
        })
        .await
    }
}

fn newest(
    connection: &mut Connection,
    authority: AuthorityId,
    now: DateTime<Utc>,
) -> Result<Option<StoredResponder>, StoreError> {
    let row = ocsp_responders::table
        .filter(ocsp_responders::authority_id.eq(authority.as_bytes().as_slice()))
        .filter(ocsp_responders::not_before.le(millis(now)))
        .filter(ocsp_responders::not_after.gt(millis(now)))
        .order((ocsp_responders::not_after.desc(), ocsp_responders::serial.desc()))
        .select(ResponderRow::as_select())
        .first(connection);
    row.optional()?.map(into_domain).transpose()
}

fn insert(connection: &mut Connection, new: &StoredResponder, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(ocsp_responders::table)
        .values((
            ocsp_responders::authority_id.eq(new.authority.as_bytes().as_slice()),
            ocsp_responders::serial.eq(new.serial.as_bytes()),
            ocsp_responders::certificate.eq(&new.certificate),
            ocsp_responders::key_type.eq(new.key_type.as_str()),
            ocsp_responders::sealed_key.eq(&new.sealed_key.bytes),
            ocsp_responders::key_version.eq(new.sealed_key.version),
            ocsp_responders::not_before.eq(millis(new.not_before)),
            ocsp_responders::not_after.eq(millis(new.not_after)),
            ocsp_responders::created_at.eq(millis(now)),
        ))
        .execute(connection)?;
    Ok(())
}

fn into_domain(row: ResponderRow) -> Result<StoredResponder, StoreError> {
    Ok(StoredResponder {
        authority: authority_id(&row.authority_id)?,
        serial: serial(&row.serial)?,
        certificate: row.certificate,
        key_type: AuthorityKeyType::parse(&row.key_type).ok_or_else(|| damaged("a responder's key type"))?,
        sealed_key: SealedKey { version: row.key_version, bytes: row.sealed_key },
        not_before: time(row.not_before)?,
        not_after: time(row.not_after)?,
    })
}
