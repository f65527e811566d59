//! Keeps the responders of OCSP fresh, beside the publishing of CRLs, which never waits for a key to be made.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::service::Service;

/// A new authority has its responder within this time; a request that comes before makes it.
const ROUND: Duration = Duration::from_secs(60);

pub(super) struct ResponderKeeper {
    service: Arc<Service>,
}

impl ResponderKeeper {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match AssertUnwindSafe(self.service.keep_responders_fresh()).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "OCSP responders could not be looked after; the next round tries again")
                }
                Err(_) => tracing::error!("a round over the OCSP responders panicked; the next one tries again"),
            }
            tokio::select! {
                () = self.service.clock().sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }
}
