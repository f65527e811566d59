//! Redirects stay where the identity and the headers were meant to go.

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::server::{Answer, Server, Tls, http, ok};
use super::*;

fn to(status: &str, location: &str) -> Answer {
    http(status, &format!("Location: {location}\r\n"), "")
}

/// Answers at `/` with the redirect, elsewhere with 200.
async fn start(authority: &Authority, status: &'static str, location: String) -> Server {
    let answers = move |request: &str| match request.split(' ').nth(1) {
        Some("/") => to(status, &location),
        _ => ok(),
    };
    Server::start(Tls::of(authority), answers).await
}

fn with_secrets(server: &Server, authority: &Authority) -> OutgoingRequest {
    let mut request = get(&server.url(), authority);
    request.max_redirects = 3;
    request.headers.push(("Authorization".into(), SecretString::from("Bearer hunter2")));
    request
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let authority = Authority::new("server CA");
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let server = start(&authority, status, "/next?a=b#c".into()).await;
        let exchange = egress().send(with_secrets(&server, &authority)).await;
        assert_eq!(answer(&exchange).status, 200);
        assert!(answer(&exchange).notes.is_empty());
        assert_eq!(exchange.redirects, [format!("{}next?a=b", server.url())]);
        let requests = server.requests();
        assert!(requests[1].starts_with("GET /next?a=b HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[1].contains("authorization: Bearer hunter2\r\n") && !requests[1].contains("referer"));
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn the_body_goes_along_only_where_the_status_says_so() {
    let authority = Authority::new("server CA");
    for (status, is_kept) in [("303 See Other", false), ("302 Found", false), ("307 T", true), ("308 P", true)] {
        let server = start(&authority, status, "next".into()).await;
        let mut request = with_secrets(&server, &authority);
        request.method = "POST".into();
        request.headers.push(("Content-Type".into(), SecretString::from("text/plain")));
        request.body = Some(Zeroizing::new(b"payload".to_vec()));
        assert_eq!(answer(&egress().send(request).await).status, 200);
        let second = server.requests().pop().unwrap();
        assert_eq!(second.starts_with("POST /next "), is_kept, "{second}");
        assert_eq!(second.ends_with("payload"), is_kept, "{second}");
        assert_eq!(second.contains("content-type"), is_kept, "{second}");
        assert_eq!(second.contains("content-length"), is_kept, "{second}");
    }
}

#[tokio::test]
async fn nothing_goes_to_another_host_port_or_scheme() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    let other = Server::start(Tls::of(&authority).clients_of(&clients).optionally(), |_| ok()).await;
    let port = other.address.port();
    for location in [
        other.url(),
        format!("//127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://169.254.169.254:{port}/"),
        "gopher://127.0.0.1/".into(),
        "javascript:alert(1)".into(),
        "file:///etc/passwd".into(),
    ] {
        let server = start(&authority, "307 Temporary Redirect", location.clone()).await;
        let mut request = with_secrets(&server, &authority);
        request.identity = Some(clients.identity());
        let exchange = egress().send(request).await;
        let response = answer(&exchange);
        assert_eq!(response.status, 307, "{location}");
        assert!(
            response.notes[0].contains("was not followed: it leads to another scheme, host or port"),
            "{response:?}"
        );
        assert!(exchange.redirects.is_empty());
        assert!(!exchange.identity_presented);
    }
    assert_eq!((other.connections(), other.requests().len()), (0, 0));
}

#[tokio::test]
async fn the_same_host_with_credentials_or_nonsense_is_not_followed() {
    let authority = Authority::new("server CA");
    for (location, words) in [
        ("https://%USER%:hunter2@HOST/", "must not hold a user or password"),
        ("https://[::1", "its Location is not a URL"),
    ] {
        let answers = |request: &str| {
            let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            to("302 Found", &location.replace("HOST", host).replace("%USER%", "user"))
        };
        let server = Server::start(Tls::of(&authority), answers).await;
        let exchange = egress().send(with_secrets(&server, &authority)).await;
        let response = answer(&exchange);
        assert!(response.notes[0].contains(words) && !response.notes[0].contains("hunter2"), "{response:?}");
        assert_eq!(server.requests().len(), 1);
    }
    let server = Server::start(Tls::of(&authority), |_| http("302 Found", "", "")).await;
    let exchange = egress().send(with_secrets(&server, &authority)).await;
    assert!(answer(&exchange).notes[0].contains("it has no Location"));
}

#[tokio::test]
async fn a_loop_ends_at_the_limit_with_the_redirect_as_the_answer() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| to("302 Found", "/")).await;
    let exchange = egress().send(with_secrets(&server, &authority)).await;
    assert_eq!(answer(&exchange).status, 302);
    assert!(answer(&exchange).notes[0].ends_with("no more redirects are allowed for this request"));
    assert_eq!((exchange.redirects.len(), server.requests().len()), (3, 4));

    let exchange = egress().send(get(&server.url(), &authority)).await;
    assert_eq!((answer(&exchange).status, exchange.redirects.len()), (302, 0));
}

/// The name leads elsewhere by the time of the redirect.
#[tokio::test]
async fn a_redirect_is_resolved_and_judged_again() {
    let authority = Authority::new("server CA");
    let server = start(&authority, "302 Found", "/next".into()).await;
    let (egress, asked) = egress_with_names("127.0.0.1", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let mut request = with_secrets(&server, &authority);
    request.url = Url::parse(&format!("https://partner.example:{}/", server.address.port())).unwrap();
    let exchange = egress.send(request).await;
    assert_failure(&exchange, Stage::Address, "partner.example is 10.0.0.1: 10.0.0.1 is a private address");
    assert_eq!((asked.lock().unwrap().len(), exchange.redirects.len(), exchange.address), (2, 1, None));
}
