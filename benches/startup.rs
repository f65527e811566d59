//! Starting with very many certificates, half of them revoked: from the start of the process until `/readyz` says so, and
//! what it takes in memory. `cargo bench --bench startup -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use common::Outcome;
use common::api::{self, Zone};
use common::engine::{Engine, Place, Stage};
use common::figures::{Of, chapter, figure, median, megabytes, milliseconds, short};
use common::http::request;
use common::options::Options;
use common::seed::{self, Store};
use common::server::Server;

/// In milliseconds, and in megabytes.
const READY_BAR: f64 = 1000.0;
const MEMORY_BAR: f64 = 300.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let stage = Stage::prepare("Start: from the start of the process until it is ready", &options)?;
    let count = options.certificates;
    for kind in stage.databases() {
        let engine = stage.engine(kind).await?;
        let full = seed::store(&engine, Store { certificates: count, revoked: count, shards: None }).await?;
        let empty = first_start(&engine).await?;
        chapter(format_args!("{kind}: starting again, the middle one of {}", options.rounds))?;
        starts(&empty, "an empty store", options.rounds).await?;
        starts(&full, &format!("{count} certificates and {count} revoked"), options.rounds).await?;
        in_use(&engine, &full).await?;
        if let Some(delayed) = stage.delayed(kind).await? {
            chapter(format_args!("{kind}: {} ms added to each sync", options.sync_delay.as_millis()))?;
            let place = first_start(&delayed).await?;
            starts(&place, "an empty store", options.rounds).await?;
            delayed.stop().await?;
        }
        engine.stop().await?;
    }
    Ok(())
}

/// The very first start, which sets everything up.
async fn first_start(engine: &Engine) -> Outcome<Place> {
    let place = engine.empty_place("empty")?;
    let (server, ready) = Server::start(&place).await?;
    figure("the very first start, which sets everything up", format!("{} ms", short(milliseconds(ready))))?;
    server.stop().await?;
    Ok(place)
}

async fn starts(place: &Place, name: &str, count: usize) -> Outcome<()> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (server, ready) = Server::start(place).await?;
        times.push(milliseconds(ready));
        memory.push(megabytes(server.memory()?));
        server.stop().await?;
    }
    let longest = times.iter().copied().fold(0.0, f64::max);
    let bar = |limit| Of { limit, name: "the bar" };
    bar(READY_BAR).at_most(&format!("{name}: ready"), median(times), "ms")?;
    figure("  the longest", format!("{} ms", short(longest)))?;
    bar(MEMORY_BAR).at_most("  resident then", median(memory), "MB")
}

/// What a server that has just started has to read once: the whole list of revocations, and a page.
async fn in_use(engine: &Engine, place: &Place) -> Outcome<()> {
    let (server, _) = Server::start(place).await?;
    let mut connection = server.connect().await?;
    let zone = Zone::of(&mut connection, seed::ZONE, None).await?;
    let crl = request("GET", &format!("/pki/{}/crl", zone.authority), &[], &[]);
    let asked = std::time::Instant::now();
    let length = connection.exchange(&crl).await?.length;
    figure("  the first fetch of the complete CRL", format!("{} ms", short(milliseconds(asked.elapsed()))))?;
    figure("  its length", format!("{} MB", short(megabytes(length as u64))))?;
    let (certificate, _) = api::issue(&mut connection, &zone.issuance()?).await?;
    let (_, visible) = zone.revoke(&mut connection, &certificate, std::time::Duration::from_millis(2)).await?;
    figure("  from DELETE's answer until `revoked`, the first time", format!("{} ms", short(milliseconds(visible))))?;
    Of { limit: MEMORY_BAR, name: "the bar" }.at_most(
        "  the most of the server then",
        megabytes(server.peak_memory()?),
        "MB",
    )?;
    if let Some(memory) = engine.memory()? {
        figure("  all processes of the database", format!("{} MB", short(megabytes(memory))))?;
    }
    server.stop().await
}
