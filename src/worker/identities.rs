//! Keeps identities fresh: renews the managed ones, has replaced certificates revoked, and tells of what ends soon. Beside
//! the publishing of CRLs, which never waits for a key to be made.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::service::{Service, ServiceError};

use super::ROUND;

const NOTICES: TimeDelta = TimeDelta::minutes(10);

pub(super) struct IdentityKeeper {
    service: Arc<Service>,
    noted_at: Option<DateTime<Utc>>,
}

impl IdentityKeeper {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, noted_at: None }
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match AssertUnwindSafe(self.round()).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "identities could not be looked after; the next round tries again")
                }
                Err(_) => tracing::error!("a round over the identities panicked; the next one tries again"),
            }
            tokio::select! {
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn round(&mut self) -> Result<(), ServiceError> {
        self.service.keep_identities_fresh().await?;
        let now = self.service.clock().now();
        if self.noted_at.is_none_or(|last| (now - last).abs() >= NOTICES) {
            self.service.note_expiring_identities().await?;
            self.noted_at = Some(now);
        }
        Ok(())
    }
}
