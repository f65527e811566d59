//! For those who run the service: liveness, readiness and metrics.

use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Service;
use crate::telemetry::metrics::Metrics;

use super::lifecycle::Lifecycle;

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
    /// `database`, `keys` or `worker`; `process` alone while it stops.
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
pub async fn readiness(request: HttpRequest, service: web::Data<Service>) -> HttpResponse {
    if request.app_data::<Lifecycle>().is_some_and(Lifecycle::is_ending) {
        // Without a look at the rest: whoever routes traffic here must hear it at once.
        let stopping = ReadinessPart { name: "process", fault: Some("it is stopping: send new requests elsewhere") };
        return not_ready(vec![stopping]);
    }
    let parts: Vec<_> =
        service.parts().await.into_iter().map(|part| ReadinessPart { name: part.name, fault: part.fault }).collect();
    if parts.iter().all(|part| part.fault.is_none()) {
        return HttpResponse::Ok().json(Readiness { status: "ready", parts });
    }
    not_ready(parts)
}

fn not_ready(parts: Vec<ReadinessPart>) -> HttpResponse {
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
pub async fn metrics(metrics: web::Data<Metrics>, service: web::Data<Service>) -> HttpResponse {
    service.measure_ages();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics.render())
}
