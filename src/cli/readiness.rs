//! What `/readyz` says, for those who ask on the command line.

use reqwest::StatusCode;
use serde::Deserialize;

use super::client::{Call, Client, ClientError};

/// The answer of `/readyz`, which a proxy in between may have replaced: then it has no parts.
pub struct Readiness {
    pub status: StatusCode,
    pub parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
pub struct Part {
    pub name: String,
    /// None while it works.
    pub fault: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    parts: Vec<Part>,
}

impl Readiness {
    /// Asks once.
    pub async fn ask(client: &Client) -> Result<Self, ClientError> {
        let reply = client.once(&Call::get("/readyz")).await?;
        let Body { parts } = serde_json::from_slice(&reply.body).unwrap_or_default();
        Ok(Self { status: reply.status, parts })
    }

    pub fn is_ready(&self) -> bool {
        self.status.is_success()
    }

    /// Why it is not ready, where no part has said so.
    pub fn unexplained(&self) -> Option<String> {
        let is_explained = self.is_ready() || self.parts.iter().any(|part| part.fault.is_some());
        (!is_explained).then(|| format!("/readyz answers {}", self.status))
    }
}
