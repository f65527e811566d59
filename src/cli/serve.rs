//! `countersign serve`: the composition of everything, from the lock on the data to the graceful stop.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::database::{self, create_private_folder};
use super::escape::{program, shell_word};
use super::{CliError, output};
use crate::clock::Clock;
use crate::config::{Config, local_url};
use crate::http::{self, HttpOptions, Lifecycle};
use crate::service::{FirstStart, Options, Random, Service};
use crate::store::{Database, Store};
#[cfg(feature = "otlp")]
use crate::telemetry;
use crate::telemetry::metrics::Metrics;
use crate::worker;

const MAX_OPEN_FILES: u64 = 16_384;
/// What every system grants.
const MIN_OPEN_FILES: u64 = 256;
const RESERVED_FILES: u64 = 128;

/// Serves until SIGTERM or SIGINT, then finishes what is in flight; a second one ends that.
pub async fn run(config: Config) -> Result<(), CliError> {
    refuse_core_dumps();
    create_private_folder(&config.data_dir)?;
    let database = database::of(&config);
    let _lock = database::claim(&database)?;
    // Before anything that is measured.
    Metrics::install().map_err(|error| CliError::failure(error.to_string()))?;
    #[cfg(feature = "otlp")]
    telemetry::traces::start();
    let listener = http::bind(config.listen).map_err(|error| {
        CliError::failure(format!("cannot listen on {}: {error}. Name another address with --listen.", config.listen))
    })?;
    let address = listener.local_addr().map_err(|error| CliError::failure(error.to_string()))?;

    let store = open(&database).await?;
    let start_lock = store.lock_start(&database).await.map_err(CliError::failure)?;
    let options = options(&config, address)?;
    let started = Service::start(store, Clock::system(), Random::system(), options).await;
    let (service, first) = started.map_err(|error| CliError::failure(error.to_string()))?;
    drop(start_lock);
    if let Database::Sqlite(_) = &database {
        service.take_over_leases().await.map_err(|error| CliError::failure(error.to_string()))?;
    }
    if let Some(first) = first {
        announce(&first, &config, address);
    }

    let (stop, stopped) = watch::channel(false);
    let worker = worker::start(service.clone(), stopped);
    let lifecycle = Lifecycle::default();
    let http_options = HttpOptions {
        tls: config.tls.clone(),
        behind_proxy: config.behind_proxy,
        max_connections: max_connections(),
        client_timeout: config.client_timeout,
        lifecycle: lifecycle.clone(),
    };
    let (server, handle, door) = http::serve(listener, service.clone(), http_options)
        .map_err(|error| CliError::failure(format!("cannot serve on {address}: {error}")))?;
    let server = tokio::spawn(server);
    tracing::info!(%address, public_url = service.public_url(), version = env!("CARGO_PKG_VERSION"), "serving");

    let mut signals = Signals::listen().map_err(|error| CliError::failure(error.to_string()))?;
    signals.next().await;
    let graceful = async {
        lifecycle.drain();
        if !config.drain.is_zero() {
            tracing::info!(seconds = config.drain.as_secs(), "stopping soon: serving on until proxies have noticed");
            service.clock().sleep(config.drain).await;
        }
        tracing::info!("stopping: finishing what is in flight");
        door.shut().await;
        lifecycle.close();
        // Streams have no end of their own; the stop would wait for them.
        service.close_streams();
        handle.stop(true).await;
        let _ = server.await;
        // The worker ends last: what the last requests asked for is carried out before the process goes, or by the next one.
        let _ = stop.send(true);
        let _ = worker.await;
        #[cfg(feature = "otlp")]
        telemetry::traces::stop().await;
    };
    tokio::select! {
        () = graceful => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.next() => {
            Err(CliError::failure("stopped at once by a second signal; what was in flight has no answer"))
        }
    }
}

/// A core dump would hold the master key.
fn refuse_core_dumps() {
    if let Err(error) = rlimit::Resource::CORE.set(0, 0) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}

/// As many as the system lets us have files for, but for those that the database and the logs need: connections that are
/// only held must never keep these from being opened.
fn max_connections() -> usize {
    let files = rlimit::increase_nofile_limit(MAX_OPEN_FILES).unwrap_or(MIN_OPEN_FILES);
    usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX)
}

async fn open(database: &Database) -> Result<Store, CliError> {
    let database = database.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&database)).await;
    let opened = opened.map_err(|error| CliError::failure(error.to_string()))?;
    opened.map_err(|error| CliError::failure(error.to_string()))
}

pub(super) fn options(config: &Config, address: SocketAddr) -> Result<Options, CliError> {
    let validity =
        |configured| chrono::TimeDelta::from_std(configured).map_err(|error| CliError::failure(error.to_string()));
    Ok(Options {
        public_url: config.public_url.clone().unwrap_or_else(|| local_url(Some(address), None, config.tls.is_some())),
        crl_validity: validity(config.crl_validity)?,
        ocsp_validity: validity(config.ocsp_validity)?,
        root_key_type: config.root_key_type,
        issuing_key_type: config.issuing_key_type,
        data_dir: config.data_dir.clone(),
        master_key: config.master_key.clone(),
        bootstrap_token: config.bootstrap_token.clone(),
        profiles_dir: config.profiles_folder(),
        blocked_keys_file: config.blocked_keys_file.clone(),
        egress: config.egress_allow.clone(),
    })
}

/// What the first start prints, and no later one: the token, once, and a line to paste.
fn announce(first: &FirstStart, config: &Config, address: SocketAddr) {
    let mut issue = format!("{} issue --common-name my-first-device", program());
    let url = local_url(Some(address), config.public_url.clone(), config.tls.is_some());
    if url != "http://127.0.0.1:8080" {
        issue.push_str(&format!(" --url {}", shell_word(&url)));
    }
    if config.data_dir != Path::new("data") {
        issue.push_str(&format!(" --data-dir {}", shell_word(&config.data_dir.display().to_string())));
    }
    let file = first.token_file.display();
    // Whoever set the token has it, and what is printed may be kept in a log for long.
    let token = match &config.bootstrap_token {
        Some(_) => format!("The administrator's token is the one that was set, and is kept in {file}."),
        None => format!("The administrator's token, shown this once and kept in {file}:\n\n  {}", first.token.as_str()),
    };
    let text = format!(
        "Countersign is set up: an account, its root CA, and the zone {zone:?} ({id}) with its issuing CA.\n\
         {token}\n\n\
         Issue your first client certificate, in another terminal:\n\n  {issue}\n",
        zone = first.zone.name,
        id = first.zone.id,
    );
    // Nobody may be reading; the token is in its file all the same.
    let _ = output::line(text);
}

/// What asks the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Until a first one; for commands that have nothing to finish.
pub async fn wait_for_signal() -> io::Result<()> {
    Signals::listen()?.next().await;
    Ok(())
}
