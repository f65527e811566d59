//! Authorities and their sealed keys. A sealed key leaves this module only towards the one place that opens it.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::authority::{Authority, AuthorityState, Crl, Shards};
use crate::domain::id::{AccountId, AuthorityId, ZoneId};
use crate::domain::key::AuthorityKeyType;

use super::connection::Connection;
use super::convert::{account_id, authority_id, damaged, millis, serial, time, zone_id};
use super::error::StoreError;
use super::publications::Publication;
use super::schema::authorities;
use super::{Store, audit, crls};

/// A private key as it rests: AES-256-GCM under the master key of that version.
#[derive(Clone)]
pub struct SealedKey {
    pub version: i32,
    pub bytes: Vec<u8>,
}

/// An authority to be stored, with its sealed key and its first CRLs.
#[derive(Clone)]
pub struct NewAuthority {
    pub authority: Authority,
    pub sealed_key: SealedKey,
    pub publication: Publication,
    pub first_crls: Vec<Crl>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = authorities)]
struct AuthorityRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    zone_id: Option<Vec<u8>>,
    parent_id: Option<Vec<u8>>,
    name: String,
    state: i16,
    key_type: String,
    serial: Vec<u8>,
    certificate: Vec<u8>,
    ski: Vec<u8>,
    not_before: i64,
    not_after: i64,
    crl_shards: i32,
    crl_shard_url: Option<String>,
}

impl AuthorityRow {
    fn into_domain(self) -> Result<Authority, StoreError> {
        Ok(Authority {
            id: authority_id(&self.id)?,
            account: account_id(&self.account_id)?,
            zone: self.zone_id.as_deref().map(zone_id).transpose()?,
            parent: self.parent_id.as_deref().map(authority_id).transpose()?,
            name: self.name,
            state: AuthorityState::from_code(self.state).ok_or_else(|| damaged("an authority's state"))?,
            key_type: AuthorityKeyType::parse(&self.key_type).ok_or_else(|| damaged("an authority's key type"))?,
            serial: serial(&self.serial)?,
            certificate: self.certificate,
            ski: self.ski,
            not_before: time(self.not_before)?,
            not_after: time(self.not_after)?,
            shards: self.crl_shard_url.map(|url| Shards { count: self.crl_shards, url }),
        })
    }
}

impl Store {
    /// One authority, by id. For the public PKI addresses, which belong to no zone.
    pub async fn authority(&self, id: AuthorityId) -> Result<Option<Authority>, StoreError> {
        self.read(move |connection| {
            let row =
                authorities::table.find(id.as_bytes().as_slice()).select(AuthorityRow::as_select()).first(connection);
            row.optional()?.map(AuthorityRow::into_domain).transpose()
        })
        .await
    }

    /// The authorities that ever signed for a zone, oldest first.
    pub async fn zone_authorities(&self, zone: ZoneId) -> Result<Vec<Authority>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<AuthorityRow> = authorities::table
                .filter(authorities::zone_id.eq(zone.as_bytes().as_slice()))
                .order((authorities::created_at, authorities::id))
                .select(AuthorityRow::as_select())
                .load(connection)?;
            rows.into_iter().map(AuthorityRow::into_domain).collect()
        })
        .await
    }

    /// The root authorities of an account, oldest first.
    pub async fn roots(&self, account: AccountId) -> Result<Vec<Authority>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<AuthorityRow> = authorities::table
                .filter(authorities::account_id.eq(account.as_bytes().as_slice()))
                .filter(authorities::parent_id.is_null())
                .order((authorities::created_at, authorities::id))
                .select(AuthorityRow::as_select())
                .load(connection)?;
            rows.into_iter().map(AuthorityRow::into_domain).collect()
        })
        .await
    }

    /// Stores an authority that signs for a zone from now on, and retires those that did.
    pub async fn replace_authority(
        &self,
        zone: ZoneId,
        new: NewAuthority,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            let active = authorities::table
                .filter(authorities::zone_id.eq(zone.as_bytes().as_slice()))
                .filter(authorities::state.eq(AuthorityState::Active.code()));
            diesel::update(active).set(authorities::state.eq(AuthorityState::Retired.code())).execute(connection)?;
            insert(connection, &new)?;
            audit::insert(connection, &event)
        })
        .await
    }

    /// The sealed private key of an authority.
    pub async fn sealed_key(&self, id: AuthorityId) -> Result<Option<SealedKey>, StoreError> {
        self.read(move |connection| {
            let row: Option<(i32, Vec<u8>)> = authorities::table
                .find(id.as_bytes().as_slice())
                .select((authorities::key_version, authorities::sealed_key))
                .first(connection)
                .optional()?;
            Ok(row.map(|(version, bytes)| SealedKey { version, bytes }))
        })
        .await
    }
}

pub(super) fn insert(connection: &mut Connection, new: &NewAuthority) -> Result<(), StoreError> {
    let authority = &new.authority;
    diesel::insert_into(authorities::table)
        .values((
            authorities::id.eq(authority.id.as_bytes().as_slice()),
            authorities::account_id.eq(authority.account.as_bytes().as_slice()),
            authorities::zone_id.eq(authority.zone.as_ref().map(|id| id.as_bytes().to_vec())),
            authorities::parent_id.eq(authority.parent.as_ref().map(|id| id.as_bytes().to_vec())),
            authorities::name.eq(&authority.name),
            authorities::state.eq(authority.state.code()),
            authorities::key_type.eq(authority.key_type.as_str()),
            authorities::serial.eq(authority.serial.as_bytes()),
            authorities::certificate.eq(&authority.certificate),
            authorities::sealed_key.eq(&new.sealed_key.bytes),
            authorities::key_version.eq(new.sealed_key.version),
            authorities::ski.eq(&authority.ski),
            authorities::not_before.eq(millis(authority.not_before)),
            authorities::not_after.eq(millis(authority.not_after)),
            authorities::crl_shards.eq(authority.shards.as_ref().map_or(0, |shards| shards.count)),
            authorities::crl_shard_url.eq(authority.shards.as_ref().map(|shards| shards.url.clone())),
            authorities::created_at.eq(millis(new.publication.this_update)),
        ))
        .execute(connection)?;
    crls::insert_first(connection, &new.publication, &new.first_crls)
}
