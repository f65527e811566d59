//! What is measured, and the one recorder of the process that keeps it. It is served by `http::operations`.
//!
//! Names end in `_seconds`, `_size` or `_total`, or are gauges. A histogram has fixed buckets, so that those of several
//! processes can be added up. What is measured on the hot path keeps its handle: asking the registry by name each time
//! costs as much as reading a CSR.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::clock::Clock;

/// Upper bounds in seconds, from 10 microseconds, which is less than a signature takes, to ten seconds.
const SECONDS: [f64; 20] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 3.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// From the batch of one to the most that share a transaction.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Counters of what may never happen begin at zero: from nothing to one, Prometheus sees no increase.
const FROM_ZERO: [&str; 6] = [
    "countersign_certificates_issued_total",
    "countersign_issuance_refused_total",
    "countersign_crls_published_total",
    "countersign_transitions_finished_total",
    "countersign_outgoing_calls_total",
    "countersign_identity_renewal_failures_total",
];

const UPKEEP: Duration = Duration::from_secs(5);

/// What has been measured. Clones share it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts recording; a second call joins the first. What was measured before is lost, and whoever keeps a handle must
    /// not have asked for it before: this belongs at the very start. Needs a running `tokio`.
    pub fn install() -> io::Result<Self> {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        if let Some(handle) = HANDLE.get() {
            return Ok(Self(handle.clone()));
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES))
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(io::Error::other)?;
        describe();
        FROM_ZERO.into_iter().for_each(|name| metrics::counter!(name).absolute(0));
        tokio::spawn(keep_small(handle.clone()));
        Ok(Self(HANDLE.get_or_init(|| handle).clone()))
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Histograms keep each sample until they are drained, scraped or not.
async fn keep_small(handle: PrometheusHandle) {
    loop {
        Clock::system().sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// The help lines of what dashboards and alerts are made of.
fn describe() {
    const HISTOGRAMS: [(&str, &str); 8] = [
        (
            "countersign_issuance_stage_seconds",
            "time in each stage of an issuance; commit includes the wait for its batch",
        ),
        ("countersign_http_request_seconds", "time from the head of a request to the head of its answer"),
        ("countersign_transition_lag_seconds", "from the request of a revocation or reactivation to its published CRL"),
        ("countersign_publication_seconds", "time to sign and store an authority's next CRLs"),
        ("countersign_crl_signing_seconds", "time to sign one CRL"),
        ("countersign_write_commit_seconds", "time of one write transaction, its commit and sync included"),
        ("countersign_signing_wait_seconds", "time that a slow signature waited for its turn"),
        ("countersign_write_batch_size", "writes that shared one transaction"),
    ];
    for (name, help) in HISTOGRAMS {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        metrics::describe_histogram!(name, unit, help);
    }
    const GAUGES: [(&str, &str); 10] = [
        ("countersign_write_queue_depth", "writes that wait for the writer"),
        ("countersign_crl_age_seconds", "age of the oldest CRL in force"),
        (
            "countersign_crl_next_update_seconds",
            "time until the first nextUpdate of a CRL; below zero, one has run out",
        ),
        ("countersign_authority_crl_age_seconds", "age of each authority's oldest CRL in force"),
        ("countersign_transitions_waiting", "revocations and reactivations that wait for their CRL"),
        ("countersign_transitions_oldest_seconds", "how long the oldest of them has waited"),
        ("countersign_connections_open", "connections of clients"),
        ("countersign_request_bodies_bytes", "bytes of request bodies in memory"),
        (
            "countersign_answers_held_bytes",
            "bytes of answers in memory that wait to be taken: of long ones, and of all over HTTP/2",
        ),
        (
            "countersign_profiles_faulty",
            "1 while the folder of profiles holds a fault and the former ones stay in force",
        ),
    ];
    for (name, help) in GAUGES {
        metrics::describe_gauge!(name, help);
    }
    const COUNTERS: [(&str, &str); 7] = [
        ("countersign_certificates_issued_total", "certificates issued"),
        ("countersign_issuance_refused_total", "requests for certificates that broke a rule"),
        ("countersign_ocsp_answers_total", "OCSP answers by the status that they tell"),
        ("countersign_crls_published_total", "rounds of publishing"),
        ("countersign_transitions_finished_total", "revocations and reactivations that a CRL carried out"),
        ("countersign_connections_closed_total", "connections that we ended, by the reason"),
        ("countersign_overload_refusals_total", "requests answered 503 because too much was in flight, by what it was"),
    ];
    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);
    }
}
