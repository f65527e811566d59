//! Events: what others may want to hear of, numbered in the order in which it became durable.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::event::Event;

use super::connection::Connection;
use super::convert::millis;
use super::error::StoreError;
use super::schema::events;

/// Written with the audit event of the same act.
pub(super) fn insert(connection: &mut Connection, audit: &AuditEvent, news: &Event) -> Result<(), StoreError> {
    diesel::insert_into(events::table)
        .values((
            events::account_id.eq(audit.account.as_bytes().as_slice()),
            events::zone_id.eq(audit.zone.as_ref().map(|id| id.as_bytes().to_vec())),
            events::at.eq(millis(audit.at)),
            events::kind.eq(news.kind()),
            events::body.eq(news.to_json().to_string()),
        ))
        .execute(connection)?;
    Ok(())
}
