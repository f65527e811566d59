//! Checks of this machine: configuration and files.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::finding::Report;
use crate::cli::Context;
use crate::config::{Config, DatabaseUrl, Flags, MasterKeySource, TOKEN_FILE};
use crate::service::profiles;

const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
const GROUP_READS: u32 = 0o040;

pub fn check(report: &mut Report, flags: &Flags, context: &Context) {
    for name in context.environment.unknown() {
        report.warn(
            "configuration",
            format!("{name} names no setting"),
            "mistyped? `countersign serve --help` lists them",
        );
    }
    match Config::load(flags, &context.environment, Path::new(".")) {
        Ok(config) => {
            report.ok("configuration", "valid");
            check_files(report, &config);
            check_profiles(report, &config);
            check_listening(report, &config);
        }
        Err(problems) => {
            for problem in problems.0 {
                report.fail("configuration", problem.to_string(), "`countersign serve --help` explains every setting");
            }
        }
    }
}

fn check_files(report: &mut Report, config: &Config) {
    let file = match &config.database {
        DatabaseUrl::Sqlite(file) => Some(file),
        DatabaseUrl::Postgres(_) => None,
    };
    // A server's data is its own affair; the master key is needed for it all the same.
    let has_data = file.is_none_or(|file| file.exists());
    if !check_folder(report, &config.data_dir) && !has_data {
        return;
    }
    match file {
        Some(file) if has_data => check_database(report, file),
        Some(file) => {
            report.warn("database", format!("{} is not there yet", file.display()), "the first start makes it");
        }
        None => {}
    }
    check_master_key(report, &config.master_key, has_data);
    let token = config.data_dir.join(TOKEN_FILE);
    if token.exists() {
        check_private(report, TOKEN_FILE, &token);
    }
}

/// A running server keeps the former profiles when a changed one has a fault; the next start would fail over it.
fn check_profiles(report: &mut Report, config: &Config) {
    let Some(folder) = config.profiles_folder() else {
        return report.ok("profiles", "the built-in ones");
    };
    match profiles::fault_in(&folder) {
        None => report.ok("profiles", folder.display().to_string()),
        Some(fault) => report.fail("profiles", fault, "mend it: until then a running server keeps the former profiles"),
    }
}

/// Whether there is a folder to look into.
fn check_folder(report: &mut Report, folder: &Path) -> bool {
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.warn("data folder", format!("{} is not there yet", folder.display()), "the first start makes it");
            return false;
        }
        Err(error) => {
            report.fail("data folder", format!("{}: {error}", folder.display()), "run this as the user of the server");
            return false;
        }
    };
    let mode = metadata.permissions().mode();
    if !metadata.is_dir() {
        report.fail("data folder", format!("{} is no folder", folder.display()), "set COUNTERSIGN_DATA_DIR to one");
        return false;
    }
    if mode & OTHERS_WRITE != 0 {
        let message = format!("{} can be written by others (mode {:03o})", folder.display(), mode & 0o777);
        report.fail("data folder", message, &format!("chmod 700 {}", folder.display()));
    } else {
        report.ok("data folder", folder.display().to_string());
    }
    true
}

fn check_master_key(report: &mut Report, source: &MasterKeySource, has_data: bool) {
    let MasterKeySource::File(path) = source else {
        return report.ok("master key", "from the environment");
    };
    match fs::File::open(path) {
        Ok(_) => check_private(report, "master key", path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !has_data => {
            report.warn("master key", format!("{} is not there yet", path.display()), "the first start makes it");
        }
        Err(error) => {
            let way_out = "without it no key in the database can be opened: restore it, or name it with COUNTERSIGN_MASTER_KEY_FILE";
            report.fail("master key", format!("{}: {error}", path.display()), way_out);
        }
    }
}

/// A secret that only the server's user may read.
fn check_private(report: &mut Report, check: &str, path: &Path) {
    let us = rustix::process::geteuid().as_raw();
    match fs::metadata(path).map(|metadata| (metadata.permissions().mode(), metadata.uid() == us)) {
        Ok((mode, is_ours)) if is_open(mode, is_ours) => {
            let message = format!("{} is open to others (mode {:03o})", path.display(), mode & 0o777);
            report.fail(check, message, &format!("chmod 600 {}", path.display()));
        }
        Ok(_) => report.ok(check, path.display().to_string()),
        Err(error) => report.fail(check, format!("{}: {error}", path.display()), "run this as the user of the server"),
    }
}

/// Whether others can read or write it. What somebody else owns is handed to us through its group: so Kubernetes gives a pod
/// its secrets (`fsGroup`), and systemd a service its credentials (there the bits are the mask of an access list).
fn is_open(mode: u32, is_ours: bool) -> bool {
    let allowed = if is_ours { 0 } else { GROUP_READS };
    mode & OTHERS & !allowed != 0
}

/// Keys rest sealed in the database: who reads it learns names, but no key. A closed folder around it is enough.
fn check_database(report: &mut Report, path: &Path) {
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0);
    if is_open(path) && path.parent().is_none_or(is_open) {
        let message = format!("{} can be read by others", path.display());
        report.warn("database", message, "close its folder: chmod 700");
    } else {
        report.ok("database", path.display().to_string());
    }
}

