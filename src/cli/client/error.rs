//! How a call fails, and what can be done about it.

use std::error::Error;

use crate::cli::CliError;
use crate::cli::envelope::Message;
use crate::cli::escape::{escape, escape_lines};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request never left.
    #[error(
        "no Countersign answers at {url}; start one with `countersign serve`, or name another with --url ({})",
        escape_lines(cause)
    )]
    Unreachable { url: String, cause: String },
    #[error(
        "the TLS certificate of {url} is not trusted ({}); name the CA that signed it with --ca-file",
        escape_lines(cause)
    )]
    Untrusted { url: String, cause: String },
    #[error(
        "{url} did not answer in time or broke off, so it may or may not have done what was asked ({})",
        escape_lines(cause)
    )]
    Interrupted { url: String, cause: String, timed_out: bool },
    #[error("{}", refusal(*status, errors, advice))]
    Refused { status: u16, errors: Vec<Message>, advice: String },
    #[error("{url} redirects to {}; name the right address with --url", escape(to))]
    Redirected { url: String, to: String },
    #[error("what answers at {url} is no Countersign (HTTP {status}); name another with --url")]
    Foreign { url: String, status: u16 },
    #[error("{0}")]
    Setup(String),
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::failure(error)
    }
}

impl ClientError {
    /// Whether it is certain that nothing was done.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::Redirected { .. } | Self::Setup(_) => true,
            Self::Refused { status, .. } => *status < 500 || *status == 503,
            Self::Interrupted { .. } | Self::Foreign { .. } => false,
        }
    }

    /// What went wrong between here and the server.
    pub(super) fn transport(url: &str, error: &reqwest::Error) -> Self {
        let url = url.to_owned();
        let (cause, is_about_trust) = innermost(error);
        if error.is_builder() {
            Self::Setup(format!("{url:?} cannot be called: {}", escape_lines(&cause)))
        } else if is_about_trust {
            Self::Untrusted { url, cause }
        } else if error.is_connect() {
            Self::Unreachable { url, cause }
        } else {
            Self::Interrupted { url, cause, timed_out: error.is_timeout() }
        }
    }
}

/// The words of the innermost cause, because the outer ones only say that something went wrong; and whether it is that
/// the server's certificate was not accepted.
pub(super) fn innermost(error: &reqwest::Error) -> (String, bool) {
    let mut cause: &(dyn Error + 'static) = error;
    let mut is_about_trust = is_distrust(cause);
    while let Some(inner) = cause.source() {
        cause = inner;
        is_about_trust |= is_distrust(cause);
    }
    (cause.to_string(), is_about_trust)
}

/// An `io::Error` hides the error that it wraps from `source`, so it has to be asked by itself.
fn is_distrust(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|wrapped| is_distrust(wrapped))
}

fn refusal(status: u16, errors: &[Message], advice: &str) -> String {
    let mut text = match errors {
        [only] => format!("the server refuses ({status}): {only}"),
        all => all.iter().fold(format!("the server refuses ({status}):"), |text, error| format!("{text}\n  {error}")),
    };
    if !advice.is_empty() {
        text.push('\n');
        text.push_str(advice);
    }
    text
}
