//! Long answers, handed over as the client takes them, and to clients that take them at some pace: what is sent stays in
//! memory until then, be it a CRL that was replaced long ago.
//!
//! An answer that was made for one caller comes here in one piece, and counts among the bytes that are held until it is
//! taken (`admission`). What is the same for everybody comes as [`shared`], and costs nothing but the piece on its way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::dev::ServiceResponse;
use bytes::Bytes;
use futures_util::{Stream, stream};

use super::admission::HeldAnswer;
use super::listener::{Answering, Work};

/// What is no longer leaves at once.
const SHORT: u64 = 64 * 1024;
/// What is handed over at once: as much as actix takes into the buffer of a connection. Of a longer piece it would take all,
/// and with HTTP/2 not ask for more until all of it is sent, so that nobody would know whether the client reads.
const PIECE: usize = 32 * 1024;
/// In octets a second, on the average.
const SLOWEST: u64 = 16 * 1024;

/// The answer, with the work that it is: the connection is at work until the client has it. `None` when it is long, and
/// too many of those wait for their readers already, and it need not be told in any case.
pub fn paced(response: ServiceResponse<BoxBody>, work: Work, must_be_told: bool) -> Option<ServiceResponse<BoxBody>> {
    match response.response().body().size() {
        BodySize::None | BodySize::Sized(..=SHORT) => return Some(response),
        // It ends when there is nothing more to tell, and silence is no fault of its reader.
        BodySize::Stream => {
            return Some(response.map_body(|_, body| BoxBody::new(Streaming { body, _work: work })));
        }
        BodySize::Sized(_) => {}
    }
    let mut has_room = true;
    let response = response.map_body(|_, body| {
        let (body, held) = match body.try_into_bytes() {
            Ok(whole) => {
                let held = HeldAnswer::one_more(whole.len(), must_be_told);
                has_room = held.is_some();
                (BoxBody::new(whole), held)
            }
            Err(pieces) => (pieces, None),
        };
        let patience = work.patience().client;
        let rest = Bytes::new();
        BoxBody::new(Paced {
            body,
            rest,
            answering: work.answering(),
            started: Instant::now(),
            sent: 0,
            patience,
            _held: held,
        })
    });
    has_room.then_some(response)
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
    started: Instant,
    sent: u64,
    patience: Duration,
    _held: Option<HeldAnswer>,
}

impl MessageBody for Paced {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.answering.goes_on();
        if self.started.elapsed() > self.patience + Duration::from_secs(self.sent / SLOWEST) {
            return Poll::Ready(Some(Err("the client takes the answer too slowly".into())));
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(piece)) => self.rest = piece,
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        self.sent += length as u64;
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
