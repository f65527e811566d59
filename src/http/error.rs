//! From faults to answers: the one place that knows status codes and the contract's numbers (wire contract, 1.8).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use crate::domain::violation::Violation;
use crate::service::access::Permit;
use crate::service::{Noun, Service, ServiceError};

use super::envelope::{ChainedFault, Failure, Fault, FaultSource};

/// How soon a caller should try again when we are overloaded, in seconds.
const RETRY_SECONDS: u32 = 1;

const MAX_FAULTS: usize = 100;
/// In characters. Messages quote what was sent, which may be long.
const MAX_MESSAGE: usize = 1000;

/// A failure as the caller sees it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    faults: Vec<Fault>,
    /// Methods that the address does have, for 405.
    allow: Option<String>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: u16, message: impl Into<String>) -> Self {
        Self { status, faults: vec![fault(code, message.into())], allow: None }
    }

    /// At most a hundred faults are told: whoever has more will ask again.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let faults = violations.into_iter().take(MAX_FAULTS).map(|violation| Fault {
            source: (!violation.pointer.is_empty()).then_some(FaultSource { pointer: violation.pointer }),
            ..fault(1400, shortened(violation.message))
        });
        Self { status: StatusCode::BAD_REQUEST, faults: faults.collect(), allow: None }
    }

    pub fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 1400, message)
    }

    pub fn undecodable_body(detail: &str) -> Self {
        let message = "Unable to decode the JSON request body. Check your input and try again.";
        Self::new(StatusCode::BAD_REQUEST, 1400, format!("{message} ({detail})"))
    }

    pub fn body_too_large(max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 1400, format!("the request body is larger than {max} bytes"))
    }

    pub fn body_too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, 1400, "the request body did not arrive in time")
    }

    pub fn head_too_large() -> Self {
        let message = "the request has more headers than any client of this API needs, or longer ones";
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 1400, message)
    }

    /// Too much is in flight; said without any work.
    pub fn overloaded() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 1100, "too much is in flight; try again shortly")
    }

    pub fn no_credentials() -> Self {
        Self::new(StatusCode::BAD_REQUEST, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
    }

    /// A credential whose form no token has; `header` with the number that the contract gives it.
    pub fn malformed_credentials(header: &str, chained: u16) -> Self {
        let message = format!("Invalid format for {header} header");
        let fault = Fault {
            error_chain: vec![ChainedFault { code: chained, message }],
            ..fault(6003, "Invalid request headers".into())
        };
        Self { status: StatusCode::BAD_REQUEST, faults: vec![fault], allow: None }
    }

    pub fn unusable_credentials() -> Self {
        Self::new(StatusCode::BAD_REQUEST, 10001, "Unable to authenticate request")
    }

    pub fn not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, 10000, "Authentication error")
    }

    /// One answer for every way in which a proof can fail.
    pub fn unproven() -> Self {
        let message = "possession of the certificate's key was not shown: ask for a challenge for a serial number of this \
                       authority, and answer it within its time, signed with the private key of that certificate";
        Self::new(StatusCode::FORBIDDEN, 1420, message)
    }

    pub fn no_route(path: &str) -> Self {
        let message = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let faults = vec![fault(7003, message), fault(7000, "No route for that URI".into())];
        Self { status: StatusCode::NOT_FOUND, faults, allow: None }
    }

    pub fn wrong_method(method: &str, allow: String) -> Self {
        let message = format!("Method {method} not available for that URI.");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, 7001, message) }
    }

    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            1101,
            "an internal fault; the log has it under this answer's x-request-id",
        )
    }

    /// A panic leaves no chance to set the header, so the text names the request.
    pub fn panicked(request_id: &str) -> Self {
        let message = format!("an internal fault; the log has it under the request id {request_id}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 1101, message)
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Invalid(violations) => Self::invalid(violations),
            ServiceError::Forbidden => Self::not_allowed(),
            ServiceError::Unproven => Self::unproven(),
            ServiceError::NotFound(Noun::Certificate) => {
                Self::new(StatusCode::NOT_FOUND, 1415, "Invalid Certificate ID in request")
            }
            ServiceError::NotFound(Noun::Identity) => Self::new(StatusCode::NOT_FOUND, 1472, "Certificate not found"),
            // 400, not 409: the SDKs repeat a 409 (wire contract, 1.10).
            ServiceError::Duplicate(message) => Self::new(StatusCode::BAD_REQUEST, 1471, message),
            ServiceError::InUse(message) => Self::new(StatusCode::BAD_REQUEST, 1473, message),
            ServiceError::NotFound(noun) => Self::new(StatusCode::NOT_FOUND, 1416, format!("There is no such {noun}")),
            ServiceError::Unavailable(detail) => {
                tracing::warn!(%detail, "answering 503");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 1100, "temporarily unavailable; try again shortly")
            }
            ServiceError::Signing(detail) => {
                tracing::error!(%detail, "the signer failed");
                Self::new(StatusCode::BAD_GATEWAY, 1406, "Bad response certificate service")
            }
            ServiceError::Internal(detail) => {
                tracing::error!(%detail, "answering 500");
                Self::internal()
            }
        }
    }
}

impl ApiError {
    /// All that is wrong, in one line.
    pub fn messages(&self) -> String {
        let messages: Vec<_> = self.faults.iter().map(|fault| fault.message.as_str()).collect();
        messages.join("; ")
    }

    /// An answer with the status and headers, whatever its body's dialect.
    pub fn builder(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_SECONDS.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_str()));
        }
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.messages())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.builder().json(Failure { success: false, errors: self.faults.clone(), messages: Vec::new(), result: () })
    }
}

fn shortened(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", message.split_at(end).0),
        None => message,
    }
}

fn fault(code: u16, message: String) -> Fault {
    Fault { code, message, source: None, error_chain: Vec::new() }
}

/// Hands on what was read of a permitted request; a fault is recorded first.
pub async fn recorded<T, P: Permit>(service: &Service, permit: &P, read: Result<T, ApiError>) -> Result<T, ApiError> {
    if let Err(fault) = &read {
        service.record_fault(permit, "", &fault.to_string()).await;
    }
    read
}
