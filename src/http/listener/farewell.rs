//! The word with which HTTP/2 connections end while the server stops (RFC 9113, 6.8): no new requests, what has begun is
//! finished. HTTP/1.1 has `Connection: close` for it.
//!
//! actix lets nobody at the `h2` connection that it drives, which could send the frame. But what it writes is frames one
//! behind the other, so between two of them, seen from here, there is room for one of ours.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// GOAWAY on the connection as a whole, with the last stream that there can be and NO_ERROR: the warning that goes before
/// the end, after which requests that cross it are still answered.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A stream of octets that are frames, if the connection is HTTP/2.
pub struct Farewell<IO> {
    io: IO,
    connection: Rc<Connection>,
    written: Frames,
    /// What has still to be written of the frame.
    left: &'static [u8],
    must_flush: bool,
}

impl<IO> Farewell<IO> {
    pub(super) fn new(io: IO, connection: &Rc<Connection>) -> Self {
        Self { io, connection: Rc::clone(connection), written: Frames::default(), left: &GOAWAY, must_flush: false }
    }

    pub(super) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl<IO: AsyncWrite + Unpin> Farewell<IO> {
    /// Ready when others may write.
    fn say(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_time = self.connection.is_multiplexed() && self.connection.is_closing() && self.written.is_between();
        if !is_time {
            return Poll::Ready(Ok(()));
        }
        while !self.left.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(context, self.left))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left = self.left.get(count..).unwrap_or_default();
            self.must_flush = true;
        }
        if self.must_flush {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Farewell<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An idle connection writes nothing by itself. What cannot be said now does not keep anybody from reading.
        if let Poll::Ready(Err(error)) = this.say(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.io).poll_read(context, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Farewell<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.say(context))?;
        let count = ready!(Pin::new(&mut this.io).poll_write(context, from))?;
        this.written.go_on(from.get(..count).unwrap_or(from));
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.say(context))?;
        let count = ready!(Pin::new(&mut this.io).poll_write_vectored(context, from))?;
        let mut left = count;
        for slice in from {
            let taken = left.min(slice.len());
            this.written.go_on(slice.get(..taken).unwrap_or(slice));
            left -= taken;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

/// How far into a frame those octets are that were written (RFC 9113, 4.1: three octets of length, six that do not matter
/// here, then as many as the length says).
#[derive(Default)]
struct Frames {
    of_header: usize,
    length: usize,
}

const LENGTH: usize = 3;
const HEADER: usize = 9;

impl Frames {
    fn is_between(&self) -> bool {
        self.of_header == 0
    }

    fn go_on(&mut self, mut octets: &[u8]) {
        while let Some((first, rest)) = octets.split_first() {
            if self.of_header < HEADER {
                if self.of_header < LENGTH {
                    self.length = self.length << 8 | usize::from(*first);
                }
                self.of_header += 1;
                octets = rest;
            } else {
                let taken = self.length.min(octets.len());
                self.length -= taken;
                octets = octets.get(taken..).unwrap_or_default();
            }
            if self.of_header == HEADER && self.length == 0 {
                self.of_header = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let frame = |length: u8| [&[0, 0, length, 0, 0, 0, 0, 0, 1], vec![9; length.into()].as_slice()].concat();
        let (frames, ends) = ([frame(0), frame(5), frame(255)].concat(), [0, 9, 23, 287]);
        for step in 1..20 {
            let (mut written, mut place) = (Frames::default(), 0);
            for piece in frames.chunks(step) {
                written.go_on(piece);
                place += piece.len();
                assert_eq!(written.is_between(), ends.contains(&place), "{place} in steps of {step}");
            }
        }
    }
}
