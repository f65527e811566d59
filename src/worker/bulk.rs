//! Goes on with bulk jobs: one batch of each in turn, so that a small job does not wait behind a large one, with a pause
//! after each, so that whoever asks for a single certificate gets in between.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::service::bulk_work::Turn;
use crate::service::{Service, ServiceError};

use super::ROUND;

/// After each batch.
const PAUSE: Duration = Duration::from_millis(20);
const HOUSEKEEPING: TimeDelta = TimeDelta::hours(1);

pub(super) struct BulkWorker {
    service: Arc<Service>,
    housekeeping_at: Option<DateTime<Utc>>,
}

impl BulkWorker {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, housekeeping_at: None }
    }

    /// Runs until `stop` turns true; the batch under way is finished.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match AssertUnwindSafe(self.round(&stop)).catch_unwind().await {
                Ok(Ok(true)) => PAUSE,
                Ok(Ok(false)) => ROUND,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "bulk jobs could not be looked after; the next round tries again");
                    ROUND
                }
                Err(_) => {
                    tracing::error!("a round over the bulk jobs panicked; the next one tries again");
                    ROUND
                }
            };
            tokio::select! {
                () = self.service.clock().sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// One turn of each job; whether there is more to do at once.
    async fn round(&mut self, stop: &watch::Receiver<bool>) -> Result<bool, ServiceError> {
        let mut has_more = false;
        for (zone, id) in self.service.jobs_due().await? {
            if *stop.borrow() {
                return Ok(false);
            }
            // One job that fails must not hold up the others; the service has noted and logged it.
            if let Ok(Turn::Batch) = self.service.advance_job(zone, id).await {
                has_more = true;
                self.service.clock().sleep(PAUSE).await;
            }
        }
        self.service.complete_published_jobs().await?;
        self.keep_house().await?;
        Ok(has_more)
    }

    async fn keep_house(&mut self) -> Result<(), ServiceError> {
        let now = self.service.clock().now();
        if self.housekeeping_at.is_none_or(|last| (now - last).abs() >= HOUSEKEEPING) {
            self.service.forget_old_jobs().await?;
            self.housekeeping_at = Some(now);
        }
        Ok(())
    }
}
