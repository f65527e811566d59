//! Turns for what is slow and asked for by hand, outgoing calls and surveys of certificates and of the audit log: so many at
//! once, so many for one account, and nobody waits long. The worker bounds its own runs, and waits for nobody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::id::AccountId;

use super::access::{AccountPermit, Act, ZonePermit};
use super::{Service, ServiceError};

const CALLS: usize = 32;
const CALLS_OF_ACCOUNT: usize = 8;
/// A survey reads through a whole zone: most of the readers are left for others.
const SURVEYS: usize = 2;
const SURVEYS_OF_ACCOUNT: usize = 1;
/// Whoever waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The right to make one call, or one survey, now. It ends with the value.
pub struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_account: OwnedSemaphorePermit,
}

pub(super) struct Turns {
    at_once_in_account: usize,
    /// In words for whoever waited in vain.
    refusal: &'static str,
    of_all: Arc<Semaphore>,
    of_accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

impl Turns {
    pub(super) fn for_calls() -> Self {
        Self::new(CALLS, CALLS_OF_ACCOUNT, "too many outgoing calls are being made")
    }

    pub(super) fn for_surveys() -> Self {
        Self::new(
            SURVEYS,
            SURVEYS_OF_ACCOUNT,
            "too many selections of certificates are being counted, or audit logs exported",
        )
    }

    fn new(at_once: usize, at_once_in_account: usize, refusal: &'static str) -> Self {
        let of_all = Arc::new(Semaphore::new(at_once));
        Self { at_once_in_account, refusal, of_all, of_accounts: Mutex::new(HashMap::new()) }
    }

    pub(super) async fn take(&self, account: AccountId) -> Result<Turn, ServiceError> {
        let (own, all) = (self.of_account(account), Arc::clone(&self.of_all));
        let waited = timeout(PATIENCE, async {
            Ok::<_, tokio::sync::AcquireError>((own.acquire_owned().await?, all.acquire_owned().await?))
        });
        match waited.await {
            Ok(Ok((of_account, of_all))) => Ok(Turn { _of_all: of_all, _of_account: of_account }),
            Ok(Err(error)) => Err(ServiceError::Internal(error.to_string())),
            Err(_) => Err(ServiceError::Unavailable(self.refusal.into())),
        }
    }

    fn of_account(&self, account: AccountId) -> Arc<Semaphore> {
        let most = self.at_once_in_account;
        let mut accounts = self.of_accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, turns| Arc::strong_count(turns) > 1 || turns.available_permits() < most);
        Arc::clone(accounts.entry(account).or_insert_with(|| Arc::new(Semaphore::new(most))))
    }
}

impl Service {
    /// A turn to call the outside, for what the permit allows. It is taken before anything is chosen or opened for the
    /// call, so that what is presented is what is chosen at that moment.
    pub async fn turn<A: Act>(&self, permit: &AccountPermit<A>) -> Result<Turn, ServiceError> {
        self.turns.take(permit.account()).await
    }

    /// A turn for what is permitted in a zone: one of its account's.
    pub async fn turn_in_zone<A: Act>(&self, permit: &ZonePermit<A>) -> Result<Turn, ServiceError> {
        self.turns.take(permit.account()).await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn surveys_are_made_by_one_of_an_account_and_two_in_all() {
        let turns = Turns::for_surveys();
        let [one, two, three] = [1, 2, 3].map(|number| AccountId::new(Uuid::from_u128(number)));
        let waits = async |account| timeout(Duration::from_millis(20), turns.take(account)).await.is_err();
        let first = turns.take(one).await.unwrap();
        assert!(waits(one).await);
        let _second = turns.take(two).await.unwrap();
        assert!(waits(three).await);
        let refused = turns.take(three).await.err().unwrap();
        assert!(matches!(refused, ServiceError::Unavailable(why) if why.contains("selections")));
        drop(first);
        turns.take(three).await.unwrap();
    }
}
