//! PostgreSQL's own tools, which copy and restore its databases. Passwords go through the environment: what stands on a
//! command line is for everybody on the machine to read.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};

use super::error::CliError;

/// A tool that connects to the database of this address, which is given to it as its last argument.
pub struct Tool {
    name: &'static str,
    command: Command,
    address: Address,
}

impl Tool {
    pub fn new(name: &'static str, url: &SecretString) -> Self {
        Self { name, command: Command::new(name), address: Address::of(url.expose_secret()) }
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
        finish(self.name, self.command.output()).map(drop)
    }
}

/// What a dump holds, a line for each thing.
pub fn contents_of_dump(file: &std::path::Path) -> Result<String, CliError> {
    let output = Command::new("pg_restore").arg("--list").arg(file).stdin(Stdio::null()).output();
    finish("pg_restore", output)
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

/// An address in two parts.
struct Address {
    url: String,
    password: Option<SecretString>,
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
        let mut kept = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.strip_prefix("password=") {
                Some(secret) => password = Some(decoded(secret)),
                None => kept.push(pair),
            }
        }
        if !kept.iter().any(|pair| pair.starts_with(SESSION)) {
            kept.push(TAKES_WRITES);
        }
        bare = format!("{bare}?{}", kept.join("&"));
        Self { url: bare, password: password.map(SecretString::from) }
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
            ("postgres://a/ca?password=x%&user=me", "postgres://a/ca?user=me&", Some("x%")),
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
