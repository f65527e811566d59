//! The HTTP client that every command talks to the service with.
//!
//! It repeats what the server asked to have repeated (429, 503) and what never reached it, at most three times. What
//! may have reached it is repeated only where that is harmless: reading, revoking, reactivating, and requests with an
//! Idempotency-Key. What was waited for in vain is not asked again: a person has waited long enough by then.

mod body;
mod download;
mod error;
mod stream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::envelope::{Answer, Envelope, Message};
use super::escape::escape_lines;
use crate::clock::Clock;

pub use body::{Body, Sent, secret_body};
pub use error::ClientError;
use error::innermost;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
const ITEMS_A_PAGE: u32 = 50;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server that wants us to wait longer is better asked again by a person.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub struct Client {
    http: reqwest::Client,
    /// Without a slash at the end.
    base: String,
    token: Option<SecretString>,
    /// Why there is no token, for the message when the server wants one.
    token_advice: String,
    /// The PEM of a CA that is trusted instead of those of the system.
    ca_file: Option<PathBuf>,
    clock: Clock,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Body>,
    idempotency_key: Option<String>,
    /// Whether it may be sent again when it may have arrived already, whatever its method.
    is_harmless: bool,
    /// How long the answer may take, where that is longer than usual.
    patience: Option<Duration>,
}

/// The raw answer.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            idempotency_key: None,
            is_harmless: false,
            patience: None,
        }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub fn patch(path: impl Into<String>, body: impl Into<Body>) -> Self {
        Self { body: Some(body.into()), ..Self::new(Method::PATCH, path) }
    }

    pub fn post(path: impl Into<String>, body: impl Into<Body>) -> Self {
        Self { body: Some(body.into()), ..Self::new(Method::POST, path) }
    }

    pub fn put(path: impl Into<String>, body: impl Into<Body>) -> Self {
        Self { body: Some(body.into()), ..Self::new(Method::PUT, path) }
    }

    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Says that nothing happens twice when it is sent twice.
    pub fn harmless_to_repeat(mut self) -> Self {
        self.is_harmless = true;
        self
    }

    /// Waits for what the server itself waits for, on top of the usual time.
    pub fn while_it_waits(mut self, time: Duration) -> Self {
        self.patience = Some(TIMEOUT + time);
        self
    }

    fn is_repeatable(&self) -> bool {
        self.method != Method::POST || self.idempotency_key.is_some() || self.is_harmless
    }
}

impl Client {
    pub fn new(
        base: &str,
        token: Option<SecretString>,
        token_advice: String,
        ca_file: Option<PathBuf>,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/').to_owned();
        let http = http_client(&base, ca_file.as_deref())?;
        Ok(Self { http, base, token, token_advice, ca_file, clock })
    }

    /// The same without the token: for what is public.
    pub fn into_stranger(self) -> Self {
        Self { token: None, token_advice: String::new(), ..self }
    }

    /// Fetches any other address as a stranger does: without the token.
    pub async fn fetch_anonymously(&self, address: &str) -> Result<Reply, ClientError> {
        let unreachable =
            |error: reqwest::Error| ClientError::Unreachable { url: address.to_owned(), cause: innermost(&error).0 };
        let http = http_client(address, self.ca_file.as_deref())?;
        let response = http.get(address).send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(unreachable)?;
        Ok(Reply { status, headers, body: body.into() })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Calls the API and opens the envelope.
    pub async fn call(&self, call: Call) -> Result<Answer, ClientError> {
        let reply = self.exchange(&call).await?;
        let envelope: Envelope = serde_json::from_slice(&reply.body).map_err(|_| self.foreign(&reply))?;
        if reply.status.is_success() && envelope.success {
            let Envelope { result, messages, result_info, .. } = envelope;
            return Ok(Answer { result, messages, result_info });
        }
        Err(self.refused(reply.status, envelope.errors))
    }

    /// All the items of a list, however many pages it has.
    pub async fn items(&self, path: &str) -> Result<Vec<Value>, ClientError> {
        self.items_of(Call::get(path)).await
    }

    /// The same with a query.
    pub async fn items_of(&self, list: Call) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        for page in 1_u64.. {
            let call = list.clone().query("page", page.to_string()).query("per_page", ITEMS_A_PAGE.to_string());
            let answer = self.call(call).await?;
            items.extend_from_slice(answer.items());
            let is_last = answer.result_info.is_none_or(|info| info.total_pages <= page);
            if answer.items().is_empty() || is_last {
                break;
            }
        }
        Ok(items)
    }

