//! PostgreSQL's own tools, which copy and restore its databases. Passwords go through the environment and a file: what stands
//! on a command line is for everybody on the machine to read. Of our own settings, which hold the master key, they get none.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::error::CliError;
use super::files::failed;

/// What the names of our settings begin with.
const SETTINGS: &str = "COUNTERSIGN_";

/// A tool that connects to the database of this address, which is given to it as its last argument.
pub struct Tool {
    name: &'static str,
    command: Command,
    address: Address,
}

impl Tool {
    pub fn new(name: &'static str, url: &SecretString) -> Self {
        Self { name, command: command(name), address: Address::of(url.expose_secret()) }
    }

    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Runs it, and gives what it says when it fails.
    pub fn run(mut self) -> Result<(), CliError> {
        self.command.arg("--no-password").arg(format!("--dbname={}", self.address.url)).stdin(Stdio::null());
        if let Some(password) = &self.address.password {
            self.command.env("PGPASSWORD", password.expose_secret());
        }
        let service = self.address.key_password.as_ref().map(Service::with).transpose()?;
        if let Some(service) = &service {
            self.command.env("PGSERVICEFILE", &service.0).env("PGSERVICE", Service::NAME);
        }
        finish(self.name, self.command.output()).map(drop)
    }
}

/// What a dump holds, a line for each thing.
pub fn contents_of_dump(file: &std::path::Path) -> Result<String, CliError> {
    let output = command("pg_restore").arg("--list").arg(file).stdin(Stdio::null()).output();
    finish("pg_restore", output)
}

fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(SETTINGS) {
            command.env_remove(name);
        }
    }
    command
}

fn finish(name: &str, output: io::Result<std::process::Output>) -> Result<String, CliError> {
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::failure(format_args!(
            "{name} is not on the PATH. It belongs to PostgreSQL's client programs (Debian: postgresql-client) and must be \
             of the server's version or a later one."
        )),
        _ => CliError::failure(format_args!("{name} cannot be run: {error}")),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::failure(format_args!("{name} failed ({}): {}", output.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Which of several hosts is taken (libpq, "target_session_attrs").
const SESSION: &str = "target_session_attrs=";
/// As the server takes it, unless the address says otherwise: a standby may lack what was confirmed a moment ago.
const TAKES_WRITES: &str = "target_session_attrs=read-write";

/// An address, and apart from it what is secret.
struct Address {
    url: String,
    password: Option<SecretString>,
    /// Of the client's TLS key.
    key_password: Option<SecretString>,
}

impl Address {
    fn of(url: &str) -> Self {
        let (before_query, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
        let mut password = None;
        let mut bare = before_query.to_owned();
        if let Some((scheme, rest)) = before_query.split_once("://")
            && let Some((user, place)) = rest.rsplit_once('@')
            && let Some((user, secret)) = user.split_once(':')
        {
            password = Some(decoded(secret));
            bare = format!("{scheme}://{user}@{place}");
        }
        let (mut kept, mut key_password) = (Vec::new(), None);
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("password", secret)) => password = Some(decoded(secret)),
                Some(("sslpassword", secret)) => key_password = Some(decoded(secret)),
                _ => kept.push(pair),
            }
        }
        if !kept.iter().any(|pair| pair.starts_with(SESSION)) {
            kept.push(TAKES_WRITES);
        }
        bare = format!("{bare}?{}", kept.join("&"));
        Self {
            url: bare,
            password: password.map(SecretString::from),
            key_password: key_password.map(SecretString::from),
        }
    }
}

/// The one secret that no variable takes, in a file that only we read and that goes with this value (libpq, "The Connection
/// Service File").
struct Service(PathBuf);

impl Service {
    const NAME: &str = "countersign";

    fn with(key_password: &SecretString) -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("countersign.{}.tmp", Uuid::now_v7().simple()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| failed("create", &path, &error))?;
        let service = Self(path);
        let written = write!(file, "[{}]\nsslpassword={}\n", Self::NAME, key_password.expose_secret());
        written.map_err(|error| failed("write", &service.0, &error))?;
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nobody else could remove it but its owner.
        let _ = fs::remove_file(&self.0);
    }
}

/// `%41` is `A` (RFC 3986, 2.1), as libpq reads it.
fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%'
            && let Some((digits, after)) = rest.split_at_checked(2)
            && let Ok(octet) = hex::decode(digits)
        {
            octets.extend(octet);
            rest = after;
        } else {
            octets.push(*first);
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_of_the_address() {
        for (url, bare, password) in [
            ("postgres://me:p%40%3as@db:5432/ca", "postgres://me@db:5432/ca?", Some("p@:s")),
            ("postgres://me@a:1,b:2/ca?sslmode=require", "postgres://me@a:1,b:2/ca?sslmode=require&", None),
            ("postgres://a/ca?password=x%&user=me&sslpassword=y", "postgres://a/ca?user=me&", Some("x%")),
            ("postgresql:///ca?password=x", "postgresql:///ca?", Some("x")),
        ] {
            let address = Address::of(url);
            assert_eq!(address.url, format!("{bare}target_session_attrs=read-write"));
            assert_eq!(address.password.as_ref().map(|one| one.expose_secret().to_owned()).as_deref(), password);
        }
    }

    #[test]
    fn a_choice_of_the_host_stands() {
        let url = "postgres://a,b/ca?target_session_attrs=any";
        assert_eq!(Address::of(url).url, url);
    }

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let error = finish("pg_none", Command::new("pg_none_at_all").output()).unwrap_err();
        assert!(error.message().unwrap().contains("pg_none is not on the PATH"));
    }
}
