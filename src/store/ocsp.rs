//! What OCSP answers by: the status of serial numbers, and which of them a publication changed.
//!
//! These queries go by authority, which belongs to one zone: whoever asks names the authority, and nobody's zone.

use std::collections::{BTreeMap, BTreeSet};

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
                Ok(Some(Statuses { number, statuses: statuses(connection, &authority, &serials)? }))
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

/// The status of each, by one query of each table. Revocations first: whatever else is known of a serial number, its
/// authority published this.
fn statuses(
    connection: &mut Connection,
    authority: &Authority,
    asked: &[SerialNumber],
) -> Result<Vec<CertStatus>, StoreError> {
    let revoked = revoked(connection, authority, asked)?;
    // Each table is asked about what the ones before it did not know.
    let mut open: BTreeSet<&SerialNumber> = asked.iter().filter(|serial| !revoked.contains_key(*serial)).collect();
    for table in [certificates_among, authorities_among, responders_among] {
        if open.is_empty() {
            break;
        }
        for found in table(connection, authority, octets(open.iter().copied()))? {
            open.remove(&serial(&found)?);
        }
    }
    let status = |serial: &SerialNumber| match revoked.get(serial) {
        Some(revocation) => CertStatus::Revoked(revocation.clone()),
        None if open.contains(serial) => CertStatus::Unknown,
        None => CertStatus::Good,
    };
    Ok(asked.iter().map(status).collect())
}

fn revoked(
    connection: &mut Connection,
    authority: &Authority,
    asked: &[SerialNumber],
) -> Result<BTreeMap<SerialNumber, Revocation>, StoreError> {
    let shards: BTreeSet<i32> = asked.iter().map(|serial| authority.shard_of(serial)).collect();
    let rows: Vec<(Vec<u8>, i16, i64, Option<i64>)> = revocations::table
        .filter(revocations::authority_id.eq(authority.id.as_bytes().as_slice()))
        .filter(revocations::shard.eq_any(shards))
        .filter(revocations::serial.eq_any(octets(asked)))
        .select((revocations::serial, revocations::reason, revocations::revoked_at, revocations::invalidity_at))
        .load(connection)?;
    let revocation = |(found, code, revoked_at, invalidity_at): (Vec<u8>, i16, i64, Option<i64>)| {
        let (revoked_on, reason) = (time(revoked_at)?, reason(code)?);
        let invalidity_date = invalidity_at.map(time).transpose()?;
        Ok((serial(&found)?, Revocation { revoked_on, reason, invalidity_date }))
    };
    rows.into_iter().map(revocation).collect()
}

/// A root signs authorities alone.
fn certificates_among(
    connection: &mut Connection,
    authority: &Authority,
    asked: Vec<&[u8]>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    if authority.is_root() {
        return Ok(Vec::new());
    }
    let certificates = certificates::table
        .filter(certificates::authority_id.eq(authority.id.as_bytes().as_slice()))
        .filter(certificates::serial.eq_any(asked))
        .select(certificates::serial);
    Ok(certificates.load(connection)?)
}

/// Only a root has authorities below it.
fn authorities_among(
    connection: &mut Connection,
    authority: &Authority,
    asked: Vec<&[u8]>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    if !authority.is_root() {
        return Ok(Vec::new());
    }
    let below = authorities::table
        .filter(authorities::parent_id.eq(authority.id.as_bytes().as_slice()))
        .filter(authorities::serial.eq_any(asked))
        .select(authorities::serial);
    let mut found: Vec<Vec<u8>> = below.load(connection)?;
    // Its own certificate is signed by itself, and as good as it is trusted.
    found.push(authority.serial.as_bytes().to_vec());
    Ok(found)
}

fn responders_among(
    connection: &mut Connection,
    authority: &Authority,
    asked: Vec<&[u8]>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let responders = ocsp_responders::table
        .filter(ocsp_responders::authority_id.eq(authority.id.as_bytes().as_slice()))
        .filter(ocsp_responders::serial.eq_any(asked))
        .select(ocsp_responders::serial);
    Ok(responders.load(connection)?)
}

fn octets<'a>(serials: impl IntoIterator<Item = &'a SerialNumber>) -> Vec<&'a [u8]> {
    serials.into_iter().map(SerialNumber::as_bytes).collect()
}
