//! Revocation with a million certificates revoked already: how long until a revocation shows, what publishing costs, what
//! issuance costs beside it, and what all of it takes in memory. `cargo bench --bench revocation -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use std::time::{Duration, Instant};

use common::api::{self, Zone};
use common::engine::{Engine, Place, Stage};
use common::figures::{Durations, Of, at_most, chapter, figure, median, megabytes, milliseconds, say, short};
use common::http::{Connection, request};
use common::load;
use common::look::Look;
use common::options::Options;
use common::seed::{self, Store, ZONE};
use common::server::{Server, pause};
use common::{Outcome, fault, limits};
use tokio::task::JoinSet;

const PUBLISHED: &str = "countersign_publication_seconds";
const SIGNED: &str = "countersign_crl_signing_seconds";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let stage = Stage::prepare("Revocation: with very many certificates revoked", &options)?;
    let shards = options.shards.map_or_else(|| "no shards".to_owned(), |shards| format!("{shards} shards"));
    say(format_args!("  {} certificates revoked, {shards}", options.certificates))?;
    for kind in stage.databases() {
        let engine = stage.engine(kind).await?;
        measure(&engine, &options, &stage).await?;
        if let Some(engine) = stage.slowed_down(engine).await? {
            chapter(format_args!("{kind}: {} ms added to each sync", options.sync_delay.as_millis()))?;
            let (server, _) = Server::start(&seed::store(&engine, revoked(&options)).await?).await?;
            let zone = Zone::of(&mut server.connect().await?, ZONE, options.shards).await?;
            visibility(&server, &zone, &options).await?;
            server.stop().await?;
            engine.stop().await?;
        }
    }
    Ok(())
}

/// The store with very many revoked certificates.
fn revoked(options: &Options) -> Store {
    Store { revoked: options.certificates, shards: options.shards, ..Store::default() }
}

async fn measure(engine: &Engine, options: &Options, stage: &Stage) -> Outcome<()> {
    figure("the disk syncs a page", format!("{}/s", short(limits::syncs(stage.folder(), options.round / 8)?)))?;
    let place = seed::store(engine, revoked(options)).await?;
    let server = start(engine, &place, options).await?;
    let zone = Zone::of(&mut server.connect().await?, ZONE, options.shards).await?;
    first_fetch(&server, &zone).await?;
    visibility(&server, &zone, options).await?;
    rebuild(engine, &place, &server, &zone, options).await?;
    burst(engine, &place, &server, &zone, options).await?;
    memory_of_fetches(&server, &zone).await?;
    let server = issuance(engine, server, &zone, options).await?;
    chapter("Memory")?;
    at_most("resident at the end", megabytes(server.memory()?), 300.0, "MB")?;
    if let Some(memory) = engine.memory()? {
        figure("all processes of the database", format!("{} MB", short(megabytes(memory))))?;
    }
    server.stop().await
}

/// Starts twice: with a publication that is due, for which everything has to be read, and with nothing to do.
async fn start(engine: &Engine, place: &Place, options: &Options) -> Outcome<Server> {
    chapter(format_args!("{}: start", engine.kind))?;
    let (server, ready) = Server::start(place).await?;
    let zone = Zone::of(&mut server.connect().await?, ZONE, options.shards).await?;
    server.stop().await?;
    figure("ready, the first start after seeding", format!("{} ms", short(milliseconds(ready))))?;

    let mut look = Look::at(engine, place)?;
    wait_for_disk().await?;
    look.call_for_publication(&zone)?;
    let before = look.crl_number(&zone)?;
    let (server, ready) = Server::start(place).await?;
    at_most("ready, with a publication that is due", milliseconds(ready), 1000.0, "ms")?;
    while look.crl_number(&zone)? == before {
        pause(Duration::from_millis(2)).await;
    }
    at_most("from the start until all is read, signed and stored", server.since_start().as_secs_f64(), 3.0, "s")?;
    figure("the most memory meanwhile", format!("{} MB", short(megabytes(server.peak_memory()?))))?;
    server.stop().await?;

    let (server, ready) = Server::start(place).await?;
    at_most("ready, with nothing to do", milliseconds(ready), 1000.0, "ms")?;
    figure("resident then", format!("{} MB", short(megabytes(server.memory()?))))?;
    Ok(server)
}

