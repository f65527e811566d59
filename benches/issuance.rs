//! Issuance over HTTP: durable certificates for different P-256 CSRs, against what one core can verify and sign, on an empty
//! store and a large one, with syncs as they are and delayed, beside `cfssl serve`. All are measured in turns, in one run, each
//! between two measurements of that limit.
//! `cargo bench --bench issuance -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Outcome;
use common::api::{self, Zone};
use common::cfssl::Cfssl;
use common::engine::{Engine, Kind, Stage};
use common::figures::{Of, Round, Rounds, Usage, chapter, figure, median, megabytes, say, short};
use common::http::request;
use common::load::{self, Pool};
use common::options::Options;
use common::seed::{self, Store};
use common::server::Server;
use common::{limits, wrk};
use serde_json::json;

/// How many different CSRs are sent in turn.
const CSRS: usize = 4096;
const CONNECTIONS: [usize; 2] = [16, 64];
/// What the rates should be at least: a part of what one core verifies and signs in the same run.
const SQLITE_BAR: f64 = 0.6;
const POSTGRES_BAR: f64 = 0.5;
/// And at most, in milliseconds.
const P99_BAR: f64 = 20.0;
/// Of the rate without a delay in each sync.
const DELAYED_BAR: f64 = 0.8;
/// Of the rate of an empty store.
const FULL_BAR: f64 = 0.85;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let stage = Stage::prepare("Issuance: durable P-256 certificates over HTTP", &options)?;
    let csrs = api::csrs(CSRS)?;
    say(format_args!("  {CSRS} different CSRs in turn, {} rounds of {:?}", options.rounds, options.round))?;
    let cfssl = Cfssl::start(&stage.folder().join("cfssl")).await?;
    if cfssl.is_none() {
        say("  LEFT OUT: cfssl; it is not installed (package golang-cfssl)")?;
    }
    for kind in stage.databases() {
        let engine = stage.engine(kind).await?;
        let full = seed::store(&engine, Store { certificates: options.certificates, ..Store::default() }).await?;
        let (full, _) = Server::start(&full).await?;
        let delayed = stage.delayed(kind).await?;
        let run = Run { options: &options, csrs: &csrs, engine: &engine, full, delayed, cfssl: cfssl.as_ref() };
        run.measure(&stage).await?;
        engine.stop().await?;
    }
    match cfssl {
        Some(cfssl) => cfssl.stop().await,
        None => Ok(()),
    }
}

/// What is measured just before and after each round: how often one core does in a second what no certificate can do without.
type Limit = fn(Duration) -> Outcome<f64>;
const PAIRS: &str = "one core's pairs";

/// What is measured on one database.
struct Run<'a> {
    options: &'a Options,
    csrs: &'a [String],
    engine: &'a Engine,
    full: Server,
    delayed: Option<Engine>,
    cfssl: Option<&'a Cfssl>,
}

/// What the rounds brought, for one number of connections.
struct AtOnce {
    connections: usize,
    empty: Rounds,
    delayed: Rounds,
    full: Rounds,
    cfssl: Rounds,
    wrk: Rounds,
}

/// What else is measured in each round.
#[derive(Default)]
struct Limits {
    health: Vec<f64>,
    syncs: Vec<f64>,
    rsa: Rounds,
    memory: u64,
}

