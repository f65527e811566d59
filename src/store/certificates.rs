//! Certificates: reading them, one and many. Writing them is in `issuance`, changing them in `transitions` and `crls`.

use chrono::{DateTime, Utc};
use diesel::Connection as _;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::domain::certificate::{
    Certificate, CertificateFilter, CertificateOrder, Receipt, Revocation, SubjectFields,
};
use crate::domain::id::{AuthorityId, CertificateId, ZoneId};
use crate::domain::serial::SerialNumber;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};

use super::bulk_insert::{Row, Value};
use super::connection::{Connection, MultiBackend};
use super::convert::{
    authority_id, certificate_id, damaged, from_json, millis, reason, serial, status, time, to_json, zone_id,
};
use super::error::StoreError;
use super::schema::{authorities, certificates};
use super::{Store, counters};

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

    /// Certificates of a zone.
    pub async fn certificates(
        &self,
        zone: ZoneId,
        filter: CertificateFilter,
        order: CertificateOrder,
        window: Window,
    ) -> Result<Page<Certificate>, StoreError> {
        // One snapshot: a page counted from the end must not shift under a certificate issued meanwhile.
        self.read(move |connection| connection.transaction(|connection| page(connection, zone, &filter, order, window)))
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

fn page(
    connection: &mut Connection,
    zone: ZoneId,
    filter: &CertificateFilter,
    order: CertificateOrder,
    window: Window,
) -> Result<Page<Certificate>, StoreError> {
    let total = if filter.is_by_status_only() {
        counters::total(connection, zone, filter.status)?
    } else {
        filtered(zone, filter).count().get_result(connection)?
    };
    let ids = ids_of_page(connection, zone, filter, order, window, total)?;
    let mut items = of_ids(connection, zone, ids)?;
    if order.is_by_end() {
        items.sort_by_key(|certificate| (certificate.not_after, certificate.id));
    }
    if matches!(order, CertificateOrder::NewestFirst | CertificateOrder::LastToEnd) {
        items.reverse();
    }
    Ok(Page { items, total })
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

/// Finds the page in the indexes alone, from whichever end of the list is nearer: the large rows before it are never
/// touched.
fn ids_of_page(
    connection: &mut Connection,
    zone: ZoneId,
    filter: &CertificateFilter,
    order: CertificateOrder,
    window: Window,
    total: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let left = total.saturating_sub(window.offset);
    let length = window.length.min(left);
    if length <= 0 {
        return Ok(Vec::new());
    }
    let (order, offset) =
        if window.offset > total / 2 { (order.reversed(), left - length) } else { (order, window.offset) };
    // No index has a status in the order of the ends: either the rows are looked at in that order until enough have the
    // status, or all that have it are sorted. What is an expression leads to no index, so each way leaves only its own.
    let has_only_status = order.is_by_end() && filter.status.is_some() && filter.is_by_status_only();
    let is_sorted = has_only_status && !is_walk_shorter(connection, zone, offset + length, total)?;
    let query = match filter.status {
        Some(status) if order.is_by_end() && !is_sorted => {
            let rest = CertificateFilter { status: None, ..filter.clone() };
            filtered(zone, &rest).filter((certificates::status + 0_i16).eq(status.code()))
        }
        _ => filtered(zone, filter),
    };
    let ids = query.select(certificates::id).limit(length).offset(offset);
    let end = certificates::not_after + 0_i64;
    let ids = match order {
        CertificateOrder::OldestFirst => ids.order(certificates::id),
        CertificateOrder::NewestFirst => ids.order(certificates::id.desc()),
        CertificateOrder::FirstToEnd if is_sorted => ids.order((end, certificates::id)),
        CertificateOrder::LastToEnd if is_sorted => ids.order((end.desc(), certificates::id.desc())),
        CertificateOrder::FirstToEnd => ids.order((certificates::not_after, certificates::id)),
        CertificateOrder::LastToEnd => ids.order((certificates::not_after.desc(), certificates::id.desc())),
    };
    Ok(ids.load(connection)?)
}

/// Whether to find the first `count` certificates of a status, of which there are `total`, fewer rows are looked at in the
/// order of the ends than there are with that status.
fn is_walk_shorter(connection: &mut Connection, zone: ZoneId, count: i64, total: i64) -> Result<bool, StoreError> {
    let of_zone = counters::total(connection, zone, None)?;
    Ok(i128::from(count) * i128::from(of_zone) < i128::from(total) * i128::from(total))
}

type Filtered<'a> = certificates::BoxedQuery<'a, MultiBackend>;

fn filtered(zone: ZoneId, filter: &CertificateFilter) -> Filtered<'static> {
    let mut query = certificates::table.into_boxed().filter(certificates::zone_id.eq(zone.as_bytes().to_vec()));
    if let Some(status) = filter.status {
        query = query.filter(certificates::status.eq(status.code()));
    }
    if let Some(prefix) = &filter.common_name {
        // A range instead of LIKE: it uses the index, and `%` and `_` in names stand for themselves.
        let end = format!("{prefix}{}", char::MAX);
        query = query.filter(certificates::common_name.ge(prefix.clone())).filter(certificates::common_name.lt(end));
    }
    if let Some(serial) = &filter.serial {
        query = query.filter(certificates::serial.eq(serial.as_bytes().to_vec())).filter(
            certificates::authority_id.eq_any(
                authorities::table.filter(authorities::zone_id.eq(zone.as_bytes().to_vec())).select(authorities::id),
            ),
        );
    }
    if let Some(fingerprint) = &filter.fingerprint_sha256 {
        query = query.filter(certificates::fingerprint_sha256.eq(fingerprint.clone()));
    }
    if let Some(end) = filter.expires_before {
        query = query.filter(certificates::not_after.lt(millis(end)));
    }
    if let Some(start) = filter.expires_after {
        query = query.filter(certificates::not_after.gt(millis(start)));
    }
    query
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
