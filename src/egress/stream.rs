//! The two ends of the TLS stream: the wire below it, the plain text above it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The TCP connection. A server that refuses something often answers and closes before it has read everything. A write
/// into that close fails, though the reason (a TLS alert, an early HTTP answer) lies there to be read; so a write that
/// fails is kept, what is written after it goes nowhere, and the error comes out when reading has reached the end.
pub(super) struct Wire {
    socket: TcpStream,
    write_error: Option<io::Error>,
}

impl Wire {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, write_error: None }
    }

    fn keep(&mut self, written: io::Result<usize>, length: usize) -> io::Result<usize> {
        written.or_else(|error| {
            self.write_error = Some(error);
            Ok(length)
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        let is_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0;
        match self.write_error.take_if(|_| is_end) {
            Some(error) => Poll::Ready(Err(error)),
            None => polled,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_error.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        polled.map(|written| self.keep(written, bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// When the first byte of the answer came. TLS's own messages after the handshake do not count.
pub(super) type FirstByte = Arc<OnceLock<Instant>>;

/// The stream inside TLS.
pub(super) struct Plain<S> {
    stream: S,
    first_byte: FirstByte,
}

impl<S> Plain<S> {
    pub(super) fn new(stream: S, first_byte: FirstByte) -> Self {
        Self { stream, first_byte }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.first_byte.get_or_init(Instant::now);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