/// What the store has in its log goes to the disk first: that is no part of a start.
async fn wait_for_disk() -> Outcome<()> {
    std::process::Command::new("sync").status()?;
    Ok(())
}

async fn first_fetch(server: &Server, zone: &Zone) -> Outcome<()> {
    chapter("Fetching the complete CRL")?;
    let mut connection = server.connect().await?;
    let fetch = request("GET", &format!("/pki/{}/crl", zone.authority), &[], &[]);
    for name in ["the first fetch after a start", "the next one"] {
        let asked = Instant::now();
        let crl = connection.exchange(&fetch).await?;
        let took = asked.elapsed();
        if crl.status != 200 {
            return fault(format!("{}{}", crl.head, String::from_utf8_lossy(&crl.body)));
        }
        figure(name, format!("{} ms", short(milliseconds(took))))?;
        if name == "the next one" {
            figure("its length", format!("{} MB", short(megabytes(crl.length as u64))))?;
        }
    }
    figure("resident then", format!("{} MB", short(megabytes(server.memory()?))))?;
    figure("the most so far", format!("{} MB", short(megabytes(server.peak_memory()?))))
}

async fn visibility(server: &Server, zone: &Zone, options: &Options) -> Outcome<()> {
    chapter("From DELETE's answer until `revoked`")?;
    let issuance = zone.issuance()?;
    let before = api::metrics(server).await?;
    let alone = revoke_some(server, zone, options.revocations).await?;
    report("one after the other", alone)?;
    let after = api::metrics(server).await?;
    figure("a publication, on average", mean(&before, &after, PUBLISHED, ""))?;
    for scope in ["complete", "delta", "shard"] {
        if scope == "shard" && options.shards.is_none() {
            continue;
        }
        let label = format!("{{scope=\"{scope}\"}}");
        figure(&format!("of which signing, {scope}"), mean(&before, &after, SIGNED, &label))?;
    }

    let address = server.address;
    let time = options.round * 5;
    let connections = options.connections();
    let beside = tokio::spawn(load::run(address, connections, time, load::any, load::same(issuance)));
    let together = together(server, zone, options, time).await?;
    let load = beside.await??;
    report("eight at a time, with issuance beside", together)?;
    figure("issued meanwhile", format!("{}/s", short(load.rate)))
}

/// How long DELETE took to answer, and from then until the status showed it.
type Revoked = Vec<(Duration, Duration)>;

async fn revoke_some(server: &Server, zone: &Zone, count: usize) -> Outcome<Revoked> {
    let mut connection = server.connect().await?;
    let issuance = zone.issuance()?;
    let mut revoked = Vec::with_capacity(count);
    for _ in 0..count {
        let (certificate, _) = api::issue(&mut connection, &issuance).await?;
        revoked.push(zone.revoke(&mut connection, &certificate, Duration::from_millis(1)).await?);
    }
    Ok(revoked)
}

async fn together(server: &Server, zone: &Zone, options: &Options, time: Duration) -> Outcome<Revoked> {
    let end = Instant::now() + time.mul_f64(0.9);
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (mut connection, zone, issuance) = (server.connect().await?, zone.clone(), zone.issuance()?);
        let most = options.revocations;
        clients.spawn(async move {
            let mut revoked = Revoked::new();
            while Instant::now() < end && revoked.len() < most {
                let (certificate, _) = api::issue(&mut connection, &issuance).await?;
                revoked.push(zone.revoke(&mut connection, &certificate, Duration::from_millis(10)).await?);
            }
            Outcome::Ok(revoked)
        });
    }
    let mut revoked = Vec::new();
    while let Some(ended) = clients.join_next().await {
        revoked.extend(ended??);
    }
    Ok(revoked)
}

