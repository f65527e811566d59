//! A build with the feature `otlp`: the real binary, and a receiver of OTLP/HTTP that reads just enough of Protocol
//! Buffers to see which spans came, of which trace, below which others.

// Not named in the manifest, which would then need this file wherever the program is built.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

const TOKEN: &str = "test-token-test-token-test-token-test-token";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const STAGES: [&str; 7] = ["wait", "parse", "decide", "build", "lint", "sign", "commit"];

#[tokio::test]
async fn an_issuance_is_one_trace_with_its_stages_and_without_secrets() {
    let (collector, bodies) = receiver();
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .arg("serve")
        .current_dir(folder.path())
        .env("COUNTERSIGN_LISTEN", format!("127.0.0.1:{port}"))
        .env("COUNTERSIGN_BOOTSTRAP_TOKEN", TOKEN)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_SERVICE_NAME", "my-ca")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Stopped(process);
    let (url, client) = (format!("http://127.0.0.1:{port}"), reqwest::Client::builder().no_proxy().build().unwrap());
    while !client.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(process.0.try_wait().unwrap().is_none(), "the server ended");
        countersign::clock::Clock::system().sleep(Duration::from_millis(50)).await;
    }
    let zones: serde_json::Value =
        client.get(format!("{url}/client/v4/zones")).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
    let zone = zones["result"][0]["id"].as_str().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let csr = countersign::x509::pem::encode("CERTIFICATE REQUEST", csr.der());
    let answer = client
        .post(format!("{url}/client/v4/zones/{zone}/client_certificates?secret=hunter2"))
        .bearer_auth(TOKEN)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({"csr": csr, "validity_days": 30}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    // What is left is sent when the process stops.
    assert!(Command::new("kill").arg(process.0.id().to_string()).status().unwrap().success());
    assert!(process.0.wait().unwrap().success());
    let bodies: Vec<Vec<u8>> = bodies.try_iter().collect();
    let spans: Vec<Span> = bodies.iter().flat_map(|body| spans(body)).collect();
    let ours: Vec<&Span> = spans.iter().filter(|span| span.trace == TRACE).collect();
    let request = ours.iter().find(|span| span.name == "request").expect("the request");
    assert_eq!(request.parent, CALLER);
    for stage in STAGES {
        let span = ours.iter().find(|span| span.name == stage).unwrap_or_else(|| panic!("{stage} in {ours:?}"));
        assert_eq!(span.parent, request.id, "{stage}");
    }
    let all = bodies.concat();
    let has = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("my-ca") && has("/client_certificates"));
    assert!(!has(TOKEN) && !has("hunter2") && !has("CERTIFICATE"));
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers every POST with 200 and hands over its body.
fn receiver() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                while let Some(body) = request(stream.as_ref().unwrap()) {
                    let _ = sender.send(body);
                }
            });
        }
    });
    (url, bodies)
}

fn request(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).ok()?;
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    Some(body)
}

#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
}

/// ExportTraceServiceRequest → ResourceSpans (1) → ScopeSpans (2) → Span (2).
fn spans(body: &[u8]) -> Vec<Span> {
    let inner = |message: &[u8], number| -> Vec<Vec<u8>> {
        fields(message).into_iter().filter(|(known, _)| *known == number).map(|(_, value)| value).collect()
    };
    let of_resources = inner(body, 1);
    let of_scopes = of_resources.iter().flat_map(|resource| inner(resource, 2));
    let spans = of_scopes.flat_map(|scope| inner(&scope, 2));
    let read = |span: Vec<u8>| {
        let field = |number| inner(&span, number).pop().unwrap_or_default();
        let name = String::from_utf8(field(5)).unwrap();
        Span { trace: hex::encode(field(1)), id: hex::encode(field(2)), parent: hex::encode(field(4)), name }
    };
    spans.map(read).collect()
}

/// The fields of a message that have a length, with their numbers.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message);
        match key & 7 {
            0 => drop(number(&mut message)),
            1 => message = &message[8..],
            2 => {
                let length = usize::try_from(number(&mut message)).unwrap();
                found.push((key >> 3, message[..length].to_vec()));
                message = &message[length..];
            }
            5 => message = &message[4..],
            other => panic!("wire type {other}"),
        }
    }
    found
}

fn number(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0.. {
        let octet = message[0];
        *message = &message[1..];
        value |= u64::from(octet & 0x7f) << (7 * place);
        if octet < 0x80 {
            break;
        }
    }
    value
}
