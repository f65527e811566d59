//! A PostgreSQL of our own: its data in a folder, on a free port of this machine, run by an ordinary user.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{self, Process};
use super::server::{PATIENCE, pause};
use super::sync_delay::SyncDelay;
use super::{Outcome, fault};

/// Where distributions put the programs, one folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whom PostgreSQL runs as when the benchmark is run by the superuser, which it refuses.
const USER: &str = "postgres";
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// What differs from the defaults: what any operator sets on a machine of this size. Syncs stay on.
const SETTINGS: [&str; 5] = [
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
    "max_connections=100",
];

pub struct Postgres {
    programs: Programs,
    port: u16,
    process: Process,
}

/// The programs of one version, and as whom they are run.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    user: Option<(u32, u32)>,
    pub version: String,
}

impl Programs {
    /// The newest that is installed, if there is one, and a user to run it.
    pub fn find() -> Option<Self> {
        let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let newest = versions.filter_map(|name| name.parse::<u32>().ok()).max()?;
        let folder = Path::new(VERSIONS).join(newest.to_string()).join("bin");
        let user = if process::is_root() { Some(user(USER)?) } else { None };
        let version = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        Some(Self { folder, user, version })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command
    }
}

impl Postgres {
    /// Starts it on the data in this folder, which is made if it is not there.
    pub async fn start(programs: &Programs, folder: &Path, delay: Option<&SyncDelay>) -> Outcome<Self> {
        let data = folder.join("data");
        if !data.exists() {
            fs::create_dir_all(&data)?;
            if let Some((user, group)) = programs.user {
                std::os::unix::fs::chown(&data, Some(user), Some(group))?;
            }
            fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
            let mut make = programs.command("initdb");
            make.arg("-D").arg(&data).args(["-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "-N"]);
            let made = make.output()?;
            if !made.status.success() {
                return fault(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
            }
        }
        let port = process::free_address()?.port();
        let log = File::create(folder.join("log"))?;
        let mut command = programs.command("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some(delay) = delay {
            delay.preload(&mut command);
        }
        let process = Process::start(command.stdout(log.try_clone()?).stderr(log), "QUIT")?;
        let mut started = Self { programs: programs.clone(), port, process };
        started.wait_until_ready().await?;
        Ok(started)
    }

    /// The address of a database; it is made if it is not there.
    pub fn database(&self, name: &str) -> Outcome<String> {
        let known = self.query(USER, &format!("SELECT 1 FROM pg_database WHERE datname = '{name}'"))?;
        if known.is_empty() {
            self.query(USER, &format!("CREATE DATABASE \"{name}\""))?;
        }
        Ok(format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port))
    }

    /// Removes a database that nobody uses.
    pub fn remove(&self, name: &str) -> Outcome<()> {
        self.query(USER, &format!("DROP DATABASE IF EXISTS \"{name}\"")).map(drop)
    }

    /// What psql prints for a statement, without frills.
    pub fn query(&self, database: &str, statement: &str) -> Outcome<String> {
        let mut ask = self.programs.command("psql");
        ask.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER, "-d", database]);
        let asked = ask.args(["-p", &self.port.to_string(), "-c", statement]).output()?;
        if !asked.status.success() {
            return fault(format!("psql: {}", String::from_utf8_lossy(&asked.stderr)));
        }
        Ok(String::from_utf8(asked.stdout)?.trim().to_owned())
    }

    /// The memory of all its processes, in octets, what they share counted once.
    pub fn memory(&self) -> Outcome<u64> {
        self.process.memory_with_children()
    }

    /// The seconds of processor time that all its processes have used.
    pub fn processor_time(&self) -> Outcome<f64> {
        self.process.processor_time_with_children()
    }

    pub async fn stop(self) -> Outcome<()> {
        self.process.stop("INT").await
    }

    async fn wait_until_ready(&mut self) -> Outcome<()> {
        let started = Instant::now();
        while self.query(USER, "SELECT 1").is_err() {
            if let Some(status) = self.process.ended()? {
                return fault(format!("PostgreSQL ended with {status}"));
            }
            if started.elapsed() > PATIENCE {
                return fault("PostgreSQL did not become ready");
            }
            pause(BETWEEN_TRIES).await;
        }
        Ok(())
    }
}

/// The numbers of a user and of its group.
fn user(name: &str) -> Option<(u32, u32)> {
    let entry = super::machine::field("/etc/passwd", &format!("{name}:"))?;
    let mut numbers = entry.split(':').skip(1);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
