//! Jobs and previews as the API tells them.

use serde::Deserialize;
use serde_json::Value;

use super::conditions;
use crate::cli::error::CliError;
use crate::cli::{envelope, output};

/// As far as commands read it; an older or newer server may say less.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    pub id: String,
    pub action: String,
    pub reason: Option<String>,
    pub invalidity_date: Option<String>,
    pub filter: Value,
    pub state: String,
    pub total: u64,
    pub processed: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub refused: u64,
    pub waiting: u64,
    pub created_on: String,
    pub started_on: Option<String>,
    pub finished_on: Option<String>,
    pub failure: Option<String>,
    pub requested_by: Requester,
}

/// The service itself has no id.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Requester {
    pub id: Option<String>,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Preview {
    pub total: u64,
    pub would_change: u64,
    pub would_stay: u64,
    pub would_be_refused: u64,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sample {
    pub id: String,
    pub common_name: String,
    pub status: String,
}

impl Job {
    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running" | "publishing")
    }

    /// How many certificates relying parties can see the outcome of.
    pub fn visible(&self) -> u64 {
        self.processed.saturating_sub(self.waiting)
    }
}

pub fn print(job: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(job);
    }
    let job: Job = envelope::read(job)?;
    let by = match &job.requested_by {
        Requester { id: Some(id), name } => format!("{name} ({id})"),
        Requester { id: None, name } => name.clone(),
    };
    let filter = if job.filter.is_null() { "named one by one".to_owned() } else { conditions::in_words(&job.filter) };
    output::fields(&[
        ("id", job.id.clone()),
        ("action", job.action.clone()),
        ("reason", job.reason.clone().unwrap_or_default()),
        ("invalidity date", job.invalidity_date.clone().unwrap_or_default()),
        ("certificates", filter),
        ("state", job.state.clone()),
        ("failure", job.failure.clone().unwrap_or_default()),
        ("looked at", format!("{} of {}", job.processed, job.total)),
        ("changed", job.changed.to_string()),
        ("unchanged", job.unchanged.to_string()),
        ("refused", job.refused.to_string()),
        ("waiting", format!("{} for the CRL", job.waiting)),
        ("requested", format!("{} by {by}", job.created_on)),
        ("started", job.started_on.clone().unwrap_or_default()),
        ("finished", job.finished_on.clone().unwrap_or_default()),
    ])
}
