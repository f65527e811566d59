//! Long answers, handed over as the client takes them, and to clients that take them at some pace: what is sent stays in
//! memory until then, be it a CRL that was replaced long ago. With HTTP/2 short ones too: a client can leave them where they
//! are, any number of them, while the socket is free.
//!
//! An answer that was made for one caller comes here in one piece, and counts among the bytes that are held until it is
//! taken (`admission`). What is the same for everybody comes as [`shared`], and costs nothing but the piece on its way. One
//! that is made piece by piece says that it is [`Steady`], and counts its pieces itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::dev::ServiceResponse;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::{Stream, stream};

use super::admission::HeldAnswer;
use super::listener::{Answering, Work};

/// What is no longer leaves at once, if it has a connection to itself.
const SHORT: u64 = 64 * 1024;
/// What is handed over at once: as much as actix takes into the buffer of a connection. Of a longer piece it would take all,
/// and with HTTP/2 not ask for more until all of it is sent, so that nobody would know whether the client reads.
const PIECE: usize = 32 * 1024;
/// In octets a second, on the average.
const SLOWEST: u64 = 16 * 1024;
/// What an answer costs beside its body as long as it waits over HTTP/2: a stream, its head, and a task that hands it over.
const STREAM: usize = 4 * 1024;
/// So many answers of one connection may wait though there is no room: they hardly cost more than the connection itself.
const FEW: usize = 16;

/// An answer without a length that brings one piece after the other: its reader is waited for as those of others are. Put
/// among the extensions of a response.
#[derive(Clone, Copy, Debug)]
pub struct Steady;

/// The answer, with the work that it is: the connection is at work until the client has it. The refusal instead when too
/// many of those that wait for their readers do so already, unless it must be told in any case.
pub fn paced(
    response: ServiceResponse<BoxBody>,
    work: Work,
    must_be_told: bool,
    refusal: impl FnOnce(&HttpRequest) -> HttpResponse,
) -> ServiceResponse<BoxBody> {
    let is_multiplexed = work.is_multiplexed();
    match response.response().body().size() {
        BodySize::None | BodySize::Sized(0) => return response,
        BodySize::Sized(..=SHORT) if !is_multiplexed => return response,
        // It ends when there is nothing more to tell, and silence is no fault of its reader.
        BodySize::Stream if !response.response().extensions().contains::<Steady>() => {
            return response.map_body(|_, body| BoxBody::new(Streaming { body, _work: work }));
        }
        BodySize::Stream | BodySize::Sized(_) => {}
    }
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let (mut body, length) = match body.try_into_bytes() {
        Ok(whole) => {
            let length = whole.len();
            (BoxBody::new(whole), length)
        }
        Err(pieces) => (pieces, 0),
    };
    let cost = length + if is_multiplexed { STREAM } else { 0 };
    let mut held = HeldAnswer::one_more(cost, must_be_told || cost == 0);
    if held.is_none() {
        (head, body) = refusal(&request).into_parts();
        if !is_multiplexed {
            return ServiceResponse::new(request, head.set_body(body));
        }
        held = HeldAnswer::one_more(STREAM, true);
    }
    // What has changed something is told in any case, of what is about nothing there can be any number.
    let is_news = must_be_told && head.status().as_u16() < 400;
    if is_multiplexed && !is_news && !HeldAnswer::is_there_room() && work.answers_that_wait() >= FEW {
        work.end_connection();
    }
    let body = Paced::new(body, work, held);
    ServiceResponse::new(request, head.set_body(BoxBody::new(body)))
}

/// A body that is kept anyway, and of which an answer holds no copy.
pub fn shared(body: Bytes) -> SizedStream<impl Stream<Item = io::Result<Bytes>>> {
    SizedStream::new(body.len() as u64, stream::iter([Ok(body)]))
}

struct Streaming {
    body: BoxBody,
    _work: Work,
}

impl MessageBody for Streaming {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

struct Paced {
    body: BoxBody,
    /// Of the last piece of the body.
    rest: Bytes,
    answering: Answering,
    /// When the client was given the piece that it is taking.
    given: Option<Instant>,
    /// For the client, in all.
    waited: Duration,
    sent: u64,
    patience: Duration,
    _held: Option<HeldAnswer>,
}

impl Paced {
    fn new(body: BoxBody, work: Work, held: Option<HeldAnswer>) -> Self {
        let patience = work.patience().client;
        let (rest, answering, given) = (Bytes::new(), work.answering(), Some(Instant::now()));
        Self { body, rest, answering, given, waited: Duration::ZERO, sent: 0, patience, _held: held }
    }
}

impl MessageBody for Paced {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if let Some(given) = self.given.take() {
            self.waited += given.elapsed();
        }
        if self.waited > self.patience + Duration::from_secs(self.sent / SLOWEST) {
            return Poll::Ready(Some(Err("the client takes the answer too slowly".into())));
        }
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => {
                    self.answering.waits_for_us();
                    return Poll::Pending;
                }
            }
        }
        self.answering.goes_on();
        self.given = Some(Instant::now());
        let length = self.rest.len().min(PIECE);
        self.sent += length as u64;
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
