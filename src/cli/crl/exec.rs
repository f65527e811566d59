//! The command that makes a server read its file of CRLs again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// Its environment names the file here.
const FILE_VARIABLE: &str = "COUNTERSIGN_CRL_FILE";
/// A reload that takes longer hangs, and the file must go on being kept meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a command by `sh -c`. What it prints goes to stderr. The error says how it failed.
pub async fn run(command: &str, file: &Path, clock: &Clock) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env(FILE_VARIABLE, file)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Err(error) => return Err(error.to_string()),
            Ok(None) if started.elapsed() >= PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
            Ok(None) => clock.sleep(LOOK_EVERY).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_command_knows_the_file_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b.pem");
        let clock = Clock::system();
        assert_eq!(run(r#"echo x > "$COUNTERSIGN_CRL_FILE""#, &file, &clock).await, Ok(()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
        assert_eq!(run("exit 3", &file, &clock).await, Err("exit status: 3".into()));
        assert!(run("no-such-command", &file, &clock).await.is_err());
    }
}
