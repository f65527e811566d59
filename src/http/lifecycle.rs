//! Where the process stands between its start and its end, as far as clients and proxies must know.

use std::future::Future;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Everything is served, but who routes traffic here is told to stop.
    Draining,
    /// Nobody new comes in. What is in flight is finished, and what still comes on a connection that was kept.
    Closing,
}

/// Clones share it.
#[derive(Clone)]
pub struct Lifecycle(watch::Sender<Phase>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Lifecycle {
    /// From now on `/readyz` says no, and each answer is the last on its connection.
    pub fn drain(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// From now on connections end when nothing is worked on and nothing comes.
    pub fn close(&self) {
        self.0.send_replace(Phase::Closing);
    }

    pub fn is_ending(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// Resolves when connections are to end.
    pub fn closing(&self) -> impl Future<Output = ()> + use<> {
        let mut phase = self.0.subscribe();
        async move {
            // Fails when the last sender goes, which is an end too.
            let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
        }
    }
}
