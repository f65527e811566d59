//! A webhook and its deliveries on the wire. The secret is shown where it is made, and nowhere else.

use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::text::timestamp;
use crate::domain::webhook::{Delivery, Webhook};
use crate::service::webhooks::DefinedWebhook;

#[derive(Serialize, ToSchema)]
pub struct WireWebhook {
    /// UUID.
    id: String,
    name: String,
    url: String,
    /// Which kinds of events it hears of; empty for every kind.
    kinds: Vec<&'static str>,
    /// Whether it also hears of what belongs to the account as a whole (`identity.expiring`, `check.state`): what whoever
    /// defined it may see.
    account_events: bool,
    /// PEM of the CAs that the receiver is verified by; null for those of the system.
    trusted_ca: Option<String>,
    enabled: bool,
    /// The number of the last event that was delivered or passed over.
    last_event_id: i64,
    /// How often the next delivery was tried in vain.
    failed_attempts: i32,
    failing_since: Option<String>,
    /// When a failed delivery is tried again.
    next_attempt_on: Option<String>,
    /// Why the service switched it off by itself.
    disabled_reason: Option<String>,
    #[schema(value_type = Option<WireDelivery>)]
    last_delivery: Option<WireDelivery>,
    /// What deliveries are signed with: only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    secret: Option<String>,
    created_on: String,
    updated_on: String,
}

/// One attempt to tell a webhook.
#[derive(Serialize, ToSchema)]
pub struct WireDelivery {
    /// UUID, ordered by time; `Countersign-Delivery` in the call itself.
    id: String,
    /// The numbers of the first and last event in it; 0 for a test.
    first_event_id: i64,
    last_event_id: i64,
    event_count: i32,
    /// From 1, of these events.
    attempt: i32,
    at: String,
    duration_ms: i64,
    success: bool,
    /// The status of the answer; null when there was none.
    status: Option<u16>,
    /// Why it does not count as delivered.
    failure: Option<String>,
}

impl WireWebhook {
    pub fn of(webhook: Webhook, last: Option<Delivery>) -> Self {
        let disabled_reason = webhook.disabled_reason(last.as_ref());
        let waits = webhook.attempts > 0 && webhook.definition.is_enabled;
        let definition = webhook.definition;
        Self {
            id: webhook.id.to_string(),
            name: definition.name,
            url: definition.url,
            kinds: definition.kinds.words().collect(),
            account_events: definition.hears_account,
            trusted_ca: Some(definition.trusted_ca).filter(|pem| !pem.is_empty()),
            enabled: definition.is_enabled,
            last_event_id: webhook.last_event,
            failed_attempts: webhook.attempts,
            failing_since: webhook.failing_since.map(timestamp),
            next_attempt_on: waits.then(|| timestamp(webhook.retry_on)),
            disabled_reason,
            last_delivery: last.map(WireDelivery::from),
            secret: None,
            created_on: timestamp(webhook.created_on),
            updated_on: timestamp(webhook.updated_on),
        }
    }

    pub fn defined(defined: DefinedWebhook) -> Self {
        let secret = defined.secret.map(|secret| secret.expose_secret().to_owned());
        Self { secret, ..Self::of(defined.webhook, defined.last_delivery) }
    }
}

impl From<Delivery> for WireDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            first_event_id: delivery.first_event,
            last_event_id: delivery.last_event,
            event_count: delivery.event_count,
            attempt: delivery.attempt,
            at: timestamp(delivery.at),
            duration_ms: delivery.duration_millis,
            success: delivery.is_success(),
            status: delivery.status,
            failure: delivery.failure,
        }
    }
}
