//! Lists of a zone with very many certificates, half of them revoked: any page, any size of page, by status and by name.
//! `cargo bench --bench listing -- --help` names the options.

#[allow(dead_code, reason = "each benchmark uses its part")]
mod common;

use std::sync::Arc;
use std::time::Instant;

use common::api::Zone;
use common::engine::{Engine, Stage};
use common::figures::{Durations, Of, chapter, figure, megabytes, say, short};
use common::http::request;
use common::load::{self, Pool};
use common::options::Options;
use common::seed::{self, Store};
use common::server::Server;
use common::{Outcome, fault, limits};
use serde_json::Value;

/// The longest a page should take, for 99 of 100, in milliseconds.
const P99_BAR: f64 = 20.0;
const SIZES: [u64; 2] = [50, 1000];
/// How often each is asked for, one after the other.
const TIMES: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let options = Options::read()?;
    let stage = Stage::prepare("Listing: pages of a large zone", &options)?;
    let count = options.certificates;
    for kind in stage.databases() {
        let engine = stage.engine(kind).await?;
        let place = seed::store(&engine, Store { certificates: count, revoked: count, shards: None }).await?;
        let (server, _) = Server::start(&place).await?;
        measure(&server, &engine, &options).await?;
        server.stop().await?;
        engine.stop().await?;
    }
    Ok(())
}

async fn measure(server: &Server, engine: &Engine, options: &Options) -> Outcome<()> {
    let zone = Zone::of(&mut server.connect().await?, seed::ZONE, None).await?;
    let health = load::same(request("GET", "/healthz", &[], &[]));
    let health = load::run(server.address, options.connections(), options.round / 2, load::any, health).await?.rate;
    figure("/healthz", format!("{}/s", short(health)))?;
    figure("the disk syncs a page", format!("{}/s", short(limits::syncs(&std::env::temp_dir(), options.round / 8)?)))?;

    let all = u64::from(options.certificates) * 2;
    for size in SIZES {
        chapter(format_args!("{}: {all} certificates, {size} on a page, one request after the other", engine.kind))?;
        pages(server, &zone, size, all).await?;
    }
    chapter(format_args!("{}: {} connections, any page of 50", engine.kind, options.connections()))?;
    let pages = all / 50;
    // A stride that has no divisor in common with most counts reaches pages everywhere.
    let requests =
        (0..1000).map(|number| zone.list(&format!("per_page=50&page={}", number * 7919 % pages + 1))).collect();
    let pool = Pool::of(Arc::new(requests));
    let load = load::run(server.address, options.connections(), options.round, load::any, pool).await?;
    Of { limit: health, name: "/healthz" }.part("pages", load.rate, "/s")?;
    say(format_args!("    {}", load.durations.summary()))?;

    chapter(format_args!("{}: memory", engine.kind))?;
    Of { limit: 300.0, name: "the bar" }.at_most("the most of the server", megabytes(server.peak_memory()?), "MB")?;
    if let Some(memory) = engine.memory()? {
        figure("all processes of the database", format!("{} MB", short(megabytes(memory))))?;
    }
    Ok(())
}

async fn pages(server: &Server, zone: &Zone, size: u64, all: u64) -> Outcome<()> {
    let (last, half) = (all / size, all / 2 / size);
    // Names have seven digits; a prefix of four stands for a thousand of them.
    let cases = [
        ("first page", "page=1".to_owned(), size),
        ("second page", "page=2".to_owned(), size),
        ("page in the middle", format!("page={}", last / 2), size),
        ("page at three quarters", format!("page={}", last * 3 / 4), size),
        ("last page", format!("page={last}"), size),
        // Far after it: other benchmarks leave a few more in a store that is kept.
        ("after the last page", format!("page={}", last + 100), 0),
        ("status revoked, first page", "status=revoked&page=1".to_owned(), size),
        ("status revoked, middle", format!("status=revoked&page={}", half / 2), size),
        ("status active, last page", format!("status=active&page={half}"), size),
        ("common_name of one", "common_name=device-0000042".to_owned(), 1),
        ("common_name, first letters of 1000", "common_name=device-0001".to_owned(), size.min(1000)),
    ];
    for (name, query, expected) in cases {
        let ask = zone.list(&format!("per_page={size}&{query}"));
        let mut connection = server.connect().await?;
        let first = connection.exchange(&ask).await?;
        let counted = count(&first.body, first.length)?;
        if first.status != 200 || counted.is_some_and(|counted| counted != expected) {
            return fault(format!("{name}: {} with {counted:?} instead of {expected} certificates", first.status));
        }
        let mut durations = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let asked = Instant::now();
            let answer = connection.exchange(&ask).await?;
            durations.push(asked.elapsed());
            if answer.status != 200 {
                return fault(format!("{name}: {}", answer.head));
            }
        }
        let durations = Durations::of(durations);
        let (p50, p99) = (durations.percentile(0.5), durations.percentile(0.99));
        Of { limit: P99_BAR, name: "the bar" }.at_most(&format!("{name}: p50 {} ms, p99", short(p50)), p99, "ms")?;
    }
    Ok(())
}

/// How many certificates an answer lists; `None` where it is longer than what is kept of it.
fn count(body: &[u8], length: usize) -> Outcome<Option<u64>> {
    if body.len() < length {
        return Ok(None);
    }
    let answer: Value = serde_json::from_slice(body)?;
    let listed = answer.get("result").and_then(Value::as_array).ok_or("the answer lists nothing")?;
    Ok(Some(listed.len() as u64))
}