    /// Fetches a body as it is: certificates, CRLs.
    pub async fn fetch(&self, call: Call) -> Result<Vec<u8>, ClientError> {
        let reply = self.exchange(&call).await?;
        if reply.status.is_success() {
            return Ok(reply.body);
        }
        match serde_json::from_slice::<Envelope>(&reply.body) {
            Ok(envelope) => Err(self.refused(reply.status, envelope.errors)),
            Err(_) => Err(self.foreign(&reply)),
        }
    }

    /// Sends the request, again where that may help, and gives back whatever is answered at last.
    pub async fn exchange(&self, call: &Call) -> Result<Reply, ClientError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES {
            match self.once(call).await {
                Ok(reply) if is_passing(reply.status) => self.clock.sleep(asked_pause(&reply).unwrap_or(pause)).await,
                Err(ClientError::Unreachable { .. }) => self.clock.sleep(pause).await,
                Err(ClientError::Interrupted { timed_out: false, .. }) if call.is_repeatable() => {
                    self.clock.sleep(pause).await
                }
                outcome => return outcome,
            }
            pause *= 2;
        }
        self.once(call).await
    }

    /// Sends the request exactly once.
    pub async fn once(&self, call: &Call) -> Result<Reply, ClientError> {
        let response = self.request(call)?.send().await.map_err(|error| self.transport(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(self.redirected(&headers));
        }
        let body = response.bytes().await.map_err(|error| self.transport(&error))?;
        Ok(Reply { status, headers, body: body.into() })
    }

    fn request(&self, call: &Call) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut request = self.http.request(call.method.clone(), format!("{}{}", self.base, call.path));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        match &call.body {
            Some(Body::Plain(body)) => request = request.json(body),
            Some(Body::Secret(body)) => {
                let text = body.expose_secret().to_owned();
                request = request.header(CONTENT_TYPE, "application/json").body(text);
            }
            None => {}
        }
        if let Some(patience) = call.patience {
            request = request.timeout(patience);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        Ok(request)
    }

    fn transport(&self, error: &reqwest::Error) -> ClientError {
        ClientError::transport(&self.base, error)
    }

    fn refused(&self, status: StatusCode, errors: Vec<Message>) -> ClientError {
        let advice = if self.token.is_none() { self.token_advice.clone() } else { String::new() };
        ClientError::Refused { status: status.as_u16(), errors, advice }
    }

    fn redirected(&self, headers: &HeaderMap) -> ClientError {
        let to = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("another address");
        ClientError::Redirected { url: self.base.clone(), to: to.to_owned() }
    }

    fn foreign(&self, reply: &Reply) -> ClientError {
        ClientError::Foreign { url: self.base.clone(), status: reply.status.as_u16() }
    }
}

/// A client for one address. Redirects are not followed: the token is meant for the address that was named.
fn http_client(base: &str, ca_file: Option<&Path>) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base) {
        // A proxy for the outside world has no way to this machine's own loopback.
        builder = builder.no_proxy();
    }
    if let Some(path) = ca_file {
        builder = builder.tls_certs_only(ca_certificates(path)?);
    } else if base.starts_with("http://") {
        // A bare machine may have no certificates at all, and plain HTTP needs none: without this the builder fails there.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        ClientError::Setup(format!(
            "no TLS: {}; name the CA of the server with --ca-file",
            escape_lines(&innermost(&error).0)
        ))
    })
}

fn ca_certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let wrong = |why: String| ClientError::Setup(format!("--ca-file {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(innermost(&error).0))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no PEM certificate".into()));
    }
    Ok(certificates)
}

/// Whether the address is on this very machine.
pub fn is_loopback(base: &str) -> bool {
    match url::Url::parse(base).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| ClientError::Setup("the token holds characters that no token has".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn asked_pause(reply: &Reply) -> Option<Duration> {
    let seconds: u64 = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests;
