//! From the URL's host to a TCP connection. Every address passes the policy here, and there is no other way to connect.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Host;

use super::Egress;
use super::call::Call;
use super::hop::Trace;
use super::outcome::{Failure, Stage};

/// Resolves a name to addresses.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// How many lookups may be under way. One that nobody waits for any more still holds its thread until the resolver gives
/// up, and those threads are everybody's: the database is read on them too.
const MAXIMUM_LOOKUPS: usize = 64;

/// The operating system's way: its hosts file, its resolvers, its order of addresses (RFC 6724).
pub(super) fn system_lookup() -> Lookup {
    let turns = Arc::new(Semaphore::new(MAXIMUM_LOOKUPS));
    Arc::new(move |name| {
        let turns = Arc::clone(&turns);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            found.await.map_err(io::Error::other)?
        })
    })
}

/// Connects to the first permitted address that takes the connection.
pub(super) async fn open(egress: &Egress, call: &Call, trace: &mut Trace) -> Result<TcpStream, Failure> {
    let addresses = match call.url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        _ => resolve(egress, call.host(), trace).await?,
    };
    let permitted = permitted(egress, call.host(), addresses)?;
    let targets: Vec<_> = permitted.into_iter().map(|address| SocketAddr::new(address, call.port())).collect();
    trace.doing = format!("connecting to {}", listed(&targets));
    let started = Instant::now();
    let (address, socket) = first_to_connect(alternated(targets)).await?;
    trace.timings.connect = Some(started.elapsed());
    trace.address = Some(address);
    // Small writes go out at once. A connection that cannot do that works all the same.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

async fn resolve(egress: &Egress, host: &str, trace: &mut Trace) -> Result<Vec<IpAddr>, Failure> {
    trace.doing = format!("resolving {host}");
    let started = Instant::now();
    let found = (egress.lookup)(host.to_owned()).await;
    trace.timings.dns = Some(started.elapsed());
    let addresses = found.map_err(|error| Failure::new(Stage::Dns, format!("{host} does not resolve: {error}")))?;
    if addresses.is_empty() {
        return Err(Failure::new(Stage::Dns, format!("{host} has no address")));
    }
    Ok(addresses)
}

/// The addresses that may be called. If there is none, the failure says why the first may not.
fn permitted(egress: &Egress, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failure> {
    let mut refusal = None;
    let mut permitted = Vec::new();
    for address in addresses {
        match egress.policy.check(address) {
            Ok(()) if permitted.contains(&address) => {}
            Ok(()) => permitted.push(address),
            Err(reason) => refusal = refusal.or(Some((address, reason))),
        }
    }
    permitted.truncate(MAXIMUM_ADDRESSES);
    match refusal {
        Some((address, reason)) if permitted.is_empty() => {
            let resolved = if host.trim_matches(['[', ']']) == address.to_string() {
                String::new()
            } else {
                format!("{host} is {address}: ")
            };
            Err(Failure::new(Stage::Address, format!("{resolved}{reason}")))
        }
        _ => Ok(permitted),
    }
}

/// IPv6 and IPv4 by turns, beginning with the family that the resolver put first, so that one family without a route
/// does not hold up the other (RFC 8305, 4).
fn alternated(targets: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_v6 = targets.first().is_some_and(SocketAddr::is_ipv6);
    let (leading, other): (Vec<_>, Vec<_>) = targets.into_iter().partition(|target| target.is_ipv6() == begins_with_v6);
    let mut other = other.into_iter();
    let mut mixed: Vec<_> = leading.into_iter().flat_map(|target| [Some(target), other.next()]).flatten().collect();
    mixed.extend(other);
    mixed
}

/// Tries one address after the other, the next when the last has failed or kept us waiting (RFC 8305, 5).
async fn first_to_connect(targets: Vec<SocketAddr>) -> Result<(SocketAddr, TcpStream), Failure> {
    let mut waiting = targets.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        if let Some(target) = waiting.next() {
            attempts.push(async move { (target, TcpStream::connect(target).await) });
        }
        let patience = if waiting.len() > 0 { HEAD_START } else { Duration::MAX };
        match timeout(patience, attempts.next()).await {
            Err(_) => {}
            Ok(Some((target, Ok(socket)))) => return Ok((target, socket)),
            Ok(Some((target, Err(error)))) => failures.push(in_words(target, &error)),
            Ok(None) => return Err(Failure::new(Stage::Connect, failures.join("; "))),
        }
    }
}

fn in_words(target: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("{target} refused the connection; nothing listens there"),
        io::ErrorKind::TimedOut => format!("{target} does not answer"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => format!("there is no route to {target}"),
        _ => format!("no connection to {target}: {error}"),
    }
}

fn listed(targets: &[SocketAddr]) -> String {
    targets.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

const MAXIMUM_ADDRESSES: usize = 8;
const HEAD_START: Duration = Duration::from_millis(250);
