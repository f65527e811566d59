//! What may stand in a request that goes out. Messages never repeat a value: it may be a password or a token.

use http::HeaderName;
use url::{Host, Url};

/// The methods of requests that go out (RFC 9110, 9.3; PATCH: RFC 5789). CONNECT and TRACE are for proxies and echoes.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Whether this is one of [`METHODS`]; methods are case-sensitive (RFC 9110, 9.1).
pub fn check_method(method: &str) -> Result<(), String> {
    if METHODS.contains(&method) {
        return Ok(());
    }
    Err(format!("the method must be one of {}, in capitals", METHODS.join(", ")))
}

/// Reads the URL of a request: https, a host, no user and password. What comes after `#` never leaves a client and is
/// cut off. The host's address is not judged here, but when the connection is made.
pub fn check_url(text: &str) -> Result<Url, String> {
    if text.len() > MAXIMUM_URL {
        return Err(format!("the URL has {} bytes; up to {MAXIMUM_URL} are allowed", text.len()));
    }
    // A URL parser drops tabs and line breaks, so that what was checked by eye would not be what is called.
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err("the URL has blanks or control characters in it; write them percent-encoded".into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("that is not a URL such as https://host/path: {error}"))?;
    if url.scheme() != "https" {
        return Err(format!("the URL must begin with https://, and this one begins with {}:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold a user or password; send an Authorization header instead".into());
    }
    match url.host() {
        None => return Err("the URL names no host".into()),
        Some(Host::Domain(name)) => check_name(name)?,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {}
    }
    if url.port() == Some(0) {
        return Err("the URL names port 0, on which nothing can be called".into());
    }
    url.set_fragment(None);
    Ok(url)
}

/// Whether this header may be sent. What frames the message or belongs to the connection is set by this program alone
/// (RFC 9110, 7.6.1 and 8.6; RFC 9112, 6).
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    if name.len() > MAXIMUM_HEADER_NAME || HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!(
            "a header's name is 1 to {MAXIMUM_HEADER_NAME} letters, digits and signs such as - and _, without blanks"
        ));
    }
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err(format!("the header {name} is set by the connection itself and cannot be given"));
    }
    if value.len() > MAXIMUM_HEADER_VALUE {
        return Err(format!("the header {name} has {} bytes; up to {MAXIMUM_HEADER_VALUE} are allowed", value.len()));
    }
    // Beyond ASCII no two servers agree on the letters, and CR, LF and NUL end a line or more (RFC 9110, 5.5).
    if value.bytes().any(|byte| !matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(format!(
            "the header {name} has line breaks, control characters or letters beyond ASCII in its value"
        ));
    }
    Ok(())
}

/// A name that the DNS can hold (RFC 1035, 2.3.4), with the underscores that people use.
fn check_name(name: &str) -> Result<(), String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_right = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_known)
    };
    if bare.len() <= 253 && bare.split('.').all(is_right) {
        return Ok(());
    }
    Err("the URL's host is not a DNS name: labels of 1 to 63 letters, digits, - or _, with dots between them".into())
}

const MAXIMUM_URL: usize = 4096;
const MAXIMUM_HEADER_NAME: usize = 100;
const MAXIMUM_HEADER_VALUE: usize = 8192;

const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_without_credentials_is_called() {
        for (text, expected) in [
            ("http://api.example.com/", "must begin with https://, and this one begins with http:"),
            ("file:///etc/passwd", "must begin with https://"),
            ("gopher://api.example.com/", "must begin with https://"),
            ("api.example.com", "not a URL such as https://host/path"),
            ("", "not a URL"),
            ("https://", "not a URL"),
            ("https://user:hunter2@api.example.com/", "must not hold a user or password"),
            ("https://hunter2@api.example.com/", "must not hold a user or password"),
            ("https://api.example.com:0/", "names port 0"),
            ("https://api.example.com:70000/", "not a URL"),
            ("https://api.exa\tmple.com/", "blanks or control characters"),
            ("https://api.example.com/a b", "blanks or control characters"),
            ("https://api.example.com/\u{2028}", "blanks or control characters"),
            ("https://a..example.com/", "not a DNS name"),
            ("https://*.example.com/", "not a DNS name"),
            ("https://a%2fb.example.com/", "not a URL"),
        ] {
            let message = check_url(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let long = format!("https://api.example.com/{}", "a".repeat(MAXIMUM_URL));
        assert!(check_url(&long).unwrap_err().contains("up to 4096"));
    }

    #[test]
    fn right_urls_come_out_in_their_normal_form() {
        for (text, expected) in [
            ("https://API.Example.com", "https://api.example.com/"),
            ("https://api.example.com:443/a?b=c#d", "https://api.example.com/a?b=c"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://a_b.example./", "https://a_b.example./"),
            ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
            ("https://0x7f.1/", "https://127.0.0.1/"),
            ("https://2130706433/", "https://127.0.0.1/"),
            ("https://0177.0.0.1/", "https://127.0.0.1/"),
            ("https://127。0。0。1/", "https://127.0.0.1/"),
        ] {
            assert_eq!(check_url(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn headers_cannot_break_out_of_their_line_or_reframe_the_message() {
        for (name, value) in [
            ("Host", "other.example"),
            ("content-length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("CONNECTION", "upgrade"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "Basic secret"),
            ("Expect", "100-continue"),
            ("X-A", "secret\r\nHost: other.example"),
            ("X-A", "secret\n"),
            ("X-A", "secret\0"),
            ("X-A", "secret ü"),
            ("X A", "secret"),
            ("X-A\r\n", "secret"),
            ("X-A:", "secret"),
            ("", "secret"),
        ] {
            let message = check_header(name, value).expect_err(name);
            assert!(!message.contains("secret"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        assert!(check_header("X-A", &"a".repeat(MAXIMUM_HEADER_VALUE + 1)).is_err());
        assert!(check_header(&"a".repeat(MAXIMUM_HEADER_NAME + 1), "a").is_err());
    }

    #[test]
    fn ordinary_headers_are_sent() {
        for (name, value) in [
            ("Authorization", "Bearer abc.def"),
            ("accept", "application/json, text/*;q=0.5"),
            ("X-Tab", "a\tb"),
            ("X-Empty", ""),
            ("Cookie", "a=b"),
        ] {
            assert_eq!(check_header(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn methods_are_known_ones_in_capitals() {
        assert!(METHODS.iter().all(|method| check_method(method).is_ok()));
        for method in ["get", "CONNECT", "TRACE", "", "GET /", "PROPFIND"] {
            assert!(check_method(method).unwrap_err().contains("GET, HEAD, POST"), "{method}");
        }
    }
}
