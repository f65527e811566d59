//! Telling webhooks: the events of a zone in order, signed, each batch again until the receiver takes it.
//!
//! At least once: where the process ends between an answer and its record, the same is delivered again. A receiver knows
//! an event by its number.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::audit::{Action, Actor};
use crate::domain::egress::check_url;
use crate::domain::event_stream::{Kinds, NumberedEvent};
use crate::domain::id::{DeliveryId, WebhookId};
use crate::domain::webhook::{Delivery, LONGEST_PAUSE, MAX_EVENTS, Webhook, is_given_up, pause_after};
use crate::egress::{Exchange, OutgoingRequest};
use crate::keys::webhook_signature;
use crate::store::{DueWebhook, EventChoice, Standing, StoredWebhook};
use crate::x509::pem;

use super::access::{WriteWebhooks, ZonePermit};
use super::keyring::Record;
use super::turns::Turn;
use super::{Service, ServiceError};

/// For everything together: name, connection, the request and the head of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Beyond its time-out, a delivery may wait for the database. One that comes later is made again.
const LEASE: TimeDelta = TimeDelta::seconds(40);
/// Nobody pauses and no lease lasts longer: what reaches further was written by a clock that ran ahead.
const HORIZON: TimeDelta = LONGEST_PAUSE;
/// A delivery is not longer than this, unless one event alone is.
const MAX_BYTES: usize = 256 * 1024;
/// How much of the answer's body is read, in bytes: so that the receiver is not cut short. None of it is kept.
const MAX_ANSWER: usize = 16 * 1024;
/// In characters.
const MAX_FAILURE: usize = 500;

#[derive(Serialize)]
struct Body<'a> {
    webhook_id: String,
    delivery_id: String,
    events: &'a [Value],
}

/// What is sent at once.
struct Batch {
    events: Vec<Value>,
    first: i64,
    last: i64,
}

impl Service {
    /// Webhooks that have something to be told, and that nobody is at.
    pub async fn webhooks_due(&self, limit: i64) -> Result<Vec<DueWebhook>, ServiceError> {
        let now = self.clock.now();
        Ok(self.store.webhooks_due(now, now + HORIZON, limit).await?)
    }

    /// Tells a webhook what comes next for it, unless somebody else was faster. Once `given_up` resolves, it is left to
    /// whoever comes next.
    pub async fn tell_webhook(&self, due: DueWebhook, given_up: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let Some(claimed) = self.store.claim_webhook(due.zone, due.id, now, now + HORIZON, now + LEASE).await? else {
            return Ok(());
        };
        let webhook = &claimed.stored.webhook;
        let found = self.store.events_after(wanted(webhook), webhook.last_event, MAX_EVENTS).await?;
        let (batch, came_to) = bounded(&found.events, found.looked_until);
        if batch.events.is_empty() {
            self.store.settle_webhook(claimed, None, Standing::CameTo(came_to)).await?;
            return Ok(());
        }
        let delivery = tokio::select! {
            delivery = self.deliver(&claimed.stored, &batch, webhook.attempts.saturating_add(1)) => Some(delivery?),
            () = given_up => None,
        };
        let Some(delivery) = delivery else {
            return Ok(self.store.let_go_webhook(claimed).await?);
        };
        let standing = if delivery.is_success() {
            Standing::CameTo(came_to)
        } else {
            self.standing_of_failure(webhook, &delivery)
        };
        self.store.settle_webhook(claimed, Some(delivery), standing).await?;
        Ok(())
    }

