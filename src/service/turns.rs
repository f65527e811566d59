//! Turns for outgoing calls by hand: so many at once, so many for one account, and nobody waits long. The worker bounds its
//! own runs, and waits for nobody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::id::AccountId;

use super::access::{AccountPermit, Act, ZonePermit};
use super::{Service, ServiceError};

const AT_ONCE: usize = 32;
const AT_ONCE_IN_ACCOUNT: usize = 8;
/// Whoever waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The right to make one outgoing call now. It ends with the value.
pub struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_account: OwnedSemaphorePermit,
}

pub(super) struct Turns {
    of_all: Arc<Semaphore>,
    of_accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { of_all: Arc::new(Semaphore::new(AT_ONCE)), of_accounts: Mutex::new(HashMap::new()) }
    }

    fn of_account(&self, account: AccountId) -> Arc<Semaphore> {
        let mut accounts = self.of_accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, turns| Arc::strong_count(turns) > 1 || turns.available_permits() < AT_ONCE_IN_ACCOUNT);
        let turns = accounts.entry(account).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_IN_ACCOUNT)));
        Arc::clone(turns)
    }
}

impl Service {
    /// A turn to call the outside, for what the permit allows. It is taken before anything is chosen or opened for the
    /// call, so that what is presented is what is chosen at that moment.
    pub async fn turn<A: Act>(&self, permit: &AccountPermit<A>) -> Result<Turn, ServiceError> {
        self.turn_of(permit.account()).await
    }

    /// A turn for what is permitted in a zone: one of its account's.
    pub async fn turn_in_zone<A: Act>(&self, permit: &ZonePermit<A>) -> Result<Turn, ServiceError> {
        self.turn_of(permit.account()).await
    }

    async fn turn_of(&self, account: AccountId) -> Result<Turn, ServiceError> {
        let own = self.turns.of_account(account);
        let all = Arc::clone(&self.turns.of_all);
        let waited = timeout(PATIENCE, async {
            Ok::<_, tokio::sync::AcquireError>((own.acquire_owned().await?, all.acquire_owned().await?))
        });
        match waited.await {
            Ok(Ok((of_account, of_all))) => Ok(Turn { _of_all: of_all, _of_account: of_account }),
            Ok(Err(error)) => Err(ServiceError::Internal(error.to_string())),
            Err(_) => Err(ServiceError::Unavailable("too many outgoing calls are being made".into())),
        }
    }
}
