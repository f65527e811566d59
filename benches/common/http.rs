//! HTTP/1.1 with as little work as possible, on one connection that is kept: the load generator shares the cores with the
//! server, so what it spends is missing there.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::{Outcome, fault};

/// How much of an answer's body is kept; the rest is counted.
const KEPT: usize = 1 << 20;

pub struct Connection {
    stream: TcpStream,
    /// What came, not yet looked at.
    received: Vec<u8>,
    chunk: Box<[u8]>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    /// The body, or the first megabyte of it.
    pub body: Vec<u8>,
    pub length: usize,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(16_384), chunk: vec![0; 65_536].into() })
    }

    /// Sends a whole request, and reads the whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Outcome<Answer> {
        self.send(request).await?;
        self.answer().await
    }

    pub async fn send(&mut self, request: &[u8]) -> Outcome<()> {
        let mut left = request;
        while !left.is_empty() {
            match self.stream.try_write(left) {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub async fn answer(&mut self) -> Outcome<Answer> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.receive().await?;
        };
        let rest = self.received.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.received, rest))?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or("the answer has no status")?;
        let length = header(&head, "content-length").map_or(Ok(0), str::parse)?;
        let mut body = Vec::new();
        let mut count = 0;
        loop {
            let own = self.received.len().min(length - count);
            count += own;
            if body.len() < KEPT {
                body.extend(self.received.drain(..own));
            } else {
                self.received.drain(..own);
            }
            if count == length {
                return Ok(Answer { status, head, body, length });
            }
            self.receive().await?;
        }
    }

    /// Takes what has come, or waits until something comes.
    pub async fn receive(&mut self) -> Outcome<usize> {
        loop {
            match self.stream.try_read(&mut self.chunk) {
                Ok(0) => return fault("the server closed the connection"),
                Ok(count) => {
                    self.received.extend_from_slice(self.chunk.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.readable().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &'a str| line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.lines().find_map(of_name).map(|(_, value)| value.trim())
}

/// A request as it is sent.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
