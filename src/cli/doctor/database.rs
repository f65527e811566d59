//! Checks of the database itself, and of the master key that belongs to it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::finding::Report;
use crate::cli::{Context, database, serve};
use crate::clock::Clock;
use crate::config::{Config, MasterKeySource};
use crate::service::{Random, Service, StartError};
use crate::store::{Database, DatabaseServer, Standby, Store, StoreError, examine};

const CHECK: &str = "database";
const SLOW: Duration = Duration::from_millis(10);
const OLDEST_VERSION: i64 = 130_000;
const NOTICEABLE_SKEW_SECONDS: i64 = 5;
/// One pool of readers and one writer for each replica, and some for its own work.
const CONNECTIONS_A_REPLICA: i64 = 10;

/// Says nothing of a database that is not there yet.
pub async fn check(report: &mut Report, config: &Config, context: &Context) {
    let database = database::of(config);
    if let Database::Sqlite(path) = &database
        && !path.is_file()
    {
        return;
    }
    match examine(&database) {
        Err(error) => {
            let way_out = match &database {
                Database::Sqlite(_) => "run this as the user of the server",
                Database::Postgres(_) => {
                    "is the server up? do address, user and password in COUNTERSIGN_DATABASE_URL fit?"
                }
            };
            return report.fail(CHECK, error.to_string(), way_out);
        }
        Ok(examination) => {
            check_round_trip(report, &database, examination.round_trip);
            if let Some(server) = &examination.server {
                check_server(report, server);
                check_clock(report, server.clock, context.clock.now());
            }
        }
    }
    check_contents(report, &database, config).await;
}

fn check_round_trip(report: &mut Report, database: &Database, time: Duration) {
    let message = format!("{database} answers within {:.2} ms", time.as_secs_f64() * 1000.0);
    if time > SLOW {
        report.warn(CHECK, message, "every request waits for it several times: put the replicas near the database");
    } else {
        report.ok(CHECK, message);
    }
}

fn check_server(report: &mut Report, server: &DatabaseServer) {
    let version = format!("PostgreSQL {}.{}", server.version / 10_000, server.version % 10_000);
    if server.version < OLDEST_VERSION {
        report.fail(CHECK, version, "upgrade it to 13 or later");
    } else if server.is_standby {
        let way_out = "name the primary, or both hosts, in COUNTERSIGN_DATABASE_URL";
        report.fail(CHECK, format!("{version} is a standby, which takes no writes"), way_out);
    } else {
        report.ok(CHECK, version);
    }
    let setting = |name: &str| server.settings.get(name).map_or("", String::as_str);
    for (name, loss) in [
        ("fsync", "a power failure destroys the database"),
        ("full_page_writes", "a power failure can leave pages half written"),
    ] {
        if setting(name) == "off" {
            report.fail(CHECK, format!("{name} is off: {loss}"), &format!("set {name} = on in postgresql.conf"));
        }
    }
    let (commit, standbys) = (setting("synchronous_commit"), setting("synchronous_standby_names"));
    let way_out = "set synchronous_commit = on, for other programs and for tools that repair";
    match (commit, standbys) {
        ("off" | "local", _) => {
            let message = format!("synchronous_commit is {commit}; Countersign sets it to on in its own sessions");
            report.warn(CHECK, message, way_out);
        }
        ("remote_write", standbys) if !standbys.is_empty() => {
            let message = "synchronous_commit is remote_write: a standby that crashes can lose what was confirmed";
            report.warn(CHECK, message, "set synchronous_commit = on");
        }
        (_, "") => report.ok(CHECK, "commits are synced by the server; no standby is waited for"),
        (_, standbys) => report.ok(CHECK, format!("commits wait for the standbys {standbys}")),
    }
    check_standbys(report, server, !standbys.is_empty());
    if let Ok(connections) = setting("max_connections").parse::<i64>()
        && connections < 2 * CONNECTIONS_A_REPLICA
    {
        let message = format!("max_connections is {connections}, and a replica uses about {CONNECTIONS_A_REPLICA}");
        report.warn(CHECK, message, "raise max_connections");
    }
}

/// Which standbys there are, beside those that the settings wish for.
fn check_standbys(report: &mut Report, server: &DatabaseServer, are_waited_for: bool) {
    let Some(standbys) = &server.standbys else {
        if are_waited_for {
            let role = format!("\"{}\"", server.role.replace('"', "\"\""));
            let message = format!("which standbys are connected is not shown to the role {role}");
            report.warn(CHECK, message, &format!("as a superuser: GRANT pg_read_all_stats TO {role}"));
        }
        return;
    };
    for Standby { name, state, sync_state } in standbys {
        let message = format!("the standby {name} is {state} ({sync_state})");
        match state.as_str() {
            "streaming" => report.ok(CHECK, message),
            // One that is being made, by pg_basebackup.
            "backup" => report.ok(CHECK, message),
            _ => report.warn(CHECK, message, "it has not caught up: see its log"),
        }
    }
    let is_waited_for = |standby: &Standby| matches!(standby.sync_state.as_str(), "sync" | "quorum");
    if are_waited_for && !standbys.iter().any(is_waited_for) {
        let message = "no standby that commits wait for is connected: nothing can be written";
        report.fail(CHECK, message, "start the standby, or take it out of synchronous_standby_names");
    }
}

