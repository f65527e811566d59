//! One connection, one request, one answer.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use http::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::call::Call;
use super::observed::Observed;
use super::outcome::{Exchange, Failure, Response, Timings};
use super::redirect::{self, Next, Verdict};
use super::stream::{FirstByte, Plain, Wire};
use super::{Egress, connect, failure, tls};

pub(super) enum Hop {
    Answer(Response),
    Redirect(Next),
}

/// What is known so far. It outlives a call that the deadline cuts short.
#[derive(Default)]
pub(super) struct Trace {
    /// The step that is under way, to say what the time ran out in.
    pub(super) doing: String,
    pub(super) timings: Timings,
    pub(super) address: Option<SocketAddr>,
    pub(super) redirects: Vec<String>,
    observed: Observed,
    sent: Option<Instant>,
    first_byte: FirstByte,
}

impl Trace {
    /// Forgets the last connection; the redirects so far stay.
    fn begin(&mut self) {
        *self = Self { redirects: std::mem::take(&mut self.redirects), ..Self::default() };
    }

    pub(super) fn into_exchange(self, outcome: Result<Response, Failure>, total: Duration) -> Exchange {
        let seen = self.observed.seen();
        let first_byte = self.first_byte.get().zip(self.sent).map(|(came, sent)| came.duration_since(sent));
        Exchange {
            timings: Timings { first_byte, total: Some(total), ..self.timings },
            address: self.address,
            tls_version: seen.version,
            identity_requested: seen.identity_requested,
            identity_presented: seen.identity_presented(),
            server_chain: seen.server_chain,
            accepted_issuers: seen.accepted_issuers,
            redirects: self.redirects,
            outcome,
        }
    }
}

/// Connects and asks. A redirect that may be followed comes back unread.
pub(super) async fn run(egress: &Egress, call: &Call, trace: &mut Trace) -> Result<Hop, Failure> {
    trace.begin();
    let request = call.to_http()?;
    let socket = connect::open(egress, call, trace).await?;

    trace.doing = "the TLS handshake".into();
    let started = Instant::now();
    let stream = tls::handshake(egress, call, Wire::new(socket), &trace.observed).await?;
    trace.timings.tls = Some(started.elapsed());

    trace.doing = "waiting for the answer".into();
    trace.sent = Some(Instant::now());
    let stream = TokioIo::new(Plain::new(stream, trace.first_byte.clone()));
    let mut builder = http1::Builder::new();
    builder.max_headers(MAXIMUM_HEADERS).max_header_size(MAXIMUM_HEAD);
    let shaken = builder.handshake(stream).await;
    let (mut sender, connection) = shaken.map_err(|error| {
        failure::of_exchange(&error, None, trace.first_byte.get().is_some(), &trace.observed.seen())
    })?;
    let (answered, ended) = driven(connection, async {
        let answer = sender.send_request(request).await?;
        trace.doing = format!("reading the body of an answer {}", answer.status().as_u16());
        take(call, answer).await
    })
    .await;
    answered.map_err(|error| {
        failure::of_exchange(&error, ended.as_ref(), trace.first_byte.get().is_some(), &trace.observed.seen())
    })
}

/// Works while the connection is driven, and ends with the work. A connection that broke says why better than the work
/// that came to nothing by it.
async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    work: impl Future<Output = T>,
) -> (T, Option<hyper::Error>) {
    match select(pin!(work), pin!(connection)).await {
        Either::Left((done, _)) => (done, None),
        Either::Right((ended, work)) => (work.await, ended.err()),
    }
}

async fn take(call: &Call, answer: http::Response<Incoming>) -> hyper::Result<Hop> {
    let (head, body) = answer.into_parts();
    let notes = match redirect::judge(call, head.status, &head.headers) {
        Verdict::Follow(next) => return Ok(Hop::Redirect(next)),
        Verdict::Stay(note) => note.into_iter().collect(),
    };
    let (body, is_truncated) = read(body, call.max_body).await?;
    Ok(Hop::Answer(Response {
        status: head.status.as_u16(),
        headers: in_text(&head.headers),
        body,
        is_truncated,
        notes,
    }))
}

/// The body up to so many bytes, and whether it goes on after them.
async fn read(mut body: Incoming, limit: usize) -> hyper::Result<(Vec<u8>, bool)> {
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let data = frame?.into_data().unwrap_or_default();
        let room = limit.saturating_sub(read.len());
        read.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Ok((read, true));
        }
    }
    Ok((read, false))
}

fn in_text(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// Named in words by [`failure`].
const MAXIMUM_HEADERS: usize = 100;
const MAXIMUM_HEAD: usize = 64 * 1024;
