//! API tokens, by the SHA-256 of their value.

use std::collections::BTreeSet;

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::{AccountId, TokenId, ZoneId};
use crate::domain::permission::{Grants, Permission, Reach};
use crate::domain::token::Token;

use super::connection::Connection;
use super::convert::{account_id, damaged, from_json, millis, time, to_json, token_id};
use super::error::StoreError;
use super::schema::tokens;
use super::{Store, audit};

/// A token to be stored. Its value is not here.
#[derive(Clone)]
pub struct NewToken {
    pub token: Token,
    pub value_sha256: [u8; 32],
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
pub(super) struct TokenRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    name: String,
    permissions: String,
    zones: Option<String>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    created_at: i64,
}

impl Store {
    /// The token whose value has this SHA-256.
    pub async fn token_by_value(&self, value_sha256: [u8; 32]) -> Result<Option<Token>, StoreError> {
        self.read(move |connection| {
            let row = tokens::table
                .filter(tokens::value_sha256.eq(value_sha256.as_slice()))
                .select(TokenRow::as_select())
                .first(connection);
            row.optional()?.map(into_domain).transpose()
        })
        .await
    }

    /// One token of an account.
    pub async fn token(&self, account: AccountId, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.read(move |connection| {
            let row = tokens::table
                .find(id.as_bytes().as_slice())
                .filter(tokens::account_id.eq(account.as_bytes().as_slice()))
                .select(TokenRow::as_select())
                .first(connection);
            row.optional()?.map(into_domain).transpose()
        })
        .await
    }

    /// All tokens of an account, oldest first.
    pub async fn tokens(&self, account: AccountId) -> Result<Vec<Token>, StoreError> {
        self.read(move |connection| of_account(connection, account)).await
    }

    pub async fn create_token(&self, new: NewToken, event: AuditEvent) -> Result<(), StoreError> {
        self.write(move |connection| {
            insert(connection, &new)?;
            audit::insert(connection, &event)
        })
        .await
    }

    /// Gives a token of an account the value with this SHA-256 if `judge` lets it happen; `None` when there is none of that
    /// id.
    pub async fn roll_token<J>(
        &self,
        account: AccountId,
        id: TokenId,
        value_sha256: [u8; 32],
        event: AuditEvent,
        judge: J,
    ) -> Result<Option<Result<Token, &'static str>>, StoreError>
    where
        J: Fn(&Token) -> Result<(), &'static str> + Send + 'static,
    {
        self.write(move |connection| {
            let row = tokens::table
                .find(id.as_bytes().as_slice())
                .filter(tokens::account_id.eq(account.as_bytes().as_slice()));
            let found = row.select(TokenRow::as_select()).first(connection).optional()?;
            let Some(token) = found.map(into_domain).transpose()? else { return Ok(None) };
            if let Err(why) = judge(&token) {
                return Ok(Some(Err(why)));
            }
            diesel::update(row).set(tokens::value_sha256.eq(value_sha256.as_slice())).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(Some(Ok(token)))
        })
        .await
    }

    /// Deletes a token of an account if `judge`, who sees all of the account's, lets it go; `None` when there is none of
    /// that id.
    pub async fn delete_token<J>(
        &self,
        account: AccountId,
        id: TokenId,
        event: AuditEvent,
        judge: J,
    ) -> Result<Option<Result<(), &'static str>>, StoreError>
    where
        J: Fn(&[Token], &Token) -> Result<(), &'static str> + Send + 'static,
    {
        self.write(move |connection| {
            let all = of_account(connection, account)?;
            let Some(token) = all.iter().find(|token| token.id == id) else { return Ok(None) };
            if let Err(why) = judge(&all, token) {
                return Ok(Some(Err(why)));
            }
            let token = tokens::table
                .find(id.as_bytes().as_slice())
                .filter(tokens::account_id.eq(account.as_bytes().as_slice()));
            diesel::delete(token).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(Some(Ok(())))
        })
        .await
    }
}

fn of_account(connection: &mut Connection, account: AccountId) -> Result<Vec<Token>, StoreError> {
    let rows: Vec<TokenRow> = tokens::table
        .filter(tokens::account_id.eq(account.as_bytes().as_slice()))
        .order((tokens::created_at, tokens::id))
        .select(TokenRow::as_select())
        .load(connection)?;
    rows.into_iter().map(into_domain).collect()
}

pub(super) fn insert(connection: &mut Connection, new: &NewToken) -> Result<(), StoreError> {
    let token = &new.token;
    let permissions: Vec<_> = token.grants.permissions.iter().map(|permission| permission.as_str()).collect();
    let zones = match &token.grants.reach {
        Reach::Account => None,
        Reach::Zones(zones) => Some(to_json(&zones.iter().map(ToString::to_string).collect::<Vec<_>>())?),
    };
    diesel::insert_into(tokens::table)
        .values((
            tokens::id.eq(token.id.as_bytes().as_slice()),
            tokens::account_id.eq(token.grants.account.as_bytes().as_slice()),
            tokens::name.eq(&token.name),
            tokens::value_sha256.eq(new.value_sha256.as_slice()),
            tokens::permissions.eq(to_json(&permissions)?),
            tokens::zones.eq(zones),
            tokens::not_before.eq(token.not_before.map(millis)),
            tokens::expires_at.eq(token.expires_on.map(millis)),
            tokens::created_at.eq(millis(token.created_on)),
        ))
        .execute(connection)?;
    Ok(())
}

pub(super) fn into_domain(row: TokenRow) -> Result<Token, StoreError> {
    let words: Vec<String> = from_json(&row.permissions)?;
    let permission = |word: &String| Permission::parse(word).ok_or_else(|| damaged("a permission"));
    let permissions = words.iter().map(permission).collect::<Result<BTreeSet<_>, _>>()?;
    let reach = match &row.zones {
        None => Reach::Account,
        Some(text) => {
            let ids: Vec<String> = from_json(text)?;
            let zone = |id: &String| ZoneId::parse(id).ok_or_else(|| damaged("a token's zone"));
            Reach::Zones(ids.iter().map(zone).collect::<Result<_, _>>()?)
        }
    };
    Ok(Token {
        id: token_id(&row.id)?,
        name: row.name,
        grants: Grants { account: account_id(&row.account_id)?, permissions, reach },
        created_on: time(row.created_at)?,
        not_before: row.not_before.map(time).transpose()?,
        expires_on: row.expires_at.map(time).transpose()?,
    })
}
