//! What `countersign doctor` asks a database about itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::{sql_query, sql_types};

use super::connection::{self, Connection, Database};
use super::convert::time;
use super::error::StoreError;

const ROUND_TRIPS: usize = 9;

/// How a database answers.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Of the shortest question there is; the median of several.
    pub round_trip: Duration,
    /// Of a server; a file has no opinions of its own.
    pub server: Option<DatabaseServer>,
}

#[derive(Clone, Debug)]
pub struct DatabaseServer {
    /// 150004 is 15.4.
    pub version: i64,
    pub clock: DateTime<Utc>,
    /// As a session begins with them, by name.
    pub settings: BTreeMap<String, String>,
    pub is_standby: bool,
    /// Who asks.
    pub role: String,
    /// The standbys that are connected to it; `None` where the role may not see them.
    pub standbys: Option<Vec<Standby>>,
}

/// As `pg_stat_replication` has it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Standby {
    #[diesel(sql_type = sql_types::Text)]
    pub name: String,
    /// `streaming` when it has caught up.
    #[diesel(sql_type = sql_types::Text)]
    pub state: String,
    /// `sync` or `quorum` for one that commits wait for, else `potential` or `async`.
    #[diesel(sql_type = sql_types::Text)]
    pub sync_state: String,
}

/// Asks a database that a server may be using.
pub fn examine(database: &Database) -> Result<Examination, StoreError> {
    let mut connection = connection::open_reader(database)?;
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        connection.batch_execute("SELECT 1")?;
        times.push(begin.elapsed());
    }
    times.sort();
    let round_trip = times.get(ROUND_TRIPS / 2).copied().unwrap_or_default();
    let server = match &mut connection {
        Connection::Sqlite(_) => None,
        Connection::Postgres(connection) => Some(ask_server(connection)?),
    };
    Ok(Examination { round_trip, server })
}

#[derive(QueryableByName)]
struct State {
    #[diesel(sql_type = sql_types::BigInt)]
    version: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    clock: i64,
    #[diesel(sql_type = sql_types::Bool)]
    is_standby: bool,
    #[diesel(sql_type = sql_types::Text)]
    role: String,
    #[diesel(sql_type = sql_types::Bool)]
    sees_standbys: bool,
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    value: String,
}

fn ask_server(connection: &mut PgConnection) -> Result<DatabaseServer, StoreError> {
    let settings: Vec<Setting> = sql_query(
        "SELECT name, COALESCE(reset_val, '') AS value FROM pg_settings WHERE name IN \
         ('synchronous_commit', 'fsync', 'full_page_writes', 'synchronous_standby_names', 'max_connections')",
    )
    .load(connection)?;
    // To other roles the view shows rows without what is in them.
    let standbys: Vec<Standby> = sql_query(
        "SELECT COALESCE(application_name, '') AS name, COALESCE(state, '') AS state, \
         COALESCE(sync_state, '') AS sync_state FROM pg_stat_replication ORDER BY 1",
    )
    .load(connection)?;
    // Last, so that the clock is read when the answer leaves.
    let state: State = sql_query(
        "SELECT current_setting('server_version_num')::bigint AS version, pg_is_in_recovery() AS is_standby, \
         current_user::text AS role, pg_has_role('pg_read_all_stats', 'USAGE') AS sees_standbys, \
         (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS clock",
    )
    .get_result(connection)?;
    Ok(DatabaseServer {
        version: state.version,
        clock: time(state.clock)?,
        settings: settings.into_iter().map(|setting| (setting.name, setting.value)).collect(),
        is_standby: state.is_standby,
        role: state.role,
        standbys: state.sees_standbys.then_some(standbys),
    })
}
