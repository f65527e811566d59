//! What the figures were measured on, and what else it did at the time.

use std::fs;
use std::thread::available_parallelism;

use super::Outcome;
use super::figures::say;

/// From here on others take a good part of a core.
const BUSY: f64 = 0.5;

/// Describes the machine, and warns of other work on it.
pub fn describe() -> Outcome<()> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = available_parallelism()?;
    say(format_args!("  machine: {cores} cores of {processor}, {memory}, Linux {}", kernel.trim()))?;
    let load = load()?;
    say(format_args!("  load when it began: {load}"))?;
    let last_minute = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or_default();
    if last_minute > BUSY {
        say("  WARNING: others work on this machine; the ratios say more than the figures")?;
    }
    Ok(())
}

/// The load averages of the last one, five and fifteen minutes, and how many of how many threads run.
pub fn load() -> Outcome<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(4).collect::<Vec<_>>().join(" "))
}

/// The first value of this name in a file of the system.
pub fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
