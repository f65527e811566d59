//! Very many certificates at once, for stores to measure and to try things on: nobody serves from the database meanwhile,
//! and nothing of it is worth keeping if it fails halfway.
//!
//! Everything is one transaction on a connection of its own. SQLite keeps no journal of it and syncs once at the end, so
//! that a process which is killed in the middle leaves a damaged file; PostgreSQL rolls back.

use std::fs::File;

use chrono::DateTime;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::certificate::Certificate;
use crate::domain::id::{AuthorityId, ZoneId};
use crate::domain::status::Status;

use super::certificates::{NewCertificate, names_to_json, subject_to_json};
use super::connection::{self, Connection, Database};
use super::convert::{damaged, millis};
use super::error::StoreError;
use super::schema::{audit_events, certificates, publications, revocations};
use super::{counters, migrations, postgres};

/// PostgreSQL takes at most 65 535 values in a statement, and a certificate has 28.
const ROWS_OF_A_STATEMENT: usize = 1000;

const SQLITE_SETTINGS: &str = "
    PRAGMA synchronous = OFF;
    PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -1000000;
    BEGIN EXCLUSIVE;
";

const POSTGRES_SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = 0;
    SET synchronous_commit = off;
    SET work_mem = '64MB';
";

/// What PostgreSQL does by itself within minutes: a large table that it knows nothing of is read by the wrong plans.
const POSTGRES_AFTERWARDS: &str = "VACUUM (ANALYZE)";

/// A certificate that was signed, with what belongs to it.
pub struct SeededCertificate {
    /// Active, or revoked with a revocation and a receipt.
    pub new: NewCertificate,
    /// The shard of the CRL that lists it if it is revoked.
    pub shard: i32,
    pub event: AuditEvent,
}

/// Puts certificates into one zone of a database that nobody else uses.
pub struct Seeder {
    database: Database,
    connection: Connection,
    zone: ZoneId,
    authority: AuthorityId,
    active: i64,
    revoked: i64,
}

impl Seeder {
    /// Begins. Fails with [`StoreError::Unavailable`] while somebody else has an embedded database open.
    pub fn begin(database: &Database, zone: ZoneId, authority: AuthorityId) -> Result<Self, StoreError> {
        let mut connection = connection::open_writer(database)?;
        migrations::require_current(&mut connection)?;
        match &mut connection {
            Connection::Sqlite(connection) => {
                let mode: JournalMode = diesel::sql_query("PRAGMA journal_mode = OFF").get_result(connection)?;
                if mode.journal_mode != "off" {
                    return Err(StoreError::Unavailable(format!("somebody else is using {database}")));
                }
                connection.batch_execute(SQLITE_SETTINGS)?;
            }
            Connection::Postgres(connection) => {
                connection.batch_execute(POSTGRES_SETTINGS)?;
                postgres::begin(connection)?;
            }
        }
        Ok(Self { database: database.clone(), connection, zone, authority, active: 0, revoked: 0 })
    }

    pub fn add(&mut self, batch: &[SeededCertificate]) -> Result<(), StoreError> {
        let rows = batch.iter().map(CertificateRow::of).collect::<Result<Vec<_>, _>>()?;
        let events: Vec<_> = batch.iter().map(|seeded| EventRow::of(&seeded.event)).collect();
        let revoked: Vec<_> = batch.iter().filter_map(RevocationRow::of).collect();
        match &mut self.connection {
            // Statements that are prepared once; one for many rows would be built anew for each batch.
            Connection::Sqlite(connection) => {
                for row in &rows {
                    diesel::insert_into(certificates::table).values(row).execute(connection)?;
                }
                for row in &events {
                    diesel::insert_into(audit_events::table).values(row).execute(connection)?;
                }
                for row in &revoked {
                    diesel::insert_into(revocations::table).values(row).execute(connection)?;
                }
            }
            Connection::Postgres(connection) => {
                for rows in rows.chunks(ROWS_OF_A_STATEMENT) {
                    diesel::insert_into(certificates::table).values(rows).execute(connection)?;
                }
                for rows in events.chunks(ROWS_OF_A_STATEMENT) {
                    diesel::insert_into(audit_events::table).values(rows).execute(connection)?;
                }
                for rows in revoked.chunks(ROWS_OF_A_STATEMENT) {
                    diesel::insert_into(revocations::table).values(rows).execute(connection)?;
                }
            }
        }
        let count = |length: usize| i64::try_from(length).map_err(|_| damaged("the length of a batch"));
        self.active += count(batch.len() - revoked.len())?;
        self.revoked += count(revoked.len())?;
        Ok(())
    }

