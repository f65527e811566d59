//! Whether the service can do its work: for those who route traffic to it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::timeout;

use crate::domain::authority::AuthorityState;

use super::Service;

/// A worker that has not been round for this long is reported as stuck.
const WORKER_SILENCE: TimeDelta = TimeDelta::seconds(30);

/// For each part. A write that finds the database locked takes two seconds to say so.
const PATIENCE: Duration = Duration::from_secs(3);

/// Transitions that wait longer than this are reported.
const TRANSITION_PATIENCE: TimeDelta = TimeDelta::minutes(1);

#[derive(Default)]
pub(super) struct Health {
    /// When the worker last finished a round, in Unix milliseconds.
    worker_seen_at: AtomicI64,
}

/// One part of the service, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: &'static str,
    /// In words for everybody: the details are in the log.
    pub fault: Option<&'static str>,
}

impl Service {
    /// Checks the database, the keys and the worker. Who asks hears within a few seconds, also of a database that is away
    /// in silence.
    pub async fn parts(&self) -> Vec<Part> {
        let database = timeout(PATIENCE, self.database_fault()).await;
        let database = database.unwrap_or(Some("the database does not answer"));
        let keys = timeout(PATIENCE, self.keys_fault()).await;
        let worker = timeout(PATIENCE, self.worker_fault()).await;
        vec![
            Part { name: "database", fault: database },
            Part { name: "keys", fault: keys.unwrap_or(Some("the authorities' keys cannot be read")) },
            Part { name: "worker", fault: worker.unwrap_or(Some("the worker cannot be asked")) },
        ]
    }

    /// Called by the worker after each round.
    pub fn worker_is_alive(&self) {
        self.health.worker_seen_at.store(self.clock.now().timestamp_millis(), Ordering::Relaxed);
    }

    async fn database_fault(&self) -> Option<&'static str> {
        let error = self.store.check().await.err()?;
        tracing::warn!(%error, "the database does not answer");
        Some("the database does not answer")
    }

    /// Opens the operator's root key, unless it is open already.
    async fn keys_fault(&self) -> Option<&'static str> {
        const FAULT: &str = "the authorities' keys cannot be opened";
        let Ok(Some(account)) = self.store.operator_account().await else { return Some(FAULT) };
        let Ok(roots) = self.store.roots(account.id).await else { return Some(FAULT) };
        let root = roots.iter().find(|root| root.state == AuthorityState::Active)?;
        self.keyring.signer(&self.store, root).await.err().map(|_| FAULT)
    }

    async fn worker_fault(&self) -> Option<&'static str> {
        let now = self.clock.now();
        let seen_at = self.health.worker_seen_at.load(Ordering::Relaxed);
        // Either way: a clock that was set back must not make a stuck worker look young.
        if (now.timestamp_millis() - seen_at).abs() > WORKER_SILENCE.num_milliseconds() {
            return Some("the worker has not been round for 30 seconds");
        }
        let (_, oldest) = self.store.waiting_transitions().await.unwrap_or_default();
        let is_late = oldest.is_some_and(|oldest| now - oldest > TRANSITION_PATIENCE);
        is_late.then_some("a requested revocation or reactivation has waited for more than a minute")
    }
}
