//! The use cases: what can be done here, each as one function that takes a permit, decides by the domain's rules, and
//! leaves the result in the store.
//!
//! Every function that acts for a caller takes a [`access::ZonePermit`] or [`access::AccountPermit`], which only
//! [`access`] makes: what was not authorised does not compile. There is no SQL here and no HTTP.

pub mod access;
mod account_activity;
pub mod accounts;
pub mod activity;
pub mod audit_log;
pub mod authorities;
mod authority_locks;
mod blocked_keys;
pub mod bulk;
pub mod bulk_work;
mod cache;
pub mod call_reports;
mod certificate_expiry;
pub mod certificates;
mod changes;
pub mod check_runs;
mod check_secrets;
pub mod checks;
pub mod choices;
mod crl_signing;
mod dependants;
pub mod downloads;
mod error;
mod event_head;
pub mod event_streams;
mod expiry;
pub mod health;
pub mod history;
pub mod hostname_associations;
pub mod identities;
pub mod identity_material;
pub mod identity_preview;
mod identity_replacement;
pub mod identity_uses;
pub mod issuance;
pub mod issuers;
mod keyring;
mod makers;
pub mod managed_identities;
mod measures;
pub mod ocsp;
pub mod outgoing;
pub mod overview;
pub mod pki;
pub mod possession;
mod preview;
pub mod profiles;
pub mod publication;
mod random;
mod responders;
pub mod restoration;
mod revision;
mod revocation_lists;
mod secrets;
pub mod seed;
pub mod sessions;
mod setup;
pub mod tokens;
pub mod turns;
pub mod webhook_deliveries;
pub mod webhooks;
pub mod zones;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::{Notify, Semaphore, watch};

use crate::clock::Clock;
use crate::config::MasterKeySource;
use crate::domain::egress::EgressPolicy;
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::key::AuthorityKeyType;
use crate::domain::token::Token;
use crate::egress::Egress;
use crate::keys::challenge::ChallengeKey;
use crate::store::Store;

pub use error::{Noun, ServiceError};
pub use random::{NoRandomness, Random, RandomSource};
pub use setup::{FirstStart, StartError};

use blocked_keys::BlockedKeys;
use cache::Cache;
use issuers::ZoneIssuer;
use keyring::Keyring;
use profiles::Profiles;
use turns::Turns;

/// Everything the services stand on. One for the process, shared.
pub struct Service {
    store: Store,
    clock: Clock,
    random: Random,
    keyring: Keyring,
    challenges: ChallengeKey,
    profiles: Profiles,
    blocked_keys: BlockedKeys,
    options: Options,
    tokens: Cache<[u8; 32], Token>,
    issuers: Cache<ZoneId, ZoneIssuer>,
    crls: pki::Crls,
    revocation_lists: revocation_lists::RevocationLists,
    ocsp: ocsp::Ocsp,
    responders: responders::Responders,
    health: health::Health,
    activities: Arc<activity::Activities>,
    standing: measures::Standing,
    refused_callers: access::RefusedCallers,
    /// Making keys is slow work: one at a time, so that nobody occupies the machine with it.
    key_generation: Arc<Semaphore>,
    /// Opening an upload stretches passphrases: a few at once, for the same reason.
    upload_reading: Arc<Semaphore>,
    /// Renewals do not wait for what callers have made.
    renewal: Arc<Semaphore>,
    /// Matching many patterns, likewise.
    matching: Arc<Semaphore>,
    egress: Egress,
    turns: Turns,
    /// Counting what is selected of a zone, and exporting the audit log, likewise by turns.
    surveys: Turns,
    candidates: Cache<AccountId, choices::Candidates>,
    /// Wakes the worker: a transition waits.
    work: Arc<Notify>,
    event_head: Arc<event_head::EventHead>,
    listeners: Arc<event_streams::Listeners>,
    /// Turns true when the process is about to stop.
    closing: watch::Sender<bool>,
}

/// What the services need to know of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where relying parties reach us, without a slash at the end: written into certificates.
    pub public_url: String,
    /// How long a CRL is valid; it is re-signed at half of that.
    pub crl_validity: TimeDelta,
    /// How long an OCSP answer is valid; it is signed anew at half of that.
    pub ocsp_validity: TimeDelta,
    pub root_key_type: AuthorityKeyType,
    pub issuing_key_type: AuthorityKeyType,
    pub data_dir: PathBuf,
    pub master_key: MasterKeySource,
    pub bootstrap_token: Option<secrecy::SecretString>,
    /// The folder of profiles, which is followed; the embedded ones without.
    pub profiles_dir: Option<PathBuf>,
    pub blocked_keys_file: Option<PathBuf>,
    /// Which addresses outgoing calls may reach.
    pub egress: EgressPolicy,
}

impl Service {
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the worker waits on.
    pub fn work(&self) -> Arc<Notify> {
        Arc::clone(&self.work)
    }

    pub fn public_url(&self) -> &str {
        &self.options.public_url
    }
}

/// Does slow work off the asynchronous threads, when its turn has come. The turn lasts as long as the work, also when
/// nobody waits for it any more: a caller that hangs up makes no room for the next one.
async fn in_turn<T, F>(turns: &Arc<Semaphore>, work: F) -> Result<T, ServiceError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let turn = Arc::clone(turns).acquire_owned().await;
    let turn = turn.map_err(|error| ServiceError::Internal(error.to_string()))?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|error| ServiceError::Internal(error.to_string()))
}
