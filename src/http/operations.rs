//! For those who run the service: liveness, readiness and metrics.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::service::Service;

/// Upper bounds in seconds, from a tenth of a millisecond.
const SECONDS: [f64; 14] = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 5.0];
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

/// What has been measured; a process has one recorder.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts recording; a second call joins the first.
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
        FROM_ZERO.into_iter().for_each(|name| ::metrics::counter!(name).absolute(0));
        tokio::spawn(keep_small(handle.clone()));
        Ok(Self(HANDLE.get_or_init(|| handle).clone()))
    }
}

/// Histograms keep each sample until they are drained, scraped or not.
async fn keep_small(handle: PrometheusHandle) {
    loop {
        Clock::system().sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
    version: &'static str,
}

/// Whether the service can do its work.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not ready`.
    status: &'static str,
    parts: Vec<ReadinessPart>,
}

#[derive(Serialize, ToSchema)]
struct ReadinessPart {
    /// `database`, `keys` or `worker`.
    name: &'static str,
    /// What is wrong with it; null when nothing is.
    fault: Option<&'static str>,
}

/// Whether the process lives.
#[utoipa::path(tag = "Operations", operation_id = "health", responses((status = 200, description = "it lives", body = Health)))]
#[get("/healthz")]
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether database, keys and worker do their work.
#[utoipa::path(
    tag = "Operations",
    operation_id = "readiness",
    responses(
        (status = 200, description = "ready", body = Readiness),
        (status = 503, description = "not ready; the parts say why", body = Readiness),
    )
)]
#[get("/readyz")]
pub async fn readiness(service: web::Data<Service>) -> HttpResponse {
    let parts: Vec<_> =
        service.parts().await.into_iter().map(|part| ReadinessPart { name: part.name, fault: part.fault }).collect();
    if parts.iter().all(|part| part.fault.is_none()) {
        return HttpResponse::Ok().json(Readiness { status: "ready", parts });
    }
    HttpResponse::ServiceUnavailable()
        .insert_header(("retry-after", "1"))
        .json(Readiness { status: "not ready", parts })
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    tag = "Operations",
    operation_id = "metrics",
    responses((status = 200, description = "metrics", body = String, content_type = "text/plain"))
)]
#[get("/metrics")]
pub async fn metrics(metrics: web::Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics.0.render())
}
