//! No answer, however long, slow or strange, takes more than was given to it.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Answer, Server, Tls, http, ok};
use super::*;
use crate::clock::Clock;

const SHORT: Duration = Duration::from_millis(700);

fn trickle(first: &str, again: &str, pause: Duration) -> Answer {
    Answer::Trickle { first: first.into(), again: again.into(), pause }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let authority = Authority::new("server CA");
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"] {
        let server =
            Server::start(Tls::of(&authority), move |_| trickle(head, &"a".repeat(10_000), Duration::ZERO)).await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        let response = answer(&exchange);
        assert!(response.is_truncated);
        assert_eq!(response.body.len(), 1 << 20);
    }
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_whole() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    for (limit, is_truncated) in [(5, false), (4, true), (0, true)] {
        let mut request = get(&server.url(), &authority);
        request.max_body = limit;
        let exchange = egress().send(request).await;
        assert_eq!((answer(&exchange).body.len(), answer(&exchange).is_truncated), (limit, is_truncated));
    }
}

#[tokio::test]
async fn slow_answers_end_at_the_deadline() {
    let authority = Authority::new("server CA");
    let pause = Duration::from_millis(50);
    for (first, again, words) in [
        ("HTTP/1.1 200 OK\r\n", "X-A: b\r\n", "while waiting for the answer"),
        ("HTTP/1.1 200 OK\r\n\r\n", "a", "while reading the body of an answer 200"),
        ("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "of an answer 503"),
        ("", "HTTP/1.1 102 Processing\r\n\r\n", "while waiting for the answer"),
    ] {
        let server = Server::start(Tls::of(&authority), move |_| trickle(first, again, pause)).await;
        let mut request = get(&server.url(), &authority);
        request.timeout = SHORT;
        let exchange = egress().send(request).await;
        assert_failure(&exchange, Stage::Timeout, words);
        assert!(exchange.timings.tls.is_some() && exchange.timings.first_byte.is_some());
        let total = exchange.timings.total.unwrap();
        assert!(total >= SHORT && total < SHORT * 10, "{total:?}");
        assert_eq!(exchange.server_chain.len(), 1);
    }
}

/// Without a pause there is always something to read: the deadline must come through all the same.
#[tokio::test]
async fn an_endless_flood_of_small_things_ends_at_the_deadline() {
    let authority = Authority::new("server CA");
    for (first, again) in [
        ("", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"),
    ] {
        let flood = again.repeat(1000);
        let server = Server::start(Tls::of(&authority), move |_| trickle(first, &flood, Duration::ZERO)).await;
        let mut request = get(&server.url(), &authority);
        request.timeout = SHORT;
        request.max_body = usize::MAX;
        let exchange = egress().send(request).await;
        assert_eq!(failure(&exchange).stage, Stage::Timeout, "{exchange:?}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_in_every_step() {
    let authority = Authority::new("server CA");
    let deaf: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let deaf = Egress::with_lookup(EgressPolicy::default(), deaf);
    let silent =
        Server::tcp(
            |mut socket| async move { while socket.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} },
        )
        .await;
    let mute = Server::start(Tls::of(&authority), |_| trickle("", "", Duration::from_secs(60))).await;
    for (egress, url, words) in [
        (deaf, "https://partner.example/".to_owned(), "while resolving partner.example"),
        (egress(), silent.url(), "while the TLS handshake"),
        (egress(), mute.url(), "while waiting for the answer"),
    ] {
        let mut request = get(&url, &authority);
        request.timeout = SHORT;
        let started = Instant::now();
        let exchange = egress.send(request).await;
        assert_failure(&exchange, Stage::Timeout, "no complete answer within 700ms; the time ran out");
        assert_failure(&exchange, Stage::Timeout, words);
        assert!(started.elapsed() < SHORT * 10);
    }
}

#[tokio::test]
async fn huge_headers_are_refused() {
    let authority = Authority::new("server CA");
    let endless = |_: &str| trickle("HTTP/1.1 200 OK\r\nX-A: ", &"a".repeat(10_000), Duration::ZERO);
    let large = |_: &str| http("200 OK", &format!("X-A: {}\r\n", "a".repeat(70_000)), "");
    let many = |_: &str| http("200 OK", &"X-A: b\r\n".repeat(101), "");
    let fitting = |_: &str| http("200 OK", &format!("X-A: {}\r\n", "a".repeat(60_000)), "");
    let servers = [
        Server::start(Tls::of(&authority), endless).await,
        Server::start(Tls::of(&authority), large).await,
        Server::start(Tls::of(&authority), many).await,
    ];
    for server in servers {
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(&exchange, Stage::Response, "has more than 100 fields or 64 KiB");
    }
    let server = Server::start(Tls::of(&authority), fitting).await;
    assert_eq!(answer(&egress().send(get(&server.url(), &authority)).await).status, 200);
}

#[tokio::test]
async fn what_is_not_http_or_breaks_off_is_said_in_words() {
    let authority = Authority::new("server CA");
    for (bytes, words) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", "not an answer of HTTP/1.1"),
        ("HTTP/1.1 abc OK\r\n\r\n", "not an answer of HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "not an answer of HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nX-A", "broke off before the answer was complete"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "broke off before the answer was complete"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "broke off before the answer was complete"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer cannot be read"),
    ] {
        let server = Server::start(Tls::of(&authority), move |_| Answer::Once(bytes.into())).await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(&exchange, Stage::Response, words);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_said_in_words() {
    let authority = Authority::new("server CA");
    for bytes in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.9\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let server = Server::tcp(move |mut socket| async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(bytes.as_bytes()).await;
        })
        .await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(&exchange, Stage::Tls, "what came back is not TLS");
    }
    let server = Server::tcp(|_socket| async {}).await;
    let exchange = egress().send(get(&server.url(), &authority)).await;
    assert_failure(&exchange, Stage::Tls, "closed the connection in the middle of the TLS handshake");
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    let authority = Authority::new("server CA");
    let (closed, mut told) = tokio::sync::mpsc::channel(1);
    let server = Server::tcp(move |mut socket| {
        let closed = closed.clone();
        async move {
            while socket.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {}
            let _ = closed.send(()).await;
        }
    })
    .await;
    let egress = egress();
    let request = get(&server.url(), &authority);
    let call = tokio::spawn(async move { egress.send(request).await });
    Clock::system().sleep(Duration::from_millis(100)).await;
    call.abort();
    tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap();
}
