//! Stores with very many certificates, made by the hidden command `countersign dev seed`: a server would take an hour to come
//! there.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use super::api::Zone;
use super::engine::{Engine, Place};
use super::figures::{figure, short};
use super::server::Server;
use super::{Outcome, fault};

/// What the zone of a store holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Store {
    pub certificates: u32,
    pub revoked: u32,
    /// In how many shards its CRL is published.
    pub shards: Option<u32>,
}

/// The zone that is seeded.
pub const ZONE: &str = "benchmark";

impl Store {
    fn name(&self) -> String {
        let shards = self.shards.map(|shards| format!("-shards-{shards}")).unwrap_or_default();
        format!("certificates-{}-revoked-{}{shards}", self.certificates, self.revoked)
    }
}

/// A place with such a store: one that was kept, or a new one.
pub async fn store(engine: &Engine, store: Store) -> Outcome<Place> {
    let place = engine.place(&store.name())?;
    let is_seeded = place.folder.join("seeded");
    if is_seeded.exists() {
        return Ok(place);
    }
    let (server, _) = Server::start(&place).await?;
    Zone::of(&mut server.connect().await?, ZONE, store.shards).await?;
    server.stop().await?;

    let started = Instant::now();
    let mut seed = place.command();
    seed.args(["dev", "seed", "--zone", ZONE]);
    seed.args(["--certificates", &store.certificates.to_string(), "--revoked", &store.revoked.to_string()]);
    // What it says of its progress is shown, on a terminal; its log is not.
    let status = seed.env("COUNTERSIGN_LOG", "warn").stdout(Stdio::null()).status()?;
    if !status.success() {
        return fault(format!("countersign dev seed ended with {status}"));
    }
    fs::write(is_seeded, "")?;
    let (count, seconds) = (f64::from(store.certificates) + f64::from(store.revoked), started.elapsed().as_secs_f64());
    figure(
        &format!("{} certificates and {} revoked ones seeded in", store.certificates, store.revoked),
        format!("{} s ({}/s)", short(seconds), short(count / seconds)),
    )?;
    Ok(place)
}
