//! Accounts.

use diesel::prelude::*;

use crate::domain::account::Account;
use crate::domain::id::AccountId;

use super::Store;
use super::connection::Connection;
use super::convert::{account_id, millis, time};
use super::error::StoreError;
use super::schema::accounts;

#[derive(Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub(super) struct AccountRow {
    id: Vec<u8>,
    name: String,
    created_at: i64,
}

impl AccountRow {
    pub(super) fn into_domain(self) -> Result<Account, StoreError> {
        Ok(Account { id: account_id(&self.id)?, name: self.name, created_on: time(self.created_at)? })
    }
}

impl Store {
    /// One account, by id.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.read(move |connection| {
            let row = accounts::table.find(id.as_bytes().as_slice()).select(AccountRow::as_select()).first(connection);
            row.optional()?.map(AccountRow::into_domain).transpose()
        })
        .await
    }

    /// Whether the store has been set up: the account of the first start, if there is one.
    pub async fn first_account(&self) -> Result<Option<Account>, StoreError> {
        self.read(|connection| {
            let row = accounts::table.order(accounts::created_at).select(AccountRow::as_select()).first(connection);
            row.optional()?.map(AccountRow::into_domain).transpose()
        })
        .await
    }
}

pub(super) fn insert(connection: &mut Connection, account: &Account) -> Result<(), StoreError> {
    diesel::insert_into(accounts::table)
        .values((
            accounts::id.eq(account.id.as_bytes().as_slice()),
            accounts::name.eq(&account.name),
            accounts::created_at.eq(millis(account.created_on)),
        ))
        .execute(connection)?;
    Ok(())
}
