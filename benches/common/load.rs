//! Load: the same kind of request on several connections, each with one request at a time, for a while.
//!
//! One thread drives all connections. It shares the cores with the server, so it does as little as it can: for each request
//! one write, one read, and a part of one wait.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::figures::Durations;
use super::http::header;
use super::{Outcome, fault};

/// The longest time before the measured one in which everything comes to its speed.
const LONGEST_WARM_UP: Duration = Duration::from_millis(500);
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_LENGTH: usize = 1 << 14;

pub struct Load {
    /// Answers a second.
    pub rate: f64,
    pub durations: Durations,
    /// How long it took with everything before and after.
    pub whole: Duration,
    /// How much of one core the generator itself took.
    pub own: f64,
}

/// Where requests come from.
pub trait Source: Send + 'static {
    /// The next request, as it is sent.
    fn next(&mut self) -> &[u8];
}

/// Many requests in turn, from the beginning again after the last.
pub struct Pool {
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
}

impl Pool {
    pub fn of(requests: Arc<Vec<Vec<u8>>>) -> Self {
        Self { requests, next: 0 }
    }
}

impl Source for Pool {
    fn next(&mut self) -> &[u8] {
        let number = self.next % self.requests.len().max(1);
        self.next += 1;
        self.requests.get(number).map(Vec::as_slice).unwrap_or_default()
    }
}

/// One request, again and again.
pub fn same(request: Vec<u8>) -> Pool {
    Pool::of(Arc::new(vec![request]))
}

/// For answers whose status says enough.
pub fn any(_: &[u8]) -> bool {
    true
}

/// Runs `connections` connections for so long. An answer that is not 200 is a fault, and so is one whose body is not as it
/// should be.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    is_right: fn(&[u8]) -> bool,
    source: impl Source,
) -> Outcome<Load> {
    tokio::task::spawn_blocking(move || drive(address, connections, time, is_right, source)).await?
}

fn drive(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    is_right: fn(&[u8]) -> bool,
    mut source: impl Source,
) -> Outcome<Load> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut client = Client::connect(address)?;
        poll.registry().register(&mut client.stream, Token(number), Interest::READABLE)?;
        clients.push(client);
    }
    let mut events = Events::with_capacity(1024);
    // The first answer may wait for what is done once, be it that the program is read from a busy disk.
    exchange_once(&mut poll, &mut events, &mut clients, is_right, &mut source)?;
    let started = Instant::now();
    let warm = started + LONGEST_WARM_UP.min(time / 4);
    let end = warm + time;
    for client in &mut clients {
        client.send(source.next())?;
    }
    let mut durations = Vec::with_capacity(1 << 17);
    let (mut in_time, mut busy, mut own) = (0_u32, connections, None);
    while busy > 0 {
        wait(&mut poll, &mut events)?;
        let now = Instant::now();
        if own.is_none() && now >= warm {
            own = Some(processor_time()?);
        }
        for event in &events {
            let Some(client) = clients.get_mut(event.token().0) else { continue };
            if !client.receive()? {
                continue;
            }
            let now = Instant::now();
            client.check(is_right)?;
            if client.sent >= warm {
                durations.push(now - client.sent);
            }
            if now < end {
                in_time += u32::from(now >= warm);
                client.send(source.next())?;
            } else {
                busy -= 1;
            }
        }
    }
    let own = (processor_time()? - own.unwrap_or_default()) / (Instant::now() - warm).as_secs_f64();
    let rate = f64::from(in_time) / time.as_secs_f64();
    Ok(Load { rate, durations: Durations::of(durations), whole: started.elapsed(), own })
}

/// One request and its answer on each connection.
fn exchange_once(
    poll: &mut Poll,
    events: &mut Events,
    clients: &mut [Client],
    is_right: fn(&[u8]) -> bool,
    source: &mut impl Source,
) -> Outcome<()> {
    for client in &mut *clients {
        client.send(source.next())?;
    }
    let mut waiting = clients.len();
    while waiting > 0 {
        wait(poll, events)?;
        for event in &*events {
            if let Some(client) = clients.get_mut(event.token().0)
                && client.receive()?
            {
                client.check(is_right)?;
                waiting -= 1;
            }
        }
    }
    Ok(())
}

/// Until something comes.
fn wait(poll: &mut Poll, events: &mut Events) -> Outcome<()> {
    match poll.poll(events, Some(PATIENCE)) {
        Ok(()) if events.is_empty() => fault("no answer comes"),
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
        _ => Ok(()),
    }
}

struct Client {
    stream: TcpStream,
    sent: Instant,
    buffer: Vec<u8>,
    filled: usize,
    answer: Option<Answer>,
}

/// Where an answer's body is in what came, once the head is there.
#[derive(Clone, Copy)]
struct Answer {
    body: usize,
    /// None for a body in chunks.
    end: Option<usize>,
}

impl Client {
    fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { stream, sent: Instant::now(), buffer: vec![0; FIRST_LENGTH], filled: 0, answer: None })
    }

    /// A request is far shorter than what a socket takes at once.
    fn send(&mut self, request: &[u8]) -> Outcome<()> {
        (self.filled, self.answer, self.sent) = (0, None, Instant::now());
        match self.stream.write(request)? {
            written if written == request.len() => Ok(()),
            _ => fault("a request is longer than a socket takes"),
        }
    }

    /// Takes what came; whether the answer is whole. A read that leaves room has taken everything there was, and more will
    /// be told of.
    fn receive(&mut self) -> Outcome<bool> {
        loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let length = room.len();
            match self.stream.read(room) {
                Ok(0) => return fault("the server closed the connection"),
                Ok(count) => {
                    self.filled += count;
                    if count < length {
                        return Ok(self.is_whole());
                    }
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.is_whole()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_whole(&mut self) -> bool {
        let received = self.buffer.get(..self.filled).unwrap_or_default();
        if self.answer.is_none() {
            self.answer = Answer::read(received);
        }
        match self.answer {
            Some(Answer { end: Some(end), .. }) => self.filled >= end,
            Some(Answer { end: None, .. }) => received.ends_with(b"\r\n0\r\n\r\n"),
            None => false,
        }
    }

    fn check(&self, is_right: fn(&[u8]) -> bool) -> Outcome<()> {
        let received = self.buffer.get(..self.filled).unwrap_or_default();
        let body = self.answer.and_then(|answer| received.get(answer.body..)).unwrap_or_default();
        if received.get(9..12) == Some(b"200") && is_right(body) {
            return Ok(());
        }
        fault(String::from_utf8_lossy(received).into_owned())
    }
}

impl Answer {
    fn read(received: &[u8]) -> Option<Self> {
        let body = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(received.get(..body)?).ok()?;
        let length = header(head, "content-length").and_then(|length| length.parse::<usize>().ok());
        Some(Self { body, end: length.map(|length| body + length) })
    }
}

/// What this thread has used, in seconds.
fn processor_time() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
