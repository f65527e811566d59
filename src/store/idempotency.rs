//! Idempotency keys: which certificate a repeated POST is answered with.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::id::{CertificateId, TokenId, ZoneId};

use super::Store;
use super::connection::{Connection, on_either};
use super::convert::{certificate_id, from_json, millis, to_json, zone_id};
use super::error::StoreError;
use super::schema::idempotency_keys;

/// A caller's word that requests under this key are one and the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyClaim {
    pub token: TokenId,
    /// SHA-256 of the key; the key itself is the caller's and not kept.
    pub key_sha256: [u8; 32],
    /// SHA-256 over what was asked for, the zone included.
    pub request_sha256: [u8; 32],
    pub created_on: DateTime<Utc>,
}

/// The first result under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub request_sha256: Vec<u8>,
    pub zone: ZoneId,
    pub certificate: CertificateId,
    pub messages: Vec<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
struct ClaimedRow {
    request_sha256: Vec<u8>,
    zone_id: Vec<u8>,
    certificate_id: Vec<u8>,
    messages: String,
}

impl ClaimedRow {
    fn into_domain(self) -> Result<Claimed, StoreError> {
        Ok(Claimed {
            request_sha256: self.request_sha256,
            zone: zone_id(&self.zone_id)?,
            certificate: certificate_id(&self.certificate_id)?,
            messages: from_json(&self.messages)?,
        })
    }
}

impl Store {
    /// The first result under the key, if the caller has used it since `oldest`.
    pub async fn claimed(&self, claim: IdempotencyClaim, oldest: DateTime<Utc>) -> Result<Option<Claimed>, StoreError> {
        self.read(move |connection| find(connection, &claim, oldest)).await
    }

    /// Forgets keys that are older than `oldest`.
    pub async fn forget_idempotency_keys(&self, oldest: DateTime<Utc>) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(millis(oldest)));
            Ok(diesel::delete(old).execute(connection)?)
        })
        .await
    }
}

pub(super) fn find(
    connection: &mut Connection,
    claim: &IdempotencyClaim,
    oldest: DateTime<Utc>,
) -> Result<Option<Claimed>, StoreError> {
    let row = idempotency_keys::table
        .find((claim.token.as_bytes().as_slice(), claim.key_sha256.as_slice()))
        .filter(idempotency_keys::created_at.ge(millis(oldest)))
        .select(ClaimedRow::as_select())
        .first(connection);
    row.optional()?.map(ClaimedRow::into_domain).transpose()
}

/// Records the first result; a key that has aged out is taken over.
pub(super) fn insert(
    connection: &mut Connection,
    claim: &IdempotencyClaim,
    zone: ZoneId,
    certificate: CertificateId,
    messages: &[String],
) -> Result<(), StoreError> {
    let result = (
        idempotency_keys::request_sha256.eq(claim.request_sha256.as_slice()),
        idempotency_keys::zone_id.eq(zone.as_bytes().as_slice()),
        idempotency_keys::certificate_id.eq(certificate.as_bytes().as_slice()),
        idempotency_keys::messages.eq(to_json(&messages)?),
        idempotency_keys::created_at.eq(millis(claim.created_on)),
    );
    let upsert = diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::token_id.eq(claim.token.as_bytes().as_slice()),
            idempotency_keys::key_sha256.eq(claim.key_sha256.as_slice()),
            result.clone(),
        ))
        .on_conflict((idempotency_keys::token_id, idempotency_keys::key_sha256))
        .do_update()
        .set(result);
    on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(())
}
