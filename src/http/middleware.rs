//! What happens around every request: a bound on how many there are, an id, a measurement, safe headers, and a net under
//! panics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_http::ConnectionType;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};
use futures_util::FutureExt;
use metrics::Histogram;
use tracing::Instrument;

#[cfg(feature = "otlp")]
use crate::telemetry::traces;

use super::admission::Admitted;
use super::bare::BareError;
use super::console;
use super::error::ApiError;
use super::lifecycle::Lifecycle;
use super::listener::{Connection, Work};
use super::paced::paced;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Everything comes from here; the viewer of `/docs` styles itself inline. The console says something stricter by itself.
const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                              frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// How many headers a request can have, and how many octets of them.
const MAX_HEADERS: usize = 96;
const MAX_HEAD: usize = 128 * 1024;
/// A year of TLS only, for browsers that saw a page of the console over it; this host alone.
const TLS_ONLY: &str = "max-age=31536000";

pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let span = tracing::info_span!("request", %id, method = %request.method(), path = %request.path());
    #[cfg(feature = "otlp")]
    traces::adopt(&span, |name| request.headers().get(name)?.to_str().ok());
    let method = method_label(request.method());
    let started = Instant::now();
    let lifecycle = request.app_data::<Lifecycle>().cloned();
    let work = request.conn_data::<Rc<Connection>>().map(Connection::begin);

    let admitted = Admitted::one_more(work.as_ref().map_or(0, Work::others));
    let mut response = if work.as_ref().is_some_and(Work::is_multiplexed) && is_too_large(request.headers()) {
        let refusal = refusal(request.path(), ApiError::head_too_large());
        request.into_response(refusal)
    } else if admitted.is_none() && !is_about_ourselves(request.path()) {
        let refusal = overloaded(request.path());
        request.into_response(refusal)
    } else {
        let answered = async {
            match admitted {
                Some(admitted) => admitted.work(next.call(request)).await,
                None => next.call(request).await,
            }
        };
        // Handlers answer their own faults; what is left are a panic and what actix itself refuses.
        match AssertUnwindSafe(answered).catch_unwind().instrument(span.clone()).await {
            Ok(called) => called?.map_into_boxed_body(),
            Err(_) => {
                span.in_scope(|| tracing::error!("a handler panicked"));
                return Err(ApiError::panicked(&id).into());
            }
        }
    };
    response = console::let_send_again(response);
    if let Some(work) = work {
        let request = response.request();
        // What has changed something is told: the caller would do it again.
        let must_be_told = !request.method().is_safe() || is_about_ourselves(request.path());
        response = paced(response, work, must_be_told, |request| overloaded(request.path()));
    }
    // Now, not when the request came: it may have taken long.
    if lifecycle.is_some_and(|lifecycle| lifecycle.is_ending()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }

    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    // The pattern, not the path: strangers must not be able to make up label values.
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".into());
    span.in_scope(|| tracing::debug!(status, microseconds = elapsed.as_micros(), "answered"));
    #[cfg(feature = "otlp")]
    traces::answered(&span, method, &route, status);
    record(method, route, status, elapsed);

    let is_secure = console::is_secure(response.request());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    } else if is_secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// What operators ask is answered however much is in flight.
fn is_about_ourselves(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// What actix refuses by itself where a connection has one request at a time. HTTP/2 packs ten thousands of headers into as
/// many octets, which would all be kept while the request is worked on.
fn is_too_large(headers: &HeaderMap) -> bool {
    headers.len() > MAX_HEADERS
        || headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_HEAD
}

fn overloaded(path: &str) -> HttpResponse {
    refusal(path, ApiError::overloaded())
}

fn refusal(path: &str, error: ApiError) -> HttpResponse {
    if path.starts_with("/v1/") { BareError::from(error).error_response() } else { error.error_response() }
}

/// Handles are kept for each route, since asking the registry for one with three labels takes as long as some answers.
fn record(method: &'static str, route: String, status: u16, elapsed: Duration) {
    type OfRoute = Vec<(&'static str, u16, Histogram)>;
    thread_local! {
        static KEPT: RefCell<HashMap<String, OfRoute>> = RefCell::new(HashMap::new());
    }
    let register = |route: &str| {
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        metrics::histogram!("countersign_http_request_seconds", &labels)
    };
    KEPT.with_borrow_mut(|kept| {
        let of_route = match kept.get_mut(&route) {
            Some(of_route) => of_route,
            None => kept.entry(route.clone()).or_default(),
        };
        if let Some((.., histogram)) = of_route.iter().find(|(known, code, _)| *known == method && *code == status) {
            return histogram.record(elapsed);
        }
        let histogram = register(&route);
        histogram.record(elapsed);
        of_route.push((method, status, histogram));
    });
}

/// Methods that strangers make up share one label, as unknown paths do.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
