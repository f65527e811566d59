//! Copies of an embedded database, and what a restored one is looked at for before it is served.

use std::path::Path;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection as _, sql_query, sql_types};

use crate::domain::audit::AuditEvent;

use super::connection::{self, Connection, Database, on_either};
use super::convert::{millis, time};
use super::error::StoreError;
use super::notice::{self, Reason};
use super::schema::{certificate_counters, events, publications, transitions};
use super::transfer::{last_event, set_last_event};
use super::{Store, audit, migrations, postgres, sessions};

/// What a database holds, in a few numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub certificates: i64,
    /// Changes of status that are not carried out yet.
    pub waiting: i64,
    /// When the last thing happened that it knows of.
    pub newest_record: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = sql_types::Text)]
    integrity_check: String,
}

/// Copies an embedded database, also one that is being served, into a file that is there and empty: one state of it, without
/// what was written meanwhile. The caller makes it durable. Returns what the copy holds, which has been checked.
pub fn copy_file(database: &Path, copy: &Path) -> Result<Holdings, StoreError> {
    let mut source = open_existing(database)?;
    if notice::reason(&mut source)?.is_some_and(|reason| reason != Reason::Moved) {
        notice::require_none(&mut source)?;
    }
    migrations::require_current(&mut source)?;
    let before = holdings(&mut source)?;
    let name = copy.to_str().ok_or_else(|| StoreError::Unavailable(format!("{} is not UTF-8", copy.display())))?;
    let copying = sql_query("VACUUM INTO ?").bind::<sql_types::Text, _>(name);
    RunQueryDsl::<SqliteConnection>::execute(copying, of_file(&mut source)?)?;
    let held = check_file(copy)?;
    let after = holdings(&mut source)?;
    // Certificates are never deleted.
    if !(before.certificates..=after.certificates).contains(&held.certificates) {
        return Err(StoreError::Damaged(format!(
            "the copy holds {} certificates, the database {}",
            held.certificates, after.certificates
        )));
    }
    Ok(held)
}

/// Whether a file is a whole database of this version or an older one.
pub fn check_file(path: &Path) -> Result<Holdings, StoreError> {
    let mut connection = open_existing(path)?;
    connection.batch_execute("PRAGMA query_only = ON")?;
    require_integrity(of_file(&mut connection)?)?;
    migrations::require_known(&mut connection)?;
    if notice::is_vacant(&mut connection)? {
        return Err(StoreError::Migration(format!("{} holds no installation", path.display())));
    }
    if let Some(fault) = miscounted(&mut connection)? {
        return Err(StoreError::Damaged(fault));
    }
    holdings(&mut connection)
}

/// Puts the notice into a copy that is about to take the place of the database, and leaves one file of it.
pub fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let mut connection = open_existing(path)?;
    connection.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL")?;
    notice::take_down(&mut connection)?;
    notice::put_up(&mut connection, Reason::Restoring)
}

/// Whether a database is free to be restored into: nobody has set it up, or a restoration was cut off in it.
pub fn is_free(database: &Database) -> Result<bool, StoreError> {
    let mut connection = connection::open_writer(database)?;
    Ok(notice::reason(&mut connection)? == Some(Reason::Restoring) || notice::is_vacant(&mut connection)?)
}

/// Puts the notice into a database of a server: before a dump is restored into it or, `is_in_place`, after somebody did
/// so by other means. Whether it holds an installation already.
///
/// Fails when it is in use, and when it is not free though it should be.
pub fn claim_for_restoration(database: &Database, is_in_place: bool) -> Result<bool, StoreError> {
    let mut connection = connection::open_writer(database)?;
    if let Connection::Postgres(connection) = &mut connection {
        postgres::lock_start(connection)?;
    }
    super::transfer::require_nobody_else(&mut connection, database)?;
    let reason = notice::reason(&mut connection)?;
    let is_vacant = notice::is_vacant(&mut connection)?;
    match (is_in_place, is_vacant, reason) {
        (_, _, Some(Reason::Filling)) => notice::require_none(&mut connection)?,
        (true, true, _) => {
            return Err(StoreError::Migration(format!("{database} holds no installation: restore it first")));
        }
        (false, false, None | Some(Reason::Moved)) => {
            let what = format!("{database} holds an installation already; name an empty database");
            return Err(StoreError::Migration(what));
        }
        _ => {}
    }
    notice::put_up(&mut connection, Reason::Restoring)?;
    Ok(!is_vacant)
}

impl Store {
    /// Opens a database that was restored and is not served yet, and brings it to this version's schema.
    pub fn open_restored(database: &Database) -> Result<Self, StoreError> {
        let mut connection = connection::open_writer(database)?;
        if notice::reason(&mut connection)? != Some(Reason::Restoring) {
            return Err(StoreError::Migration(format!("{database} was not restored")));
        }
        migrations::run(&mut connection)?;
        Self::start(database, connection, notice::disregard, 2)
    }

