//! Bodies that may be large: taken piece by piece, and not at all while the caller has them already.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::{Call, Client, ClientError};
use crate::cli::envelope::Envelope;

/// For the whole of it.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Without a byte.
const SILENCE: Duration = Duration::from_secs(30);
/// A refusal is short; more of it is not read.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// A body on its way.
pub struct Download {
    response: Response,
    url: String,
}

impl Client {
    /// Asks once for a body; `None` if it is still the one with this tag.
    pub async fn download(&self, path: &str, known: Option<&HeaderValue>) -> Result<Option<Download>, ClientError> {
        let mut request = self.request(&Call::get(path))?.timeout(PATIENCE);
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag.clone());
        }
        let sent = timeout(SILENCE, request.send()).await.map_err(|_| silent(&self.base))?;
        let response = sent.map_err(|error| self.transport(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(None);
        }
        if status.is_redirection() {
            return Err(self.redirected(response.headers()));
        }
        let mut download = Download { response, url: self.base.clone() };
        if status.is_success() {
            return Ok(Some(download));
        }
        let mut body = Vec::new();
        while body.len() < LONGEST_REFUSAL
            && let Some(piece) = download.next().await?
        {
            body.extend_from_slice(&piece);
        }
        Err(match serde_json::from_slice::<Envelope>(&body) {
            Ok(envelope) => self.refused(status, envelope.errors),
            Err(_) => ClientError::Foreign { url: self.base.clone(), status: status.as_u16() },
        })
    }
}

impl Download {
    /// By what it is known again.
    pub fn tag(&self) -> Option<HeaderValue> {
        self.response.headers().get(ETAG).cloned()
    }

    /// The next piece; `None` at the end. A body that ends too early is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let piece = timeout(SILENCE, self.response.chunk()).await.map_err(|_| silent(&self.url))?;
        piece.map_err(|error| ClientError::transport(&self.url, &error))
    }
}

fn silent(url: &str) -> ClientError {
    let cause = format!("nothing came for {} s", SILENCE.as_secs());
    ClientError::Interrupted { url: url.to_owned(), cause, timed_out: true }
}
