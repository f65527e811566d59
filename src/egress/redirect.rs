//! Which redirects are followed: those that stay where the identity and the headers were meant to go.

use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use url::{Position, Url};

use crate::domain::egress::check_url;

use super::call::Call;

/// The next request.
pub(super) struct Next {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) keeps_body: bool,
}

pub(super) enum Verdict {
    Follow(Next),
    /// The answer is the answer; with a note if it is a redirect all the same.
    Stay(Option<String>),
}

pub(super) fn judge(call: &Call, status: StatusCode, headers: &HeaderMap) -> Verdict {
    let Some((method, keeps_body)) = next_method(&call.method, status) else { return Verdict::Stay(None) };
    let Some(location) = headers.get(LOCATION) else {
        return Verdict::Stay(Some("this redirect says not where to: it has no Location".into()));
    };
    // A Location is a URI reference, relative to what was called (RFC 9110, 10.2.2).
    let Some(target) = location.to_str().ok().and_then(|location| call.url.join(location).ok()) else {
        return Verdict::Stay(Some("the redirect was not followed: its Location is not a URL".into()));
    };
    let not_followed = |reason: &str| {
        let note = format!("the redirect to {} was not followed: {reason}", shown(&target));
        Verdict::Stay(Some(note))
    };
    if target.origin() != call.url.origin() {
        return not_followed(
            "it leads to another scheme, host or port, where identity and headers are not meant to go",
        );
    }
    if call.redirects_left == 0 {
        return not_followed("no more redirects are allowed for this request");
    }
    match check_url(target.as_str()) {
        Ok(url) => Verdict::Follow(Next { url, method, keeps_body }),
        Err(reason) => not_followed(&reason),
    }
}

/// The method after a redirect, and whether the body goes along (RFC 9110, 15.4); none for what is no redirect.
fn next_method(method: &Method, status: StatusCode) -> Option<(Method, bool)> {
    match status.as_u16() {
        303 if *method == Method::HEAD => Some((Method::HEAD, false)),
        303 => Some((Method::GET, false)),
        301 | 302 if *method == Method::POST => Some((Method::GET, false)),
        301 | 302 | 307 | 308 => Some((method.clone(), true)),
        _ => None,
    }
}

/// Scheme, host and path, not too long. A query may hold a secret, and user and password do.
fn shown(url: &Url) -> String {
    let whole = if url.has_host() {
        format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
    } else {
        format!("{}:…", url.scheme())
    };
    match whole.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}

const LONGEST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_bodies_after_redirects_follow_rfc_9110() {
        for (method, status, expected) in [
            (Method::GET, 301, Some((Method::GET, true))),
            (Method::POST, 301, Some((Method::GET, false))),
            (Method::POST, 302, Some((Method::GET, false))),
            (Method::PUT, 302, Some((Method::PUT, true))),
            (Method::POST, 303, Some((Method::GET, false))),
            (Method::DELETE, 303, Some((Method::GET, false))),
            (Method::HEAD, 303, Some((Method::HEAD, false))),
            (Method::POST, 307, Some((Method::POST, true))),
            (Method::PATCH, 308, Some((Method::PATCH, true))),
            (Method::GET, 300, None),
            (Method::GET, 304, None),
            (Method::GET, 200, None),
        ] {
            assert_eq!(next_method(&method, StatusCode::from_u16(status).unwrap()), expected, "{method} {status}");
        }
    }

    #[test]
    fn notes_show_no_query_and_no_password() {
        let shown = |text: &str| shown(&Url::parse(text).unwrap());
        assert_eq!(shown("https://user:hunter2@a.example:8443/b?token=c#d"), "https://a.example:8443/b");
        assert_eq!(shown("javascript:alert(1)"), "javascript:…");
        assert!(shown(&format!("https://a.example/{}", "ü".repeat(500))).chars().count() <= LONGEST_SHOWN + 1);
    }
}
