//! Runs API checks when their time has come: several at once, each by itself, beside the publishing of CRLs, which never
//! waits for somebody else's slow server.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::id::{AccountId, CheckId};
use crate::service::{Service, ServiceError};

use super::{ROUND, last_words, stopped};

/// How many checks one process runs at once, and how many of them for one account: some are left for others, whatever
/// somebody's slow servers do.
const MAX_AT_ONCE: usize = 32;
const MAX_PER_ACCOUNT: usize = 24;
/// How many that are due are looked at in one round.
const LOOK_AHEAD: i64 = 4096;

pub(super) struct CheckRunner {
    service: Arc<Service>,
    running: JoinSet<CheckId>,
    under_way: HashMap<CheckId, AccountId>,
}

impl CheckRunner {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, running: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Runs until `stop` turns true. Runs under way are then given up: nothing of them was recorded, and they come again.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.start_due(&stop).await {
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
        // They have heard it too, and let their leases go.
        let all = async { while self.running.join_next().await.is_some() {} };
        last_words(&self.service, all).await;
    }

    async fn start_due(&mut self, stop: &watch::Receiver<bool>) -> Result<(), ServiceError> {
        if self.under_way.len() >= MAX_AT_ONCE {
            return Ok(());
        }
        for (account, id) in in_turns(self.service.checks_due(LOOK_AHEAD).await?) {
            let of_account = self.under_way.values().filter(|owner| **owner == account).count();
            // Those that were started may not have been claimed yet, and are then among the due ones again.
            if self.under_way.contains_key(&id) || of_account >= MAX_PER_ACCOUNT {
                continue;
            }
            if self.under_way.len() >= MAX_AT_ONCE {
                break;
            }
            self.under_way.insert(id, account);
            let service = Arc::clone(&self.service);
            let given_up = stopped(stop.clone());
            self.running.spawn(async move {
                match AssertUnwindSafe(service.run_due_check(account, id, given_up)).catch_unwind().await {
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

/// The first of each account, then the second of each, and so on.
pub(super) fn in_turns<T>(due: Vec<(AccountId, T)>) -> Vec<(AccountId, T)> {
    let mut places: HashMap<AccountId, usize> = HashMap::new();
    let mut numbered: Vec<(usize, (AccountId, T))> = Vec::with_capacity(due.len());
    for (account, what) in due {
        let place = places.entry(account).or_default();
        numbered.push((*place, (account, what)));
        *place += 1;
    }
    numbered.sort_by_key(|(place, _)| *place);
    numbered.into_iter().map(|(_, due)| due).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn accounts_take_turns_however_many_checks_one_has() {
        let due = |account: u128, check: u128| {
            (AccountId::new(Uuid::from_u128(account)), CheckId::new(Uuid::from_u128(check)))
        };
        let ordered = in_turns(vec![due(1, 1), due(1, 2), due(1, 3), due(2, 4), due(1, 5), due(2, 6)]);
        assert_eq!(ordered, [due(1, 1), due(2, 4), due(1, 2), due(2, 6), due(1, 3), due(1, 5)]);
    }
}
