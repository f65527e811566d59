//! What is sent, and what comes back.

use std::time::Duration;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::server::{Server, Tls, http, ok};
use super::*;
use crate::egress::Timings;

#[tokio::test]
async fn an_answer_comes_back_with_its_measurements() {
    let authority = Authority::new("server CA");
    let server =
        Server::start(Tls::of(&authority), |_| http("418 I'm a teapot", "X-A: b\r\nX-A: c\r\n", "short")).await;
    let exchange = egress().send(get(&format!("{}tea?milk=no#pot", server.url()), &authority)).await;

    let response = answer(&exchange);
    assert_eq!((response.status, response.body.as_slice()), (418, b"short".as_slice()));
    let headers: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("content-length", "5"), ("x-a", "b"), ("x-a", "c")]);
    assert!(!response.is_truncated && response.notes.is_empty());
    assert_eq!(exchange.address, Some(server.address));
    assert_eq!(exchange.tls_version, Some("TLSv1.3"));
    assert_eq!(exchange.server_chain.len(), 1);
    assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(false), false));

    let Timings { dns, connect, tls, first_byte, total } = exchange.timings;
    assert_eq!(dns, None);
    let parts = connect.unwrap() + tls.unwrap() + first_byte.unwrap();
    assert!(parts > Duration::ZERO && parts <= total.unwrap(), "{:?}", exchange.timings);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_time_for_it_is_taken() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let (egress, asked) = egress_with_names("127.0.0.1", &[&["127.0.0.1"]]);
    let exchange = egress.send(get(&format!("https://partner.example:{}/", server.address.port()), &authority)).await;
    assert_eq!(answer(&exchange).status, 200);
    assert!(exchange.timings.dns.is_some());
    assert_eq!(*asked.lock().unwrap(), ["partner.example"]);
    assert!(server.requests()[0].contains(&format!("host: partner.example:{}\r\n", server.address.port())));
}

#[tokio::test]
async fn nothing_is_sent_that_was_not_asked_for() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    egress().send(get(&format!("{}a/b?c=%20", server.url()), &authority)).await;
    let expected = format!(
        "GET /a/b?c=%20 HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nuser-agent: countersign/{}\r\naccept: */*\r\n\r\n",
        server.address,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn headers_and_body_arrive_and_defaults_give_way() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let mut request = get(&server.url(), &authority);
    request.method = "PATCH".into();
    request.body = Some(Zeroizing::new(b"{\"a\":1}".to_vec()));
    for (name, value) in [("Authorization", "Bearer abc"), ("User-Agent", "probe"), ("X-A", "1"), ("X-A", "2")] {
        request.headers.push((name.into(), SecretString::from(value)));
    }
    assert_eq!(answer(&egress().send(request).await).status, 200);
    let sent = server.requests().remove(0);
    assert!(sent.starts_with("PATCH / HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n{\"a\":1}"), "{sent}");
    for line in ["authorization: Bearer abc", "user-agent: probe", "x-a: 1", "x-a: 2", "content-length: 7"] {
        assert_eq!(sent.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {sent}");
    }
    assert!(!sent.contains("countersign"), "{sent}");
}

#[tokio::test]
async fn every_method_is_sent_with_the_framing_that_it_needs() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |request| match request.starts_with("HEAD") {
        true => http("200 OK", "", ""),
        false => ok(),
    })
    .await;
    for method in crate::domain::egress::METHODS {
        let mut request = get(&server.url(), &authority);
        request.method = method.into();
        let exchange = egress().send(request).await;
        assert_eq!(answer(&exchange).status, 200, "{method}");
        let sent = server.requests().pop().unwrap();
        assert!(sent.starts_with(&format!("{method} / HTTP/1.1\r\n")), "{sent}");
        let is_length_due = ["POST", "PUT", "PATCH"].contains(&method);
        assert_eq!(sent.contains("content-length: 0\r\n"), is_length_due, "{sent}");
        assert!(!sent.contains("transfer-encoding"), "{sent}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_ends_before_any_connection_and_shows_no_secret() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let port = server.address.port();
    let with = |change: &dyn Fn(&mut OutgoingRequest)| {
        let mut request = get(&server.url(), &authority);
        change(&mut request);
        request
    };
    let header = |name: &'static str, value: &'static str| {
        move |request: &mut OutgoingRequest| request.headers.push((name.into(), SecretString::from(value)))
    };
    let to = |text: String| move |request: &mut OutgoingRequest| request.url = Url::parse(&text).unwrap();
    for (request, words) in [
        (with(&to(format!("http://127.0.0.1:{port}/"))), "must begin with https://"),
        (with(&to("file:///etc/passwd".into())), "must begin with https://"),
        (with(&to(format!("https://hunter2:hunter2@127.0.0.1:{port}/"))), "must not hold a user or password"),
        (with(&header("X-A", "hunter2\r\nX-B: c")), "the header X-A has line breaks"),
        (with(&header("Host", "hunter2")), "the header Host is set by the connection itself"),
        (with(&header("Transfer-Encoding", "chunked")), "is set by the connection itself"),
        (with(&|request| request.method = "CONNECT".into()), "the method must be one of GET"),
        (with(&|request| request.method = "GET / HTTP/1.1\r\nX: y\r\n\r\n".into()), "the method must be one of"),
        (with(&|request| request.trusted_ca = vec![b"hunter2".to_vec()]), "CA certificate number 1 cannot be read"),
        (
            with(&|request| {
                request.headers = (0..65).map(|number| (format!("X-{number}"), SecretString::from("a"))).collect()
            }),
            "65 headers are given; up to 64 are sent",
        ),
    ] {
        let exchange = egress().send(request).await;
        assert_failure(&exchange, Stage::Request, words);
        assert!(!format!("{exchange:?}").contains("hunter2"), "{exchange:?}");
    }
    assert_eq!(server.connections(), 0);
}

/// The server does not read the body, and closes with what it did not read: a reset for the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_given_before_the_request_was_read_is_seen() {
    let authority = Authority::new("server CA");
    let server =
        Server::early(Tls::of(&authority), b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
    let mut request = get(&server.url(), &authority);
    request.method = "POST".into();
    request.body = Some(Zeroizing::new(vec![b'a'; 16 << 20]));
    let exchange = egress().send(request).await;
    assert_eq!(answer(&exchange).status, 413);
}
