//! The HTTP side: envelopes, authentication, one file for each noun under `api/`, the public PKI addresses.
//!
//! A handler is a sentence: read what was sent, authorise, call one service, wrap the answer. There is no SQL here and
//! nothing is signed here.

mod admission;
mod api;
mod authentication;
mod bare;
mod body;
mod console;
mod crls;
mod envelope;
mod error;
mod lifecycle;
mod listener;
mod middleware;
mod ocsp;
pub mod openapi;
mod operations;
mod paced;
mod parameters;
mod pki;
mod possession;
mod routes;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, web};

use crate::config::TlsFiles;
use crate::service::Service;
use crate::telemetry::metrics::Metrics;

pub use lifecycle::Lifecycle;
pub use listener::Door;

use listener::Listening;

/// The longest body any route reads, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// How to serve.
#[derive(Clone)]
pub struct HttpOptions {
    pub tls: Option<TlsFiles>,
    /// Take the caller's address from the last element of `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// How many connections may be open at once; beyond, the one that has been idle longest goes.
    pub max_connections: usize,
    /// How long a client may let us wait: for a request's head, for its body, and for taking more of an answer.
    pub client_timeout: Duration,
    pub lifecycle: Lifecycle,
}

/// Binds the address. Separate from [`serve`], so that a taken port is told before anything else is started, and so
/// that the real port is known when the configured one is 0.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves on a bound address until the handle stops it, for which the door should have been shut. Requests in flight are
/// finished.
pub fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    options: HttpOptions,
) -> io::Result<(Server, ServerHandle, Door)> {
    let door = Door::of(&listener)?;
    let tls = options.tls.as_ref().map(tls::server_config).transpose()?;
    let metrics = Metrics::install()?;
    let known_routes = Arc::new(routes::KnownRoutes::of(&openapi::collect()));
    let behind_proxy = authentication::BehindProxy(options.behind_proxy);
    // The public address says nothing against it: CRLs are fetched over plain HTTP, also where people come over TLS.
    let is_secure = options.tls.is_some() || options.behind_proxy || service.public_url().starts_with("https://");
    let console_options = console::ConsoleOptions { is_secure };
    let lifecycle = options.lifecycle.clone();
    let _ = CLIENT_TIMEOUT.set(options.client_timeout);
    let app = move || {
        App::new()
            .wrap(actix_web::middleware::from_fn(middleware::around))
            .app_data(web::Data::from(Arc::clone(&service)))
            .app_data(web::Data::new(metrics.clone()))
            .app_data(web::Data::from(Arc::clone(&known_routes)))
            .app_data(behind_proxy)
            .app_data(console_options)
            .app_data(lifecycle.clone())
            .app_data(web::PathConfig::default().error_handler(|_, _| error::ApiError::no_route("").into()))
            .configure(routes::configure)
            .configure(openapi::configure)
            .configure(console::configure)
            .default_service(web::to(routes::unknown))
    };
    let listening = Listening {
        tls: tls.map(Arc::new),
        max_connections: options.max_connections,
        client_timeout: options.client_timeout,
        lifecycle: options.lifecycle,
    };
    let server = listener::serve(listener, listening, app)?;
    let handle = server.handle();
    Ok((server, handle, door))
}

/// One server for the process, and one patience.
static CLIENT_TIMEOUT: OnceLock<Duration> = OnceLock::new();

fn client_timeout() -> Duration {
    CLIENT_TIMEOUT.get().copied().unwrap_or(crate::config::DEFAULT_CLIENT_TIMEOUT)
}
