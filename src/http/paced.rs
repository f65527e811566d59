//! Long answers, handed over as the client takes them, and to clients that take them at some pace: what is sent stays in
//! memory until then, be it a CRL that was replaced long ago.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use super::listener::{Answering, Work};

/// What is no longer leaves at once.
const SHORT: u64 = 64 * 1024;
/// In octets a second, on the average.
const SLOWEST: u64 = 16 * 1024;

/// The body, with the work that it is: the connection is at work until the client has it.
pub fn paced(body: BoxBody, work: Work) -> BoxBody {
    match body.size() {
        BodySize::None | BodySize::Sized(..=SHORT) => body,
        // It ends when there is nothing more to tell, and silence is no fault of its reader.
        BodySize::Stream => BoxBody::new(Streaming { body, _work: work }),
        BodySize::Sized(_) => {
            let patience = work.patience().client;
            BoxBody::new(Paced { body, answering: work.answering(), started: Instant::now(), sent: 0, patience })
        }
    }
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
    answering: Answering,
    started: Instant,
    sent: u64,
    patience: Duration,
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
        let next = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.sent += piece.len() as u64;
        }
        next
    }
}
