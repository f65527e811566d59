//! Very many certificates at once, for stores to measure and to try things on: nobody serves from the database meanwhile,
//! and nothing of it is worth keeping if it fails halfway.
//!
//! Everything is one transaction on a connection of its own. SQLite keeps no journal of it and syncs once at the end, so
//! that a process which is killed in the middle leaves a damaged file; PostgreSQL rolls back.

use std::fs::File;
use std::marker::PhantomData;

use chrono::DateTime;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::{AuthorityId, ZoneId};
use crate::domain::status::Status;

use super::bulk_insert::{Row, Value};
use super::certificates::NewCertificate;
use super::connection::{self, Connection, Database};
use super::convert::{damaged, millis};
use super::error::StoreError;
use super::schema::{audit_events, certificates, publications, revocations};
use super::{audit, bulk_insert, counters, migrations, postgres};

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
        let rows = batch.iter().map(|seeded| certificate_row(&seeded.new)).collect::<Result<Vec<_>, _>>()?;
        let events: Vec<_> = batch.iter().map(|seeded| audit::row(&seeded.event)).collect();
        let revoked: Vec<_> = batch.iter().filter_map(revocation_row).collect();
        match &mut self.connection {
            connection @ Connection::Sqlite(_) => {
                bulk_insert::insert::<Seeded<certificates::table>>(connection, "certificates", &rows)?;
                bulk_insert::insert::<Seeded<audit_events::table>>(connection, "audit_events", &events)?;
                bulk_insert::insert::<Seeded<revocations::table>>(connection, "revocations", &revoked)?;
            }
            Connection::Postgres(connection) => bulk_insert::insert_together(
                connection,
                &[("certificates", &rows, ""), ("audit_events", &events, ""), ("revocations", &revoked, "")],
            )?,
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

/// Rows with more columns than those of an issuance are statements of their own.
struct Seeded<T>(PhantomData<T>);

/// As an issued one, with what has become of it since.
fn certificate_row(new: &NewCertificate) -> Result<Row<'_>, StoreError> {
    let (revocation, receipt) = (new.certificate.revocation.as_ref(), new.certificate.receipt.as_ref());
    let mut row = super::certificates::row(new)?;
    let revoked_at = revocation.and_then(|revocation| revocation.revoked_on).map(millis);
    row.extend([
        ("revocation_reason", Value::MaybeSmallInt(revocation.map(|revocation| revocation.reason.code()))),
        ("revocation_requested_at", Value::MaybeBigInt(revocation.map(|revocation| millis(revocation.requested_on)))),
        ("revoked_at", Value::MaybeBigInt(revoked_at)),
        ("revocation_crl_number", Value::MaybeBigInt(revocation.and_then(|revocation| revocation.crl_number))),
        ("receipt_status", Value::MaybeSmallInt(receipt.map(|receipt| receipt.status.code()))),
        ("receipt_crl_number", Value::MaybeBigInt(receipt.map(|receipt| receipt.crl_number))),
        ("receipt_published_at", Value::MaybeBigInt(receipt.map(|receipt| millis(receipt.published_on)))),
    ]);
    Ok(row)
}

fn revocation_row(seeded: &SeededCertificate) -> Option<Row<'_>> {
    let certificate = &seeded.new.certificate;
    let revocation = certificate.revocation.as_ref()?;
    Some(vec![
        ("authority_id", Value::binary(certificate.authority.as_bytes())),
        ("shard", Value::Integer(seeded.shard)),
        ("serial", Value::binary(certificate.serial.as_bytes())),
        ("certificate_id", Value::binary(certificate.id.as_bytes())),
        ("zone_id", Value::binary(certificate.zone.as_bytes())),
        ("reason", Value::SmallInt(revocation.reason.code())),
        ("revoked_at", Value::BigInt(millis(revocation.revoked_on?))),
        ("not_after", Value::BigInt(millis(certificate.not_after))),
        ("is_listed", Value::Bool(true)),
    ])
}