    pub async fn holdings(&self) -> Result<Holdings, StoreError> {
        self.read(holdings).await
    }

    /// What contradicts itself in the database; none if it is sound.
    pub async fn find_damage(&self) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            if let Connection::Sqlite(connection) = connection {
                require_integrity(connection)?;
                require_references(connection)?;
            }
            miscounted(connection)
        })
        .await
    }

    /// Moves the numbers of CRLs and events forward, so that none is given again that was given after the backup was made,
    /// and has every CRL signed anew. Deltas begin anew too: their base is a number that no CRL had.
    pub async fn leap(&self, by: i64, event: AuditEvent) -> Result<(), StoreError> {
        self.write(move |connection| {
            let publications = "UPDATE publications SET number = number + $1, base_number = number + $1, \
                 base_at = this_update, attempts = 0, retry_at = 0, lease_owner = NULL, lease_until = 0, fence = fence + 1, \
                 oldest_update = CASE WHEN (SELECT state FROM authorities WHERE id = authority_id) = 2 \
                 THEN oldest_update ELSE 0 END";
            on_either!(connection, |connection| sql_query(publications)
                .bind::<sql_types::BigInt, _>(by)
                .execute(connection))?;
            connection.batch_execute("UPDATE crls SET this_update = 0 WHERE scope >= 0")?;
            let last = last_event(connection)?.unwrap_or_default();
            set_last_event(connection, last.saturating_add(by))?;
            audit::insert(connection, &event)
        })
        .await?;
        self.release_leases().await
    }

    /// From here on the database can be served.
    pub async fn finish_restoration(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            sessions::end_all(connection)?;
            notice::take_down(connection)
        })
        .await
    }
}

/// Opens a file that is there; SQLite would make one.
fn open_existing(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("{} is not there", path.display())));
    }
    connection::open_plain(path).map(Connection::Sqlite)
}

fn of_file(connection: &mut Connection) -> Result<&mut SqliteConnection, StoreError> {
    match connection {
        Connection::Sqlite(connection) => Ok(connection),
        Connection::Postgres(_) => Err(StoreError::Damaged("a file is no server".into())),
    }
}

fn holdings(connection: &mut Connection) -> Result<Holdings, StoreError> {
    connection.transaction(|connection| {
        let totals: Vec<i64> = certificate_counters::table.select(certificate_counters::total).load(connection)?;
        let event: Option<i64> =
            events::table.order(events::number.desc()).select(events::at).first(connection).optional()?;
        let crl: Option<i64> =
            publications::table.select(diesel::dsl::max(publications::this_update)).first(connection)?;
        Ok(Holdings {
            certificates: totals.iter().sum(),
            waiting: transitions::table.count().get_result(connection)?,
            newest_record: time(event.max(crl).unwrap_or(millis(DateTime::UNIX_EPOCH)))?,
        })
    })
}

fn require_integrity(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let verdicts: Vec<Verdict> = sql_query("PRAGMA integrity_check(5)").load(connection)?;
    let faults: Vec<String> = verdicts.into_iter().map(|verdict| verdict.integrity_check).collect();
    match faults.as_slice() {
        [only] if only == "ok" => Ok(()),
        _ => Err(StoreError::Damaged(faults.join("; "))),
    }
}

/// Whether everything that is referred to is there.
pub(super) fn require_references(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let query = sql_query("SELECT COUNT(*) AS number FROM pragma_foreign_key_check");
    let dangling: Number = query.get_result(connection)?;
    match dangling.number {
        0 => Ok(()),
        number => Err(StoreError::Damaged(format!("{number} rows refer to something that is not there"))),
    }
}

/// The counters against a recount.
fn miscounted(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    const COUNTED: &str = "SELECT zone_id, status, COUNT(*) AS total FROM certificates GROUP BY zone_id, status";
    const COUNTERS: &str = "SELECT zone_id, status, total FROM certificate_counters WHERE total <> 0";
    let query = format!(
        "SELECT (SELECT COUNT(*) FROM ({COUNTED} EXCEPT {COUNTERS}) AS more) + \
         (SELECT COUNT(*) FROM ({COUNTERS} EXCEPT {COUNTED}) AS less) AS number"
    );
    let differing: Number = match connection {
        Connection::Sqlite(connection) => RunQueryDsl::<SqliteConnection>::get_result(sql_query(query), connection)?,
        Connection::Postgres(connection) => RunQueryDsl::<PgConnection>::get_result(sql_query(query), connection)?,
    };
    Ok((differing.number > 0).then(|| "the counters of certificates do not agree with a recount".into()))
}
