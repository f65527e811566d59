//! The dialect of `/v1`: bare JSON, failures as `{statusCode, error, message}` (wire contract, 4.1), the account from the
//! token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use crate::domain::id::AccountId;
use crate::service::ServiceError;
use crate::service::access::{AccountPermit, Act};

use super::authentication::{identify, service};
use super::error::ApiError;

const ACCOUNT_HEADER: &str = "x-checkly-account";

/// A caller who may do `A` in the account of its own token.
pub struct InOwnAccount<A: Act>(pub AccountPermit<A>);

/// A failure in this dialect.
#[derive(Debug)]
pub struct BareError(ApiError);

/// Any failure under `/v1`.
#[derive(Serialize, ToSchema)]
pub struct BareFailure {
    #[serde(rename = "statusCode")]
    status_code: u16,
    /// The name of the status.
    error: &'static str,
    message: String,
}

/// How every operation under `/v1` can fail, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive alone")]
pub enum BareRefusals {
    #[response(status = "4XX")]
    Refused(BareFailure),
    /// Not now, or a fault of ours: Retry-After says when to try again.
    #[response(status = "5XX")]
    Failed(BareFailure),
}

impl<A: Act + 'static> FromRequest for InOwnAccount<A> {
    type Error = BareError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BareError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = match identify(&request).await {
                Ok(Some(caller)) => caller,
                Ok(None) => return Err(BareError::unauthorized("Bad Token")),
                Err(fault) if fault.status_code().is_client_error() => {
                    return Err(BareError::unauthorized(&fault.messages()));
                }
                Err(fault) => return Err(fault.into()),
            };
            let account = caller.account();
            if !names_account(&request, account) {
                return Err(ServiceError::Forbidden.into());
            }
            Ok(Self(service(&request)?.permit_in_account(caller, account).await?))
        })
    }
}

/// The header may be left out: a token belongs to one account. If it is there, it must be that one, with or without
/// dashes.
fn names_account(request: &HttpRequest, account: AccountId) -> bool {
    let Some(header) = request.headers().get(ACCOUNT_HEADER) else { return true };
    let named = header.to_str().ok().and_then(|text| Uuid::try_parse(text.trim()).ok());
    named.is_some_and(|named| named.as_bytes() == account.as_bytes())
}

impl BareError {
    fn unauthorized(message: &str) -> Self {
        Self(ApiError::new(StatusCode::UNAUTHORIZED, 1000, message))
    }
}

impl From<ApiError> for BareError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<ServiceError> for BareError {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for BareError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl ResponseError for BareError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let message = match status {
            StatusCode::FORBIDDEN => "the token may not do this in this account".to_owned(),
            _ => self.0.messages(),
        };
        let mut response = self.0.builder();
        response.json(BareFailure {
            status_code: status.as_u16(),
            error: status.canonical_reason().unwrap_or("Error"),
            message,
        })
    }
}
