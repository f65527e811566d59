//! `countersign restore`: puts a backup into an empty database and makes it fit to be served.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use clap::Args;
use secrecy::SecretString;
use uuid::Uuid;

use super::configuration::ConfigurationFlags;
use super::error::CliError;
use super::files::failed;
use super::postgres_tools::{self, Tool};
use super::progress::Spinner;
use super::{database, output, serve};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::restoration::{RecoveredAuthority, Recovery};
use crate::service::{Random, Service};
use crate::store::{self, Database, Store};

/// Put a backup into an empty database, verify it, and make it fit to go on
///
/// The server must not run. The master key that the backup belongs to must be in its place first
/// (master.key in the data folder, or COUNTERSIGN_MASTER_KEY_FILE). Afterwards every private key
/// was opened, every CRL verified and every counter recounted.
///
/// What happened after the backup is lost: certificates that were issued since are unknown, and
/// revocations must be repeated. So must be what was done to tokens: one that was revoked or
/// rolled since is good again, by the value that it had. Relying parties must not see a CRL number
/// twice, so the numbers of CRLs and events leap forward, by 1000 for each second since the newest
/// record of the backup and a million more, and every CRL is signed anew when the server starts.
///
/// After a restoration by other means (a snapshot, pg_restore, point-in-time recovery) run it with
/// --restored-already: it verifies, and moves the numbers, all the same. Examples:
///
///   countersign restore --data-dir /var/lib/countersign --from /backups/countersign.backup
///
///   countersign restore --restored-already
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The backup, as `countersign backup` wrote it
    #[arg(long, value_name = "FILE", required_unless_present = "restored_already")]
    from: Option<PathBuf>,

    /// The database was put back by other means: only verify it and move its numbers forward
    #[arg(long, conflicts_with = "from")]
    restored_already: bool,

    #[command(flatten)]
    pub configuration: ConfigurationFlags,

    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, config: &Config) -> Result<(), CliError> {
    let database = database::of(config);
    database::create_private_folder(&config.data_dir)?;
    if let (Database::Sqlite(path), true) = (&database, arguments.restored_already)
        && !path.is_file()
    {
        return Err(CliError::failure(format_args!("there is no database {database}")));
    }
    let _lock = database::claim(&database)?;
    let spinner = Spinner::start(format!("restoring {database}"));
    match (&database, &arguments.from) {
        (_, None) => drop(store::claim_for_restoration(&database, true).map_err(CliError::failure)?),
        (Database::Sqlite(path), Some(from)) => put_file(from, path)?,
        (Database::Postgres(url), Some(from)) => put_dump(from, &database, url)?,
    }
    let recovery = recover(&database, config).await?;
    drop(spinner);
    print(&database, &recovery, arguments.json)
}

/// Puts a checked copy in the database's place; it can be served once it was recovered, and not before.
fn put_file(from: &Path, path: &Path) -> Result<(), CliError> {
    store::check_file(from).map_err(|error| CliError::failure(format_args!("{}: {error}", from.display())))?;
    let is_there = fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    if is_there && !store::is_free(&Database::Sqlite(path.to_owned())).map_err(CliError::failure)? {
        let way_out = "move it away, or restore into another folder with --data-dir";
        return Err(CliError::failure(format_args!("{} holds an installation; {way_out}", path.display())));
    }
    for companion in companions(path).iter().filter(|companion| companion.exists()) {
        if !is_there {
            let message = format!("{} is there without its database: move it away first", companion.display());
            return Err(CliError::failure(message));
        }
        fs::remove_file(companion).map_err(|error| failed("remove", companion, &error))?;
    }
    let beside = path.with_file_name(format!(".restoring.{}.tmp", Uuid::now_v7().simple()));
    let placed = copy_durably(from, &beside)
        .map_err(|error| failed("write", &beside, &error))
        .and_then(|()| store::prepare_file(&beside).map_err(CliError::failure))
        .and_then(|()| rename_durably(&beside, path).map_err(|error| failed("write", path, &error)));
    if placed.is_err() {
        // What went wrong matters more than what is left beside.
        let _ = fs::remove_file(&beside);
    }
    placed
}

/// What SQLite keeps beside a database: that of another one must not meet this one.
fn companions(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn put_dump(from: &Path, database: &Database, url: &SecretString) -> Result<(), CliError> {
    postgres_tools::contents_of_dump(from)?;
    // A restoration that was cut off after the dump was in goes on from there.
    if store::claim_for_restoration(database, false).map_err(CliError::failure)? {
        return Ok(());
    }
    let restore = Tool::new("pg_restore", url).argument("--no-owner").argument("--no-privileges");
    // Tables may be there, but nothing is in them.
    let restore = restore.argument("--clean").argument("--if-exists").argument("--single-transaction");
    restore.argument("--exit-on-error").argument(from).run()
}

async fn recover(database: &Database, config: &Config) -> Result<Recovery, CliError> {
    let store = Store::open_restored(database).map_err(CliError::failure)?;
    let options = serve::options(config, config.listen)?;
    let opened = Service::open(store, Clock::system(), Random::system(), options).await;
    let service = opened.map_err(|error| not_yet(&error))?;
    service.recover().await.map_err(|error| not_yet(&error))
}

fn not_yet(error: &dyn std::fmt::Display) -> CliError {
    CliError::failure(format_args!(
        "{error}\nThe database was put in its place, but is not served before the same command succeeds."
    ))
}

fn as_json(authority: &RecoveredAuthority) -> serde_json::Value {
    serde_json::json!({
        "id": authority.id.to_string(),
        "name": authority.name,
        "crl_number": authority.crl_number,
        "next_after": authority.next_after,
    })
}

fn print(database: &Database, recovery: &Recovery, json: bool) -> Result<(), CliError> {
    let newest = recovery.newest_record.to_rfc3339_opts(SecondsFormat::Secs, true);
    if json {
        return output::json(&serde_json::json!({
            "database": database.to_string(),
            "certificates": recovery.certificates,
            "waiting_transitions": recovery.waiting,
            "newest_record": newest,
            "leap": recovery.leap,
            "authorities": recovery.authorities.iter().map(as_json).collect::<Vec<_>>(),
        }));
    }
    output::line(format_args!(
        "restored {database}: {} certificates, {} changes of status that wait, as of {newest}",
        recovery.certificates, recovery.waiting
    ))?;
    for authority in &recovery.authorities {
        output::line(format_args!(
            "authority {} ({}): its key opens, its CRL {} verifies; the next one is numbered after {}",
            super::escape::escape(&authority.name),
            authority.id,
            authority.crl_number,
            authority.next_after
        ))?;
    }
    output::line(format_args!("event numbers went forward by {} too", recovery.leap))?;
    output::note(format_args!(
        "What happened after {newest} is not in the backup:\n\
         - certificates issued since are valid to relying parties but unknown here: OCSP answers `unknown`, and they cannot be\n  \
           revoked one by one. Where it matters, make a new authority and let their holders renew.\n\
         - certificates revoked since are valid again: revoke them again.\n\
         - tokens revoked or rolled since are good again, by the value of then: revoke or roll them again.\n\
         Start the server: it signs every CRL anew."
    ));
    Ok(())
}
