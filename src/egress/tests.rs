//! Calls to servers on loopback, with certificates made for the purpose.

mod addresses;
mod authority;
mod identities;
mod limits;
mod redirects;
mod requests;
mod server;
mod server_certificates;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

use super::{Egress, Exchange, Failure, Lookup, OutgoingRequest, Response, Stage};
use crate::domain::egress::EgressPolicy;

use authority::Authority;

/// May call the loopback addresses that servers here listen on.
fn egress() -> Egress {
    Egress::new(EgressPolicy::parse("127.0.0.1").unwrap())
}

/// The same, with names: each lookup takes the next answer, the last one again and again.
fn egress_with_names(allowed: &str, answers: &[&[&str]]) -> (Egress, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
    let log = asked.clone();
    let lookup: Lookup = Arc::new(move |name| {
        let mut asked = log.lock().unwrap();
        let answer = answers.get(asked.len()).or(answers.last()).cloned().unwrap_or_default();
        asked.push(name);
        Box::pin(async move { Ok(answer) })
    });
    (Egress::with_lookup(EgressPolicy::parse(allowed).unwrap(), lookup), asked)
}

/// A GET without an identity, that trusts this authority.
fn get(url: &str, authority: &Authority) -> OutgoingRequest {
    OutgoingRequest {
        url: Url::parse(url).unwrap(),
        method: "GET".into(),
        headers: Vec::new(),
        body: None,
        timeout: Duration::from_secs(20),
        max_body: 1 << 20,
        max_redirects: 0,
        identity: None,
        trusted_ca: vec![authority.certificate()],
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}/")
}

#[track_caller]
fn answer(exchange: &Exchange) -> &Response {
    exchange.outcome.as_ref().unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[track_caller]
fn failure(exchange: &Exchange) -> &Failure {
    exchange.outcome.as_ref().unwrap_err()
}

#[track_caller]
fn assert_failure(exchange: &Exchange, stage: Stage, words: &str) {
    let failure = failure(exchange);
    assert_eq!(failure.stage, stage, "{failure:?}");
    assert!(failure.message.contains(words), "{failure:?}");
}
