//! Starting: the master key, the profiles, and at the very first start everything else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, watch};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{self, MasterKeySource};
use crate::domain::account::Account;
use crate::domain::audit::{Action, Actor};
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::zone::Zone;
use crate::egress::Egress;
use crate::keys::challenge::ChallengeKey;
use crate::keys::sealing::{MasterKey, Sealed};
use crate::store::{self, MasterKeyCheck, Store, StoreError};

use super::access::RefusedCallers;
use super::activity::Activities;
use super::authorities::AuthorityOptions;
use super::blocked_keys::BlockedKeys;
use super::cache::Cache;
use super::event_head::EventHead;
use super::event_streams::Listeners;
use super::health::Health;
use super::keyring::Keyring;
use super::measures::Standing;
use super::ocsp::Ocsp;
use super::pki::Crls;
use super::profiles::Profiles;
use super::random::Random;
use super::responders::Responders;
use super::revocation_lists::RevocationLists;
use super::turns::Turns;
use super::{Options, Service, ServiceError, makers};

const DEFAULT_ACCOUNT: &str = "default";
const DEFAULT_ZONE: &str = "default";
/// Sealed under the master key in every store: whoever opens it has the right one.
const CHECK_TEXT: &[u8] = b"countersign master key check";
const CHECK_ASSOCIATED_DATA: &[u8] = b"countersign master key";

/// Why the service does not start; each message says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("{0}")]
    MasterKey(String),
    #[error("profile: {0}")]
    Profile(String),
    #[error("blocked keys: {0}")]
    BlockedKeys(String),
    #[error("{0}")]
    File(String),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Service(#[from] ServiceError),
}

/// What the very first start made, for whoever watches it.
pub struct FirstStart {
    pub zone: Zone,
    pub token_file: PathBuf,
    /// Shown once.
    pub token: Zeroizing<String>,
}

impl Service {
    /// Opens the store's keys and, if the store is empty, sets everything up.
    pub async fn start(
        store: Store,
        clock: Clock,
        random: Random,
        options: Options,
    ) -> Result<(Arc<Self>, Option<FirstStart>), StartError> {
        let check = store.master_key_check().await?;
        let service = Self::assemble(store, clock, random, options, check.as_ref())?;
        makers::start()?;
        let first = if check.is_none() { Some(service.set_up().await?) } else { None };
        Ok((Arc::new(service), first))
    }

    /// Opens the keys of a store that is set up; an empty one is refused.
    pub async fn open(store: Store, clock: Clock, random: Random, options: Options) -> Result<Arc<Self>, StartError> {
        let empty = || StartError::File("the database is empty: the first `countersign serve` sets it up".into());
        let check = store.master_key_check().await?.ok_or_else(empty)?;
        Ok(Arc::new(Self::assemble(store, clock, random, options, Some(&check))?))
    }

    fn assemble(
        store: Store,
        clock: Clock,
        random: Random,
        options: Options,
        check: Option<&MasterKeyCheck>,
    ) -> Result<Self, StartError> {
        let profiles = Profiles::load(options.profiles_dir.as_deref())?;
        let blocked_keys = options.blocked_keys_file.as_deref().map(BlockedKeys::load).transpose()?.unwrap_or_default();
        let master_key = open_master_key(&options.master_key, check.is_none())?;
        if let Some(check) = check {
            verify_master_key(&master_key, check)?;
        }
        Ok(Self {
            random,
            challenges: ChallengeKey::derive(&master_key).map_err(ServiceError::from)?,
            keyring: Keyring::new(master_key),
            profiles,
            blocked_keys,
            egress: Egress::new(options.egress.clone()),
            turns: Turns::for_calls(),
            surveys: Turns::for_surveys(),
            candidates: Cache::new(),
            options,
            tokens: Cache::new(),
            issuers: Cache::new(),
            crls: Crls::default(),
            revocation_lists: RevocationLists::default(),
            ocsp: Ocsp::new(),
            responders: Responders::default(),
            health: Health::default(),
            activities: Arc::new(Activities::default()),
            standing: Standing::default(),
            refused_callers: RefusedCallers::default(),
            key_generation: Arc::new(Semaphore::new(1)),
            upload_reading: Arc::new(Semaphore::new(2)),
            renewal: Arc::new(Semaphore::new(1)),
            matching: Arc::new(Semaphore::new(1)),
            work: Arc::new(Notify::new()),
            event_head: EventHead::new(),
            listeners: Arc::new(Listeners::default()),
            closing: watch::Sender::new(false),
            store,
            clock,
        })
    }

    /// Leases that a killed process of this data folder left are void: the folder's lock says we are alone.
    pub async fn take_over_leases(&self) -> Result<(), ServiceError> {
        Ok(self.store.release_leases().await?)
    }

