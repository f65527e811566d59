//! Accounts: tenants. A token sees the one it belongs to; the operator, who is whoever holds every permission in the
//! account of the first start, sees all of them and makes new ones.

use zeroize::Zeroizing;

use crate::domain::account::Account;
use crate::domain::audit::Action;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::permission::{Grants, Permission, Reach};
use crate::domain::text::label;
use crate::domain::token::Token;
use crate::store::NewToken;

use super::access::{AccountPermit, Caller, CreateAccount};
use super::secrets::sha256;
use super::{Service, ServiceError};

const MAX_NAME_LENGTH: usize = 100;

/// A tenant just made, with the value of its first token, shown once.
pub struct NewAccount {
    pub account: Account,
    pub token: Zeroizing<String>,
}

impl Service {
    /// The accounts that the caller may see, oldest first.
    pub async fn accounts(&self, caller: &Caller) -> Result<Vec<Account>, ServiceError> {
        let mut accounts = self.store.accounts().await?;
        if !self.is_operator(caller).await? {
            accounts.retain(|account| account.id == caller.account());
        }
        Ok(accounts)
    }

    /// An account by id, if the caller may see it; unknown and foreign ones are refused alike.
    pub async fn account(&self, caller: &Caller, id: AccountId) -> Result<Account, ServiceError> {
        if id != caller.account() && !self.is_operator(caller).await? {
            return Err(ServiceError::Forbidden);
        }
        self.store.account(id).await?.ok_or(ServiceError::Forbidden)
    }

    /// Permits the making of accounts: to the operator alone.
    pub async fn permit_new_account(&self, caller: Caller) -> Result<AccountPermit<CreateAccount>, ServiceError> {
        let own = caller.account();
        let permit = self.permit_in_account::<CreateAccount>(caller, own).await?;
        if self.is_operator(permit.caller()).await? {
            return Ok(permit);
        }
        let detail = "only a token with every permission in the operator's account makes accounts";
        self.record_fault(&permit, "", detail).await;
        Err(ServiceError::Forbidden)
    }

    /// Makes a tenant with a root authority and a token that may do everything in it, and nothing elsewhere.
    pub async fn create_account(
        &self,
        permit: &AccountPermit<CreateAccount>,
        name: &str,
    ) -> Result<NewAccount, ServiceError> {
        let outcome = self.create_account_or_refuse(permit, name).await;
        self.recorded(permit, "", outcome).await
    }

    async fn create_account_or_refuse(
        &self,
        permit: &AccountPermit<CreateAccount>,
        name: &str,
    ) -> Result<NewAccount, ServiceError> {
        let name = label(name, MAX_NAME_LENGTH).map_err(|why| ServiceError::invalid("/name", why))?;
        let now = self.clock.now();
        let account = Account {
            id: AccountId::new(self.random.opaque_id()?),
            name: name.to_owned(),
            is_operator: false,
            created_on: now,
        };
        let (root, _) = self.make_root_authority(account.id, self.options.root_key_type, now).await?;
        let value = self.random.token_value()?;
        let token = self.administrator(account.id, &value)?;
        let event = |action, subject| self.event(permit.caller().actor(), account.id, None, action, subject);
        let events = vec![
            event(Action::CreateAccount, account.id.to_string()),
            event(Action::CreateAuthority, root.authority.id.to_string()),
            event(Action::CreateToken, token.token.id.to_string()),
        ];
        if self.store.create_account(account.clone(), root, token, events).await? {
            return Ok(NewAccount { account, token: value });
        }
        let message = format!("there is an account named {:?} already", account.name);
        Err(ServiceError::invalid("/name", message))
    }

    /// A token that may do everything in one account.
    pub(super) fn administrator(&self, account: AccountId, value: &str) -> Result<NewToken, ServiceError> {
        let token = Token {
            id: TokenId::new(self.random.opaque_id()?),
            name: "admin".to_owned(),
            grants: Grants { account, permissions: Permission::ALL.into_iter().collect(), reach: Reach::Account },
            created_on: self.clock.now(),
            not_before: None,
            expires_on: None,
        };
        Ok(NewToken { token, value_sha256: sha256(value.as_bytes()) })
    }

    /// The caller's own account.
    pub(super) async fn own_account(&self, caller: &Caller) -> Result<Account, ServiceError> {
        let missing = || ServiceError::Internal("a token's account is missing".into());
        self.store.account(caller.account()).await?.ok_or_else(missing)
    }

    async fn is_operator(&self, caller: &Caller) -> Result<bool, ServiceError> {
        let grants = &caller.token().grants;
        let operator = self.store.operator_account().await?;
        let is_in_it = operator.is_some_and(|operator| operator.id == grants.account);
        Ok(is_in_it && grants.reach == Reach::Account && grants.permissions.len() == Permission::ALL.len())
    }
}
