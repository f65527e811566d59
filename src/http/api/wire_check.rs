//! A check and its runs on the wire. Secret header values and bodies are not among what is shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::check::{Check, CheckBody, CheckHeader, CheckState};
use crate::domain::run::{Failure, Presentation, Report, Run, ServerCertificate, Timings};
use crate::domain::text::timestamp;
use crate::service::call_reports::{Answer, Called};

/// How much of a body is handed out, in bytes.
const MAX_SHOWN_BODY: usize = 256 * 1024;

#[derive(Serialize, ToSchema)]
pub struct WireCheck {
    /// UUID.
    id: String,
    name: String,
    url: String,
    method: String,
    headers: Vec<WireHeader>,
    /// Null when there is none, or when it is secret.
    body: Option<String>,
    secret_body: bool,
    /// What is expected of the answer.
    #[schema(value_type = Object)]
    expect: Value,
    /// `auto`, `none`, or an identity's id.
    identity: String,
    /// The id of a CA bundle to verify the server by, where the identity has no CAs of its own; null for the system's.
    trusted_ca: Option<String>,
    /// Null for a check that is run by hand.
    interval_seconds: Option<i64>,
    timeout_ms: i64,
    enabled: bool,
    /// `passing`, `degraded` or `failing`; null before the first run.
    state: Option<&'static str>,
    state_since: Option<String>,
    last_run_on: Option<String>,
    next_run_on: Option<String>,
    created_on: String,
    updated_on: String,
}

#[derive(Serialize, ToSchema)]
pub struct WireHeader {
    name: String,
    /// Null when it is secret.
    value: Option<String>,
    secret: bool,
}

/// One run of a check.
#[derive(Serialize, ToSchema)]
pub struct WireRun {
    /// UUID, ordered by time.
    id: String,
    /// `passing`, `degraded` or `failing`.
    state: &'static str,
    #[serde(flatten)]
    report: WireReport,
    /// Only in the answer to whoever ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false, value_type = WireAnswer)]
    response: Option<WireAnswer>,
}

/// A call made by hand, with its answer.
#[derive(Serialize, ToSchema)]
pub struct WireCall {
    #[serde(flatten)]
    report: WireReport,
    /// Null when there was none: `failure` says why.
    #[schema(value_type = Option<WireAnswer>)]
    response: Option<WireAnswer>,
}

/// What was seen.
#[derive(Serialize, ToSchema)]
pub struct WireReport {
    started_on: String,
    /// By the worker; else by hand.
    scheduled: bool,
    /// What was not as expected, in words.
    findings: Vec<String>,
    identity: WirePresentation,
    /// The address that was connected to.
    address: Option<String>,
    timings_ms: WireTimings,
    /// `TLSv1.2` or `TLSv1.3`.
    tls_version: Option<String>,
    #[schema(value_type = Option<WireServerCertificate>)]
    server_certificate: Option<WireServerCertificate>,
    /// Whether the server asked for a client certificate; null when the handshake did not come so far.
    identity_requested: Option<bool>,
    /// The CAs whose certificates the server says it accepts; many servers say nothing.
    accepted_issuers: Vec<String>,
    status: Option<u16>,
    /// How much of the body was read, in bytes.
    body_length: usize,
    #[schema(value_type = Option<WireFailure>)]
    failure: Option<WireFailure>,
    redirects: Vec<String>,
    notes: Vec<String>,
}

/// Which identity was chosen and why.
#[derive(Serialize, ToSchema)]
pub struct WirePresentation {
    id: Option<String>,
    name: Option<String>,
    fingerprint_sha256: Option<String>,
    reason: String,
    /// Whether it went over the wire: a server that does not ask sees none.
    presented: bool,
}

