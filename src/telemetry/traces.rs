//! Traces over OTLP/HTTP, of requests and of the stages of an issuance; only in builds with the feature `otlp`.
//!
//! Configured by the standard variables of OpenTelemetry: without `OTEL_EXPORTER_OTLP_ENDPOINT` (or the one for traces
//! alone) nothing is sent. Spans alone are sent, with method, path, route and status: no header, no body, no log line.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::{Layer, Registry};

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// For the last spans, when the process stops.
const FLUSH: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(10);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();
/// The exporter has a thread of its own, and sends from here.
static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// What takes the spans, if they are to be sent anywhere.
pub(super) fn layer() -> Result<Option<Box<dyn Layer<Registry> + Send + Sync>>, ExporterBuildError> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    if is_disabled || !ENDPOINTS.iter().any(is_set) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().with_http_client(Client).build()?;
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let resource = Resource::builder().with_service_name(name.unwrap_or_else(|| "countersign".into())).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("countersign");
    let _ = PROVIDER.set(provider);
    let ours = FilterFn::new(|metadata| metadata.is_span() && metadata.target().starts_with("countersign"));
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    Ok(Some(layer.with_filter(ours).boxed()))
}

/// Sends from the running `tokio` from now on.
pub fn start() {
    let _ = RUNTIME.set(Handle::current());
}

/// Sends what is left; nothing is recorded afterwards.
pub async fn stop() {
    let Some(provider) = PROVIDER.get() else { return };
    // It waits for the exporter's thread, which in turn waits for us to send.
    let stopped = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH)).await;
    if let Ok(Err(error)) = stopped {
        tracing::warn!(%error, "the last traces could not be sent");
    }
}

/// Continues the trace of a caller who sent a `traceparent` (W3C Trace Context).
pub fn adopt<'a>(span: &Span, header: impl Fn(&str) -> Option<&'a str>) {
    if PROVIDER.get().is_none() {
        return;
    }
    let known = Headers { traceparent: header("traceparent"), tracestate: header("tracestate") };
    if known.traceparent.is_some() {
        // Fails for spans that nobody records.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&known));
    }
}

/// What became of the request.
pub fn answered(span: &Span, method: &'static str, route: &str, status: u16) {
    if PROVIDER.get().is_some() {
        span.set_attribute("http.request.method", method);
        span.set_attribute("http.route", route.to_owned());
        span.set_attribute("http.response.status_code", i64::from(status));
    }
}

struct Headers<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[derive(Debug)]
struct Client;

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = RUNTIME.get().ok_or("nothing is sent before the server runs")?;
        runtime.spawn(send(request)).await?
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = match CLIENT.get() {
        Some(client) => client,
        None => {
            let made = reqwest::Client::builder().timeout(SEND).redirect(reqwest::redirect::Policy::none()).build()?;
            CLIENT.get_or_init(|| made)
        }
    };
    let answer = client.execute(request.try_into()?).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
    }
    Ok(response.body(answer.bytes().await?)?)
}
