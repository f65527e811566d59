//! Certificates: reading them, one and many. Writing them is in `issuance`, changing them in `transitions` and `crls`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::domain::certificate::{Certificate, Receipt, Revocation, SubjectFields};
use crate::domain::id::{AuthorityId, CertificateId, ZoneId};
use crate::domain::serial::SerialNumber;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};

use super::Store;
use super::bulk_insert::{Row, Value};
use super::connection::Connection;
use super::convert::{
    authority_id, certificate_id, damaged, from_json, millis, reason, serial, status, time, to_json, zone_id,
};
use super::error::StoreError;
use super::schema::{authorities, certificates};

/// A certificate to be stored; it starts active.
#[derive(Clone)]
pub struct NewCertificate {
    pub certificate: Certificate,
    pub created_on: DateTime<Utc>,
}

/// Which part of a list: skip `offset` rows, then take `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub offset: i64,
    pub length: i64,
}

impl Window {
    pub const ALL: Self = Self { offset: 0, length: i64::MAX };
}

impl<T> Page<T> {
    /// A part of a list that is at hand whole.
    pub(super) fn of_list(list: Vec<T>, window: Window) -> Self {
        let total = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let skip = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(window.length).unwrap_or(usize::MAX);
        Self { items: list.into_iter().skip(skip).take(take).collect(), total }
    }
}

/// Part of a list, with the total of the whole.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = certificates)]
pub(super) struct CertificateRow {
    id: Vec<u8>,
    zone_id: Vec<u8>,
    authority_id: Vec<u8>,
    serial: Vec<u8>,
    der: Vec<u8>,
    csr: String,
    ski: Vec<u8>,
    fingerprint_sha256: Vec<u8>,
    spki_sha256: Vec<u8>,
    signature: String,
    common_name: String,
    subject: String,
    subject_alternative_names: String,
    profile: String,
    validity_days: i32,
    not_before: i64,
    not_after: i64,
    status: i16,
    version: i32,
    revocation_reason: Option<i16>,
    revocation_requested_at: Option<i64>,
    revoked_at: Option<i64>,
    revocation_crl_number: Option<i64>,
    receipt_status: Option<i16>,
    receipt_crl_number: Option<i64>,
    receipt_published_at: Option<i64>,
    invalidity_at: Option<i64>,
}

impl Store {
    /// One certificate of a zone.
    pub async fn certificate(&self, zone: ZoneId, id: CertificateId) -> Result<Option<Certificate>, StoreError> {
        self.read(move |connection| find(connection, zone, id)).await
    }

    /// The certificate of a zone that one of its authorities gave this serial number.
    pub async fn certificate_by_serial(
        &self,
        zone: ZoneId,
        authority: AuthorityId,
        serial: SerialNumber,
    ) -> Result<Option<Certificate>, StoreError> {
        self.read(move |connection| {
            let row: Option<(CertificateRow, String)> = certificates::table
                .inner_join(authorities::table)
                .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
                .filter(certificates::authority_id.eq(authority.as_bytes().as_slice()))
                .filter(certificates::serial.eq(serial.as_bytes()))
                .select((CertificateRow::as_select(), authorities::name))
                .first(connection)
                .optional()?;
            row.map(into_domain).transpose()
        })
        .await
    }

    /// The end of the latest certificate that an authority signed: how long it must go on publishing.
    pub async fn latest_end(&self, authority: AuthorityId) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read(move |connection| {
            let latest: Option<i64> = certificates::table
                .filter(certificates::authority_id.eq(authority.as_bytes().as_slice()))
                .select(diesel::dsl::max(certificates::not_after))
                .first(connection)?;
            latest.map(time).transpose()
        })
        .await
    }
}

pub(super) fn find(
    connection: &mut Connection,
    zone: ZoneId,
    id: CertificateId,
) -> Result<Option<Certificate>, StoreError> {
    let row: Option<(CertificateRow, String)> = certificates::table
        .inner_join(authorities::table)
        .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(certificates::id.eq(id.as_bytes().as_slice()))
        .select((CertificateRow::as_select(), authorities::name))
        .first(connection)
        .optional()?;
    row.map(into_domain).transpose()
}

