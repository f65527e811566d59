//! The real server: the release binary on a free port, in a place of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use countersign::clock::Clock;

use super::engine::Place;
use super::http::{Connection, request};
use super::process::{Process, free_address};
use super::{Outcome, fault};

/// The administrator's token of every benchmark: nothing of worth is behind it.
pub const TOKEN: &str = "benchmark-token-0123456789-0123456789-0123456789";
/// Stands in the certificates, and stays while the port changes.
pub const PUBLIC_URL: &str = "http://127.0.0.1:8080";
pub const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

pub struct Server {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Process,
    started: Instant,
}

impl Server {
    /// Starts it, without waiting until it serves.
    pub fn launch(place: &Place) -> Outcome<Self> {
        let address = free_address()?;
        let log = File::create(place.folder.join("log"))?;
        let mut command = place.command();
        command.arg("serve").env("COUNTERSIGN_LISTEN", address.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let process = Process::start(&mut command, "KILL")?;
        Ok(Self { address, folder: place.folder.clone(), process, started })
    }

    /// Starts it and waits until it is ready; also how long that took.
    pub async fn start(place: &Place) -> Outcome<(Self, Duration)> {
        let mut server = Self::launch(place)?;
        let ready = server.wait_until_ready().await?;
        Ok((server, ready))
    }

    /// How long it took from the start until `/readyz` said so.
    pub async fn wait_until_ready(&mut self) -> Outcome<Duration> {
        let ask = request("GET", "/readyz", &[], &[]);
        while self.started.elapsed() < PATIENCE {
            if let Some(status) = self.process.ended()? {
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

    /// The memory that it has now, in octets.
    pub fn memory(&self) -> Outcome<u64> {
        self.process.memory()
    }

    /// The most that it had since the last call of [`Server::forget_peak`].
    pub fn peak_memory(&self) -> Outcome<u64> {
        self.process.peak_memory()
    }

    pub fn forget_peak(&self) -> Outcome<()> {
        self.process.forget_peak()
    }

    /// The seconds of processor time that it has used.
    pub fn processor_time(&self) -> Outcome<f64> {
        self.process.processor_time()
    }

    /// Ends it as an operator would, and waits.
    pub async fn stop(self) -> Outcome<()> {
        self.process.stop("TERM").await
    }
}

pub async fn pause(time: Duration) {
    Clock::system().sleep(time).await;
}
