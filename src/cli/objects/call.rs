//! Checks, and what came of a call with an identity.

use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Check {
    pub id: String,
    pub name: String,
    pub url: String,
    pub method: String,
    pub headers: Vec<Header>,
    pub body: Option<String>,
    pub secret_body: bool,
    /// What is expected of the answer.
    pub expect: Value,
    /// `auto`, `none`, or an id.
    pub identity: String,
    pub trusted_ca: Option<String>,
    pub interval_seconds: Option<u64>,
    pub timeout_ms: u64,
    pub enabled: bool,
    pub state: Option<String>,
    pub state_since: Option<String>,
    pub last_run_on: Option<String>,
    pub next_run_on: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Header {
    pub name: String,
    /// `None` when it is secret.
    pub value: Option<String>,
}

/// What came of a call made by hand, or of a run of a check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Outcome {
    pub id: Option<String>,
    /// Only of a run: `passing`, `degraded` or `failing`.
    pub state: Option<String>,
    pub started_on: String,
    pub scheduled: bool,
    /// What was not as expected.
    pub findings: Vec<String>,
    pub identity: Presentation,
    pub address: Option<String>,
    pub timings_ms: Timings,
    pub tls_version: Option<String>,
    pub server_certificate: Option<ServerCertificate>,
    /// Unknown when the handshake did not come so far.
    pub identity_requested: Option<bool>,
    pub status: Option<u16>,
    /// In bytes.
    pub body_length: u64,
    pub failure: Option<Failure>,
    pub redirects: Vec<String>,
    pub notes: Vec<String>,
    pub response: Option<Answer>,
}

/// Which identity was chosen, and why.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Presentation {
    pub id: Option<String>,
    pub name: Option<String>,
    /// In words, such as `its pattern *.example.com matches the host`.
    pub reason: String,
    pub presented: bool,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Timings {
    pub dns: Option<f64>,
    pub connect: Option<f64>,
    pub tls: Option<f64>,
    pub first_byte: Option<f64>,
    pub total: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerCertificate {
    pub subject: String,
    pub issuer: String,
    pub expires_on: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Failure {
    pub stage: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// As text; `None` when it is none.
    pub body: Option<String>,
    pub body_base64: Option<String>,
    pub truncated: bool,
}
