//! Telling webhooks: claims with a fence and a lease, how far each has come, and the log of what was tried.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::{AccountId, WebhookId, ZoneId};
use crate::domain::webhook::{Delivery, KEPT_DELIVERIES};

use super::certificates::{Page, Window};
use super::connection::Connection;
use super::convert::{account_id, damaged, delivery_id, millis, time, webhook_id, zone_id};
use super::error::StoreError;
use super::schema::{events, webhook_deliveries, webhooks};
use super::webhooks::{StoredWebhook, find, own};
use super::{Store, audit};

/// A webhook that may have something to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWebhook {
    pub account: AccountId,
    pub zone: ZoneId,
    pub id: WebhookId,
}

/// A webhook that is being told, by us alone until the lease is over.
#[derive(Clone)]
pub struct ClaimedWebhook {
    pub stored: StoredWebhook,
    /// Unix milliseconds. Tells our lease from later ones, when the webhook was edited meanwhile.
    lease_until: i64,
}

/// How a webhook stands after a delivery.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It was told, or there was nothing for it, up to this event.
    CameTo(i64),
    /// It failed; tried again at `retry_on`.
    Failing { attempts: i32, retry_on: DateTime<Utc>, since: DateTime<Utc> },
    /// It failed once more, and is switched off.
    GivenUp { attempts: i32, since: DateTime<Utc>, event: Box<AuditEvent> },
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_deliveries)]
struct DeliveryRow {
    webhook_id: Vec<u8>,
    id: Vec<u8>,
    zone_id: Vec<u8>,
    first_event: i64,
    last_event: i64,
    event_count: i32,
    attempt: i32,
    at: i64,
    duration_millis: i64,
    status: Option<i32>,
    failure: Option<String>,
}

