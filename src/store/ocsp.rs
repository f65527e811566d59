//! What OCSP answers by: the status of serial numbers, and which of them a publication changed.
//!
//! These queries go by authority, which belongs to one zone: whoever asks names the authority, and nobody's zone.

use std::collections::BTreeSet;

use diesel::Connection as _;
use diesel::prelude::*;

use crate::domain::authority::Authority;
use crate::domain::id::AuthorityId;
use crate::domain::ocsp::{CertStatus, Revocation};
use crate::domain::serial::SerialNumber;

use super::Store;
use super::connection::Connection;
use super::convert::{reason, serial, time};
use super::error::StoreError;
use super::schema::{authorities, certificates, crl_changes, ocsp_responders, publications, revocations};

/// Statuses as they were when the authority's last CRL had this number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    pub number: i64,
    /// In the order of the question.
    pub statuses: Vec<CertStatus>,
}

/// What changed since an earlier CRL number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Up to and with this number.
    pub number: i64,
    /// `None` when that cannot be told any more, or is more than was asked for: anything may have changed.
    pub serials: Option<BTreeSet<SerialNumber>>,
}

impl Store {
    /// The statuses of these serial numbers under an authority, in one snapshot with its CRL number. `None` for an
    /// authority that has none.
    pub async fn certificate_statuses(
        &self,
        authority: Authority,
        serials: Vec<SerialNumber>,
    ) -> Result<Option<Statuses>, StoreError> {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let Some((number, _)) = publication(connection, authority.id)? else { return Ok(None) };
                let statuses = serials.iter().map(|serial| status(connection, &authority, serial));
                Ok(Some(Statuses { number, statuses: statuses.collect::<Result<_, _>>()? }))
            })
        })
        .await
    }

    /// The serial numbers that any CRL after `number` changed, if they are at most `limit`. `None` for an authority that
    /// has no CRL.
    pub async fn changes_since(
        &self,
        authority: AuthorityId,
        number: i64,
        limit: i64,
    ) -> Result<Option<Changes>, StoreError> {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let Some((last, base)) = publication(connection, authority)? else { return Ok(None) };
                // The log is kept from the base on.
                let serials = if number < base { None } else { changed(connection, authority, number, limit)? };
                Ok(Some(Changes { number: last, serials }))
            })
        })
        .await
    }
}

/// The number of the last CRL, and of the base from which changes are kept.
fn publication(connection: &mut Connection, authority: AuthorityId) -> Result<Option<(i64, i64)>, StoreError> {
    let row = publications::table
        .find(authority.as_bytes().as_slice())
        .select((publications::number, publications::base_number))
        .first(connection);
    Ok(row.optional()?)
}

fn changed(
    connection: &mut Connection,
    authority: AuthorityId,
    number: i64,
    limit: i64,
) -> Result<Option<BTreeSet<SerialNumber>>, StoreError> {
    let rows: Vec<Vec<u8>> = crl_changes::table
        .filter(crl_changes::authority_id.eq(authority.as_bytes().as_slice()))
        .filter(crl_changes::number.gt(number))
        .limit(limit + 1)
        .select(crl_changes::serial)
        .load(connection)?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit {
        return Ok(None);
    }
    rows.iter().map(|row| serial(row)).collect::<Result<_, _>>().map(Some)
}

/// Revocations first: whatever else is known of a serial number, its authority published this.
fn status(connection: &mut Connection, authority: &Authority, serial: &SerialNumber) -> Result<CertStatus, StoreError> {
    let found = revocations::table
        .find((authority.id.as_bytes().as_slice(), authority.shard_of(serial), serial.as_bytes()))
        .select((revocations::reason, revocations::revoked_at, revocations::invalidity_at))
        .first::<(i16, i64, Option<i64>)>(connection)
        .optional()?;
    if let Some((code, revoked_at, invalidity_at)) = found {
        return Ok(CertStatus::Revoked(Revocation {
            revoked_on: time(revoked_at)?,
            reason: reason(code)?,
            invalidity_date: invalidity_at.map(time).transpose()?,
        }));
    }
    let was_issued = is_certificate(connection, authority, serial)?
        || is_authority_below(connection, authority, serial)?
        || is_responder(connection, authority, serial)?;
    Ok(if was_issued { CertStatus::Good } else { CertStatus::Unknown })
}

fn is_certificate(
    connection: &mut Connection,
    authority: &Authority,
    serial: &SerialNumber,
) -> Result<bool, StoreError> {
    if authority.is_root() {
        return Ok(false);
    }
    let certificate = certificates::table
        .filter(certificates::authority_id.eq(authority.id.as_bytes().as_slice()))
        .filter(certificates::serial.eq(serial.as_bytes()))
        .select(certificates::serial)
        .first::<Vec<u8>>(connection);
    Ok(certificate.optional()?.is_some())
}

/// Only a root has authorities below it.
fn is_authority_below(
    connection: &mut Connection,
    authority: &Authority,
    serial: &SerialNumber,
) -> Result<bool, StoreError> {
    if !authority.is_root() {
        return Ok(false);
    }
    let below = authorities::table
        .filter(authorities::parent_id.eq(authority.id.as_bytes().as_slice()))
        .filter(authorities::serial.eq(serial.as_bytes()))
        .select(authorities::state)
        .first::<i16>(connection);
    // Its own certificate is signed by itself, and as good as it is trusted.
    Ok(below.optional()?.is_some() || authority.serial == *serial)
}

fn is_responder(connection: &mut Connection, authority: &Authority, serial: &SerialNumber) -> Result<bool, StoreError> {
    let responder = ocsp_responders::table
        .find((authority.id.as_bytes().as_slice(), serial.as_bytes()))
        .select(ocsp_responders::key_version)
        .first::<i32>(connection);
    Ok(responder.optional()?.is_some())
}
