//! API tokens: making, listing, deleting and verifying them. A value is shown once and kept only as a hash.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::domain::audit::Action;
use crate::domain::id::{AccountId, TokenId, ZoneId};
use crate::domain::permission::{Grants, Permission, Reach};
use crate::domain::text::{label, timestamp};
use crate::domain::token::{Token, TokenStatus};
use crate::domain::violation::Violation;
use crate::store::NewToken as StoredToken;

use super::access::{AccountPermit, Caller, CreateToken, DeleteToken, ReadTokens, RollToken};
use super::error::Noun;
use super::secrets::sha256;
use super::{Service, ServiceError};

const MAX_NAME_LENGTH: usize = 120;

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub permissions: BTreeSet<Permission>,
    /// The zones it reaches; the whole account without.
    pub zones: Option<BTreeSet<ZoneId>>,
    pub not_before: Option<DateTime<Utc>>,
    pub expires_on: Option<DateTime<Utc>>,
}

impl Service {
    /// Makes a token; the value is returned here and never again.
    pub async fn create_token(
        &self,
        permit: &AccountPermit<CreateToken>,
        new: NewToken,
    ) -> Result<(Token, Zeroizing<String>), ServiceError> {
        let checked = self.check_new_token(permit, new).await;
        let token = self.recorded(permit, "", checked).await?;
        let value = self.random.token_value()?;
        let event =
            self.event(permit.caller().actor(), permit.account(), None, Action::CreateToken, token.id.to_string());
        let stored = StoredToken { token: token.clone(), value_sha256: sha256(value.as_bytes()) };
        self.store.create_token(stored, event).await?;
        Ok((token, value))
    }

    /// The account's tokens, oldest first.
    pub async fn tokens(&self, permit: &AccountPermit<ReadTokens>) -> Result<Vec<Token>, ServiceError> {
        Ok(self.store.tokens(permit.account()).await?)
    }

    pub async fn token(&self, permit: &AccountPermit<ReadTokens>, id: Option<TokenId>) -> Result<Token, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Token))?;
        self.store.token(permit.account(), id).await?.ok_or(ServiceError::NotFound(Noun::Token))
    }

    /// Gives a token another value, which is returned here and never again. The old one stops working here at once, in other
    /// processes within a second, and its sessions with it.
    pub async fn roll_token(
        &self,
        permit: &AccountPermit<RollToken>,
        id: Option<TokenId>,
    ) -> Result<(Token, Zeroizing<String>), ServiceError> {
        let outcome = self.roll_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn roll_or_refuse(
        &self,
        permit: &AccountPermit<RollToken>,
        id: Option<TokenId>,
    ) -> Result<(Token, Zeroizing<String>), ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Token))?;
        let value = self.random.token_value()?;
        let event = self.event(permit.caller().actor(), permit.account(), None, Action::RollToken, id.to_string());
        let (own, now) = (permit.caller().token().clone(), self.clock.now());
        let judge = move |token: &Token| judge_roll(&own, token, now);
        let rolled = self.store.roll_token(permit.account(), id, sha256(value.as_bytes()), event, judge).await?;
        self.tokens.clear();
        match rolled.ok_or(ServiceError::NotFound(Noun::Token))? {
            Ok(token) => Ok((token, value)),
            Err(why) => Err(ServiceError::invalid("", why)),
        }
    }

    /// Deletes a token; it stops working here at once, in other processes within a second.
    pub async fn delete_token(
        &self,
        permit: &AccountPermit<DeleteToken>,
        id: Option<TokenId>,
    ) -> Result<TokenId, ServiceError> {
        let outcome = self.delete_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn delete_or_refuse(
        &self,
        permit: &AccountPermit<DeleteToken>,
        id: Option<TokenId>,
    ) -> Result<TokenId, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Token))?;
        let event = self.event(permit.caller().actor(), permit.account(), None, Action::DeleteToken, id.to_string());
        let own = permit.caller().token().grants.clone();
        let now = self.clock.now();
        // Judged in the transaction that deletes: two at once must not delete each other's way in.
        let judge = move |tokens: &[Token], token: &Token| judge_deletion(&own, tokens, token, now);
        let deleted = self.store.delete_token(permit.account(), id, event, judge).await?;
        self.tokens.clear();
        match deleted.ok_or(ServiceError::NotFound(Noun::Token))? {
            Ok(()) => Ok(id),
            Err(why) => Err(ServiceError::invalid("", why)),
        }
    }

    /// What a token's value is worth: the token, whatever its state, with that state.
    pub async fn verify_token(
        &self,
        value: &str,
        account: Option<AccountId>,
    ) -> Result<Option<(Arc<Token>, TokenStatus)>, ServiceError> {
        let token = self.token_of(value).await?;
        let token = token.filter(|token| account.is_none_or(|account| token.grants.account == account));
        let now = self.clock.now();
        Ok(token.map(|token| {
            let status = token.status(now);
            (token, status)
        }))
    }

    async fn check_new_token(&self, permit: &AccountPermit<CreateToken>, new: NewToken) -> Result<Token, ServiceError> {
        let now = self.clock.now();
        let mut violations = Vec::new();
        let name = label(&new.name, MAX_NAME_LENGTH).unwrap_or_else(|why| {
            violations.push(Violation::new("/name", why));
            String::new()
        });
        if new.permissions.is_empty() {
            violations.push(Violation::new("/permissions", "permissions must name at least one"));
        }
        if new.expires_on.is_some_and(|end| end <= now) {
            violations.push(Violation::new("/expires_on", "expires_on lies in the past"));
        }
        if let (Some(start), Some(end)) = (new.not_before, new.expires_on)
            && end <= start
        {
            violations.push(Violation::new("/expires_on", "expires_on must be later than not_before"));
        }
        violations.extend(outlives(permit.caller().token(), &new));
        violations.extend(self.check_zones(permit.caller(), new.zones.as_ref()).await?);
        let reach = new.zones.map_or(Reach::Account, Reach::Zones);
        let grants = Grants { account: permit.account(), permissions: new.permissions, reach };
        if !permit.caller().token().grants.cover(&grants) {
            violations.push(Violation::new("/permissions", "a token can only be given what your own token may do"));
        }
        if !violations.is_empty() {
            return Err(ServiceError::Invalid(violations));
        }
        Ok(Token {
            id: TokenId::new(self.random.opaque_id()?),
            name,
            grants,
            created_on: now,
            not_before: new.not_before,
            expires_on: new.expires_on,
        })
    }

    async fn check_zones(
        &self,
        caller: &Caller,
        zones: Option<&BTreeSet<ZoneId>>,
    ) -> Result<Option<Violation>, ServiceError> {
        let Some(zones) = zones else { return Ok(None) };
        if zones.is_empty() {
            return Ok(Some(Violation::new(
                "/zones",
                "zones must name at least one; leave it out for the whole account",
            )));
        }
        let own: BTreeSet<ZoneId> = self.store.zones(caller.account()).await?.iter().map(|zone| zone.id).collect();
        let foreign = zones.iter().find(|zone| !own.contains(zone));
        Ok(foreign.map(|zone| Violation::new("/zones", format!("the account has no zone {zone}"))))
    }
}

