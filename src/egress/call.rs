//! A request made ready: all that can be wrong with it is found before anything is sent.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Position, Url};

use crate::domain::egress::{check_header, check_method, check_url};

use super::outcome::{Failure, Stage};
use super::redirect::Next;
use super::request::OutgoingRequest;
use super::{Egress, identity, tls};

/// The call as it stands after the redirects so far.
pub(super) struct Call {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) max_body: usize,
    pub(super) redirects_left: usize,
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Call {
    pub(super) async fn prepare(egress: &Egress, request: OutgoingRequest) -> Result<Self, Failure> {
        let url = check_url(request.url.as_str()).map_err(unsendable)?;
        check_method(&request.method).map_err(unsendable)?;
        let method = Method::from_bytes(request.method.as_bytes()).map_err(unsendable)?;
        Ok(Self {
            url,
            method,
            max_body: request.max_body,
            redirects_left: request.max_redirects,
            headers: headers(&request.headers)?,
            body: request.body.map(Bytes::from_owner),
            identity: request.identity.map(identity::load).transpose()?,
            verifier: tls::verifier(egress, &request.trusted_ca).await?,
        })
    }

    /// Goes on to where a redirect leads. Without the body, the headers that describe it go too (RFC 9110, 15.4).
    pub(super) fn redirect(&mut self, next: Next) {
        self.redirects_left = self.redirects_left.saturating_sub(1);
        self.url = next.url;
        if !next.keeps_body {
            self.method = next.method;
            self.body = None;
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
                self.headers.remove(name);
            }
        }
    }

    /// The URL's host as a name for messages, without port.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port().unwrap_or(443)
    }

    /// What the server's certificate must be valid for.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, Failure> {
        match self.url.host() {
            Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(address).into())),
            Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(address).into())),
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(unsendable),
            None => Err(unsendable("the URL names no host")),
        }
    }

    pub(super) fn to_http(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let target = &self.url[Position::BeforePath..];
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.uri_mut() = target.parse::<Uri>().map_err(|_| {
            unsendable("the URL's path or query has signs that HTTP does not carry; write them percent-encoded")
        })?;
        *request.method_mut() = self.method.clone();
        let mut headers = HeaderMap::new();
        let authority = &self.url[Position::BeforeHost..Position::AfterPort];
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(unsendable)?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // A length is due where the method says that a body could come (RFC 9110, 8.6).
        if self.body.as_ref().is_none_or(Bytes::is_empty) && expects_body(&self.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers.extend(self.headers.clone());
        *request.headers_mut() = headers;
        Ok(request)
    }
}

pub(super) fn unsendable(reason: impl ToString) -> Failure {
    Failure::new(Stage::Request, reason.to_string())
}

fn headers(given: &[(String, SecretString)]) -> Result<HeaderMap, Failure> {
    if given.len() > MAXIMUM_HEADERS {
        return Err(unsendable(format!("{} headers are given; up to {MAXIMUM_HEADERS} are sent", given.len())));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        check_header(name, value.expose_secret()).map_err(unsendable)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(unsendable)?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(unsendable)?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("countersign/", env!("CARGO_PKG_VERSION"))));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Ok(headers)
}

fn expects_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

const MAXIMUM_HEADERS: usize = 64;
