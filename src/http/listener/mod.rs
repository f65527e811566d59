//! From the socket to actix: connections are accepted, counted and watched here, and those of TLS opened.
//!
//! This is what `actix_web::HttpServer` does, with our own eyes on each connection in between.

mod connection;
mod door;
mod farewell;
mod registry;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpServiceBuilder, KeepAlive, Protocol, Request};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::store::priority;

use super::lifecycle::Lifecycle;
use connection::{Patience, Watched};
use farewell::Farewell;
use registry::Connections;

pub use connection::{Answering, Connection, Work};
pub use door::Door;

/// How long a graceful stop waits for requests that are in flight, in seconds.
const SHUTDOWN_TIMEOUT: u64 = 30;
/// How long a connection may wait for its next request. Longer than the proxies that are in use (nginx 60 s, Envoy and the
/// clouds' likewise or less), so that theirs is the end and no request meets a closing door.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The client may still send when we have answered early; it is listened to for this long, so that it reads the answer.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What an HTTP/2 client may send before it is read: for one request, and for all of a connection.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// One in so many places is for those who come while somebody who has been idle is on the way out.
const DOOR: usize = 16;

/// How to listen.
#[derive(Clone)]
pub struct Listening {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// How long a client may let us wait.
    pub client_timeout: Duration,
    pub lifecycle: Lifecycle,
}

/// Serves an application on a bound address, on as many threads as there are cores.
pub fn serve<F, I, S, B>(listener: TcpListener, listening: Listening, application: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<actix_http::Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as actix_service::Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let places = (listening.max_connections / threads).max(2);
    let room = places - places.div_ceil(DOOR);
    let address = listener.local_addr()?;
    let builder = ServerBuilder::new()
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_TIMEOUT)
        .workers(threads)
        .max_concurrent_connections(places);
    let patience = Patience { client: listening.client_timeout, idle: KEEP_ALIVE };

    // Run once on each thread that serves.
    let connections = move |lifecycle: &Lifecycle| {
        priority::let_the_writer_go_first();
        let connections = Rc::new(Connections::new(patience, room));
        let (closed, closing) = (Rc::clone(&connections), lifecycle.closing());
        tokio::task::spawn_local(async move {
            closing.await;
            closed.close();
        });
        connections
    };
    let config = AppConfig::default();
    let builder = match listening.tls {
        None => builder.listen("http", listener, move || {
            let connections = connections(&listening.lifecycle);
            let service = application().into_factory().map_err(actix_http::Response::from);
            let http = configured::<Watched<TcpStream>, _>(patience, address)
                .on_connect_ext(|io: &Watched<TcpStream>, data: &mut Extensions| introduce(io.connection(), data))
                .finish(map_config(service, {
                    let config = config.clone();
                    move |()| config.clone()
                }));
            fn_service(move |io: TcpStream| {
                let watched = watch(io, &connections);
                async move { Ok::<_, DispatchError>((watched.0, Protocol::Http1, watched.1)) }
            })
            .and_then(http)
        })?,
        Some(tls) => builder.listen("https", listener, move || {
            let connections = connections(&listening.lifecycle);
            let service = application().into_factory().map_err(actix_http::Response::from);
            let http = configured::<Encrypted, _>(patience, address)
                .secure()
                .on_connect_ext(|io: &Encrypted, data: &mut Extensions| introduce(io.connection(), data))
                .finish(map_config(service, {
                    let config = config.clone();
                    move |()| config.clone()
                }));
            let acceptor = TlsAcceptor::from(Arc::clone(&tls));
            fn_service(move |io: TcpStream| {
                let (watched, peer) = watch(io, &connections);
                let acceptor = acceptor.clone();
                async move {
                    let (stream, protocol) = open(acceptor, watched, patience).await.map_err(DispatchError::Io)?;
                    Ok::<_, DispatchError>((stream, protocol, peer))
                }
            })
            .and_then(http)
        })?,
    };
    Ok(builder.run())
}

/// actix is not told that the server stops: it would close what is idle at once, and answer no request that has arrived
/// there meanwhile. Connections end as `connection` has it.
fn configured<IO, S>(patience: Patience, address: SocketAddr) -> HttpServiceBuilder<IO, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<actix_http::Response<actix_web::body::BoxBody>> + 'static,
    S::InitError: std::fmt::Debug,
    <S::Service as actix_service::Service<Request>>::Future: 'static,
{
    HttpServiceBuilder::default()
        .keep_alive(KeepAlive::Timeout(patience.idle))
        .client_request_timeout(patience.client)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .h2_initial_window_size(H2_STREAM_WINDOW)
        .h2_initial_connection_window_size(H2_CONNECTION_WINDOW)
        .local_addr(address)
}

type Encrypted = Farewell<TlsStream<Watched<TcpStream>>>;

fn watch(io: TcpStream, connections: &Rc<Connections>) -> (Watched<TcpStream>, Option<SocketAddr>) {
    // Answers are written in one piece: nothing is gained by waiting for more.
    let _ = io.set_nodelay(true);
    let peer = io.peer_addr().ok();
    (Watched::new(io, connections.admit()), peer)
}

/// Requests find the connection that they came on.
fn introduce(connection: &Rc<Connection>, data: &mut Extensions) {
    data.insert(Rc::clone(connection));
}

async fn open(acceptor: TlsAcceptor, io: Watched<TcpStream>, patience: Patience) -> io::Result<(Encrypted, Protocol)> {
    let opened = timeout(patience.client, acceptor.accept(io)).await;
    let stream = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let connection = Rc::clone(stream.get_ref().0.connection());
    if is_h2 {
        connection.set_multiplexed();
    }
    Ok((Farewell::new(stream, &connection), if is_h2 { Protocol::Http2 } else { Protocol::Http1 }))
}
