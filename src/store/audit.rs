//! The audit log: events are written in the transaction of the act itself.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;

use super::connection::Connection;
use super::convert::millis;
use super::error::StoreError;
use super::schema::audit_events;
use super::{Store, events};

impl Store {
    /// Records an act that changed nothing: a refusal.
    pub async fn record(&self, event: AuditEvent) -> Result<(), StoreError> {
        self.write(move |connection| insert(connection, &event)).await
    }
}

/// Details repeat what callers sent; the log keeps a page of it.
fn shortened(detail: &str) -> &str {
    const MAX_CHARACTERS: usize = 4000;
    detail.char_indices().nth(MAX_CHARACTERS).map_or(detail, |(end, _)| detail.split_at(end).0)
}

pub(super) fn insert(connection: &mut Connection, event: &AuditEvent) -> Result<(), StoreError> {
    let (token, name) = (event.actor.kind.token(), event.actor.kind.name());
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::id.eq(event.id.as_bytes().as_slice()),
            audit_events::at.eq(millis(event.at)),
            audit_events::account_id.eq(event.account.as_bytes().as_slice()),
            audit_events::zone_id.eq(event.zone.as_ref().map(|id| id.as_bytes().to_vec())),
            audit_events::actor_token_id.eq(token.map(|id| id.as_bytes().to_vec())),
            audit_events::actor_name.eq(name),
            audit_events::source.eq(&event.actor.source),
            audit_events::action.eq(event.action.as_str()),
            audit_events::subject.eq(&event.subject),
            audit_events::result.eq(event.result.code()),
            audit_events::detail.eq(shortened(&event.detail)),
        ))
        .execute(connection)?;
    match &event.news {
        Some(news) => events::insert(connection, event, news),
        None => Ok(()),
    }
}
