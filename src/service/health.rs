//! Whether the service can do its work: for those who route traffic to it.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::domain::authority::AuthorityState;

use super::Service;

/// A worker that has not been round for this long is reported as stuck.
const WORKER_SILENCE: TimeDelta = TimeDelta::seconds(30);

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
    /// Checks the database, the keys and the worker.
    pub async fn parts(&self) -> Vec<Part> {
        vec![
            Part { name: "database", fault: self.database_fault().await },
            Part { name: "keys", fault: self.keys_fault().await },
            Part { name: "worker", fault: self.worker_fault().await },
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
