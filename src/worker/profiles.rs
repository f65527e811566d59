//! Follows the folder of profiles, beside everything else: whatever the others wait for, an edited profile is in force
//! within a second.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::service::Service;

const ROUND: Duration = Duration::from_millis(500);

pub(super) struct ProfileKeeper {
    service: Arc<Service>,
}

impl ProfileKeeper {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if AssertUnwindSafe(self.service.refresh_profiles()).catch_unwind().await.is_err() {
                tracing::error!("looking at the profiles panicked; the next round tries again");
            }
            tokio::select! {
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }
}