impl Run<'_> {
    async fn measure(self, stage: &Stage) -> Outcome<()> {
        let full = Zone::of(&mut self.full.connect().await?, seed::ZONE, None).await?;
        let chosen = self.options.connections.map_or(CONNECTIONS.to_vec(), |connections| vec![connections]);
        let mut all: Vec<AtOnce> = chosen.into_iter().map(AtOnce::of).collect();
        let mut limits = Limits::default();
        for _ in 0..self.options.rounds {
            limits.syncs.push(limits::syncs(stage.folder(), self.options.round / 8)?);
            self.on_an_empty_store(self.engine, &mut all, |at_once| &mut at_once.empty, Some(&mut limits)).await?;
            if let Some(delayed) = &self.delayed {
                self.on_an_empty_store(delayed, &mut all, |at_once| &mut at_once.delayed, None).await?;
            }
            for at_once in &mut all {
                let round = self.issue(&self.full, &full, self.engine, at_once.connections, limits::pairs).await?;
                at_once.full.push(round);
                if let Some(cfssl) = self.cfssl {
                    at_once.cfssl.push(self.issue_by_cfssl(cfssl, at_once.connections).await?);
                }
            }
        }
        self.report(all, limits).await
    }

    /// A round on a store of its own, which is empty at first.
    async fn on_an_empty_store(
        &self,
        engine: &Engine,
        all: &mut [AtOnce],
        rounds: fn(&mut AtOnce) -> &mut Rounds,
        limits: Option<&mut Limits>,
    ) -> Outcome<()> {
        let place = engine.empty_place("empty")?;
        let (server, _) = Server::start(&place).await?;
        let zone = Zone::default_of(&mut server.connect().await?).await?;
        for at_once in &mut *all {
            let round = self.issue(&server, &zone, engine, at_once.connections, limits::pairs).await?;
            rounds(at_once).push(round);
        }
        if let Some(limits) = limits {
            let health = load::same(request("GET", "/healthz", &[], &[]));
            let connections = self.options.connections();
            limits
                .health
                .push(load::run(server.address, connections, self.options.round / 4, load::any, health).await?.rate);
            limits.memory = limits.memory.max(server.peak_memory()?);
            if self.options.wrk {
                let requests = self.requests(&zone);
                for at_once in &mut *all {
                    let before = self.limit(limits::pairs)?;
                    let load =
                        wrk::run(&place.folder, server.address, at_once.connections, self.options.round, &requests)?;
                    let limit = (before + self.limit(limits::pairs)?) / 2.0;
                    at_once.wrk.push(Round { load, usage: Usage::default(), limit });
                }
            }
            let rsa = Zone::with(&mut server.connect().await?, "rsa", json!({ "key_type": "rsa2048" })).await?;
            limits.rsa.push(self.issue(&server, &rsa, engine, connections, limits::rsa_pairs).await?);
        }
        server.stop().await?;
        engine.remove(&place)
    }

    async fn issue(
        &self,
        server: &Server,
        zone: &Zone,
        engine: &Engine,
        connections: usize,
        limit: Limit,
    ) -> Outcome<Round> {
        let pool = Pool::of(self.requests(zone));
        let limit_before = self.limit(limit)?;
        let before = (server.processor_time()?, engine.processor_time()?);
        let load = load::run(server.address, connections, self.options.round, load::any, pool).await?;
        let seconds = load.whole.as_secs_f64();
        let usage = Usage {
            server: (server.processor_time()? - before.0) / seconds,
            database: (engine.processor_time()? - before.1) / seconds,
        };
        Ok(Round { load, usage, limit: (limit_before + self.limit(limit)?) / 2.0 })
    }

    async fn issue_by_cfssl(&self, cfssl: &Cfssl, connections: usize) -> Outcome<Round> {
        let pool = Pool::of(Arc::new(self.csrs.iter().map(|csr| Cfssl::issuance_of(csr)).collect()));
        let limit_before = self.limit(limits::pairs)?;
        let before = cfssl.processor_time()?;
        let load = load::run(cfssl.address, connections, self.options.round, Cfssl::is_issued, pool).await?;
        let server = (cfssl.processor_time()? - before) / load.whole.as_secs_f64();
        let limit = (limit_before + self.limit(limits::pairs)?) / 2.0;
        Ok(Round { load, usage: Usage { server, database: 0.0 }, limit })
    }

    /// What one core can do now, just before or after a round.
    fn limit(&self, limit: Limit) -> Outcome<f64> {
        limit(self.options.round / 8)
    }

    fn requests(&self, zone: &Zone) -> Arc<Vec<Vec<u8>>> {
        Arc::new(self.csrs.iter().map(|csr| zone.issuance_of(csr)).collect())
    }

    async fn report(self, all: Vec<AtOnce>, limits: Limits) -> Outcome<()> {
        let bar = if self.engine.kind == Kind::Sqlite { SQLITE_BAR } else { POSTGRES_BAR };
        let stored = self.options.certificates;
        chapter(format_args!("{}: the limits, each the middle one of the rounds", self.engine.kind))?;
        if let Some(first) = all.first() {
            figure("one core verifies and signs, P-256", format!("{}/s", short(first.empty.limit())))?;
        }
        figure("one core verifies P-256 and signs RSA-2048", format!("{}/s", short(limits.rsa.limit())))?;
        figure("the disk syncs a page", format!("{}/s", short(median(limits.syncs))))?;
        let health = median(limits.health);
        figure("/healthz", format!("{}/s", short(health)))?;
        for AtOnce { connections, empty, delayed, full, cfssl, wrk } in all {
            chapter(format_args!("{}: {connections} connections", self.engine.kind))?;
            empty.at_least("an empty store", PAIRS, bar)?;
            Of { limit: health, name: "/healthz" }.part("the same", empty.rate(), "/s")?;
            empty.latency(Some(P99_BAR))?;
            if self.delayed.is_some() {
                let name = format!("{} ms added to each sync", self.options.sync_delay.as_millis());
                delayed.beside(&name, &empty, Some(DELAYED_BAR))?;
                delayed.latency(None)?;
            }
            full.beside(&format!("{stored} certificates stored"), &empty, Some(FULL_BAR))?;
            full.latency(None)?;
            if self.cfssl.is_some() {
                cfssl.part_of("cfssl, without a database", PAIRS)?;
                cfssl.latency(None)?;
                cfssl.beside("the same", &empty, None)?;
            }
            if self.options.wrk {
                wrk.part_of("an empty store, by wrk", PAIRS)?;
                wrk.latency(None)?;
            }
        }
        chapter(format_args!(
            "{}: an RSA-2048 authority, {} connections",
            self.engine.kind,
            self.options.connections()
        ))?;
        limits.rsa.part_of("an empty store", PAIRS)?;
        limits.rsa.latency(None)?;

        chapter(format_args!("{}: memory", self.engine.kind))?;
        figure("the most of the server, empty store", format!("{} MB", short(megabytes(limits.memory))))?;
        let most = megabytes(self.full.peak_memory()?);
        Of { limit: 300.0, name: "the bar" }.at_most(&format!("the most, {stored} certificates stored"), most, "MB")?;
        if let Some(memory) = self.engine.memory()? {
            figure("all processes of the database", format!("{} MB", short(megabytes(memory))))?;
        }
        if let Some(cfssl) = self.cfssl {
            figure("cfssl", format!("{} MB", short(megabytes(cfssl.memory()?))))?;
        }
        self.full.stop().await?;
        match self.delayed {
            Some(delayed) => delayed.stop().await,
            None => Ok(()),
        }
    }
}

impl AtOnce {
    fn of(connections: usize) -> Self {
        let [empty, delayed, full, cfssl, wrk] = Default::default();
        Self { connections, empty, delayed, full, cfssl, wrk }
    }
}
