use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;

const EMPTY_LIST: &str = r#"{"success":true,"errors":[],"messages":[],"result":[]}"#;

/// Answers one connection after the other with these raw answers (status line and extra headers, body), the last one
/// for ever; an empty one means: close without a word.
fn serve(answers: &'static [(&'static str, &'static str)]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let index = counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let (head, body) = answers[index.min(answers.len() - 1)];
            if !head.is_empty() {
                let length = body.len();
                let _ =
                    write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            }
        }
    });
    (url, count)
}

fn client(url: &str) -> Client {
    Client::new(url, None, "no token".into(), None, Clock::system()).unwrap()
}

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_time_it_names() {
    let (url, count) =
        serve(&[("503 Busy\r\nretry-after: 0", ""), ("429 Slow\r\nretry-after: 1", ""), ("200 OK", EMPTY_LIST)]);
    let start = Instant::now();
    let answer = client(&url).call(Call::post("/x", Value::Null)).await.unwrap();
    assert!(answer.items().is_empty());
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_repeated_only_where_that_is_harmless() {
    let (url, count) = serve(&[("", ""), ("200 OK", EMPTY_LIST)]);
    let error = client(&url).call(Call::post("/x", Value::Null)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Interrupted { .. }) && !error.is_definite(), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);

    let (url, _) = serve(&[("", ""), ("200 OK", EMPTY_LIST)]);
    assert!(client(&url).call(Call::post("/x", Value::Null).idempotency_key("k")).await.is_ok());
    let (url, _) = serve(&[("", ""), ("200 OK", EMPTY_LIST)]);
    assert!(client(&url).call(Call::delete("/x")).await.is_ok());
}

#[tokio::test]
async fn where_nothing_listens_the_message_says_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = client(&format!("http://127.0.0.1:{port}")).call(Call::get("/x")).await.unwrap_err();
    let expected = format!("no Countersign answers at http://127.0.0.1:{port}; start one with `countersign serve`");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_with_the_missing_token() {
    let (url, count) = serve(&[(
        "400 Bad Request",
        r#"{"success":false,"errors":[{"code":9106,"message":"Missing"},{"code":1400,"message":"b","source":{"pointer":"/csr"}}],"messages":[],"result":null}"#,
    )]);
    let error = client(&url).call(Call::get("/x")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refuses (400):\n  Missing (code 9106)\n  /csr: b (code 1400)\nno token");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_countersign_is_told_apart() {
    let (url, _) = serve(&[("200 OK", "<html>hello</html>")]);
    let error = client(&url).call(Call::get("/x")).await.unwrap_err();
    assert!(error.to_string().contains("is no Countersign (HTTP 200)"), "{error}");
    let (url, _) = serve(&[("302 Found\r\nlocation: https://elsewhere.example/", "")]);
    let error = client(&url).call(Call::get("/x")).await.unwrap_err();
    assert!(error.to_string().contains("redirects to https://elsewhere.example/"), "{error}");
}

#[test]
fn loopback_is_told_from_the_network() {
    for (url, expected) in [
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://10.0.0.1", false),
        ("https://127.0.0.1.example.com", false),
    ] {
        assert_eq!(is_loopback(url), expected, "{url}");
    }
}
