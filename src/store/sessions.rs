//! Sessions of the console, by the SHA-256 of their cookie's value, and the forms that were sent in them.
//!
//! A session is read together with the token it was opened with, by the hash of that token's value: where the token is gone
//! or has another value, there is no session either.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::SessionId;
use crate::domain::session::Session;
use crate::domain::token::Token;

use super::connection::{Connection, on_either};
use super::convert::{account_id, millis, session_id, time};
use super::error::StoreError;
use super::schema::{sessions, spent_forms, tokens};
use super::tokens::{TokenRow, into_domain as token_of};
use super::{Store, audit};

/// A session to be stored. The values themselves are not here.
#[derive(Clone)]
pub struct NewSession {
    pub session: Session,
    pub value_sha256: [u8; 32],
    pub token_sha256: [u8; 32],
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
struct SessionRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    source: String,
    agent: String,
    created_at: i64,
    seen_at: i64,
    expires_at: i64,
}

impl Store {
    /// Opens a session. Of one token's sessions, the `most` newest stay.
    pub async fn open_session(&self, new: NewSession, most: i64, event: AuditEvent) -> Result<(), StoreError> {
        self.write(move |connection| {
            let crowded: Vec<Vec<u8>> = sessions::table
                .filter(sessions::token_sha256.eq(new.token_sha256.as_slice()))
                .order((sessions::created_at.desc(), sessions::id.desc()))
                .offset(most - 1)
                .limit(most)
                .select(sessions::id)
                .load(connection)?;
            forget(connection, crowded)?;
            insert(connection, &new)?;
            audit::insert(connection, &event)
        })
        .await
    }

    /// The session whose value has this SHA-256, and its token.
    pub async fn session_by_value(&self, value_sha256: [u8; 32]) -> Result<Option<(Session, Token)>, StoreError> {
        self.read(move |connection| {
            let row: Option<(SessionRow, TokenRow)> = sessions::table
                .inner_join(tokens::table.on(tokens::value_sha256.eq(sessions::token_sha256)))
                .filter(sessions::value_sha256.eq(value_sha256.as_slice()))
                .select((SessionRow::as_select(), TokenRow::as_select()))
                .first(connection)
                .optional()?;
            row.map(|(session, token)| Ok((session.into_domain()?, token_of(token)?))).transpose()
        })
        .await
    }

    /// The sessions that were opened with the same token as this one, newest first.
    pub async fn sessions_beside(&self, id: SessionId) -> Result<Vec<Session>, StoreError> {
        self.read(move |connection| {
            let Some(token_sha256) = token_behind(connection, id)? else { return Ok(Vec::new()) };
            let rows: Vec<SessionRow> = sessions::table
                .filter(sessions::token_sha256.eq(token_sha256))
                .order((sessions::created_at.desc(), sessions::id.desc()))
                .select(SessionRow::as_select())
                .load(connection)?;
            rows.into_iter().map(SessionRow::into_domain).collect()
        })
        .await
    }

    /// Writes down that the session's owner was there.
    pub async fn note_session(&self, id: SessionId, seen_on: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(sessions::table.find(id.as_bytes().as_slice()))
                .set(sessions::seen_at.eq(millis(seen_on)))
                .execute(connection)?;
            Ok(())
        })
        .await
    }

    /// Ends a session that was opened with the same token as `own`; false when there is none of that id.
    pub async fn end_session(&self, own: SessionId, id: SessionId, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let token_sha256 = token_behind(connection, own)?;
            if token_sha256.is_none() || token_sha256 != token_behind(connection, id)? {
                return Ok(false);
            }
            forget(connection, vec![id.as_bytes().to_vec()])?;
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// Takes a form of a session; false when it was taken before, or the session is gone.
    pub async fn spend_form(
        &self,
        session: SessionId,
        nonce: [u8; 16],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if token_behind(connection, session)?.is_none() {
                return Ok(false);
            }
            let insert = diesel::insert_into(spent_forms::table)
                .values((
                    spent_forms::session_id.eq(session.as_bytes().as_slice()),
                    spent_forms::nonce.eq(nonce.as_slice()),
                    spent_forms::spent_at.eq(millis(now)),
                ))
                .on_conflict((spent_forms::session_id, spent_forms::nonce))
                .do_nothing();
            Ok(on_either!(connection, |connection| insert.execute(connection))? == 1)
        })
        .await
    }

    /// Forgets sessions that are over, by age, by idleness, or with their token.
    pub async fn forget_sessions(&self, now: DateTime<Utc>, oldest_seen: DateTime<Utc>) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let over: Vec<Vec<u8>> = sessions::table
                .left_join(tokens::table.on(tokens::value_sha256.eq(sessions::token_sha256)))
                .filter(
                    sessions::expires_at
                        .le(millis(now))
                        .or(sessions::seen_at.le(millis(oldest_seen)))
                        .or(tokens::id.nullable().is_null()),
                )
                .select(sessions::id)
                .load(connection)?;
            forget(connection, over)
        })
        .await
    }
}

/// Ends every session: those of a backup may have been ended since it was made.
pub(super) fn end_all(connection: &mut Connection) -> Result<(), StoreError> {
    diesel::delete(spent_forms::table).execute(connection)?;
    diesel::delete(sessions::table).execute(connection)?;
    Ok(())
}

fn token_behind(connection: &mut Connection, id: SessionId) -> Result<Option<Vec<u8>>, StoreError> {
    let session = sessions::table.find(id.as_bytes().as_slice());
    Ok(session.select(sessions::token_sha256).first(connection).optional()?)
}

/// With the forms that were sent in them.
fn forget(connection: &mut Connection, ids: Vec<Vec<u8>>) -> Result<usize, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    diesel::delete(spent_forms::table.filter(spent_forms::session_id.eq_any(ids.clone()))).execute(connection)?;
    Ok(diesel::delete(sessions::table.filter(sessions::id.eq_any(ids))).execute(connection)?)
}

fn insert(connection: &mut Connection, new: &NewSession) -> Result<(), StoreError> {
    let session = &new.session;
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id.as_bytes().as_slice()),
            sessions::account_id.eq(session.account.as_bytes().as_slice()),
            sessions::value_sha256.eq(new.value_sha256.as_slice()),
            sessions::token_sha256.eq(new.token_sha256.as_slice()),
            sessions::source.eq(&session.source),
            sessions::agent.eq(&session.agent),
            sessions::created_at.eq(millis(session.created_on)),
            sessions::seen_at.eq(millis(session.seen_on)),
            sessions::expires_at.eq(millis(session.expires_on)),
        ))
        .execute(connection)?;
    Ok(())
}

impl SessionRow {
    fn into_domain(self) -> Result<Session, StoreError> {
        Ok(Session {
            id: session_id(&self.id)?,
            account: account_id(&self.account_id)?,
            source: self.source,
            agent: self.agent,
            created_on: time(self.created_at)?,
            seen_on: time(self.seen_at)?,
            expires_on: time(self.expires_at)?,
        })
    }
}