impl Store {
    /// Webhooks of all accounts that nobody is at and whose zone, or account, has events that they have not come to, those
    /// that are furthest behind first. `horizon` is as far as pauses and leases reach.
    pub async fn webhooks_due(
        &self,
        now: DateTime<Utc>,
        horizon: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<DueWebhook>, StoreError> {
        self.read(move |connection| {
            let of_account = || {
                events::table
                    .filter(events::account_id.eq(webhooks::account_id))
                    .filter(events::number.gt(webhooks::last_event))
            };
            let in_zone = exists(of_account().filter(events::zone_id.eq(webhooks::zone_id.nullable())));
            let in_account = exists(of_account().filter(events::zone_id.is_null()));
            let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = webhooks::table
                .filter(webhooks::is_enabled.eq(true))
                .filter(is_free(now, horizon))
                .filter(in_zone.or(webhooks::hears_account.eq(true).and(in_account)))
                .order((webhooks::last_event, webhooks::id))
                .limit(limit)
                .select((webhooks::account_id, webhooks::zone_id, webhooks::id))
                .load(connection)?;
            let read = |(account, zone, id): &(Vec<u8>, Vec<u8>, Vec<u8>)| {
                Ok(DueWebhook { account: account_id(account)?, zone: zone_id(zone)?, id: webhook_id(id)? })
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Takes a webhook for one delivery: nobody else delivers to it before `until`. `None` when somebody is at it, or it is
    /// gone, switched off, or to be tried again later.
    pub async fn claim_webhook(
        &self,
        zone: ZoneId,
        id: WebhookId,
        now: DateTime<Utc>,
        horizon: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<ClaimedWebhook>, StoreError> {
        self.write(move |connection| {
            let free = own(zone, id).filter(webhooks::is_enabled.eq(true)).filter(is_free(now, horizon));
            let lease = (webhooks::lease_until.eq(millis(until)), webhooks::fence.eq(webhooks::fence + 1));
            if diesel::update(free).set(lease).execute(connection)? == 0 {
                return Ok(None);
            }
            let stored = find(connection, zone, id)?;
            Ok(stored.map(|stored| ClaimedWebhook { stored, lease_until: millis(until) }))
        })
        .await
    }

    /// Ends a claim: logs the delivery, if there was one, and notes how the webhook stands, in one transaction. `false` when
    /// the claim was lost, or the webhook was changed meanwhile: the same is delivered again then.
    pub async fn settle_webhook(
        &self,
        claimed: ClaimedWebhook,
        delivery: Option<Delivery>,
        standing: Standing,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let webhook = &claimed.stored.webhook;
            let (zone, id) = (webhook.zone, webhook.id);
            if let Some(delivery) = &delivery {
                log(connection, zone, delivery)?;
            }
            let ours = || own(zone, id).filter(webhooks::fence.eq(claimed.stored.fence));
            let settled = match &standing {
                Standing::CameTo(event) => diesel::update(ours())
                    .set((
                        webhooks::last_event.eq(event),
                        webhooks::attempts.eq(0),
                        webhooks::retry_at.eq(0),
                        webhooks::failing_since.eq(None::<i64>),
                    ))
                    .execute(connection)?,
                Standing::Failing { attempts, retry_on, since } => diesel::update(ours())
                    .set((
                        webhooks::attempts.eq(attempts),
                        webhooks::retry_at.eq(millis(*retry_on)),
                        webhooks::failing_since.eq(millis(*since)),
                    ))
                    .execute(connection)?,
                Standing::GivenUp { attempts, since, .. } => diesel::update(ours())
                    .set((
                        webhooks::attempts.eq(attempts),
                        webhooks::failing_since.eq(millis(*since)),
                        webhooks::is_enabled.eq(false),
                    ))
                    .execute(connection)?,
            };
            if let Standing::GivenUp { event, .. } = &standing
                && settled == 1
            {
                audit::insert(connection, event)?;
            }
            end_lease(connection, &claimed)?;
            Ok(settled == 1)
        })
        .await
    }

    /// Lets a webhook go that was claimed and not told: its turn is at once.
    pub async fn let_go_webhook(&self, claimed: ClaimedWebhook) -> Result<(), StoreError> {
        self.write(move |connection| end_lease(connection, &claimed)).await
    }

    /// Logs a delivery that does not count: a test.
    pub async fn log_delivery(&self, zone: ZoneId, delivery: Delivery) -> Result<(), StoreError> {
        self.write(move |connection| log(connection, zone, &delivery)).await
    }

    /// The last delivery of a webhook, tests aside.
    pub async fn last_delivery(&self, zone: ZoneId, id: WebhookId) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| last_delivery(connection, zone, id)).await
    }

    /// The last deliveries of a webhook, the newest first; `None` when there is no such webhook.
    pub async fn deliveries(
        &self,
        zone: ZoneId,
        id: WebhookId,
        window: Window,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        self.read(move |connection| {
            if find(connection, zone, id)?.is_none() {
                return Ok(None);
            }
            let logged = || {
                webhook_deliveries::table
                    .filter(webhook_deliveries::webhook_id.eq(id.as_bytes().to_vec()))
                    .filter(webhook_deliveries::zone_id.eq(zone.as_bytes().to_vec()))
            };
            let rows: Vec<DeliveryRow> = logged()
                .order(webhook_deliveries::id.desc())
                .offset(window.offset)
                .limit(window.length)
                .select(DeliveryRow::as_select())
                .load(connection)?;
            let items = rows.into_iter().map(DeliveryRow::into_domain).collect::<Result<_, _>>()?;
            Ok(Some(Page { items, total: logged().count().get_result(connection)? }))
        })
        .await
    }
}

/// Whether nobody is at it and its pause is over. What reaches beyond the horizon was written before the clock was set back.
#[diesel::dsl::auto_type(no_type_alias)]
fn is_free(now: DateTime<Utc>, horizon: DateTime<Utc>) -> _ {
    let (now, horizon): (i64, i64) = (millis(now), millis(horizon));
    let lease_is_over = webhooks::lease_until.le(now).or(webhooks::lease_until.gt(horizon));
    let pause_is_over = webhooks::retry_at.le(now).or(webhooks::retry_at.gt(horizon));
    lease_is_over.and(pause_is_over)
}

pub(super) fn last_delivery(
    connection: &mut Connection,
    zone: ZoneId,
    id: WebhookId,
) -> Result<Option<Delivery>, StoreError> {
    let row = webhook_deliveries::table
        .filter(webhook_deliveries::webhook_id.eq(id.as_bytes().as_slice()))
        .filter(webhook_deliveries::zone_id.eq(zone.as_bytes().as_slice()))
        .filter(webhook_deliveries::first_event.gt(0))
        .order(webhook_deliveries::id.desc())
        .select(DeliveryRow::as_select())
        .first(connection)
        .optional()?;
    row.map(DeliveryRow::into_domain).transpose()
}

/// Ends the leases of a process that is gone.
pub(super) fn release_all(connection: &mut Connection) -> Result<(), StoreError> {
    diesel::update(webhooks::table.filter(webhooks::lease_until.gt(0)))
        .set(webhooks::lease_until.eq(0))
        .execute(connection)?;
    Ok(())
}

/// Ends the lease of a delivery, also of one that an edit has disowned, and of no later one.
fn end_lease(connection: &mut Connection, claimed: &ClaimedWebhook) -> Result<(), StoreError> {
    let webhook = &claimed.stored.webhook;
    let ours = own(webhook.zone, webhook.id).filter(webhooks::lease_until.eq(claimed.lease_until));
    diesel::update(ours).set(webhooks::lease_until.eq(0)).execute(connection)?;
    Ok(())
}

/// Logs a delivery and drops those beyond the ones that are kept; a webhook that is gone has no log.
fn log(connection: &mut Connection, zone: ZoneId, delivery: &Delivery) -> Result<(), StoreError> {
    if find(connection, zone, delivery.webhook)?.is_none() {
        return Ok(());
    }
    diesel::insert_into(webhook_deliveries::table).values(DeliveryRow::of(zone, delivery)).execute(connection)?;
    let logged = || {
        webhook_deliveries::table
            .filter(webhook_deliveries::webhook_id.eq(delivery.webhook.as_bytes().to_vec()))
            .filter(webhook_deliveries::zone_id.eq(zone.as_bytes().to_vec()))
    };
    let oldest_kept: Option<Vec<u8>> = logged()
        .order(webhook_deliveries::id.desc())
        .offset(KEPT_DELIVERIES - 1)
        .select(webhook_deliveries::id)
        .first(connection)
        .optional()?;
    if let Some(oldest) = oldest_kept {
        diesel::delete(logged().filter(webhook_deliveries::id.lt(oldest))).execute(connection)?;
    }
    Ok(())
}

impl DeliveryRow {
    fn of(zone: ZoneId, delivery: &Delivery) -> Self {
        Self {
            webhook_id: delivery.webhook.as_bytes().to_vec(),
            id: delivery.id.as_bytes().to_vec(),
            zone_id: zone.as_bytes().to_vec(),
            first_event: delivery.first_event,
            last_event: delivery.last_event,
            event_count: delivery.event_count,
            attempt: delivery.attempt,
            at: millis(delivery.at),
            duration_millis: delivery.duration_millis,
            status: delivery.status.map(i32::from),
            failure: delivery.failure.clone(),
        }
    }

    fn into_domain(self) -> Result<Delivery, StoreError> {
        let status = self.status.map(u16::try_from).transpose().map_err(|_| damaged("the status of a delivery"))?;
        Ok(Delivery {
            id: delivery_id(&self.id)?,
            webhook: webhook_id(&self.webhook_id)?,
            first_event: self.first_event,
            last_event: self.last_event,
            event_count: self.event_count,
            attempt: self.attempt,
            at: time(self.at)?,
            duration_millis: self.duration_millis,
            status,
            failure: self.failure,
        })
    }
}
