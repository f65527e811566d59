//! Accounts: a token sees the one it belongs to.

use crate::domain::account::Account;
use crate::domain::id::AccountId;

use super::access::Caller;
use super::{Service, ServiceError};

impl Service {
    /// The caller's own account.
    pub async fn own_account(&self, caller: &Caller) -> Result<Account, ServiceError> {
        let missing = || ServiceError::Internal("a token's account is missing".into());
        self.store.account(caller.account()).await?.ok_or_else(missing)
    }

    /// An account by id: the caller's own, or none.
    pub async fn account(&self, caller: &Caller, id: AccountId) -> Result<Account, ServiceError> {
        if id != caller.account() {
            return Err(ServiceError::Forbidden);
        }
        self.own_account(caller).await
    }
}
