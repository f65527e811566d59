//! The asynchronous worker: carries out transitions by publishing CRLs, re-signs CRLs before they run out, renews managed
//! identities and OCSP responders, follows the profiles, goes on with bulk jobs, runs checks, tells of what ends soon, tells webhooks, and clears
//! away what has aged. When and how often is decided here; what is done is the services' business.
//!
//! Any number of workers may run against one store: each authority has a lease, and a publication under a lease that
//! somebody else has taken over is refused by the store.

mod bulk;
mod checks;
mod events;
mod identities;
mod profiles;
mod responders;
mod webhooks;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::domain::id::AuthorityId;
use crate::service::publication::{LEASE, Published};
use crate::service::{Service, ServiceError};
use crate::store::Lease;

use bulk::BulkWorker;
use checks::CheckRunner;
use events::EventKeeper;
use identities::IdentityKeeper;
use profiles::ProfileKeeper;
use responders::ResponderKeeper;
use webhooks::WebhookTeller;

/// How long the worker waits when nobody wakes it: finds what other processes queued, and what is to be tried again.
const ROUND: Duration = Duration::from_millis(500);
/// How long the process waits at its end for what the worker lets go. Leases that are kept then run out by themselves.
const LAST_WORDS: Duration = Duration::from_secs(5);
const HOUSEKEEPING: TimeDelta = TimeDelta::hours(1);

/// Starts the worker; it ends after its current round once `stop` turns true.
pub fn start(service: Arc<Service>, stop: watch::Receiver<bool>) -> JoinHandle<()> {
    let checks = CheckRunner::new(Arc::clone(&service)).run(stop.clone());
    let identities = IdentityKeeper::new(Arc::clone(&service)).run(stop.clone());
    let profiles = ProfileKeeper::new(Arc::clone(&service)).run(stop.clone());
    let responders = ResponderKeeper::new(Arc::clone(&service)).run(stop.clone());
    let bulk = BulkWorker::new(Arc::clone(&service)).run(stop.clone());
    let events = EventKeeper::new(Arc::clone(&service)).run(stop.clone());
    let webhooks = WebhookTeller::new(Arc::clone(&service)).run(stop.clone());
    tokio::spawn(prepare(Arc::clone(&service)));
    let worker = Worker { service, owner: Uuid::new_v4(), leases: HashMap::new(), housekeeping_at: None }.run(stop);
    tokio::spawn(async move {
        let beside = [
            tokio::spawn(checks),
            tokio::spawn(identities),
            tokio::spawn(profiles),
            tokio::spawn(responders),
            tokio::spawn(bulk),
            tokio::spawn(events),
            tokio::spawn(webhooks),
        ];
        worker.await;
        // They end at the same signal, and catch the panics of what they do themselves.
        for task in beside {
            let _ = task.await;
        }
    })
}

/// Done once and beside everything else: without it, only the first to need a long list would wait.
async fn prepare(service: Arc<Service>) {
    let (lists, revocations) = tokio::join!(service.prepare_long_lists(), service.prepare_revocation_lists());
    if let Err(error) = lists {
        tracing::warn!(%error, "the long lists of certificates could not be walked; the first pages in their middle take longer");
    }
    if let Err(error) = revocations {
        tracing::warn!(%error, "the long revocation lists could not be read beforehand; they will be when they are needed");
    }
}

/// Resolves when `stop` turns true.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // Fails when the sender goes, which is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whatever becomes of the database, the process ends.
async fn last_words(service: &Service, said: impl Future<Output = ()>) {
    tokio::select! {
        () = said => {}
        () = service.clock().sleep(LAST_WORDS) => {}
    }
}

struct Worker {
    service: Arc<Service>,
    /// Who we are in leases: new with every start.
    owner: Uuid,
    leases: HashMap<AuthorityId, Lease>,
    housekeeping_at: Option<DateTime<Utc>>,
}

impl Worker {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let work = self.service.work();
        // Not only after the first round, which may have long lists to read.
        self.service.worker_is_alive();
        while !*stop.borrow() {
            // A panic fails one round, never the worker.
            match AssertUnwindSafe(self.round()).catch_unwind().await {
                Ok(Ok(())) => self.service.worker_is_alive(),
                Ok(Err(error)) => tracing::warn!(%error, "a round of the worker failed; the next one tries again"),
                Err(_) => tracing::error!("a round of the worker panicked; the next one tries again"),
            }
            tokio::select! {
                () = work.notified() => {}
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
        let let_go = async {
            if let Err(error) = self.service.let_go_leases(self.owner).await {
                tracing::warn!(%error, "the leases were kept; other processes wait until they run out");
            }
        };
        last_words(&self.service, let_go).await;
    }

    async fn round(&mut self) -> Result<(), ServiceError> {
        let mut due = self.service.authorities_to_publish().await?;
        due.extend(self.service.authorities_to_refresh().await?);
        due.sort_unstable();
        due.dedup();
        for authority in due {
            // One authority that fails must not hold up the others; the service has noted and logged it.
            let _ = self.publish(authority).await;
            self.service.worker_is_alive();
        }
        self.service.measure_transitions().await?;
        self.keep_house().await
    }

    async fn publish(&mut self, authority: AuthorityId) -> Result<(), ServiceError> {
        let Some(lease) = self.lease(authority).await? else { return Ok(()) };
        match self.service.publish(lease).await {
            Ok(Published::Crl { .. }) => Ok(()),
            Ok(Published::LeaseLost) => {
                self.leases.remove(&authority);
                Ok(())
            }
            Err(error) => {
                self.leases.remove(&authority);
                Err(error)
            }
        }
    }

    /// The lease we hold, prolonged before it is half used up; `None` while somebody else has it.
    async fn lease(&mut self, authority: AuthorityId) -> Result<Option<Lease>, ServiceError> {
        let now = self.service.clock().now();
        if let Some(lease) = self.leases.get(&authority)
            && now < lease.until - LEASE / 2
            && lease.until - now <= LEASE
        {
            return Ok(Some(*lease));
        }
        let claimed = self.service.claim_lease(authority, self.owner).await?;
        match claimed {
            Some(lease) => self.leases.insert(authority, lease),
            None => self.leases.remove(&authority),
        };
        Ok(claimed)
    }

    async fn keep_house(&mut self) -> Result<(), ServiceError> {
        let now = self.service.clock().now();
        if self.housekeeping_at.is_some_and(|last| (now - last).abs() < HOUSEKEEPING) {
            return Ok(());
        }
        if self.service.forget_idempotency_keys().await? {
            // The rest in the next round: revocations come before.
            return Ok(());
        }
        self.service.forget_sessions().await?;
        self.housekeeping_at = Some(now);
        Ok(())
    }
}