/// Milliseconds of each stage; null for one that was not reached.
#[derive(Serialize, ToSchema)]
pub struct WireTimings {
    dns: Option<f64>,
    connect: Option<f64>,
    tls: Option<f64>,
    /// From the request to the head of the answer.
    first_byte: Option<f64>,
    total: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub struct WireServerCertificate {
    subject: String,
    issuer: String,
    issued_on: String,
    expires_on: String,
    fingerprint_sha256: String,
    subject_alternative_names: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct WireFailure {
    /// Where it ended: `identity` or `trusted_ca` (what was named is gone), `address` (not permitted), `dns`, `connect`,
    /// `tls`, `certificate` (the server's), `client_certificate` (ours was refused), `request`, `response`, `timeout`.
    stage: String,
    message: String,
}

#[derive(Serialize, ToSchema)]
pub struct WireAnswer {
    status: u16,
    /// Pairs of name and value, in the order of the answer.
    headers: Vec<(String, String)>,
    /// The body as text; null when it is none.
    body: Option<String>,
    /// The body in base64, when it is no text.
    body_base64: Option<String>,
    /// The body goes on after what is shown.
    truncated: bool,
}

impl From<Check> for WireCheck {
    fn from(check: Check) -> Self {
        let definition = check.definition;
        Self {
            id: check.id.to_string(),
            name: definition.name,
            url: definition.url,
            method: definition.method,
            headers: definition.headers.into_iter().map(Into::into).collect(),
            secret_body: definition.body == CheckBody::Secret,
            body: match definition.body {
                CheckBody::Shown(text) => Some(text),
                CheckBody::None | CheckBody::Secret => None,
            },
            expect: serde_json::to_value(&definition.expectations).unwrap_or_default(),
            identity: definition.identity.to_string(),
            trusted_ca: definition.trusted_ca.map(|id| id.to_string()),
            interval_seconds: definition.interval_seconds,
            timeout_ms: definition.timeout_millis,
            enabled: definition.is_enabled,
            state: check.state.map(CheckState::as_str),
            state_since: check.state_since.map(timestamp),
            last_run_on: check.last_run_on.map(timestamp),
            next_run_on: check.next_run_on.map(timestamp),
            created_on: timestamp(check.created_on),
            updated_on: timestamp(check.updated_on),
        }
    }
}

impl From<CheckHeader> for WireHeader {
    fn from(header: CheckHeader) -> Self {
        Self { name: header.name, secret: header.value.is_none(), value: header.value }
    }
}

impl WireRun {
    pub fn of(run: Run) -> Self {
        Self { id: run.id.to_string(), state: run.state.as_str(), report: run.report.into(), response: None }
    }

    /// With the answer, for whoever ran it.
    pub fn with_answer(run: Run, called: Called) -> Self {
        Self { response: called.answer.map(Into::into), ..Self::of(run) }
    }
}

impl From<Called> for WireCall {
    fn from(called: Called) -> Self {
        Self { report: called.report.into(), response: called.answer.map(Into::into) }
    }
}

impl From<Report> for WireReport {
    fn from(report: Report) -> Self {
        Self {
            started_on: timestamp(report.started_on),
            scheduled: report.is_scheduled,
            findings: report.findings,
            identity: report.presentation.into(),
            address: report.address,
            timings_ms: report.timings.into(),
            tls_version: report.tls_version,
            server_certificate: report.server_certificate.map(Into::into),
            identity_requested: report.identity_requested,
            accepted_issuers: report.accepted_issuers,
            status: report.status,
            body_length: report.body_length,
            failure: report.failure.map(Into::into),
            redirects: report.redirects,
            notes: report.notes,
        }
    }
}

impl From<Presentation> for WirePresentation {
    fn from(presentation: Presentation) -> Self {
        Self {
            id: presentation.identity,
            name: presentation.name,
            fingerprint_sha256: presentation.fingerprint_sha256,
            reason: presentation.reason,
            presented: presentation.is_presented,
        }
    }
}

impl From<Timings> for WireTimings {
    fn from(timings: Timings) -> Self {
        let Timings { dns, connect, tls, first_byte, total } = timings;
        Self { dns, connect, tls, first_byte, total }
    }
}

impl From<ServerCertificate> for WireServerCertificate {
    fn from(certificate: ServerCertificate) -> Self {
        Self {
            subject: certificate.subject,
            issuer: certificate.issuer,
            issued_on: timestamp(certificate.not_before),
            expires_on: timestamp(certificate.not_after),
            fingerprint_sha256: certificate.fingerprint_sha256,
            subject_alternative_names: certificate.subject_alternative_names,
        }
    }
}

impl From<Failure> for WireFailure {
    fn from(failure: Failure) -> Self {
        Self { stage: failure.stage, message: failure.message }
    }
}

impl From<Answer> for WireAnswer {
    fn from(answer: Answer) -> Self {
        let shown = answer.body.get(..MAX_SHOWN_BODY).unwrap_or(&answer.body);
        let is_cut = answer.is_truncated || shown.len() < answer.body.len();
        let text = match std::str::from_utf8(shown) {
            Ok(text) => Some(text.to_owned()),
            // A text that was cut inside a character is a text all the same.
            Err(error) if is_cut && error.error_len().is_none() => {
                shown.get(..error.valid_up_to()).and_then(|whole| String::from_utf8(whole.to_vec()).ok())
            }
            Err(_) => None,
        };
        Self {
            status: answer.status,
            truncated: is_cut,
            body_base64: text.is_none().then(|| STANDARD.encode(shown)),
            body: text,
            headers: answer.headers,
        }
    }
}