fn report(name: &str, revoked: Revoked) -> Outcome<()> {
    let (answers, waits): (Vec<_>, Vec<_>) = revoked.into_iter().unzip();
    let count = answers.len();
    let (answers, waits) = (Durations::of(answers), Durations::of(waits));
    say(format_args!("  {name}: {count} revocations"))?;
    say(format_args!("    DELETE answers:  {}", answers.summary()))?;
    say(format_args!("    until `revoked`: {}", waits.summary()))?;
    at_most("  p99 until `revoked`", waits.percentile(0.99), 1000.0, "ms")
}

/// Very many are revoked at once.
async fn burst(engine: &Engine, place: &Place, server: &Server, zone: &Zone, options: &Options) -> Outcome<()> {
    let count = options.revocations * 10;
    chapter(format_args!("{count} revocations at once"))?;
    let issuance = zone.issuance()?;
    let mut connection = server.connect().await?;
    let mut certificates = Vec::with_capacity(count);
    for _ in 0..count {
        certificates.push(api::issue(&mut connection, &issuance).await?.0);
    }
    let before = api::metrics(server).await?;
    let asked = Instant::now();
    let mut clients = JoinSet::new();
    for some in certificates.chunks(count.div_ceil(options.connections())) {
        let (mut connection, zone, some) = (server.connect().await?, zone.clone(), some.to_vec());
        clients.spawn(async move {
            let mut durations = Vec::with_capacity(some.len());
            for certificate in &some {
                let asked = Instant::now();
                zone.ask_to_revoke(&mut connection, certificate).await?;
                durations.push(asked.elapsed());
            }
            Outcome::Ok(durations)
        });
    }
    let mut durations = Vec::new();
    while let Some(ended) = clients.join_next().await {
        durations.extend(ended??);
    }
    say(format_args!("    DELETE answers:  {}", Durations::of(durations).summary()))?;
    let answered = Instant::now();
    let mut look = Look::at(engine, place)?;
    while look.waiting()? > 0 {
        pause(Duration::from_millis(5)).await;
    }
    at_most("from the last answer until all are `revoked`", milliseconds(answered.elapsed()), 1000.0, "ms")?;
    figure("revoked", format!("{}/s", short(count as f64 / asked.elapsed().as_secs_f64())))?;
    pause(Duration::from_millis(100)).await;
    figure("a publication, on average", mean(&before, &api::metrics(server).await?, PUBLISHED, ""))
}

/// Everything is signed anew, out of memory.
async fn rebuild(engine: &Engine, place: &Place, server: &Server, zone: &Zone, options: &Options) -> Outcome<()> {
    chapter("Signing everything anew, with the list in memory")?;
    let mut look = Look::at(engine, place)?;
    let before = api::metrics(server).await?;
    const TIMES: usize = 5;
    for _ in 0..TIMES {
        let number = look.crl_number(zone)?;
        look.call_for_everything(zone)?;
        while look.crl_number(zone)? == number {
            pause(Duration::from_millis(5)).await;
        }
    }
    // The figures follow the commit.
    pause(Duration::from_millis(100)).await;
    let after = api::metrics(server).await?;
    let whole = mean_of(&before, &after, PUBLISHED, "");
    at_most("publication of everything", whole, 3.0, "s")?;
    at_most("of which signing the complete CRL", mean_of(&before, &after, SIGNED, "{scope=\"complete\"}"), 3.0, "s")?;
    if options.shards.is_some() {
        let shard = mean_of(&before, &after, SIGNED, "{scope=\"shard\"}") * 1000.0;
        at_most("signing one shard", shard, 100.0, "ms")?;
    }
    Ok(())
}

