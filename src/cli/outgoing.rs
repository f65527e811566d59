//! What is called with an identity: the options that `identity test` and checks share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde::Serialize;

use super::client::Sent;
use super::error::CliError;
use super::files;
use super::in_account::{Opened, fine_duration};
use super::resolve::{self, IdentityKind};

#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
pub struct RequestOptions {
    /// GET, POST and so on [default: GET, or POST where there is a body]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,

    /// A header of the request; `NAME@FILE` takes its value from the first line of a file; repeat for more
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<Header>,

    /// Send the text in this file as the body (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,

    /// The identity to present: auto (the one for this host, else the primary), none, or one by name or id [default: auto]
    #[arg(long, value_name = "auto|none|NAME|ID")]
    pub identity: Option<String>,

    /// The CA bundle, by name or id, to verify the called server by where the identity has no CAs of its own
    /// [default: what the system that Countersign runs on trusts]
    #[arg(long, value_name = "NAME|ID")]
    pub trusted_ca: Option<String>,

    /// How long the whole call may take, such as 500ms or 10s [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = fine_duration)]
    pub timeout: Option<Duration>,
}

/// What is sent of it. What is `None` is left out.
#[derive(Default, Serialize)]
pub struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<SentHeader>>,
    /// `Some(None)` takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Option<Sent>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// `Some(None)` takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_ca: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u128>,
}

#[derive(Serialize)]
pub struct SentHeader {
    name: String,
    value: Sent,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<bool>,
}

/// A header as it is written on the command line. Its value may be a credential.
#[derive(Clone, Debug)]
pub struct Header {
    name: String,
    value: HeaderValue,
}

#[derive(Clone, Debug)]
enum HeaderValue {
    Given(SecretString),
    FirstLineOf(PathBuf),
}

impl RequestOptions {
    /// Reads the files and finds what is named.
    pub async fn read(self, opened: &Opened) -> Result<Request, CliError> {
        let headers: Result<Vec<_>, _> = self.headers.into_iter().map(|header| header.read(None)).collect();
        let headers = headers?;
        Ok(Request {
            url: None,
            method: self.method,
            headers: (!headers.is_empty()).then_some(headers),
            body: self.body.as_deref().map(body).transpose()?.map(Some),
            identity: match self.identity.as_deref() {
                Some(given) => Some(selector(opened, given).await?),
                None => None,
            },
            trusted_ca: match self.trusted_ca.as_deref() {
                Some(given) => {
                    let id =
                        resolve::identity(&opened.client, opened.account, IdentityKind::Authorities, given).await?;
                    Some(Some(id.to_string()))
                }
                None => None,
            },
            timeout_ms: self.timeout.map(|time| time.as_millis()),
        })
    }
}

impl Request {
    /// With a body and no method, a POST is meant.
    pub fn with_default_method(mut self) -> Self {
        if self.method.is_none() && matches!(self.body, Some(Some(_))) {
            self.method = Some("POST".to_owned());
        }
        self
    }
}

async fn selector(opened: &Opened, given: &str) -> Result<String, CliError> {
    if matches!(given, "auto" | "none") {
        return Ok(given.to_owned());
    }
    let id = resolve::identity(&opened.client, opened.account, IdentityKind::Certificate, given).await?;
    Ok(id.to_string())
}

/// The body of a request; the API takes text only.
pub fn body(path: &Path) -> Result<Sent, CliError> {
    let bytes = files::read_bytes(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        CliError::failure(format_args!("{} is no text in UTF-8, and other bodies cannot be sent", path.display()))
    })?;
    Ok(Sent(SecretString::from(text)))
}

impl Header {
    pub fn read(self, secret: Option<bool>) -> Result<SentHeader, CliError> {
        let value = match self.value {
            HeaderValue::Given(value) => value,
            HeaderValue::FirstLineOf(path) => files::read_first_line(&path, "value")?,
        };
        Ok(SentHeader { name: self.name, value: Sent(value), secret })
    }
}

/// `Name: value` or `Name@FILE`; neither sign can stand in a name (RFC 9110, 5.6.2).
pub fn header(text: &str) -> Result<Header, String> {
    let wrong = "write Name: value, or Name@FILE for a value that stands in a file";
    let sign = text.find([':', '@']).filter(|position| *position > 0).ok_or(wrong)?;
    let (name, rest) = text.split_at_checked(sign).ok_or(wrong)?;
    let value = match rest.strip_prefix('@') {
        Some("") => return Err(wrong.into()),
        Some(path) => HeaderValue::FirstLineOf(PathBuf::from(path)),
        None => HeaderValue::Given(SecretString::from(rest.trim_start_matches(':').trim())),
    };
    Ok(Header { name: name.trim().to_owned(), value })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(text: &str) -> (String, String) {
        let SentHeader { name, value, .. } = header(text).unwrap().read(None).unwrap();
        (name, value.0.expose_secret().to_owned())
    }

    #[test]
    fn headers_are_names_with_values_or_files() {
        assert_eq!(read("Accept: a/b; q=1"), ("Accept".into(), "a/b; q=1".into()));
        assert_eq!(read("From:a@b"), ("From".into(), "a@b".into()));
        assert_eq!(read("X-Empty:"), ("X-Empty".into(), String::new()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "Bearer x\n").unwrap();
        assert_eq!(read(&format!("Authorization@{}", path.display())), ("Authorization".into(), "Bearer x".into()));
        for text in ["", "Accept", ": x", "@x", "Accept@"] {
            assert!(header(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_not_printed() {
        assert!(!format!("{:?}", header("Authorization: Bearer hunter2").unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_body_makes_a_post_unless_something_else_is_asked_for() {
        let request = |method: Option<&str>, body| {
            let request = Request { method: method.map(str::to_owned), body, ..Request::default() };
            request.with_default_method().method
        };
        assert_eq!(request(None, None), None);
        assert_eq!(request(None, Some(Some(Sent("x".into())))).as_deref(), Some("POST"));
        assert_eq!(request(Some("PUT"), Some(Some(Sent("x".into())))).as_deref(), Some("PUT"));
    }
}