/// As it is inserted into `certificates`.
pub(super) fn row(new: &NewCertificate) -> Result<Row<'_>, StoreError> {
    let certificate = &new.certificate;
    Ok(vec![
        ("id", Value::binary(certificate.id.as_bytes())),
        ("zone_id", Value::binary(certificate.zone.as_bytes())),
        ("authority_id", Value::binary(certificate.authority.as_bytes())),
        ("serial", Value::binary(certificate.serial.as_bytes())),
        ("der", Value::binary(&certificate.der)),
        ("csr", Value::text(&certificate.csr)),
        ("ski", Value::binary(&certificate.ski)),
        ("fingerprint_sha256", Value::binary(&certificate.fingerprint_sha256)),
        ("spki_sha256", Value::binary(&certificate.spki_sha256)),
        ("signature", Value::text(&certificate.signature)),
        ("common_name", Value::text(&certificate.subject.common_name)),
        ("subject", Value::Text(to_json(&OtherSubjectFields::of(&certificate.subject))?.into())),
        ("subject_alternative_names", Value::Text(names_to_json(&certificate.subject_alternative_names)?.into())),
        ("profile", Value::text(&certificate.profile)),
        ("validity_days", Value::Integer(certificate.validity_days)),
        ("not_before", Value::BigInt(millis(certificate.not_before))),
        ("not_after", Value::BigInt(millis(certificate.not_after))),
        ("created_at", Value::BigInt(millis(new.created_on))),
        ("status", Value::SmallInt(certificate.status.code())),
        ("version", Value::Integer(certificate.version)),
    ])
}

/// Those of the zone that have these ids, in the order of the ids.
pub(super) fn of_ids(
    connection: &mut Connection,
    zone: ZoneId,
    ids: Vec<Vec<u8>>,
) -> Result<Vec<Certificate>, StoreError> {
    let rows: Vec<(CertificateRow, String)> = certificates::table
        .inner_join(authorities::table)
        .filter(certificates::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(certificates::id.eq_any(ids))
        .order(certificates::id)
        .select((CertificateRow::as_select(), authorities::name))
        .load(connection)?;
    rows.into_iter().map(into_domain).collect()
}

fn into_domain((row, authority_name): (CertificateRow, String)) -> Result<Certificate, StoreError> {
    let other: OtherSubjectFields = from_json(&row.subject)?;
    let revocation = match (row.revocation_reason, row.revocation_requested_at) {
        (Some(code), Some(requested_at)) => Some(Revocation {
            reason: reason(code)?,
            requested_on: time(requested_at)?,
            invalidity_date: row.invalidity_at.map(time).transpose()?,
            revoked_on: row.revoked_at.map(time).transpose()?,
            crl_number: row.revocation_crl_number,
        }),
        _ => None,
    };
    let receipt = match (row.receipt_status, row.receipt_crl_number, row.receipt_published_at) {
        (Some(code), Some(crl_number), Some(published_at)) => {
            Some(Receipt { status: status(code)?, crl_number, published_on: time(published_at)? })
        }
        _ => None,
    };
    Ok(Certificate {
        id: certificate_id(&row.id)?,
        zone: zone_id(&row.zone_id)?,
        authority: authority_id(&row.authority_id)?,
        authority_name,
        serial: serial(&row.serial)?,
        der: row.der,
        csr: row.csr,
        ski: row.ski,
        fingerprint_sha256: row.fingerprint_sha256,
        spki_sha256: row.spki_sha256,
        signature: row.signature,
        subject: other.with_common_name(row.common_name),
        subject_alternative_names: names_from_json(&row.subject_alternative_names)?,
        profile: row.profile,
        validity_days: row.validity_days,
        not_before: time(row.not_before)?,
        not_after: time(row.not_after)?,
        status: status(row.status)?,
        version: row.version,
        revocation,
        receipt,
    })
}

/// The subject fields that are only shown, never searched: one JSON column.
#[derive(Serialize, Deserialize)]
struct OtherSubjectFields {
    organization: String,
    organizational_unit: String,
    country: String,
    state: String,
    location: String,
}

impl OtherSubjectFields {
    fn of(subject: &SubjectFields) -> Self {
        Self {
            organization: subject.organization.clone(),
            organizational_unit: subject.organizational_unit.clone(),
            country: subject.country.clone(),
            state: subject.state.clone(),
            location: subject.location.clone(),
        }
    }

    fn with_common_name(self, common_name: String) -> SubjectFields {
        SubjectFields {
            common_name,
            organization: self.organization,
            organizational_unit: self.organizational_unit,
            country: self.country,
            state: self.state,
            location: self.location,
        }
    }
}

fn names_to_json(names: &[SubjectAlternativeName]) -> Result<String, StoreError> {
    to_json(&names.iter().map(|name| (name.kind().as_str(), name.value())).collect::<Vec<_>>())
}

fn names_from_json(text: &str) -> Result<Vec<SubjectAlternativeName>, StoreError> {
    let names: Vec<(String, String)> = from_json(text)?;
    let name = |(kind, value): &(String, String)| {
        let kind = SubjectAlternativeNameType::parse(kind)?;
        SubjectAlternativeName::parse(kind, value).ok()
    };
    names.iter().map(|stored| name(stored).ok_or_else(|| damaged("a subject alternative name"))).collect()
}
