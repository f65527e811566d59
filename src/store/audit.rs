//! The audit log: events are written in the transaction of the act itself.

use crate::domain::audit::AuditEvent;

use super::bulk_insert::{Row, Value};
use super::connection::Connection;
use super::convert::millis;
use super::error::StoreError;
use super::schema::audit_events;
use super::{Store, bulk_insert, events};

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

/// The events of many acts, and what others hear of them.
pub(super) fn insert_all(connection: &mut Connection, all: &[&AuditEvent]) -> Result<(), StoreError> {
    let rows: Vec<Row<'_>> = all.iter().map(|event| row(event)).collect();
    bulk_insert::insert::<audit_events::table>(connection, "audit_events", &rows)?;
    events::insert_all(connection, all)
}

pub(super) fn insert(connection: &mut Connection, event: &AuditEvent) -> Result<(), StoreError> {
    insert_all(connection, &[event])
}

/// As it is inserted into `audit_events`.
pub(super) fn row(event: &AuditEvent) -> Row<'_> {
    let actor = &event.actor;
    vec![
        ("id", Value::binary(event.id.as_bytes())),
        ("at", Value::BigInt(millis(event.at))),
        ("account_id", Value::binary(event.account.as_bytes())),
        ("zone_id", Value::Binary(event.zone.as_ref().map(|id| id.as_bytes().as_slice()))),
        ("actor_token_id", Value::Binary(actor.kind.token_bytes())),
        ("actor_name", Value::Text(actor.kind.name().into())),
        ("source", Value::text(&actor.source)),
        ("action", Value::text(event.action.as_str())),
        ("subject", Value::text(&event.subject)),
        ("result", Value::SmallInt(event.result.code())),
        ("detail", Value::text(shortened(&event.detail))),
    ]
}
