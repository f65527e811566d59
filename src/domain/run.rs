//! What came of one outgoing call with an identity: a run of a check, or a call made by hand. It holds no body and no
//! header of the answer: those go to the caller who asked, and are not kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::check::CheckState;
use super::id::{CheckId, RunId};

/// How many runs of a check are kept.
pub const KEPT_RUNS: i64 = 100;

/// One run of a check.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    pub check: CheckId,
    pub state: CheckState,
    pub report: Report,
}

/// What was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub started_on: DateTime<Utc>,
    /// By the worker, or by hand.
    pub is_scheduled: bool,
    /// What was not as expected, in words.
    pub findings: Vec<String>,
    pub presentation: Presentation,
    /// The address that was connected to.
    pub address: Option<String>,
    pub timings: Timings,
    /// `TLSv1.2` or `TLSv1.3`.
    pub tls_version: Option<String>,
    pub server_certificate: Option<ServerCertificate>,
    /// Whether the server asked for a client certificate; unknown if the handshake did not come so far.
    pub identity_requested: Option<bool>,
    /// The CAs whose certificates the server says it accepts; many servers say nothing.
    #[serde(default)]
    pub accepted_issuers: Vec<String>,
    pub status: Option<u16>,
    /// How much of the body was read, in bytes.
    pub body_length: usize,
    pub failure: Option<Failure>,
    /// The addresses that the server redirected to and that were followed.
    pub redirects: Vec<String>,
    pub notes: Vec<String>,
}

/// Which identity was chosen, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presentation {
    /// The written id; `None` when there was none to present.
    pub identity: Option<String>,
    pub name: Option<String>,
    pub fingerprint_sha256: Option<String>,
    /// In words, such as `its pattern *.example.com matches the host`.
    pub reason: String,
    /// Whether it went over the wire: a server that does not ask sees none.
    pub is_presented: bool,
}

/// Milliseconds of each stage; `None` for one that was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    pub dns: Option<f64>,
    pub connect: Option<f64>,
    pub tls: Option<f64>,
    /// From the request to the head of the answer.
    pub first_byte: Option<f64>,
    pub total: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCertificate {
    pub subject: String,
    pub issuer: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub fingerprint_sha256: String,
    pub subject_alternative_names: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it ended, such as `dns`, `connect`, `tls` or `client_certificate`.
    pub stage: String,
    pub message: String,
}
