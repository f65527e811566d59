//! The databases that a benchmark runs on, with or without a delay in every sync, and the places in them where servers keep
//! their data.

use std::fmt::{self, Display};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::figures::{chapter, say};
use super::options::Options;
use super::postgres::{Postgres, Programs};
use super::server::{PUBLIC_URL, TOKEN};
use super::sync_delay::SyncDelay;
use super::{Outcome, fault, machine};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub fn parse(text: &str) -> Outcome<Vec<Self>> {
        match text {
            "sqlite" => Ok(vec![Self::Sqlite]),
            "postgres" => Ok(vec![Self::Postgres]),
            "both" => Ok(Self::ALL.to_vec()),
            _ => fault("--database asks for sqlite, postgres or both"),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Where a run of a benchmark takes place.
pub struct Stage {
    temporary: TempDir,
    kept: Option<PathBuf>,
    programs: Option<Programs>,
    delay: Option<SyncDelay>,
    databases: Vec<Kind>,
    program: PathBuf,
}

impl Stage {
    /// Says what is measured, on what, and what is left out.
    pub fn prepare(title: &str, options: &Options) -> Outcome<Self> {
        say(title)?;
        machine::describe()?;
        let temporary = tempfile::tempdir()?;
        open_to_others(temporary.path())?;
        let mut databases = options.databases.clone();
        let programs = if databases.contains(&Kind::Postgres) { Programs::find() } else { None };
        match &programs {
            Some(programs) => say(format_args!("  {}", programs.version))?,
            None if databases.contains(&Kind::Postgres) => {
                databases.retain(|database| *database != Kind::Postgres);
                say(
                    "  LEFT OUT: PostgreSQL; its programs are not installed (package postgresql), or there is no user for it",
                )?;
            }
            None => {}
        }
        let delay = if options.sync_delay.is_zero() {
            None
        } else {
            let compiled = SyncDelay::compile(temporary.path(), options.sync_delay)?;
            if compiled.is_none() {
                say("  LEFT OUT: the delayed syncs; there is no C compiler (cc)")?;
            }
            compiled
        };
        let (kept, program) = (options.folder.clone(), options.program.clone());
        Ok(Self { temporary, kept, programs, delay, databases, program })
    }

    pub fn databases(&self) -> Vec<Kind> {
        self.databases.clone()
    }

    pub fn folder(&self) -> &Path {
        self.temporary.path()
    }

    /// A database without delay; with stores that are kept, if a folder for them is named.
    pub async fn engine(&self, kind: Kind) -> Outcome<Engine> {
        chapter(format_args!("== {kind}"))?;
        let base = self.kept.clone().unwrap_or_else(|| self.temporary.path().to_owned());
        self.start(kind, base.join(kind.folder()), None).await
    }

    /// A database, empty, whose every sync is delayed; `None` where that is left out.
    pub async fn delayed(&self, kind: Kind) -> Outcome<Option<Engine>> {
        let Some(delay) = self.delay.clone() else { return Ok(None) };
        let folder = self.temporary.path().join("delayed").join(kind.folder());
        Ok(Some(self.start(kind, folder, Some(delay)).await?))
    }

    /// The same database with the same places, now with every sync delayed; `None` where that is left out. No server may be
    /// using it.
    pub async fn slowed_down(&self, engine: Engine) -> Outcome<Option<Engine>> {
        let (kind, folder) = (engine.kind, engine.folder.clone());
        engine.stop().await?;
        let Some(delay) = self.delay.clone() else { return Ok(None) };
        Ok(Some(self.start(kind, folder, Some(delay)).await?))
    }

    async fn start(&self, kind: Kind, folder: PathBuf, delay: Option<SyncDelay>) -> Outcome<Engine> {
        fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let postgres = match (kind, &self.programs) {
            (Kind::Sqlite, _) => None,
            (Kind::Postgres, Some(programs)) => Some(Postgres::start(programs, &folder, delay.as_ref()).await?),
            (Kind::Postgres, None) => return fault("PostgreSQL is not installed"),
        };
        Ok(Engine { kind, program: self.program.clone(), folder, delay, postgres })
    }
}

/// A database in which servers can be given places.
pub struct Engine {
    pub kind: Kind,
    program: PathBuf,
    folder: PathBuf,
    delay: Option<SyncDelay>,
    postgres: Option<Postgres>,
}

impl Engine {
    /// The place of this name; a new one is empty.
    pub fn place(&self, name: &str) -> Outcome<Place> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let url = self.postgres.as_ref().map(|postgres| postgres.database(name)).transpose()?;
        let (program, delay) = (self.program.clone(), self.delay.clone());
        Ok(Place { name: name.to_owned(), program, folder, url, delay })
    }

    /// A place of this name in which nothing is, whatever an earlier run has left there.
    pub fn empty_place(&self, name: &str) -> Outcome<Place> {
        self.remove(&self.place(name)?)?;
        self.place(name)
    }

    /// Forgets a place that no server uses.
    pub fn remove(&self, place: &Place) -> Outcome<()> {
        if let Some(postgres) = &self.postgres {
            postgres.remove(&place.name)?;
        }
        Ok(fs::remove_dir_all(&place.folder)?)
    }

    /// The memory of the database's own processes, if it has any.
    pub fn memory(&self) -> Outcome<Option<u64>> {
        self.postgres.as_ref().map(Postgres::memory).transpose()
    }

    /// The processor time of the database's own processes, in seconds.
    pub fn processor_time(&self) -> Outcome<f64> {
        self.postgres.as_ref().map_or(Ok(0.0), Postgres::processor_time)
    }

    /// The PostgreSQL, if it is one.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    pub async fn stop(self) -> Outcome<()> {
        match self.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}

/// Where one server keeps its data.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    program: PathBuf,
    pub folder: PathBuf,
    /// Of a PostgreSQL database; SQLite's file is in the folder.
    pub url: Option<String>,
    delay: Option<SyncDelay>,
}

impl Place {
    /// Countersign, to work here.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env_clear().env("COUNTERSIGN_DATA_DIR", self.folder.join("data"));
        command.env("COUNTERSIGN_PUBLIC_URL", PUBLIC_URL).env("COUNTERSIGN_BOOTSTRAP_TOKEN", TOKEN);
        if let Some(url) = &self.url {
            command.env("COUNTERSIGN_DATABASE_URL", url);
        }
        if let Some(delay) = &self.delay {
            delay.preload(&mut command);
        }
        command
    }
}

/// PostgreSQL, as another user, passes through it.
fn open_to_others(folder: &Path) -> Outcome<()> {
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?)
}
