//! What happened that others may want to hear of, beyond who did it: the audit log records each one, and whatever
//! carries news to the outside needs only to hand it on.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::audit::Action;
use super::check::CheckState;
use super::id::{CheckId, IdentityId};
use super::text::timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An identity ends within so many days; told at 30, 14, 7 and 1.
    IdentityExpiring { identity: IdentityId, name: String, expires_on: DateTime<Utc>, within_days: i16 },
    /// A check came to another state than it had; `None` before its first run.
    CheckChanged { check: CheckId, name: String, from: Option<CheckState>, to: CheckState, findings: Vec<String> },
}

impl Event {
    /// What the audit log calls it.
    pub fn action(&self) -> Action {
        match self {
            Self::IdentityExpiring { .. } => Action::NoteExpiry,
            Self::CheckChanged { .. } => Action::ChangeCheckState,
        }
    }

    /// The written id of what it is about.
    pub fn subject(&self) -> String {
        match self {
            Self::IdentityExpiring { identity, .. } => identity.to_string(),
            Self::CheckChanged { check, .. } => check.to_string(),
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::IdentityExpiring { identity, name, expires_on, within_days } => json!({
                "event": self.action().as_str(),
                "identity": {"id": identity.to_string(), "name": name},
                "expires_on": timestamp(*expires_on),
                "within_days": within_days,
            }),
            Self::CheckChanged { check, name, from, to, findings } => json!({
                "event": self.action().as_str(),
                "check": {"id": check.to_string(), "name": name},
                "from": from.map(CheckState::as_str),
                "to": to.as_str(),
                "findings": findings,
            }),
        }
    }
}
