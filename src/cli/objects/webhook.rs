//! Webhooks, and what came of telling them.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Webhook {
    pub id: String,
    pub name: String,
    pub url: String,
    /// Empty for every kind.
    pub kinds: Vec<String>,
    pub account_events: bool,
    pub trusted_ca: Option<String>,
    pub enabled: bool,
    pub last_event_id: i64,
    pub failed_attempts: i64,
    pub failing_since: Option<String>,
    pub next_attempt_on: Option<String>,
    pub disabled_reason: Option<String>,
    pub last_delivery: Option<Delivery>,
    /// Only in the answer that made it.
    pub secret: Option<String>,
    pub created_on: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delivery {
    pub id: String,
    pub first_event_id: i64,
    pub last_event_id: i64,
    pub event_count: i64,
    pub attempt: i64,
    pub at: String,
    pub duration_ms: i64,
    pub success: bool,
    pub status: Option<u16>,
    pub failure: Option<String>,
}
