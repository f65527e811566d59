//! The API under `/client/v4`, and `/v1` for its clients: one file for each noun, with its wire types and OpenAPI notes beside the handlers.

use std::future::Future;

use crate::http::error::ApiError;
use crate::service::ServiceError;

pub mod accounts;
pub mod authorities;
pub mod bulk;
mod bulk_body;
pub mod certificates;
mod check_body;
pub mod checks;
pub mod client_certificates_v1;
pub mod events;
pub mod hostname_associations;
pub mod identities;
mod identity_body;
pub mod identity_calls;
pub mod identity_uses;
pub mod tokens;
pub mod webhooks;
pub mod wire_certificate;
mod wire_check;
mod wire_identity;
mod wire_webhook;
pub mod zones;

/// Carries work through that must not be left half done, or unrecorded, because its caller hung up.
async fn to_the_end<T, F>(work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ServiceError>> + Send + 'static,
{
    let done = tokio::spawn(work).await;
    done.map_err(|error| ServiceError::Internal(error.to_string()))?.map_err(Into::into)
}