    async fn set_up(&self) -> Result<FirstStart, StartError> {
        let now = self.clock.now();
        let account = Account {
            id: AccountId::new(self.random.opaque_id()?),
            name: DEFAULT_ACCOUNT.to_owned(),
            is_operator: true,
            created_on: now,
        };
        let zone = Zone {
            id: ZoneId::new(self.random.opaque_id()?),
            account: account.clone(),
            name: DEFAULT_ZONE.to_owned(),
            created_on: now,
        };
        let (root, root_signer) = self.make_root_authority(account.id, self.options.root_key_type, now).await?;
        let issuing =
            self.make_issuing_authority(&zone, &root.authority, &root_signer, AuthorityOptions::default(), now).await?;
        let value = self.first_token_value()?;
        let token = self.administrator(account.id, &value)?;
        let created = |action, subject| self.event(Actor::system(), account.id, None, action, subject);
        let events = vec![
            created(Action::CreateAccount, account.id.to_string()),
            created(Action::CreateZone, zone.id.to_string()),
            created(Action::CreateAuthority, root.authority.id.to_string()),
            created(Action::CreateAuthority, issuing.authority.id.to_string()),
            created(Action::CreateToken, token.token.id.to_string()),
        ];

        // The file comes first: a crash in between is mended by the next start, a store without its token would not be.
        let token_file = self.options.data_dir.join(config::TOKEN_FILE);
        write_secret(&token_file, &value)?;
        let first = store::FirstStart {
            master_key: self.keyring.check()?,
            account,
            root,
            zone: zone.clone(),
            issuing,
            token,
            events,
        };
        self.store.set_up(first).await?;
        Ok(FirstStart { zone, token_file, token: value })
    }

    fn first_token_value(&self) -> Result<Zeroizing<String>, ServiceError> {
        match &self.options.bootstrap_token {
            Some(value) => Ok(Zeroizing::new(value.expose_secret().to_owned())),
            None => self.random.token_value(),
        }
    }
}

impl Keyring {
    fn check(&self) -> Result<MasterKeyCheck, ServiceError> {
        let sealed = self.master_key().seal(CHECK_ASSOCIATED_DATA, CHECK_TEXT)?;
        Ok(MasterKeyCheck { version: sealed.version, check_value: sealed.bytes })
    }
}

/// Reads the master key; over an empty store, a missing file is created. Never a new key over old data.
fn open_master_key(source: &MasterKeySource, store_is_empty: bool) -> Result<MasterKey, StartError> {
    let path = match source {
        MasterKeySource::Value(value) => return parse_master_key(value, "COUNTERSIGN_MASTER_KEY"),
        MasterKeySource::File(path) => path,
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            warn_if_open_to_others(path);
            parse_master_key(&SecretString::from(text), &path.display().to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && store_is_empty => {
            let key = MasterKey::generate().map_err(ServiceError::from)?;
            write_secret(path, &key.to_text())?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StartError::MasterKey(format!(
            "the master key {} is missing, and the database holds keys that only it opens. Put the file back from your \
             backup, or name it with COUNTERSIGN_MASTER_KEY_FILE. A new key would not help: the old data cannot be opened \
             without the old one.",
            path.display()
        ))),
        Err(error) => Err(StartError::MasterKey(format!("the master key {} cannot be read: {error}", path.display()))),
    }
}

fn parse_master_key(text: &SecretString, place: &str) -> Result<MasterKey, StartError> {
    MasterKey::from_text(text.expose_secret()).map_err(|_| {
        StartError::MasterKey(format!(
            "the master key in {place} must be 32 bytes, written as 64 hex digits or as base64"
        ))
    })
}

fn verify_master_key(key: &MasterKey, check: &MasterKeyCheck) -> Result<(), StartError> {
    let sealed = Sealed { version: check.version, bytes: check.check_value.clone() };
    let opened = key.open(CHECK_ASSOCIATED_DATA, &sealed);
    if opened.is_ok_and(|text| text.as_slice() == CHECK_TEXT) {
        return Ok(());
    }
    Err(StartError::MasterKey(
        "the master key is not the one this database was made with. Start with the right one \
         (COUNTERSIGN_MASTER_KEY_FILE or COUNTERSIGN_MASTER_KEY), or with the database that belongs to this key."
            .into(),
    ))
}

/// Writes a secret so that only the owner can read it, durably and whole or not at all.
fn write_secret(path: &Path, text: &str) -> Result<(), StartError> {
    let written = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = path.with_extension("unfinished");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| StartError::File(format!("{} cannot be written: {error}", path.display())))
}

/// Says so when others than the owner can read a secret; the operator may have reasons (a group, a secret mount).
fn warn_if_open_to_others(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), mode = format!("{mode:o}"), "the master key is open to others; chmod 600 it");
    }
}
