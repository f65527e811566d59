//! What happens around every request: an id, a measurement, safe headers, and a net under panics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use futures_util::FutureExt;
use metrics::Histogram;
use tracing::Instrument;

use super::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Everything comes from here; the viewer of `/docs` styles itself inline.
const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                              frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let span = tracing::info_span!("request", %id, method = %request.method(), path = %request.path());
    let method = method_label(request.method());
    let started = Instant::now();

    let called = AssertUnwindSafe(next.call(request)).catch_unwind().instrument(span.clone()).await;
    // Handlers answer their own faults; what is left are a panic and what actix itself refuses.
    let mut response = match called {
        Ok(called) => called?.map_into_boxed_body(),
        Err(_) => {
            span.in_scope(|| tracing::error!("a handler panicked"));
            return Err(ApiError::panicked(&id).into());
        }
    };

    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    // The pattern, not the path: strangers must not be able to make up label values.
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".into());
    span.in_scope(|| tracing::debug!(status, microseconds = elapsed.as_micros(), "answered"));
    record(method, route, status, elapsed);

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
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
