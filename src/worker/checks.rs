//! Runs API checks when their time has come: several at once, each by itself, beside the publishing of CRLs, which never
//! waits for somebody else's slow server.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::id::CheckId;
use crate::service::{Service, ServiceError};

use super::ROUND;

/// How many checks one process runs at once.
const MAX_AT_ONCE: usize = 16;

pub(super) struct CheckRunner {
    service: Arc<Service>,
    running: JoinSet<CheckId>,
    under_way: HashSet<CheckId>,
}

impl CheckRunner {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, running: JoinSet::new(), under_way: HashSet::new() }
    }

    /// Runs until `stop` turns true. Runs under way are then given up: nothing of them was recorded, and they come again.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.start_due().await {
                tracing::warn!(%error, "checks could not be started; the next round tries again");
            }
            tokio::select! {
                Some(finished) = self.running.join_next() => self.forget(finished),
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
            while let Some(finished) = self.running.try_join_next() {
                self.forget(finished);
            }
        }
    }

    async fn start_due(&mut self) -> Result<(), ServiceError> {
        let free = MAX_AT_ONCE.saturating_sub(self.under_way.len());
        if free == 0 {
            return Ok(());
        }
        // Those that were started may not have been claimed yet, and are then among the due ones again.
        let limit = i64::try_from(free + self.under_way.len()).unwrap_or(i64::MAX);
        for (account, id) in self.service.checks_due(limit).await? {
            if self.under_way.len() >= MAX_AT_ONCE || !self.under_way.insert(id) {
                continue;
            }
            let service = Arc::clone(&self.service);
            self.running.spawn(async move {
                match AssertUnwindSafe(service.run_due_check(account, id)).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(check = %id, %error, "a check could not be run"),
                    Err(_) => tracing::error!(check = %id, "a run of a check panicked"),
                }
                id
            });
        }
        Ok(())
    }

    fn forget(&mut self, finished: Result<CheckId, tokio::task::JoinError>) {
        match finished {
            Ok(id) => drop(self.under_way.remove(&id)),
            // Panics are caught inside; only a run that was given up ends so.
            Err(error) => tracing::warn!(%error, "a run of a check was given up"),
        }
    }
}
