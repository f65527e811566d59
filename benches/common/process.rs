//! Processes that a benchmark starts: ended with it, and asked for what they use.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use super::server::pause;
use super::{Outcome, fault};

const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// A process; ended by a signal when it is dropped.
pub struct Process(Child, &'static str);

impl Process {
    /// Starts it; `last` is the signal that ends it at once.
    pub fn start(command: &mut Command, last: &'static str) -> Outcome<Self> {
        Ok(Self(command.spawn()?, last))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// The memory that it has now, in octets.
    pub fn memory(&self) -> Outcome<u64> {
        status(self.0.id(), "VmRSS")
    }

    /// The most that it had since the last call of [`Process::forget_peak`].
    pub fn peak_memory(&self) -> Outcome<u64> {
        status(self.0.id(), "VmHWM")
    }

    pub fn forget_peak(&self) -> Outcome<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5")?)
    }

    /// Its memory and that of its children, what they share counted once.
    pub fn memory_with_children(&self) -> Outcome<u64> {
        let mut total = 0;
        for process in self.with_children()? {
            // A child may have ended meanwhile.
            total += kibibytes(&format!("/proc/{process}/smaps_rollup"), "Pss").unwrap_or_default();
        }
        Ok(total)
    }

    /// The seconds of processor time that it has used.
    pub fn processor_time(&self) -> Outcome<f64> {
        processor_time(self.0.id())
    }

    /// The same with that of its children, also of those that have ended.
    pub fn processor_time_with_children(&self) -> Outcome<f64> {
        let times = self.with_children()?.into_iter().map(|process| processor_time(process).unwrap_or_default());
        Ok(times.sum())
    }

    fn with_children(&self) -> Outcome<Vec<u32>> {
        let own = self.0.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        Ok([own].into_iter().chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect())
    }

    /// Ends it as an operator would, and waits.
    pub async fn stop(mut self, signal: &str) -> Outcome<()> {
        Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status()?;
        let asked = Instant::now();
        while self.0.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                return fault("a process did not stop");
            }
            pause(BETWEEN_TRIES).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    /// Whatever ends a benchmark, what it started does not stay.
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let asked = Command::new("kill").args(["-s", self.1, &self.0.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// A new one for each start: one that was free a while ago may be somebody else's by now.
pub fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The user that the benchmark runs as is the superuser: PostgreSQL would not run.
pub fn is_root() -> bool {
    super::machine::field("/proc/self/status", "Uid").is_some_and(|ids| ids.starts_with("0\t"))
}

fn status(process: u32, name: &str) -> Outcome<u64> {
    kibibytes(&format!("/proc/{process}/status"), name)
}

fn kibibytes(path: &str, name: &str) -> Outcome<u64> {
    let value = super::machine::field(path, name).ok_or("the system does not tell of memory")?;
    let kibibytes: u64 = value.trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

fn processor_time(process: u32) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in brackets, and may hold blanks; utime to cstime are the 14th to the 17th.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
