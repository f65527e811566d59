//! `countersign crl sync`: a file of CRLs that is kept current beside a server that reads one, such as nginx or HAProxy.
//!
//! Asking costs an empty answer while nothing has changed, so it is done often. Whatever goes wrong, the file stays as it
//! is: CRLs are good until their nextUpdate.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use reqwest::header::HeaderValue;
use serde_json::json;

use super::exec;
use super::kept_file::KeptFile;
use crate::cli::client::{Client, ClientError};
use crate::cli::connection::{Connection, ZoneChoice};
use crate::cli::error::CliError;
use crate::cli::escape::escape_lines;
use crate::cli::in_account::fine_duration;
use crate::cli::{Context, output, serve};
use crate::clock::Clock;
use crate::domain::id::ZoneId;
use crate::domain::text::timestamp;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);
/// After a failure, the next attempt comes after a second, then two, four, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is repeated that CRLs are no longer current.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Keep a file with the CRLs of the zone current, and have the server that reads it read it again
///
/// Asks every second, writes the file whole or not at all, and never an older CRL over a newer one.
/// The command is run by `sh -c` when the file has changed, again until it succeeds, with the name
/// of the file in COUNTERSIGN_CRL_FILE. While the CA cannot be reached, the file stays as it is.
/// With the zone's id no token is needed. Examples:
///
///   countersign crl sync --out /etc/nginx/clients-crl.pem --exec 'nginx -s reload'
///   countersign crl sync --zone 5d28ec1c8ee4f2f3b2fc37b9b4f2f0aa --url https://ca.example.com \
///     --out /etc/haproxy/clients-crl.pem --exec 'systemctl reload haproxy'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The file; a reader never finds a part of it. It keeps its mode and owner
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Run this when the file has changed
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// How often to ask, from 100ms to 1d
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// Do it once and end, with an exit code that says whether it worked
    #[arg(long)]
    once: bool,

    /// Whose CRLs go into the file
    #[arg(long, value_enum, default_value_t = Include::Chain)]
    include: Include,

    #[command(flatten)]
    zone: ZoneChoice,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Include {
    /// Of every authority of the zone and of those above it, as nginx, HAProxy and openssl -crl_check_all want it
    Chain,
    /// Of the authority that signs now, for software that looks at the certificate alone
    Issuer,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let file = KeptFile::open(&arguments.out)?;
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let mut sync = Sync {
        path: format!("/pki/{zone}/crl-chain.pem"),
        zone,
        client: client.into_stranger(),
        file,
        tag: None,
        command: arguments.exec,
        first_only: arguments.include == Include::Issuer,
        as_json: arguments.connection.json,
        clock: context.clock.clone(),
    };
    if arguments.once {
        return sync.once().await;
    }
    tokio::select! {
        ended = serve::wait_for_signal() => ended.map_err(CliError::failure),
        failed = sync.forever(arguments.interval) => failed,
    }
}

struct Sync {
    client: Client,
    zone: ZoneId,
    path: String,
    file: KeptFile,
    /// Of the answer that is in the file.
    tag: Option<HeaderValue>,
    command: Option<String>,
    first_only: bool,
    as_json: bool,
    clock: Clock,
}

impl Sync {
    async fn once(&mut self) -> Result<(), CliError> {
        self.refresh().await.map_err(CliError::failure)?;
        self.tell().await.map_err(CliError::failure)?;
        self.require_current().map_err(CliError::failure)
    }

