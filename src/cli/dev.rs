//! `countersign dev`: for whoever works on Countersign; hidden from the normal help.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::configuration::ConfigurationFlags;
use super::progress::Bar;
use super::{CliError, database, output, serve};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::id::{AuthorityId, ZoneId};
use crate::service::seed::Amount;
use crate::service::{Random, Service};
use crate::store::{Database, Seeder, Store};

/// What has just been closed is given up by its threads within moments.
const TRIES: usize = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Tools for working on Countersign itself
#[derive(Debug, Subcommand)]
pub enum Command {
    Seed(Seed),
}

/// Fill a zone with very many certificates, to measure or to try something
///
/// For stores that can be thrown away: no server may be using the database, and one that this was
/// stopped in the middle of is damaged. An empty database is set up. Example:
///
///   countersign dev seed --data-dir large --certificates 1000000 --revoked 1000000
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Seed {
    /// How many active certificates to add
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    certificates: u64,

    /// How many revoked ones to add, which the zone's CRL then lists
    #[arg(long, value_name = "N", default_value_t = 0)]
    revoked: u64,

    /// The zone, by name
    #[arg(long, value_name = "NAME", default_value = "default")]
    zone: String,

    #[command(flatten)]
    pub configuration: ConfigurationFlags,
}

pub async fn seed(arguments: Seed, config: Config) -> Result<(), CliError> {
    database::create_private_folder(&config.data_dir)?;
    let database = database::of(&config);
    let _lock = database::claim(&database)?;
    let service = open(&database, &config).await?;
    let seeding = Arc::new(service.prepare_seeding(&arguments.zone).await.map_err(CliError::failure)?);
    drop(service);

    let seeder = begin(&database, seeding.zone.id, seeding.authority.id).await?;
    let amount = Amount { active: arguments.certificates, revoked: arguments.revoked };
    let signing = Arc::clone(&seeding);
    let run = move || {
        let bar = Bar::start();
        signing.run(seeder, amount, |stored| bar.show(stored, amount.total(), "certificates".into()))
    };
    let seeded = tokio::task::spawn_blocking(run).await.map_err(CliError::failure)?;
    seeded.map_err(CliError::failure)?;

    let service = open(&database, &config).await?;
    service.publish_seeded(&seeding).await.map_err(CliError::failure)?;
    output::line(format_args!(
        "added {} active and {} revoked certificates to the zone {:?}",
        amount.active, amount.revoked, seeding.zone.name
    ))
}

async fn open(database: &Database, config: &Config) -> Result<Arc<Service>, CliError> {
    let (opened, options) = (database.clone(), serve::options(config, config.listen)?);
    let store = tokio::task::spawn_blocking(move || Store::open(&opened)).await.map_err(CliError::failure)?;
    let store = store.map_err(CliError::failure)?;
    let _start_lock = store.lock_start(database).await.map_err(CliError::failure)?;
    let (service, _) =
        Service::start(store, Clock::system(), Random::system(), options).await.map_err(CliError::failure)?;
    Ok(service)
}

async fn begin(database: &Database, zone: ZoneId, authority: AuthorityId) -> Result<Seeder, CliError> {
    let mut tries = 0;
    loop {
        match Seeder::begin(database, zone, authority) {
            Ok(seeder) => return Ok(seeder),
            Err(error) if tries >= TRIES => return Err(CliError::failure(error)),
            Err(_) => Clock::system().sleep(BETWEEN_TRIES).await,
        }
        tries += 1;
    }
}
