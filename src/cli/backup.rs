//! `countersign backup`: a copy of the database, also while it is being served.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use clap::Args;
use uuid::Uuid;

use super::configuration::ConfigurationFlags;
use super::error::CliError;
use super::files::failed;
use super::postgres_tools::{self, Tool};
use super::progress::Spinner;
use super::{database, output};
use crate::config::{Config, MasterKeySource};
use crate::store::{Database, Holdings, Store, copy_file};

/// Write a copy of the database to a file, also while the server runs
///
/// The copy is one state of everything: certificates, revocations, events, settings, and the
/// private keys, which stay sealed under the master key. The master key is NOT in it: keep a copy
/// of it apart, for nobody opens the backup without. The copy is checked before the file gets its
/// name. For PostgreSQL the program pg_dump makes it, in its custom format. Example:
///
///   countersign backup --data-dir /var/lib/countersign --out /backups/countersign.backup
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Where to write it; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Overwrite an existing file, once the new copy is complete
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    pub configuration: ConfigurationFlags,

    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Beside the data of this list a dump of less would be no backup.
const TABLES: [&str; 4] = ["accounts", "authorities", "certificates", "publications"];

pub async fn run(arguments: &Arguments, config: &Config) -> Result<(), CliError> {
    let out = &arguments.out;
    if !arguments.force && out.exists() {
        let way_out = "name another file, or replace it with --force";
        return Err(CliError::failure(format_args!("{} is there already; {way_out}", out.display())));
    }
    let database = database::of(config);
    let unfinished = Unfinished::beside(out)?;
    let spinner = Spinner::start(format!("copying {database}"));
    let holdings = match &database {
        Database::Sqlite(path) => copy_file(path, &unfinished.0).map_err(CliError::failure)?,
        Database::Postgres(url) => {
            let store = Store::open_beside(&database).map_err(CliError::failure)?;
            let holdings = store.holdings().await.map_err(CliError::failure)?;
            let dump = Tool::new("pg_dump", url).argument("--format=custom").argument("--no-owner");
            dump.argument("--no-privileges").argument("--file").argument(&unfinished.0).run()?;
            require_tables(&unfinished.0)?;
            holdings
        }
    };
    drop(spinner);
    unfinished.finish(out, arguments.force)?;
    print(&database, config, out, &holdings, arguments.json)
}

fn require_tables(dump: &Path) -> Result<(), CliError> {
    let contents = postgres_tools::contents_of_dump(dump)?;
    let has = |table: &&&str| contents.lines().any(|line| line.contains("TABLE DATA") && line.contains(**table));
    match TABLES.iter().find(|table| !has(table)) {
        None => Ok(()),
        Some(table) => Err(CliError::failure(format_args!("pg_dump wrote no data of the table {table}"))),
    }
}

/// A file beside the one that is wanted, which goes away unless it is finished.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(out: &Path) -> Result<Self, CliError> {
        let name = out.file_name().ok_or_else(|| CliError::usage(format_args!("{} names no file", out.display())))?;
        let path = out.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), Uuid::now_v7().simple()));
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        created.map_err(|error| failed("create", &path, &error))?;
        Ok(Self(path))
    }

    /// Durable before it has the name, and the name with it.
    fn finish(self, out: &Path, force: bool) -> Result<(), CliError> {
        let finished = || {
            File::open(&self.0)?.sync_all()?;
            // A link, unlike a renaming, never takes the place of what somebody else has put there meanwhile.
            if force {
                fs::rename(&self.0, out)?
            } else {
                fs::hard_link(&self.0, out)?
            }
            let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        finished().map_err(|error| failed("write", out, &error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more when it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}

fn print(database: &Database, config: &Config, out: &Path, held: &Holdings, json: bool) -> Result<(), CliError> {
    let newest = held.newest_record.to_rfc3339_opts(SecondsFormat::Secs, true);
    if json {
        return output::json(&serde_json::json!({
            "file": out,
            "database": database.to_string(),
            "certificates": held.certificates,
            "waiting_transitions": held.waiting,
            "newest_record": newest,
            "holds_master_key": false,
        }));
    }
    output::line(format_args!(
        "wrote {}: {} certificates, {} changes of status that wait, as of {newest}",
        out.display(),
        held.certificates,
        held.waiting
    ))?;
    let place = match &config.master_key {
        MasterKeySource::File(path) => path.display().to_string(),
        MasterKeySource::Value(_) => "COUNTERSIGN_MASTER_KEY".to_owned(),
    };
    output::note(format_args!(
        "The master key ({place}) is NOT in it. Keep a copy of it apart from the backup: without it the private keys in the \
         backup open for nobody, and with both everything does."
    ));
    Ok(())
}