    /// Goes on until the process is told to end, or until nobody reads what it prints.
    async fn forever(&mut self, interval: Duration) -> Result<(), CliError> {
        let mut asking = Turns::default();
        let mut telling = Turns::default();
        let mut warned: Option<Instant> = None;
        loop {
            if asking.is_due() {
                let outcome = self.refresh().await;
                let was_failing = asking.is_failing();
                if let Err(why) = &outcome {
                    output::note(format_args!("warning: {why}; {} stays as it is", self.file.path().display()));
                } else if was_failing {
                    output::note(format_args!("{} is kept again", self.file.path().display()));
                }
                asking.next(outcome.is_ok(), interval);
            }
            if telling.is_due() {
                let outcome = self.tell().await;
                if let Err(why) = &outcome {
                    output::note(format_args!("warning: {why}; it will be run again"));
                }
                telling.next(outcome.is_ok(), Duration::ZERO);
            }
            match self.require_current() {
                Err(why) if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) => {
                    output::note(format_args!("warning: {why}"));
                    warned = Some(Instant::now());
                }
                Err(_) => {}
                Ok(()) => warned = None,
            }
            // A file that has not changed needs no telling, so only a failure is waited for.
            let pause = if telling.is_failing() { asking.left().min(telling.left()) } else { asking.left() };
            self.clock.sleep(pause).await;
        }
    }

    /// Brings the file up to date. The error says why that failed; the file is then as it was.
    async fn refresh(&mut self) -> Result<(), String> {
        if !self.file.is_as_it_was_left() {
            self.tag = None;
        }
        let answer = self.client.download(&self.path, self.tag.as_ref()).await;
        let Some(mut download) = answer.map_err(|error| self.explain(&error))? else { return Ok(()) };
        let unwritten = |error| format!("{} cannot be written: {error}", self.file.path().display());
        let mut new = self.file.begin().map_err(unwritten)?;
        let refused = |why: String| format!("the server's answer is not taken: {why}");
        while let Some(piece) = download.next().await.map_err(|error| error.to_string())? {
            new.write(&piece).map_err(refused)?;
        }
        let is_changed = self.file.take(new, self.first_only, self.command.is_some()).map_err(refused)?;
        self.tag = download.tag();
        if is_changed { self.report() } else { Ok(()) }
    }

    fn explain(&self, error: &ClientError) -> String {
        match error {
            ClientError::Refused { status: 404, .. } => {
                format!(
                    "the server has no zone {}, or none with CRLs; `countersign zone list` shows those it has",
                    self.zone
                )
            }
            other => other.to_string(),
        }
    }

    fn report(&self) -> Result<(), String> {
        let (path, contents) = (self.file.path(), self.file.contents());
        if !self.as_json {
            output::note(format_args!("wrote {}: CRL {}", path.display(), contents.numbers()));
            return Ok(());
        }
        let crls = contents.crls().iter();
        let crls = crls.map(|crl| json!({ "number": crl.number, "next_update": timestamp(crl.next_update) }));
        let crls: Vec<_> = crls.collect();
        // Nobody may be reading any more, and the file is more important.
        let _ = output::json_line(&json!({ "file": path, "crls": crls }));
        Ok(())
    }

    /// Runs the command if the server has not been told of the file as it is.
    async fn tell(&mut self) -> Result<(), String> {
        let Some(command) = &self.command else { return Ok(()) };
        if !self.file.owes_telling() {
            return Ok(());
        }
        let ran = exec::run(command, self.file.path(), &self.clock).await;
        ran.map_err(|why| format!("the command failed, so its server has older CRLs: {}", escape_lines(&why)))?;
        self.file.told().map_err(|error| format!("the command ran, but that cannot be noted: {error}"))
    }

    /// Past its nextUpdate a CRL is worth nothing, and most servers then refuse everybody.
    fn require_current(&self) -> Result<(), String> {
        match self.file.contents().next_update() {
            Some(end) if end < self.clock.now() => Err(format!(
                "{} has a CRL that was current until {}: servers that read it may refuse every client",
                self.file.path().display(),
                timestamp(end)
            )),
            _ => Ok(()),
        }
    }
}

/// When something is done next: at intervals while it succeeds, and after growing pauses while it does not.
#[derive(Default)]
struct Turns {
    failures: u32,
    next: Option<Instant>,
}

impl Turns {
    fn is_due(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now())
    }

    fn is_failing(&self) -> bool {
        self.failures > 0
    }

    fn left(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    fn next(&mut self, has_succeeded: bool, interval: Duration) {
        self.failures = if has_succeeded { 0 } else { self.failures.saturating_add(1) };
        let pause = if has_succeeded { interval } else { pause_after(self.failures) };
        self.next = Some(Instant::now() + pause);
    }
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = fine_duration(text)?;
    let is_possible = (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval);
    if is_possible { Ok(interval) } else { Err("write a duration from 100ms to 1d".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let seconds: Vec<u64> = (1..=8).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
        let mut turns = Turns::default();
        assert!(turns.is_due() && !turns.is_failing());
        turns.next(false, Duration::from_secs(100));
        assert!(turns.is_failing() && !turns.is_due() && turns.left() <= FIRST_PAUSE);
        turns.next(true, Duration::ZERO);
        assert!(turns.is_due() && !turns.is_failing());
    }

    #[test]
    fn intervals_are_bounded() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["0s", "99ms", "2d", "x", "1"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
