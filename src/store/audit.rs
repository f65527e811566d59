//! The audit log: events are written in the transaction of the act itself.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;

use super::connection::Connection;
use super::convert::millis;
use super::error::StoreError;
use super::schema::audit_events;
use super::unnest::{Column, Rows};
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

/// The events of many acts, as if they were written one by one.
pub(super) fn insert_all(connection: &mut Connection, all: &[&AuditEvent]) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(_) => all.iter().try_for_each(|event| insert(connection, event)),
        Connection::Postgres(connection) => {
            rows(all).insert(connection)?;
            events::insert_all(connection, all)
        }
    }
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

fn rows<'a>(all: &[&'a AuditEvent]) -> Rows<'a> {
    let of = || all.iter().copied();
    Rows::of("audit_events")
        .with("id", Column::Binary(of().map(|event| event.id.as_bytes().as_slice()).collect()))
        .with("at", Column::BigInt(of().map(|event| millis(event.at)).collect()))
        .with("account_id", Column::Binary(of().map(|event| event.account.as_bytes().as_slice()).collect()))
        .with(
            "zone_id",
            Column::OptionalBinary(of().map(|event| event.zone.as_ref().map(|id| &id.as_bytes()[..])).collect()),
        )
        .with("actor_token_id", Column::OptionalBinary(of().map(|event| event.actor.kind.token_bytes()).collect()))
        .with("actor_name", Column::OwnedText(of().map(|event| event.actor.kind.name().to_string()).collect()))
        .with("source", Column::Text(of().map(|event| event.actor.source.as_str()).collect()))
        .with("action", Column::Text(of().map(|event| event.action.as_str()).collect()))
        .with("subject", Column::Text(of().map(|event| event.subject.as_str()).collect()))
        .with("result", Column::SmallInt(of().map(|event| event.result.code()).collect()))
        .with("detail", Column::Text(of().map(|event| shortened(&event.detail)).collect()))
}
