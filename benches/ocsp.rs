//! OCSP: answers that are remembered against `/healthz`, and answers that are signed for one request against what a core
//! can sign. All are measured in turns, in one run. `cargo bench --bench ocsp -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::api::{self, Zone};
use common::engine::{Engine, Stage};
use common::figures::{Of, chapter, figure, median, megabytes, say, short};
use common::http::request;
use common::load::{self, Load, Pool};
use common::ocsp::{self, Fresh, Issuer};
use common::options::Options;
use common::server::Server;
use common::{Outcome, fault, limits};

/// How many certificates are asked about in turn.
const CERTIFICATES: usize = 1000;
/// Parts of what `/healthz` and one core's signatures reach.
const REMEMBERED_BAR: f64 = 0.7;
const SIGNED_BAR: f64 = 0.5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let stage = Stage::prepare("OCSP: remembered answers and answers signed for one request", &options)?;
    let connections = options.connections();
    say(format_args!("  {CERTIFICATES} certificates, half of them revoked, {connections} connections"))?;
    for kind in stage.databases() {
        let engine = stage.engine(kind).await?;
        measure(&engine, &options, "").await?;
        engine.stop().await?;
        if let Some(delayed) = stage.delayed(kind).await? {
            measure(&delayed, &options, &format!(", {} ms added to each sync", options.sync_delay.as_millis())).await?;
            delayed.stop().await?;
        }
    }
    Ok(())
}

async fn measure(engine: &Engine, options: &Options, how: &str) -> Outcome<()> {
    let (server, _) = Server::start(&engine.empty_place("ocsp")?).await?;
    let asked = Asked::prepare(&server).await?;
    chapter(format_args!("{}{how}: the rounds", engine.kind))?;
    let mut rates: Vec<Rates> = Vec::new();
    for _ in 0..options.rounds {
        rates.push(asked.round(&server, options).await?);
    }
    let of = |select: fn(&Rates) -> f64| median(rates.iter().map(select).collect());
    chapter(format_args!("{}{how}: rates, each the middle one of the rounds", engine.kind))?;
    let health = Of { limit: of(|rates| rates.health), name: "/healthz" };
    let signing = Of { limit: of(|rates| rates.signing), name: "one core's signatures" };
    figure("/healthz", format!("{}/s", short(health.limit)))?;
    figure("signatures of one core, P-256", format!("{}/s", short(signing.limit)))?;
    health.at_least("remembered, one certificate, GET", of(|rates| rates.one), "/s", REMEMBERED_BAR)?;
    health.at_least("remembered, many certificates, GET", of(|rates| rates.many), "/s", REMEMBERED_BAR)?;
    health.at_least("remembered, many certificates, POST", of(|rates| rates.posted), "/s", REMEMBERED_BAR)?;
    signing.at_least("signed for each request, with a nonce", of(|rates| rates.fresh), "/s", SIGNED_BAR)?;
    figure("resident", format!("{} MB", short(megabytes(server.memory()?))))?;
    if let Some(memory) = engine.memory()? {
        figure("all processes of the database", format!("{} MB", short(megabytes(memory))))?;
    }
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
        let signing = limits::signatures(options.round / 4)?;
        let (connections, time) = (options.connections(), options.round);
        let run = |pool| load::run(server.address, connections, time, load::any, pool);
        let health = told("/healthz", run(load::same(self.health.clone())).await?)?;
        let one = told("remembered, one, GET", run(load::same(self.gets.first().cloned().unwrap_or_default())).await?)?;
        let many = told("remembered, many, GET", run(Pool::of(Arc::clone(&self.gets))).await?)?;
        let posted = told("remembered, many, POST", run(Pool::of(Arc::clone(&self.posts))).await?)?;
        let fresh = self.fresh.clone();
        let fresh = load::run(server.address, connections, time, ocsp::is_successful, fresh).await?;
        let fresh = told("with a nonce", fresh)?;
        Ok(Rates { health, signing, one, many, posted, fresh })
    }
}

fn told(name: &str, load: Load) -> Outcome<f64> {
    let own = short(load.own);
    say(format_args!("  {name:<24} {:>8}/s   {}, generator {own} cores", short(load.rate), load.durations.summary()))?;
    Ok(load.rate)
}