/// The average of what was recorded between two looks at the metrics, in seconds.
fn mean_of(before: &str, after: &str, name: &str, labels: &str) -> f64 {
    let grown = |part: &str| {
        let name = format!("{name}_{part}{labels}");
        api::metric(after, &name) - api::metric(before, &name)
    };
    grown("sum") / grown("count")
}

fn mean(before: &str, after: &str, name: &str, labels: &str) -> String {
    format!("{} ms", short(mean_of(before, after, name, labels) * 1000.0))
}

/// Clients that fetch the CRL while it is published again and again: some that read as fast as they can, and some that asked
/// and do not read.
async fn memory_of_fetches(server: &Server, zone: &Zone) -> Outcome<()> {
    chapter("Memory while clients fetch the complete CRL and it changes")?;
    let fetch = request("GET", &format!("/pki/{}/crl", zone.authority), &[], &[]);
    server.forget_peak()?;
    let mut idle = Vec::new();
    for _ in 0..32 {
        let mut connection = server.connect().await?;
        connection.send(&fetch).await?;
        connection.receive().await?;
        idle.push(connection);
    }
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (address, fetch) = (server.address, fetch.clone());
        clients.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut durations = Vec::new();
            for _ in 0..8 {
                let asked = Instant::now();
                let answer = connection.exchange(&fetch).await?;
                durations.push(asked.elapsed());
                if answer.status != 200 {
                    return fault(answer.head);
                }
            }
            Outcome::Ok(durations)
        });
    }
    let revoked = revoke_some(server, zone, 40).await?;
    let mut durations = Vec::new();
    while let Some(ended) = clients.join_next().await {
        durations.extend(ended??);
    }
    at_most("the most, with 8 clients that read and 32 that do not", megabytes(server.peak_memory()?), 300.0, "MB")?;
    drop(idle);
    say(format_args!("    a fetch beside seven others: {}", Durations::of(durations).summary()))?;
    let (_, waits): (Vec<_>, Vec<_>) = revoked.into_iter().unzip();
    say(format_args!("    until `revoked`, meanwhile:  {}", Durations::of(waits).summary()))?;
    at_most("resident after it", megabytes(server.memory()?), 300.0, "MB")
}

/// The rate of issuance beside that of a server with as many certificates of which none is revoked, and of one that has
/// none; in turns, since a machine is not equally fast at all times.
async fn issuance(engine: &Engine, revoked: Server, zone: &Zone, options: &Options) -> Outcome<Server> {
    chapter("Issuance, in turns with stores in which nothing is revoked")?;
    let active = Store { certificates: options.certificates, shards: options.shards, ..Store::default() };
    let mut others = Vec::new();
    for place in [seed::store(engine, active).await?, engine.place("empty")?] {
        let (server, _) = Server::start(&place).await?;
        let zone = Zone::of(&mut server.connect().await?, ZONE, options.shards).await?;
        others.push((server, zone, Vec::new()));
    }
    let mut rates = Vec::new();
    for _ in 0..options.rounds {
        rates.push(issue_for_a_round(&revoked, zone, options).await?);
        for (server, zone, rates) in &mut others {
            rates.push(issue_for_a_round(server, zone, options).await?);
        }
    }
    let rate = median(rates);
    for (name, (server, _, rates)) in ["against as many, none revoked", "against an empty store"].iter().zip(others) {
        server.stop().await?;
        let other = median(rates);
        Of { limit: other, name: &format!("{}/s", short(other)) }.at_least(name, rate, "/s", 0.9)?;
    }
    engine.remove(&engine.place("empty")?)?;
    Ok(revoked)
}

async fn issue_for_a_round(server: &Server, zone: &Zone, options: &Options) -> Outcome<f64> {
    let requests = load::same(zone.issuance()?);
    Ok(load::run(server.address, options.connections(), options.round, load::any, requests).await?.rate)
}