fn check_listening(report: &mut Report, config: &Config) {
    if let Some(tls) = &config.tls {
        for path in [&tls.certificate, &tls.key] {
            if let Err(error) = fs::File::open(path) {
                report.fail("TLS", format!("{}: {error}", path.display()), "the server does not start without it");
            }
        }
    }
    let public_url = config.public_url.as_deref();
    if public_url.is_none() {
        report.warn(
            "public address",
            format!("COUNTERSIGN_PUBLIC_URL is not set, so certificates point to the listen address {}", config.listen),
            "set it to the address under which relying parties fetch CRLs, before certificates are issued",
        );
    }
    match (&config.tls, config.behind_proxy) {
        (Some(_), _) => report.ok("listening", format!("HTTPS on {}", config.listen)),
        (None, true) => report.ok("listening", format!("HTTP on {}, behind a proxy that speaks TLS", config.listen)),
        (None, false) => report.ok("listening", format!("HTTP on {}, for this machine only", config.listen)),
    }
    if config.behind_proxy && public_url.is_some_and(|url| url.starts_with("http://")) {
        report.ok("public address", "plain HTTP, as is usual for CRLs, which are signed themselves");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;
    use crate::clock::Clock;
    use crate::config::Environment;

    fn verdicts(report: &Report) -> Vec<(Verdict, &str)> {
        report.findings.iter().map(|finding| (finding.verdict, finding.check.as_str())).collect()
    }

    fn checked(folder: &Path) -> Report {
        let environment = Environment::from([
            ("COUNTERSIGN_DATA_DIR", folder.to_str().unwrap()),
            ("COUNTERSIGN_PUBLIC_URL", "https://ca.example.com"),
        ]);
        let mut report = Report::default();
        check(&mut report, &Flags::default(), &Context { environment, clock: Clock::system() });
        report
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, "x").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_that_others_can_read_are_found() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("countersign.db"), 0o600);
        write(&folder.path().join("master.key"), 0o644);
        write(&folder.path().join("admin.token"), 0o600);
        let report = checked(folder.path());
        assert!(verdicts(&report).contains(&(Verdict::Fail, "master key")), "{report:?}");
        write(&folder.path().join("master.key"), 0o600);
        assert_eq!(checked(folder.path()).worst(), Verdict::Ok);
    }

    #[test]
    fn what_is_handed_to_us_through_its_group_is_not_open() {
        for (mode, is_ours, expected) in [
            (0o600, true, false),
            (0o400, false, false),
            (0o440, false, false),
            (0o440, true, true),
            (0o460, false, true),
            (0o444, false, true),
            (0o404, false, true),
        ] {
            assert_eq!(is_open(mode, is_ours), expected, "{mode:o} {is_ours}");
        }
    }

    #[test]
    fn a_lost_master_key_is_told_from_one_that_is_not_made_yet() {
        let folder = tempfile::tempdir().unwrap();
        assert!(verdicts(&checked(folder.path())).contains(&(Verdict::Warn, "master key")));
        write(&folder.path().join("countersign.db"), 0o600);
        assert!(verdicts(&checked(folder.path())).contains(&(Verdict::Fail, "master key")));
        assert_eq!(checked(&folder.path().join("none")).worst(), Verdict::Warn);
    }

    #[test]
    fn every_problem_of_the_configuration_is_a_line() {
        let environment =
            Environment::from([("COUNTERSIGN_LISTEN", "x"), ("COUNTERSIGN_CRL_VALIDITY", "x"), ("COUNTERSIGN_X", "x")]);
        let mut report = Report::default();
        check(&mut report, &Flags::default(), &Context { environment, clock: Clock::system() });
        let found = verdicts(&report);
        assert_eq!(found.iter().filter(|(verdict, _)| *verdict == Verdict::Fail).count(), 2);
        assert!(found.contains(&(Verdict::Warn, "configuration")));
    }
}
