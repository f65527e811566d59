//! `wrk` as a second generator of load, which is not ours: its figures should agree.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::figures::Durations;
use super::load::Load;
use super::{Outcome, fault};

/// Hands out the requests in turn, and prints what is needed of the summary: answers, microseconds, failures, percentiles.
const SCRIPT: &str = r#"
local number = 0
request = function()
    number = number % #requests + 1
    return requests[number]
end
done = function(summary, latency)
    local errors = summary.errors
    local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("RESULT %d %d %d", summary.requests, summary.duration, failures))
    for part = 1, 100 do
        io.write(" ", math.floor(latency:percentile(math.min(part, 99.999))))
    end
    io.write("\n")
end
"#;

/// Runs wrk with one thread for so long; it must be installed (package wrk).
pub fn run(
    folder: &Path,
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &[Vec<u8>],
) -> Outcome<Load> {
    let mut script = String::from("requests = {\n");
    for request in requests {
        // Lua reads what Rust escapes of ASCII but for \u, and requests have no such character.
        writeln!(script, "{:?},", std::str::from_utf8(request)?)?;
    }
    script.push('}');
    script.push_str(SCRIPT);
    let path = folder.join("requests.lua");
    fs::write(&path, script)?;
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{}", time.as_secs().max(1)), "-s"]).arg(&path);
    let Ok(output) = command.arg(format!("http://{address}/")).output() else {
        return fault("wrk is not installed (package wrk); leave out --wrk");
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let numbers = result.map(|line| line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>());
    match numbers.transpose()?.as_deref() {
        Some([answers, microseconds, 0, percentiles @ ..]) => Ok(Load {
            rate: *answers as f64 * 1e6 / *microseconds as f64,
            durations: Durations::of(percentiles.iter().copied().map(Duration::from_micros).collect()),
            whole: Duration::from_micros(*microseconds),
            own: f64::NAN,
        }),
        _ => fault(format!("wrk says: {text}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
