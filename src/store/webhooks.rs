//! Webhooks: who is told of a zone's events. Their secrets are sealed by the service before they come here.

use diesel::dsl::{exists, select};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::event_stream::Kinds;
use crate::domain::id::{WebhookId, ZoneId};
use crate::domain::webhook::{Definition, Delivery, Webhook};

use super::authorities::SealedKey;
use super::connection::Connection;
use super::convert::{account_id, damaged, from_json, millis, time, to_json, webhook_id, zone_id};
use super::error::StoreError;
use super::schema::{events, webhook_deliveries, webhooks};
use super::webhook_deliveries::last_delivery;
use super::{Store, audit};

/// A webhook with the secret that its deliveries are signed with.
#[derive(Clone)]
pub struct StoredWebhook {
    pub webhook: Webhook,
    pub sealed_secret: SealedKey,
    /// Counts claims and edits: what was decided of an older one is not stored.
    pub fence: i64,
}

/// What came of storing a webhook. Unless it was stored, nothing was written.
#[derive(Clone, Debug)]
pub enum WebhookStored {
    Stored(Box<Webhook>),
    /// The zone has another one of this name.
    NameIsTaken,
    /// The zone has as many as it may have.
    Full,
    /// It does not stand any more as it was read.
    Overtaken,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhooks)]
struct WebhookRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    zone_id: Vec<u8>,
    last_event: i64,
    attempts: i32,
    retry_at: i64,
    failing_since: Option<i64>,
    lease_until: i64,
    fence: i64,
    created_at: i64,
    updated_at: i64,
    #[diesel(embed)]
    definition: DefinitionRow,
}

/// What an edit replaces.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = webhooks)]
struct DefinitionRow {
    name: String,
    url: String,
    kinds: String,
    hears_account: bool,
    trusted_ca: String,
    sealed_secret: Vec<u8>,
    key_version: i32,
    is_enabled: bool,
}

impl Store {
    /// The webhooks of a zone, oldest first, each with its last delivery.
    pub async fn webhooks(&self, zone: ZoneId) -> Result<Vec<(Webhook, Option<Delivery>)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<WebhookRow> = webhooks::table
                .filter(webhooks::zone_id.eq(zone.as_bytes().as_slice()))
                .order(webhooks::id)
                .select(WebhookRow::as_select())
                .load(connection)?;
            let webhooks = rows.into_iter().map(|row| Ok(row.into_domain()?.webhook));
            let with_last = |webhook: Result<Webhook, StoreError>| {
                let webhook = webhook?;
                let last = last_delivery(connection, zone, webhook.id)?;
                Ok((webhook, last))
            };
            webhooks.map(with_last).collect()
        })
        .await
    }

    pub async fn webhook(&self, zone: ZoneId, id: WebhookId) -> Result<Option<StoredWebhook>, StoreError> {
        self.read(move |connection| find(connection, zone, id)).await
    }

    /// Stores a webhook, which hears of what happens from now on, if the zone has fewer than `limit`.
    pub async fn create_webhook(
        &self,
        new: StoredWebhook,
        limit: i64,
        event: AuditEvent,
    ) -> Result<WebhookStored, StoreError> {
        self.write(move |connection| {
            let of_zone = webhooks::table.filter(webhooks::zone_id.eq(new.webhook.zone.as_bytes().as_slice()));
            let count: i64 = of_zone.count().get_result(connection)?;
            if count >= limit {
                return Ok(WebhookStored::Full);
            }
            if is_name_taken(connection, &new.webhook)? {
                return Ok(WebhookStored::NameIsTaken);
            }
            let newest: Option<i64> = events::table.select(diesel::dsl::max(events::number)).first(connection)?;
            let webhook = Webhook { last_event: newest.unwrap_or_default(), ..new.webhook.clone() };
            let row = WebhookRow::of(&StoredWebhook { webhook: webhook.clone(), ..new.clone() })?;
            diesel::insert_into(webhooks::table).values(row).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(WebhookStored::Stored(Box::new(webhook)))
        })
        .await
    }

    /// Replaces a webhook's definition and secret if it still stands as it was read; with `begins_anew`, failures are
    /// forgotten. A delivery that is under way is made again.
    pub async fn edit_webhook(
        &self,
        edited: StoredWebhook,
        begins_anew: bool,
        event: AuditEvent,
    ) -> Result<WebhookStored, StoreError> {
        self.write(move |connection| {
            let webhook = &edited.webhook;
            let ours = || own(webhook.zone, webhook.id);
            // Those that had one name before names were unique keep it until they get another.
            let name: Option<String> = ours().select(webhooks::name).first(connection).optional()?;
            if name.as_ref() != Some(&webhook.definition.name) && is_name_taken(connection, webhook)? {
                return Ok(WebhookStored::NameIsTaken);
            }
            let updated = diesel::update(ours().filter(webhooks::fence.eq(edited.fence)))
                .set((
                    DefinitionRow::of(&edited)?,
                    webhooks::updated_at.eq(millis(webhook.updated_on)),
                    webhooks::fence.eq(webhooks::fence + 1),
                ))
                .execute(connection)?;
            if updated == 0 {
                return Ok(WebhookStored::Overtaken);
            }
            if begins_anew {
                let fresh =
                    (webhooks::attempts.eq(0), webhooks::retry_at.eq(0), webhooks::failing_since.eq(None::<i64>));
                diesel::update(ours()).set(fresh).execute(connection)?;
            }
            audit::insert(connection, &event)?;
            Ok(WebhookStored::Stored(Box::new(webhook.clone())))
        })
        .await
    }

    /// Deletes a webhook with the log of its deliveries; `false` when there is no such webhook.
    pub async fn delete_webhook(&self, zone: ZoneId, id: WebhookId, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let deliveries = webhook_deliveries::table
                .filter(webhook_deliveries::webhook_id.eq(id.as_bytes().as_slice()))
                .filter(webhook_deliveries::zone_id.eq(zone.as_bytes().as_slice()));
            diesel::delete(deliveries).execute(connection)?;
            let deleted = diesel::delete(own(zone, id)).execute(connection)?;
            if deleted == 1 {
                audit::insert(connection, &event)?;
            }
            Ok(deleted == 1)
        })
        .await
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn own(zone: ZoneId, id: WebhookId) -> _ {
    let id: Vec<u8> = id.as_bytes().to_vec();
    let zone: Vec<u8> = zone.as_bytes().to_vec();
    webhooks::table.filter(webhooks::zone_id.eq(zone)).filter(webhooks::id.eq(id))
}