    /// Commits, durably. The authority's next CRL, which lists what was revoked here, is due then.
    pub fn finish(mut self) -> Result<(), StoreError> {
        for (status, count) in [(Status::Active, self.active), (Status::Revoked, self.revoked)] {
            if count > 0 {
                counters::add_many(&mut self.connection, self.zone, status, count)?;
            }
        }
        diesel::update(publications::table.find(self.authority.as_bytes().as_slice()))
            .set(publications::oldest_update.eq(millis(DateTime::UNIX_EPOCH)))
            .execute(&mut self.connection)?;
        self.connection.batch_execute("COMMIT")?;
        match (self.connection, &self.database) {
            (connection, Database::Sqlite(path)) => {
                drop(connection);
                let synced = File::open(path).and_then(|file| file.sync_all());
                synced.map_err(|error| StoreError::Unavailable(format!("{} cannot be synced: {error}", self.database)))
            }
            (mut connection, Database::Postgres(_)) => Ok(connection.batch_execute(POSTGRES_AFTERWARDS)?),
        }
    }
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = diesel::sql_types::Text)]
    journal_mode: String,
}

#[derive(Insertable)]
#[diesel(table_name = certificates, treat_none_as_default_value = false)]
struct CertificateRow<'a> {
    id: &'a [u8],
    zone_id: &'a [u8],
    authority_id: &'a [u8],
    serial: &'a [u8],
    der: &'a [u8],
    csr: &'a str,
    ski: &'a [u8],
    fingerprint_sha256: &'a [u8],
    spki_sha256: &'a [u8],
    signature: &'a str,
    common_name: &'a str,
    subject: String,
    subject_alternative_names: String,
    profile: &'a str,
    validity_days: i32,
    not_before: i64,
    not_after: i64,
    created_at: i64,
    status: i16,
    version: i32,
    revocation_reason: Option<i16>,
    revocation_requested_at: Option<i64>,
    revoked_at: Option<i64>,
    revocation_crl_number: Option<i64>,
    receipt_status: Option<i16>,
    receipt_crl_number: Option<i64>,
    receipt_published_at: Option<i64>,
}

impl<'a> CertificateRow<'a> {
    fn of(seeded: &'a SeededCertificate) -> Result<Self, StoreError> {
        let certificate: &Certificate = &seeded.new.certificate;
        let (revocation, receipt) = (certificate.revocation.as_ref(), certificate.receipt.as_ref());
        Ok(Self {
            id: certificate.id.as_bytes(),
            zone_id: certificate.zone.as_bytes(),
            authority_id: certificate.authority.as_bytes(),
            serial: certificate.serial.as_bytes(),
            der: &certificate.der,
            csr: &certificate.csr,
            ski: &certificate.ski,
            fingerprint_sha256: &certificate.fingerprint_sha256,
            spki_sha256: &certificate.spki_sha256,
            signature: &certificate.signature,
            common_name: &certificate.subject.common_name,
            subject: subject_to_json(&certificate.subject)?,
            subject_alternative_names: names_to_json(&certificate.subject_alternative_names)?,
            profile: &certificate.profile,
            validity_days: certificate.validity_days,
            not_before: millis(certificate.not_before),
            not_after: millis(certificate.not_after),
            created_at: millis(seeded.new.created_on),
            status: certificate.status.code(),
            version: certificate.version,
            revocation_reason: revocation.map(|revocation| revocation.reason.code()),
            revocation_requested_at: revocation.map(|revocation| millis(revocation.requested_on)),
            revoked_at: revocation.and_then(|revocation| revocation.revoked_on).map(millis),
            revocation_crl_number: revocation.and_then(|revocation| revocation.crl_number),
            receipt_status: receipt.map(|receipt| receipt.status.code()),
            receipt_crl_number: receipt.map(|receipt| receipt.crl_number),
            receipt_published_at: receipt.map(|receipt| millis(receipt.published_on)),
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = revocations)]
struct RevocationRow<'a> {
    authority_id: &'a [u8],
    shard: i32,
    serial: &'a [u8],
    certificate_id: &'a [u8],
    zone_id: &'a [u8],
    reason: i16,
    revoked_at: i64,
    not_after: i64,
    is_listed: bool,
}

impl<'a> RevocationRow<'a> {
    fn of(seeded: &'a SeededCertificate) -> Option<Self> {
        let certificate = &seeded.new.certificate;
        let revocation = certificate.revocation.as_ref()?;
        Some(Self {
            authority_id: certificate.authority.as_bytes(),
            shard: seeded.shard,
            serial: certificate.serial.as_bytes(),
            certificate_id: certificate.id.as_bytes(),
            zone_id: certificate.zone.as_bytes(),
            reason: revocation.reason.code(),
            revoked_at: millis(revocation.revoked_on?),
            not_after: millis(certificate.not_after),
            is_listed: true,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct EventRow<'a> {
    id: &'a [u8],
    at: i64,
    account_id: &'a [u8],
    zone_id: Option<&'a [u8]>,
    actor_name: String,
    source: &'a str,
    action: &'static str,
    subject: &'a str,
    result: i16,
    detail: &'a str,
}

impl<'a> EventRow<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        Self {
            id: event.id.as_bytes(),
            at: millis(event.at),
            account_id: event.account.as_bytes(),
            zone_id: event.zone.as_ref().map(|id| id.as_bytes().as_slice()),
            actor_name: event.actor.kind.name(),
            source: &event.actor.source,
            action: event.action.as_str(),
            subject: &event.subject,
            result: event.result.code(),
            detail: &event.detail,
        }
    }
}
