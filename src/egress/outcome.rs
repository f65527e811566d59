//! What came of a call.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A call and what was learnt by it. With redirects, everything but `redirects` and the total time is of the last
/// connection.
#[derive(Debug)]
pub struct Exchange {
    pub timings: Timings,
    /// Where the connection went.
    pub address: Option<SocketAddr>,
    /// `TLSv1.2` or `TLSv1.3`; unknown if the server's certificate was refused before it signed anything.
    pub tls_version: Option<&'static str>,
    /// In DER, the leaf first, as sent; also of a server whose certificate was refused. At most 16.
    pub server_chain: Vec<Vec<u8>>,
    /// Whether the server asked for a client certificate; unknown if the handshake did not get that far.
    pub identity_requested: Option<bool>,
    /// Whether the identity's certificate was sent and its key used.
    pub identity_presented: bool,
    /// The names of the CAs whose certificates the server says it takes, in DER. At most 100.
    pub accepted_issuers: Vec<Vec<u8>>,
    /// The URLs that were called after the first, in order.
    pub redirects: Vec<String>,
    pub outcome: Result<Response, Failure>,
}

/// How long each step took; none for a step that did not come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the question to the addresses; none also for an address in the URL.
    pub dns: Option<Duration>,
    /// The TCP connection that was used, and those that were tried before it.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the end of the handshake to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Everything, whatever came of it.
    pub total: Option<Duration>,
}

/// An answer of any status.
pub struct Response {
    pub status: u16,
    /// As received, in order; at most 100 fields and 64 KiB. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// As received, not decompressed.
    pub body: Vec<u8>,
    /// Whether the body goes on after what was read.
    pub is_truncated: bool,
    /// What a reader may wonder about, in words: a redirect that was not followed.
    pub notes: Vec<String>,
}

/// Leaves out headers and body, which may hold what is nobody else's business.
impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Response");
        shown.field("status", &self.status).field("body_length", &self.body.len()).field("notes", &self.notes);
        shown.finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    /// In plain words, without secrets.
    pub message: String,
}

impl Failure {
    pub(super) fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into() }
    }
}

/// Where a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No address may be called by the policy.
    Address,
    /// The name has no address.
    Dns,
    /// No TCP connection.
    Connect,
    /// No agreement on TLS, or the other side does not speak it.
    Tls,
    /// The server's certificate is not one to trust.
    Certificate,
    /// The server refused the client certificate, or misses it.
    ClientCertificate,
    /// The request itself is not one that can be sent.
    Request,
    /// What came back is not HTTP, is too large, or broke off.
    Response,
    /// The time was up.
    Timeout,
}

impl Stage {
    pub const ALL: [Self; 9] = [
        Self::Address,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Certificate,
        Self::ClientCertificate,
        Self::Request,
        Self::Response,
        Self::Timeout,
    ];

    /// In the words of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::ClientCertificate => "client_certificate",
            Self::Request => "request",
            Self::Response => "response",
            Self::Timeout => "timeout",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}
