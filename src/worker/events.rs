//! Tells of certificates that end soon, and forgets events that are old. Beside the publishing of CRLs, which never waits
//! for a long list.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::service::{Service, ServiceError};

use super::ROUND;

const PAUSE: TimeDelta = TimeDelta::minutes(10);

pub(super) struct EventKeeper {
    service: Arc<Service>,
    /// When everything was last done; none while something is left.
    done_at: Option<DateTime<Utc>>,
}

impl EventKeeper {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, done_at: None }
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match AssertUnwindSafe(self.round()).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "events could not be looked after; the next round tries again")
                }
                Err(_) => tracing::error!("a round over the events panicked; the next one tries again"),
            }
            tokio::select! {
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn round(&mut self) -> Result<(), ServiceError> {
        let now = self.service.clock().now();
        if self.done_at.is_some_and(|last| (now - last).abs() < PAUSE) {
            return Ok(());
        }
        self.done_at = None;
        let is_more_to_tell = self.service.tell_of_ending_certificates().await?;
        let is_more_to_forget = self.service.forget_old_events().await?;
        if !is_more_to_tell && !is_more_to_forget {
            self.done_at = Some(now);
        }
        Ok(())
    }
}