    /// Sends a webhook a `ping` now, whether it is on or off, and says what came of it.
    pub async fn test_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
        _turn: Turn,
    ) -> Result<Delivery, ServiceError> {
        let outcome = self.test_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn test_or_refuse(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
    ) -> Result<Delivery, ServiceError> {
        let stored = self.stored_webhook(permit.zone(), id).await?;
        // Before anything is sent: a crash in between must not leave a call that nobody knows of.
        self.store.record(self.event_of_webhook(permit, Action::TestWebhook, &stored.webhook)).await?;
        let ping = NumberedEvent {
            number: 0,
            account: stored.webhook.account,
            zone: Some(stored.webhook.zone),
            at: self.clock.now(),
            kind: "ping".into(),
            body: [("event".to_owned(), json!("ping"))].into_iter().collect(),
        };
        let batch = Batch { events: vec![ping.to_json()], first: 0, last: 0 };
        let delivery = self.deliver(&stored, &batch, 1).await?;
        self.store.log_delivery(permit.zone(), delivery.clone()).await?;
        Ok(delivery)
    }

    /// Makes one call. Only a fault of ours is an error: whatever the receiver does is in the delivery.
    async fn deliver(&self, stored: &StoredWebhook, batch: &Batch, attempt: i32) -> Result<Delivery, ServiceError> {
        let webhook = &stored.webhook;
        let at = self.clock.now();
        let id = DeliveryId::new(self.random.ordered_id(at));
        let exchange = self.egress.send(self.request(stored, batch, id, at)?).await;
        let (status, failure) = judge(&exchange);
        let result = if failure.is_none() { "taken" } else { "failed" };
        metrics::counter!("countersign_webhook_deliveries_total", "result" => result).increment(1);
        Ok(Delivery {
            id,
            webhook: webhook.id,
            first_event: batch.first,
            last_event: batch.last,
            event_count: i32::try_from(batch.events.len()).unwrap_or(i32::MAX),
            attempt,
            at,
            duration_millis: milliseconds(exchange.timings.total),
            status,
            failure: failure.map(|failure| failure.chars().take(MAX_FAILURE).collect()),
        })
    }

    fn request(
        &self,
        stored: &StoredWebhook,
        batch: &Batch,
        id: DeliveryId,
        at: DateTime<Utc>,
    ) -> Result<OutgoingRequest, ServiceError> {
        let webhook = &stored.webhook;
        let internal = |why: String| ServiceError::Internal(format!("webhook {}: {why}", webhook.id));
        let body = Body { webhook_id: webhook.id.to_string(), delivery_id: id.to_string(), events: &batch.events };
        let body = serde_json::to_vec(&body).map_err(|error| internal(error.to_string()))?;
        let secret = self.keyring.unseal(Record::Webhook(webhook.id), &stored.sealed_secret)?;
        let secret = std::str::from_utf8(&secret).map_err(|_| internal("its secret is no text".into()))?;
        let signature = webhook_signature::sign(&SecretString::from(secret), at.timestamp(), &body);
        let header = |name: &str, value: String| (name.to_owned(), SecretString::from(value));
        Ok(OutgoingRequest {
            url: check_url(&webhook.definition.url).map_err(internal)?,
            method: "POST".into(),
            headers: vec![
                header("Content-Type", "application/json".into()),
                header("Countersign-Signature", signature),
                header("Countersign-Delivery", id.to_string()),
            ],
            body: Some(Zeroizing::new(body)),
            timeout: TIMEOUT,
            max_body: MAX_ANSWER,
            max_redirects: 0,
            identity: None,
            trusted_ca: pem::decode_all("CERTIFICATE", &webhook.definition.trusted_ca).map_err(internal)?,
        })
    }

    fn standing_of_failure(&self, webhook: &Webhook, delivery: &Delivery) -> Standing {
        let now = self.clock.now();
        let attempts = delivery.attempt;
        let since = webhook.failing_since.unwrap_or(now);
        let failure = delivery.failure.as_deref().unwrap_or_default();
        if !is_given_up(since, delivery.status, now) {
            if attempts == 1 {
                tracing::warn!(webhook = %webhook.id, failure, "a webhook fails; it is tried again");
            }
            return Standing::Failing { attempts, retry_on: now + pause_after(attempts), since };
        }
        tracing::warn!(webhook = %webhook.id, failure, "a webhook was switched off: it is gone, or has failed for too long");
        let subject = webhook.id.to_string();
        let mut event =
            self.event(Actor::system(), webhook.account, Some(webhook.zone), Action::DisableWebhook, subject);
        event.detail = failure.to_owned();
        Standing::GivenUp { attempts, since, event: Box::new(event) }
    }
}

fn wanted(webhook: &Webhook) -> EventChoice {
    let kinds: Kinds = webhook.definition.kinds.clone();
    EventChoice { account: webhook.account, zone: webhook.zone, with_account: webhook.definition.hears_account, kinds }
}

/// As many of the events as fit into one delivery, and how far the webhook has come with them.
fn bounded(found: &[NumberedEvent], looked_until: i64) -> (Batch, i64) {
    let mut batch = Batch { events: Vec::new(), first: found.first().map_or(0, |event| event.number), last: 0 };
    let mut length = 0;
    for event in found {
        let told = event.to_json();
        length += told.to_string().len();
        if length > MAX_BYTES && !batch.events.is_empty() {
            let came_to = batch.last;
            return (batch, came_to);
        }
        batch.events.push(told);
        batch.last = event.number;
    }
    (batch, looked_until)
}

/// The status of the answer, and why it is no success.
fn judge(exchange: &Exchange) -> (Option<u16>, Option<String>) {
    match &exchange.outcome {
        Ok(answer) if (200..300).contains(&answer.status) => (Some(answer.status), None),
        Ok(answer) if (300..400).contains(&answer.status) => {
            let why = format!(
                "the receiver answered {}, and redirects are not followed: name the address itself",
                answer.status
            );
            (Some(answer.status), Some(why))
        }
        Ok(answer) => (Some(answer.status), Some(format!("the receiver answered {}", answer.status))),
        Err(failure) => (None, Some(format!("{}: {}", failure.stage.as_str(), failure.message))),
    }
}

fn milliseconds(total: Option<Duration>) -> i64 {
    total.and_then(|total| i64::try_from(total.as_millis()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::domain::id::AccountId;

    use super::*;

    fn event(number: i64, length: usize) -> NumberedEvent {
        NumberedEvent {
            number,
            account: AccountId::new(Uuid::nil()),
            zone: None,
            at: DateTime::UNIX_EPOCH,
            kind: "check.state".into(),
            body: [("findings".to_owned(), json!("x".repeat(length)))].into_iter().collect(),
        }
    }

    #[test]
    fn a_delivery_is_bounded_and_nothing_is_left_out() {
        let found: Vec<_> = (1..=5).map(|number| event(number, 100_000)).collect();
        let (batch, came_to) = bounded(&found, 9);
        assert_eq!((batch.events.len(), batch.first, batch.last, came_to), (2, 1, 2, 2));
        let (batch, came_to) = bounded(&found[4..], 9);
        assert_eq!((batch.events.len(), batch.first, batch.last, came_to), (1, 5, 5, 9));
        let (batch, came_to) = bounded(&[event(1, MAX_BYTES * 2), event(2, 1)], 9);
        assert_eq!((batch.events.len(), came_to), (1, 1));
        let (batch, came_to) = bounded(&[], 9);
        assert_eq!((batch.events.len(), came_to), (0, 9));
    }
}
