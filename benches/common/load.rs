//! Load: the same kind of request on several connections, each with one request at a time, for a while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::figures::Durations;
use super::http::Connection;
use super::{Outcome, fault};

pub struct Load {
    /// Answers a second.
    pub rate: f64,
    pub durations: Durations,
}

/// For answers whose status says enough.
pub fn any(_: &[u8]) -> bool {
    true
}

/// Runs `connections` connections for so long. `request` writes the next request of a connection into the buffer, which still
/// holds the one before. An answer that is not 200 is a fault, and so is one whose body is not as it should be.
pub async fn run<F>(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    is_right: fn(&[u8]) -> bool,
    request: F,
) -> Outcome<Load>
where
    F: FnMut(&mut Vec<u8>) + Clone + Send + 'static,
{
    let mut clients = JoinSet::new();
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    for connection in open {
        clients.spawn(client(connection, started + time, is_right, request.clone()));
    }
    let mut durations = Vec::new();
    while let Some(ended) = clients.join_next().await {
        durations.extend(ended??);
    }
    let rate = durations.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Load { rate, durations: Durations::of(durations) })
}

async fn client<F>(
    mut connection: Connection,
    end: Instant,
    is_right: fn(&[u8]) -> bool,
    mut request: F,
) -> Outcome<Vec<Duration>>
where
    F: FnMut(&mut Vec<u8>) + Send,
{
    let mut durations = Vec::new();
    let mut buffer = Vec::new();
    while Instant::now() < end {
        request(&mut buffer);
        let sent = Instant::now();
        let answer = connection.exchange(&buffer).await?;
        durations.push(sent.elapsed());
        if answer.status != 200 || !is_right(&answer.body) {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            return fault(format!("{}{body}", answer.head));
        }
    }
    Ok(durations)
}
