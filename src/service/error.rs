//! What can go wrong in a service: a kind that callers branch on, a message for the caller, and one for the operator.

use thiserror::Error;

use crate::domain::violation::Violation;
use crate::keys::error::KeyError;
use crate::store::StoreError;
use crate::x509::error::X509Error;

#[derive(Debug, Error)]
pub enum ServiceError {
    /// The request breaks these rules; all of them are named.
    #[error("the request is invalid: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// The caller may not do this here, or there is no such zone: callers cannot tell which.
    #[error("not allowed")]
    Forbidden,
    /// Possession of a certificate's key was not shown, or there is no such certificate: callers cannot tell which.
    #[error("possession of the key was not shown")]
    Unproven,
    /// There is no such thing in the caller's zone or account.
    #[error("there is no such {0}")]
    NotFound(Noun),
    /// The account has this very thing already.
    #[error("{0}")]
    Duplicate(String),
    /// Others rely on it; the text names them.
    #[error("{0}")]
    InUse(String),
    /// Too much is waiting, or the database is away. Trying again is right.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// The signer failed.
    #[error("signing failed: {0}")]
    Signing(String),
    /// A fault of ours. The text is for the log.
    #[error("internal fault: {0}")]
    Internal(String),
}

/// What was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Authority,
    Certificate,
    Check,
    Crl,
    Identity,
    Job,
    Token,
    /// Somebody who relies on an identity.
    Use,
    Webhook,
}

impl std::fmt::Display for Noun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Certificate => "certificate",
            Self::Check => "check",
            Self::Crl => "CRL",
            Self::Identity => "identity",
            Self::Job => "bulk job",
            Self::Token => "token",
            Self::Use => "association",
            Self::Webhook => "webhook",
        })
    }
}

impl ServiceError {
    pub fn invalid(pointer: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(pointer, message)])
    }

    /// Whether the caller asked for something that is not to be had: the audit log keeps that.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Forbidden | Self::NotFound(_) | Self::Duplicate(_) | Self::InUse(_))
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Damaged(_) | StoreError::Migration(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<KeyError> for ServiceError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Busy => Self::Unavailable(error.to_string()),
            other => Self::Signing(other.to_string()),
        }
    }
}

impl From<X509Error> for ServiceError {
    fn from(error: X509Error) -> Self {
        Self::Internal(error.to_string())
    }
}
