//! The HTTP side: envelopes, authentication, one file for each noun under `api/`, the public PKI addresses.
//!
//! A handler is a sentence: read what was sent, authorise, call one service, wrap the answer. There is no SQL here and
//! nothing is signed here.

mod api;
mod authentication;
mod bare;
mod body;
mod crls;
mod envelope;
mod error;
mod middleware;
mod ocsp;
pub mod openapi;
mod operations;
mod parameters;
mod pki;
mod possession;
mod routes;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};

use crate::config::TlsFiles;
use crate::service::Service;
use crate::telemetry::metrics::Metrics;

/// How long a graceful stop waits for requests that are in flight, in seconds.
const SHUTDOWN_TIMEOUT: u64 = 30;
/// How long a client may take to send the head of a connection's first request. actix watches only that one: later heads
/// may trickle in, which [`HttpOptions::max_connections`] bounds and a proxy in front can end.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body any route reads, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// How to serve.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub tls: Option<TlsFiles>,
    /// Take the caller's address from the last element of `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// How many connections may be open at once; those beyond wait to be accepted.
    pub max_connections: usize,
}

/// Binds the address. Separate from [`serve`], so that a taken port is told before anything else is started, and so
/// that the real port is known when the configured one is 0.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves on a bound address until the handle stops it. Requests in flight are finished.
pub fn serve(listener: TcpListener, service: Arc<Service>, options: HttpOptions) -> io::Result<(Server, ServerHandle)> {
    let tls = options.tls.as_ref().map(tls::server_config).transpose()?;
    let metrics = Metrics::install()?;
    let known_routes = Arc::new(routes::KnownRoutes::of(&openapi::collect()));
    let behind_proxy = authentication::BehindProxy(options.behind_proxy);
    let app = move || {
        App::new()
            .wrap(actix_web::middleware::from_fn(middleware::around))
            .app_data(web::Data::from(Arc::clone(&service)))
            .app_data(web::Data::new(metrics.clone()))
            .app_data(web::Data::from(Arc::clone(&known_routes)))
            .app_data(behind_proxy)
            .app_data(web::PathConfig::default().error_handler(|_, _| error::ApiError::no_route("").into()))
            .configure(routes::configure)
            .configure(openapi::configure)
            .default_service(web::to(routes::unknown))
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = HttpServer::new(app)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_TIMEOUT)
        .client_request_timeout(REQUEST_HEAD_TIMEOUT)
        .workers(workers)
        .max_connections((options.max_connections / workers).max(1));
    let server = match tls {
        Some(config) => server.listen_rustls_0_23(listener, config)?,
        None => server.listen(listener)?,
    };
    let server = server.run();
    let handle = server.handle();
    Ok((server, handle))
}