/// Whether another webhook of the zone has its name.
fn is_name_taken(connection: &mut Connection, webhook: &Webhook) -> Result<bool, StoreError> {
    let others = webhooks::table
        .filter(webhooks::zone_id.eq(webhook.zone.as_bytes().as_slice()))
        .filter(webhooks::id.ne(webhook.id.as_bytes().as_slice()))
        .filter(webhooks::name.eq(&webhook.definition.name));
    Ok(select(exists(others)).get_result(connection)?)
}

pub(super) fn find(
    connection: &mut Connection,
    zone: ZoneId,
    id: WebhookId,
) -> Result<Option<StoredWebhook>, StoreError> {
    let row = own(zone, id).select(WebhookRow::as_select()).first(connection).optional()?;
    row.map(WebhookRow::into_domain).transpose()
}

impl WebhookRow {
    fn of(stored: &StoredWebhook) -> Result<Self, StoreError> {
        let webhook = &stored.webhook;
        Ok(Self {
            id: webhook.id.as_bytes().to_vec(),
            account_id: webhook.account.as_bytes().to_vec(),
            zone_id: webhook.zone.as_bytes().to_vec(),
            last_event: webhook.last_event,
            attempts: webhook.attempts,
            retry_at: millis(webhook.retry_on),
            failing_since: webhook.failing_since.map(millis),
            lease_until: 0,
            fence: stored.fence,
            created_at: millis(webhook.created_on),
            updated_at: millis(webhook.updated_on),
            definition: DefinitionRow::of(stored)?,
        })
    }

    fn into_domain(self) -> Result<StoredWebhook, StoreError> {
        let (definition, sealed_secret) = self.definition.into_domain()?;
        let webhook = Webhook {
            id: webhook_id(&self.id)?,
            account: account_id(&self.account_id)?,
            zone: zone_id(&self.zone_id)?,
            definition,
            last_event: self.last_event,
            attempts: self.attempts,
            retry_on: time(self.retry_at)?,
            failing_since: self.failing_since.map(time).transpose()?,
            created_on: time(self.created_at)?,
            updated_on: time(self.updated_at)?,
        };
        Ok(StoredWebhook { webhook, sealed_secret, fence: self.fence })
    }
}

impl DefinitionRow {
    fn of(stored: &StoredWebhook) -> Result<Self, StoreError> {
        let definition = &stored.webhook.definition;
        Ok(Self {
            name: definition.name.clone(),
            url: definition.url.clone(),
            kinds: to_json(&definition.kinds.words().collect::<Vec<_>>())?,
            hears_account: definition.hears_account,
            trusted_ca: definition.trusted_ca.clone(),
            sealed_secret: stored.sealed_secret.bytes.clone(),
            key_version: stored.sealed_secret.version,
            is_enabled: definition.is_enabled,
        })
    }

    fn into_domain(self) -> Result<(Definition, SealedKey), StoreError> {
        let kinds: Vec<String> = from_json(&self.kinds)?;
        let kinds = Kinds::parse(kinds.iter().map(String::as_str)).map_err(|_| damaged("a webhook's kinds"))?;
        let definition = Definition {
            name: self.name,
            url: self.url,
            kinds,
            hears_account: self.hears_account,
            trusted_ca: self.trusted_ca,
            is_enabled: self.is_enabled,
        };
        Ok((definition, SealedKey { version: self.key_version, bytes: self.sealed_secret }))
    }
}
