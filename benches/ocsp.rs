//! OCSP: answers that are remembered against `/healthz`, and answers that are signed for one request against what a core
//! can sign. All are measured in turns, in one run. `cargo bench --bench ocsp -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use common::api::{self, Zone};
use common::figures::{Durations, at_least, chapter, figure, median, say, short};
use common::http::request;
use common::load::{self, Load};
use common::ocsp::{self, Fresh, Issuer};
use common::options::Options;
use common::server::Server;
use common::{Outcome, fault};

/// How many certificates are asked about in turn.
const CERTIFICATES: usize = 1000;
/// About as long as what is signed for an answer.
const MESSAGE: [u8; 250] = [7; 250];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let folder = tempfile::tempdir()?;
    let (server, _) = Server::start(folder.path()).await?;
    let asked = Asked::prepare(&server).await?;
    say(format_args!("OCSP: {CERTIFICATES} certificates, half of them revoked, {} connections", options.connections))?;

    let mut rates: Vec<Rates> = Vec::new();
    for _ in 0..options.rounds {
        rates.push(asked.round(&server, &options).await?);
    }
    let of = |select: fn(&Rates) -> f64| median(rates.iter().map(select).collect());
    chapter("Rates, each the middle one of the rounds")?;
    let (health, signing) = (of(|rates| rates.health), of(|rates| rates.signing));
    figure("/healthz", format!("{}/s", short(health)))?;
    figure("signatures of one core, P-256", format!("{}/s", short(signing)))?;
    at_least("remembered, one certificate, GET", of(|rates| rates.one), health * 0.7, "/s")?;
    at_least("remembered, many certificates, GET", of(|rates| rates.many), health * 0.7, "/s")?;
    at_least("remembered, many certificates, POST", of(|rates| rates.posted), health * 0.7, "/s")?;
    at_least("signed for each request, with a nonce", of(|rates| rates.fresh), signing * 0.5, "/s")?;
    figure("resident", format!("{} MB", short(server.memory()? as f64 / 1e6)))?;
    server.stop().await
}

/// What is asked, as it is sent.
struct Asked {
    health: Vec<u8>,
    gets: Arc<Vec<Vec<u8>>>,
    posts: Arc<Vec<Vec<u8>>>,
    fresh: Fresh,
}

struct Rates {
    health: f64,
    signing: f64,
    one: f64,
    many: f64,
    posted: f64,
    fresh: f64,
}

impl Asked {
    async fn prepare(server: &Server) -> Outcome<Self> {
        let mut connection = server.connect().await?;
        let zone = Zone::of(&mut connection, "benchmark", None).await?;
        let certificate = request("GET", &format!("/pki/{}/ca.cer", zone.authority), &[], &[]);
        let issuer = Issuer::of(&connection.exchange(&certificate).await?.body)?;
        let issuance = zone.issuance()?;
        let (mut gets, mut posts, mut fresh) = (Vec::new(), Vec::new(), None);
        for number in 0..CERTIFICATES {
            let (id, pem) = api::issue(&mut connection, &issuance).await?;
            let serial = ocsp::serial(&pem)?;
            if number % 2 == 1 {
                zone.revoke(&mut connection, &id, Duration::from_millis(1)).await?;
            }
            let der = issuer.request(&serial, None)?;
            gets.push(ocsp::get(&zone.authority, &der));
            posts.push(ocsp::post(&zone.authority, &der));
            fresh = Some(Fresh::of(&zone.authority, &issuer, &serial)?);
        }
        let answer = connection.exchange(posts.first().ok_or("nothing was issued")?).await?;
        if !ocsp::is_successful(&answer.body) {
            return fault(format!("{}{:02x?}", answer.head, answer.body));
        }
        let fresh = fresh.ok_or("nothing was issued")?;
        Ok(Self { health: request("GET", "/healthz", &[], &[]), gets: gets.into(), posts: posts.into(), fresh })
    }

    /// Everything once, in turn: a machine is not equally fast at all times.
    async fn round(&self, server: &Server, options: &Options) -> Outcome<Rates> {
        let signing = signatures(options.round / 4)?;
        let health = self.health.clone();
        let health = load::run(server.address, options.connections, options.round, load::any, move |buffer| {
            buffer.clone_from(&health);
        });
        let health = told("/healthz", health.await?)?;
        let one = Arc::new(self.gets.iter().take(1).cloned().collect());
        let one = told("remembered, one, GET", in_turn(server, options, one).await?)?;
        let many = told("remembered, many, GET", in_turn(server, options, Arc::clone(&self.gets)).await?)?;
        let posted = told("remembered, many, POST", in_turn(server, options, Arc::clone(&self.posts)).await?)?;
        let mut fresh = self.fresh.clone();
        let fresh = load::run(server.address, options.connections, options.round, ocsp::is_successful, move |buffer| {
            fresh.next(buffer);
        });
        let fresh = told("with a nonce", fresh.await?)?;
        Ok(Rates { health, signing, one, many, posted, fresh })
    }
}

/// One request after the other, on every connection from the beginning.
async fn in_turn(server: &Server, options: &Options, requests: Arc<Vec<Vec<u8>>>) -> Outcome<Load> {
    let mut next = 0;
    load::run(server.address, options.connections, options.round, ocsp::is_successful, move |buffer| {
        if let Some(request) = requests.get(next % requests.len()) {
            buffer.clone_from(request);
        }
        next += 1;
    })
    .await
}

fn told(name: &str, load: Load) -> Outcome<f64> {
    let Load { rate, durations } = load;
    say(format_args!("  {name:<24} {:>8}/s   {}", short(rate), Durations::summary(&durations)))?;
    Ok(rate)
}

/// How many signatures a core makes in a second.
fn signatures(time: Duration) -> Outcome<f64> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < time {
        for _ in 0..100 {
            key.sign(&random, &MESSAGE)?;
        }
        count += 100;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}
