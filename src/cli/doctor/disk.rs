//! Whether the disk keeps what it was told to keep, and how long that takes: each write of the server waits for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::finding::Report;
use crate::config::DatabaseUrl;

const CHECK: &str = "disk";
const WRITES: usize = 15;
/// About a page of the database.
const LENGTH: usize = 4096;
/// Faster than any medium that keeps its content without power.
const IMPLAUSIBLE: Duration = Duration::from_micros(15);
/// From here on issuing is slow for whoever asks for one certificate at a time.
const SLOW: Duration = Duration::from_millis(25);

/// Looks at the disk that holds the database. Which one a database server writes to is not seen from here, and the server's
/// data folder may then well be memory: nothing is kept in it.
pub fn check(report: &mut Report, database: &DatabaseUrl) {
    if let DatabaseUrl::Sqlite(path) = database {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        check_folder(report, folder.unwrap_or(Path::new(".")));
    }
}

/// Writes a small file and syncs it several times; it is removed again.
fn check_folder(report: &mut Report, folder: &Path) {
    if !folder.is_dir() {
        return;
    }
    match probe(folder) {
        Ok(time) => judge(report, folder, time),
        Err(error) => {
            let message = format!("{} takes no durable write: {error}", folder.display());
            report.fail(CHECK, message, "run this as the user of the server; is the disk full or read-only?");
        }
    }
}

fn judge(report: &mut Report, folder: &Path, time: Duration) {
    let message = format!("a sync in {} takes {:.2} ms", folder.display(), time.as_secs_f64() * 1000.0);
    if time < IMPLAUSIBLE {
        let way_out =
            "is it memory (tmpfs), or a cache that ignores syncs? what was issued would be lost with the power";
        report.warn(CHECK, format!("{message}, too little to be true"), way_out);
    } else if time > SLOW {
        report.warn(CHECK, message, "every write waits for it: put the data on a faster disk, not on a network share");
    } else {
        report.ok(CHECK, message);
    }
}

/// The median of several syncs.
fn probe(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".doctor.{}.tmp", Uuid::now_v7().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut write = || {
        file.write_all(&[0x5a; LENGTH])?;
        let begin = Instant::now();
        file.sync_data()?;
        Ok(begin.elapsed())
    };
    let times: io::Result<Vec<Duration>> = (0..WRITES).map(|_| write()).collect();
    fs::remove_file(&path)?;
    let mut times = times?;
    times.sort();
    Ok(times.get(WRITES / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn disks_that_are_too_fast_or_too_slow_are_noticed() {
        for (time, expected) in [
            (Duration::from_micros(1), Verdict::Warn),
            (Duration::from_micros(120), Verdict::Ok),
            (Duration::from_millis(6), Verdict::Ok),
            (Duration::from_millis(80), Verdict::Warn),
        ] {
            let mut report = Report::default();
            judge(&mut report, Path::new("data"), time);
            assert_eq!(report.worst(), expected, "{time:?}");
        }
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        check_folder(&mut report, folder.path());
        assert_eq!(report.findings.len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        check_folder(&mut report, &folder.path().join("none"));
        assert_eq!(report.findings.len(), 1);
    }

    #[test]
    fn the_disk_of_the_database_is_the_one_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        check(&mut report, &DatabaseUrl::Sqlite(folder.path().join("a.db")));
        let place = folder.path().display().to_string();
        assert!(report.findings.iter().all(|finding| finding.message.contains(&place)), "{report:?}");
        assert_eq!(report.findings.len(), 1);
        check(&mut report, &DatabaseUrl::Postgres("postgres://db/ca".into()));
        assert_eq!(report.findings.len(), 1);
    }
}