fn check_clock(report: &mut Report, theirs: DateTime<Utc>, ours: DateTime<Utc>) {
    let skew = (theirs - ours).num_seconds();
    if skew.abs() <= NOTICEABLE_SKEW_SECONDS {
        return report.ok("clock", "the database's agrees with this one");
    }
    let message =
        format!("the database's is {} s {} this one", skew.abs(), if skew < 0 { "behind" } else { "ahead of" });
    report.warn("clock", message, "set both clocks by NTP: its log and ours tell different times");
}

/// Opens the store as the server does: its schema, whether it may be served, and whether the master key belongs to it.
async fn check_contents(report: &mut Report, database: &Database, config: &Config) {
    let store = match Store::open_beside(database) {
        Ok(store) => store,
        Err(error) => {
            let way_out = match error {
                StoreError::Migration(_) => "the server does not start before that is done",
                _ => "run this as the user of the server",
            };
            return report.fail(CHECK, error.to_string(), way_out);
        }
    };
    let Ok(options) = serve::options(config, config.listen) else { return };
    match Service::open(store, Clock::system(), Random::system(), options).await {
        Ok(_) => report.ok("master key", "opens the keys in the database"),
        Err(StartError::MasterKey(fault)) => {
            let place = match &config.master_key {
                MasterKeySource::File(path) => format!("put the right key into {}", path.display()),
                MasterKeySource::Value(_) => "set COUNTERSIGN_MASTER_KEY to the right key".to_owned(),
            };
            report.fail("master key", fault, &place);
        }
        Err(error) => report.fail(CHECK, error.to_string(), "the server does not start like that"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::finding::Verdict;
    use super::*;

    fn server(settings: &[(&str, &str)]) -> DatabaseServer {
        let usual =
            [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on"), ("max_connections", "100")];
        let settings = usual.iter().chain(settings).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let standbys = Some(vec![standby("b", "streaming", "sync")]);
        let role = "countersign".to_owned();
        DatabaseServer { version: 150_004, clock: DateTime::UNIX_EPOCH, settings, is_standby: false, role, standbys }
    }

    fn standby(name: &str, state: &str, sync_state: &str) -> Standby {
        Standby { name: name.into(), state: state.into(), sync_state: sync_state.into() }
    }

    fn verdict(server: &DatabaseServer) -> (Verdict, String) {
        let mut report = Report::default();
        check_server(&mut report, server);
        let worst = report.findings.iter().max_by_key(|finding| finding.verdict).unwrap();
        (worst.verdict, worst.message.clone())
    }

    #[test]
    fn settings_that_lose_data_are_found() {
        assert_eq!(verdict(&server(&[])).0, Verdict::Ok);
        assert_eq!(verdict(&server(&[("fsync", "off")])).0, Verdict::Fail);
        assert_eq!(verdict(&server(&[("full_page_writes", "off")])).0, Verdict::Fail);
        assert_eq!(verdict(&server(&[("synchronous_commit", "off")])).0, Verdict::Warn);
        assert_eq!(verdict(&server(&[("max_connections", "12")])).0, Verdict::Warn);
        assert_eq!(verdict(&server(&[("synchronous_standby_names", "b")])).0, Verdict::Ok);
        let remote = [("synchronous_standby_names", "b"), ("synchronous_commit", "remote_write")];
        assert_eq!(verdict(&server(&remote)).0, Verdict::Warn);
        assert_eq!(verdict(&DatabaseServer { version: 120_009, ..server(&[]) }).1, "PostgreSQL 12.9");
        assert_eq!(verdict(&DatabaseServer { is_standby: true, ..server(&[]) }).0, Verdict::Fail);
    }

    #[test]
    fn standbys_that_are_missing_or_behind_are_found() {
        let waiting = server(&[("synchronous_standby_names", "b")]);
        let with = |standbys: Option<Vec<Standby>>| DatabaseServer { standbys, ..waiting.clone() };
        assert_eq!(verdict(&with(Some(vec![standby("b", "streaming", "quorum")]))).0, Verdict::Ok);
        assert_eq!(verdict(&with(Some(vec![standby("b", "catchup", "sync")]))).0, Verdict::Warn);
        assert_eq!(verdict(&with(Some(vec![standby("c", "streaming", "async")]))).0, Verdict::Fail);
        assert_eq!(verdict(&with(Some(Vec::new()))).0, Verdict::Fail);
        let (hidden, message) = verdict(&with(None));
        assert_eq!(hidden, Verdict::Warn);
        assert!(message.contains("not shown to the role \"countersign\""), "{message}");
        // Nobody waits for any.
        assert_eq!(verdict(&DatabaseServer { standbys: None, ..server(&[]) }).0, Verdict::Ok);
    }

    #[test]
    fn a_database_of_another_time_is_noticed() {
        for (seconds, expected) in [(0, Verdict::Ok), (-4, Verdict::Ok), (30, Verdict::Warn), (-3600, Verdict::Warn)] {
            let mut report = Report::default();
            check_clock(&mut report, DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds), DateTime::UNIX_EPOCH);
            assert_eq!(report.worst(), expected, "{seconds}");
        }
    }
}
