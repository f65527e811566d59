//! The only place that speaks to the database.
//!
//! [`Store`] offers one method for each thing the services need, in domain types; no Diesel type leaves. Reads take a
//! connection of a small pool on a blocking thread; every write goes through the group-commit [`writer`], so whatever
//! a method of this module has returned from a write is durable.
//!
//! One file for each noun. Every query about what belongs to a zone has the zone's id in its WHERE. There is no policy
//! here. Certificates and audit events are never deleted; of CRLs the last one of each scope is kept.

mod accounts;
mod any_connection;
mod audit;
mod audit_log;
mod authorities;
mod backup;
mod barrier;
mod blocked_keys;
mod bulk_insert;
mod bulk_jobs;
mod bulk_selection;
mod bulk_work;
mod certificate_lists;
mod certificates;
mod check_runs;
mod checkpoints;
mod checks;
mod compromises;
mod connection;
mod convert;
mod counters;
mod crls;
mod error;
mod events;
mod examination;
mod expiry_notices;
mod freshness;
mod gathering;
mod history;
mod hostname_associations;
mod idempotency;
mod identities;
mod identity_uses;
mod issuance;
mod landmarks;
mod managed_identities;
mod master_keys;
mod migrations;
mod notice;
mod ocsp;
mod overview;
mod postgres;
mod presence;
pub mod priority;
mod publications;
mod reads;
mod responders;
mod revocations;
mod schema;
mod seed;
mod sessions;
mod setup;
mod tokens;
mod transfer;
mod transitions;
mod webhook_deliveries;
mod webhooks;
mod writer;
mod zones;

use diesel::connection::SimpleConnection;
use secrecy::ExposeSecret;

pub use audit_log::{AuditPlace, AuditPosition, AuditStretch, LoggedAct};
pub use authorities::{NewAuthority, SealedKey};
pub use backup::{Holdings, check_file, claim_for_restoration, copy_file, is_free, prepare_file};
pub use blocked_keys::BlockedKey;
pub use bulk_jobs::{NewJob, ShownJob};
pub use bulk_selection::{Survey, Tally};
pub use bulk_work::{Batch, ClaimedJob, DueJob, Step};
pub use certificates::{NewCertificate, Page, Window};
pub use check_runs::ClaimedCheck;
pub use checks::StoredCheck;
pub use compromises::{Compromise, KeyJob};
pub use connection::Database;
pub use crls::{CarriedOut, PublishOutcome, Publishing};
pub use error::StoreError;
pub use events::{EventBatch, EventChoice, EventRange};
pub use examination::{DatabaseServer, Examination, Standby, examine};
pub use expiry_notices::ExpiryNotice;
pub use freshness::Freshness;
pub use gathering::Announcement;
pub use history::RecordedAct;
pub use idempotency::{Claimed, IdempotencyClaim};
pub use identities::{AddOutcome, Candidacy, NewIdentity, Overruled, RemoveOutcome, Replacement};
pub use issuance::{Issuance, IssueOutcome, confirmed};
pub use managed_identities::{Renewal, Supersession};
pub use master_keys::MasterKeyCheck;
pub use ocsp::{Changes, Statuses};
pub use overview::{Dependant, Totals, WaitingChange};
pub use publications::{Base, Lease, Publication};
pub use responders::StoredResponder;
pub use revocations::Misplaced;
pub use seed::{SeededCertificate, Seeder};
pub use sessions::NewSession;
pub use setup::FirstStart;
pub use tokens::NewToken;
pub use transfer::{Moved, MovedTable, Progress, Stage, relocate};
pub use transitions::{ChangeOutcome, RequestedChange};
pub use webhook_deliveries::{ClaimedWebhook, DueWebhook, Standing};
pub use webhooks::{StoredWebhook, WebhookStored};

use barrier::Barrier;
use connection::{Admission, Connection};
use landmarks::Landmarks;
use reads::Reads;
use writer::Writer;

/// Readers on SQLite only wait for the disk; a few more than cores keep both busy. One is the barrier's.
const READERS: u32 = 7;

/// As long as it lives, no other process starts on the database.
pub struct StartLock {
    _connection: Option<Connection>,
}

/// The store. Clones share the pool and the writer.
#[derive(Clone)]
pub struct Store {
    reads: Reads,
    writer: Writer,
    barrier: Barrier,
    landmarks: Landmarks,
}

impl Store {
    /// Opens the database, migrates it, and starts the writer.
    ///
    /// Fails when it cannot be opened or belongs to a newer version.
    pub fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = connection::open_writer(database)?;
        notice::require_none(&mut connection)?;
        for version in migrations::run(&mut connection)? {
            tracing::info!(%version, "migrated the database");
        }
        Self::start(database, connection, notice::admit, READERS)
    }

    /// Opens a database that a server may be using: nothing is migrated.
    ///
    /// Fails when its schema is not this version's.
    pub fn open_beside(database: &Database) -> Result<Self, StoreError> {
        let mut connection = connection::open_writer(database)?;
        notice::require_none(&mut connection)?;
        migrations::require_current(&mut connection)?;
        Self::start(database, connection, notice::admit, 1)
    }

    /// Migrates the database and returns the versions that were applied.
    pub fn migrate(database: &Database) -> Result<Vec<String>, StoreError> {
        let mut connection = connection::open_writer(database)?;
        notice::require_none(&mut connection)?;
        migrations::run(&mut connection)
    }

    fn start(
        database: &Database,
        connection: Connection,
        admission: Admission,
        readers: u32,
    ) -> Result<Self, StoreError> {
        let pool = connection::open_readers(database, admission, readers)?;
        let barrier = Barrier::start(pool.clone())?;
        let reads = Reads::new(database, pool, readers);
        let writer = Writer::start(database.clone(), connection, admission)?;
        Ok(Self { reads, writer, barrier, landmarks: Landmarks::default() })
    }

    /// Waits until no other process is starting on this database, and keeps others waiting until the guard is dropped: the
    /// very first start sets things up once. An embedded database has one process anyway.
    pub async fn lock_start(&self, database: &Database) -> Result<StartLock, StoreError> {
        let Database::Postgres(url) = database.clone() else { return Ok(StartLock { _connection: None }) };
        let locked = move || {
            let mut connection = postgres::open_writer(url.expose_secret())?;
            postgres::lock_start(&mut connection)?;
            let mut connection = Connection::Postgres(connection);
            // Somebody may have begun to fill it since it was opened.
            notice::require_none(&mut connection)?;
            Ok(StartLock { _connection: Some(connection) })
        };
        let joined = tokio::task::spawn_blocking(locked).await;
        joined.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    /// Whether the database answers a read and, when the last write failed, takes one durably again.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.read(|connection| Ok(connection.batch_execute("SELECT 1")?)).await?;
        if self.writer.is_healthy() {
            return Ok(());
        }
        // There and back: SQLite writes no page for an update that changes nothing.
        let touch = "UPDATE master_keys SET created_at = created_at + 1; \
                     UPDATE master_keys SET created_at = created_at - 1;";
        self.write(|connection| Ok(connection.batch_execute(touch)?)).await
    }

    async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.reads.run(query).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.submit(work).await
    }
}
