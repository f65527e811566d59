//! A slower disk: a small library, compiled on the spot, that sleeps before every fsync and fdatasync of the processes that
//! it is preloaded into.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Outcome;

const SOURCE: &str = include_str!("sync_delay.c");

#[derive(Clone, Debug)]
pub struct SyncDelay {
    library: PathBuf,
    pub time: Duration,
}

impl SyncDelay {
    /// Compiles the library into this folder; `None` where there is no C compiler.
    pub fn compile(folder: &Path, time: Duration) -> Outcome<Option<Self>> {
        let (source, library) = (folder.join("sync_delay.c"), folder.join("sync_delay.so"));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        let Ok(status) = compiler.status() else { return Ok(None) };
        if !status.success() {
            return Err("cc does not compile the library that delays syncs".into());
        }
        fs::set_permissions(&library, fs::Permissions::from_mode(0o755))?;
        Ok(Some(Self { library, time }))
    }

    /// Has a process, and all that it starts, wait before each sync.
    pub fn preload(&self, process: &mut Command) {
        process.env("LD_PRELOAD", &self.library);
        process.env("SYNC_DELAY_MICROSECONDS", self.time.as_micros().to_string());
    }
}
