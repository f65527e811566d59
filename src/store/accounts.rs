//! Accounts.

use diesel::prelude::*;

use crate::domain::account::Account;
use crate::domain::audit::AuditEvent;
use crate::domain::id::AccountId;

use super::authorities::NewAuthority;
use super::connection::{Connection, on_either};
use super::convert::{account_id, millis, time};
use super::error::StoreError;
use super::schema::accounts;
use super::tokens::NewToken;
use super::{Store, audit, authorities, tokens};

#[derive(Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub(super) struct AccountRow {
    id: Vec<u8>,
    name: String,
    is_operator: bool,
    created_at: i64,
}

impl AccountRow {
    pub(super) fn into_domain(self) -> Result<Account, StoreError> {
        Ok(Account {
            id: account_id(&self.id)?,
            name: self.name,
            is_operator: self.is_operator,
            created_on: time(self.created_at)?,
        })
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

    /// All accounts, oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.read(|connection| {
            let rows: Vec<AccountRow> = accounts::table
                .order((accounts::created_at, accounts::id))
                .select(AccountRow::as_select())
                .load(connection)?;
            rows.into_iter().map(AccountRow::into_domain).collect()
        })
        .await
    }

    /// Stores an account with its root authority and first token; `false` when the name is taken.
    pub async fn create_account(
        &self,
        account: Account,
        root: NewAuthority,
        token: NewToken,
        events: Vec<AuditEvent>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if !insert(connection, &account)? {
                return Ok(false);
            }
            authorities::insert(connection, &root)?;
            tokens::insert(connection, &token)?;
            events.iter().try_for_each(|event| audit::insert(connection, event))?;
            Ok(true)
        })
        .await
    }

    /// The account of the first start; none before that.
    pub async fn operator_account(&self) -> Result<Option<Account>, StoreError> {
        self.read(|connection| {
            let operator = accounts::table.filter(accounts::is_operator.eq(true));
            let row = operator.select(AccountRow::as_select()).first(connection);
            row.optional()?.map(AccountRow::into_domain).transpose()
        })
        .await
    }
}

/// `false` when there is an account of that name.
pub(super) fn insert(connection: &mut Connection, account: &Account) -> Result<bool, StoreError> {
    let upsert = diesel::insert_into(accounts::table)
        .values((
            accounts::id.eq(account.id.as_bytes().as_slice()),
            accounts::name.eq(&account.name),
            accounts::is_operator.eq(account.is_operator),
            accounts::created_at.eq(millis(account.created_on)),
        ))
        .on_conflict(accounts::name)
        .do_nothing();
    let inserted = on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(inserted == 1)
}
