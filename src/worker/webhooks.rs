//! Tells webhooks what happened, as soon as it did: several at once, each by itself, beside the publishing of CRLs, which
//! never waits for somebody else's slow server.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::id::{AccountId, WebhookId};
use crate::service::{Service, ServiceError};

use super::checks::in_turns;
use super::{ROUND, last_words, stopped};

/// How many webhooks one process tells at once, and how many of them for one account: some are left for others, whatever
/// somebody's slow servers do.
const MAX_AT_ONCE: usize = 16;
const MAX_PER_ACCOUNT: usize = 8;
/// How many that are due are looked at in one round.
const LOOK_AHEAD: i64 = 4096;

pub(super) struct WebhookTeller {
    service: Arc<Service>,
    running: JoinSet<WebhookId>,
    under_way: HashMap<WebhookId, AccountId>,
}

impl WebhookTeller {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, running: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Runs until `stop` turns true. Deliveries under way are then given up: they come again.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut newest = self.service.newest_event();
        while !*stop.borrow() {
            if let Err(error) = self.start_due(&stop).await {
                tracing::warn!(%error, "webhooks could not be told; the next round tries again");
            }
            tokio::select! {
                Some(finished) = self.running.join_next() => self.forget(finished),
                _ = newest.changed() => {}
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
            while let Some(finished) = self.running.try_join_next() {
                self.forget(finished);
            }
        }
        // They have heard it too, and let their leases go.
        let all = async { while self.running.join_next().await.is_some() {} };
        last_words(&self.service, all).await;
    }

    async fn start_due(&mut self, stop: &watch::Receiver<bool>) -> Result<(), ServiceError> {
        if self.under_way.len() >= MAX_AT_ONCE {
            return Ok(());
        }
        let due = self.service.webhooks_due(LOOK_AHEAD).await?;
        for (account, due) in in_turns(due.into_iter().map(|due| (due.account, due)).collect()) {
            let of_account = self.under_way.values().filter(|owner| **owner == account).count();
            // Those that were started may not have been claimed yet, and are then among the due ones again.
            if self.under_way.contains_key(&due.id) || of_account >= MAX_PER_ACCOUNT {
                continue;
            }
            if self.under_way.len() >= MAX_AT_ONCE {
                break;
            }
            self.under_way.insert(due.id, account);
            let service = Arc::clone(&self.service);
            let given_up = stopped(stop.clone());
            self.running.spawn(async move {
                match AssertUnwindSafe(service.tell_webhook(due, given_up)).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(webhook = %due.id, %error, "a webhook could not be told"),
                    Err(_) => tracing::error!(webhook = %due.id, "telling a webhook panicked"),
                }
                due.id
            });
        }
        Ok(())
    }

    fn forget(&mut self, finished: Result<WebhookId, tokio::task::JoinError>) {
        match finished {
            Ok(id) => drop(self.under_way.remove(&id)),
            // Panics are caught inside; only a delivery that was given up ends so.
            Err(error) => tracing::warn!(%error, "a delivery to a webhook was given up"),
        }
    }
}
