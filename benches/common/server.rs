//! The real server: the release binary on a free port, with a folder of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use countersign::clock::Clock;

use super::http::{Connection, request};
use super::{Outcome, fault};

/// The administrator's token of every benchmark: nothing of worth is behind it.
pub const TOKEN: &str = "benchmark-token-0123456789-0123456789-0123456789";
/// Stands in the certificates, and stays while the port changes.
const PUBLIC_URL: &str = "http://127.0.0.1:8080";
const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

pub struct Server {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Child,
    started: Instant,
}

impl Server {
    /// Starts it, without waiting until it serves.
    pub fn launch(folder: &Path) -> Outcome<Self> {
        let address = free_address()?;
        let log = File::create(folder.join("log"))?;
        let started = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("serve")
            .current_dir(folder)
            .env_clear()
            .env("COUNTERSIGN_LISTEN", address.to_string())
            .env("COUNTERSIGN_PUBLIC_URL", PUBLIC_URL)
            .env("COUNTERSIGN_DATA_DIR", folder.join("data"))
            .env("COUNTERSIGN_BOOTSTRAP_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { address, folder: folder.to_owned(), process, started })
    }

    /// Starts it and waits until it is ready; also how long that took.
    pub async fn start(folder: &Path) -> Outcome<(Self, Duration)> {
        let mut server = Self::launch(folder)?;
        let ready = server.wait_until_ready().await?;
        Ok((server, ready))
    }

    /// How long it took from the start until `/readyz` said so.
    pub async fn wait_until_ready(&mut self) -> Outcome<Duration> {
        let ask = request("GET", "/readyz", &[], &[]);
        while self.started.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return fault(format!("the server ended with {status}; its log is in {}", self.folder.display()));
            }
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.exchange(&ask).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(self.started.elapsed());
            }
            pause(BETWEEN_TRIES).await;
        }
        fault("the server did not become ready")
    }

    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// A new connection.
    pub async fn connect(&self) -> Outcome<Connection> {
        Connection::open(self.address).await
    }

    /// Its database file.
    pub fn database(&self) -> PathBuf {
        database(&self.folder)
    }

    /// The memory that it has now, in octets.
    pub fn memory(&self) -> Outcome<u64> {
        self.status("VmRSS:")
    }

    /// The most that it had since the last call of [`Server::forget_peak`].
    pub fn peak_memory(&self) -> Outcome<u64> {
        self.status("VmHWM:")
    }

    pub fn forget_peak(&self) -> Outcome<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }

    /// The seconds of processor time that it has used.
    pub fn processor_time(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field is a name in brackets, and may hold blanks; utime and stime are the 14th and 15th.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    }

    fn status(&self, name: &str) -> Outcome<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("the system does not tell of memory")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }

    /// Ends it as an operator would, and waits.
    pub async fn stop(mut self) -> Outcome<()> {
        Command::new("kill").arg(self.process.id().to_string()).status()?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                return fault("the server did not stop");
            }
            pause(BETWEEN_TRIES).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    /// Whatever ends a benchmark, its server does not stay.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn database(folder: &Path) -> PathBuf {
    folder.join("data").join("countersign.db")
}

pub async fn pause(time: Duration) {
    Clock::system().sleep(time).await;
}

/// A new one for each start: one that was free a while ago may be somebody else's by now.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