/// A token must not live on in the ones it made.
fn outlives(maker: &Token, new: &NewToken) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Some(end) = maker.expires_on
        && new.expires_on.is_none_or(|asked| asked > end)
    {
        let message = format!("expires_on must not be later than your own token's, {}", timestamp(end));
        violations.push(Violation::new("/expires_on", message));
    }
    // Without one it is valid from now, when its maker is too.
    if let (Some(start), Some(asked)) = (maker.not_before, new.not_before)
        && asked < start
    {
        violations.push(Violation::new("/not_before", "not_before must not be earlier than your own token's"));
    }
    violations
}

/// Whether a token with these rights may be handed another value of that one, or why not.
fn judge_roll(own: &Token, token: &Token, now: DateTime<Utc>) -> Result<(), &'static str> {
    if !own.grants.cover(&token.grants) {
        return Err("a token can only be rolled by one that may do at least as much");
    }
    // Otherwise it would live on in what it was handed.
    if own.id != token.id && own.expires_on.is_some_and(|end| token.expires_on.is_none_or(|other| other > end)) {
        return Err("a token can only be rolled by one that is good for at least as long");
    }
    if token.status(now) == TokenStatus::Expired {
        return Err("the token has expired: make another one");
    }
    Ok(())
}

/// Whether a token may be deleted by somebody with these grants, or why not.
fn judge_deletion(own: &Grants, tokens: &[Token], token: &Token, now: DateTime<Utc>) -> Result<(), &'static str> {
    if !own.cover(&token.grants) {
        return Err("a token can only be deleted by one that may do at least as much");
    }
    let is_last = !tokens.iter().any(|other| other.id != token.id && opens_every_door(other, now));
    if is_last && opens_every_door(token, now) {
        return Err("this is the last token that may do everything and never expires; make another one first");
    }
    Ok(())
}

/// Whether everything in the account can be done with this token, now and for good.
fn opens_every_door(token: &Token, now: DateTime<Utc>) -> bool {
    let grants = &token.grants;
    grants.permissions.len() == Permission::ALL.len()
        && grants.reach == Reach::Account
        && token.expires_on.is_none()
        && token.status(now) == TokenStatus::Active
}
