//! Where the newest event is: asked of the store by one task for the whole process, while somebody listens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::store::Store;

use super::Service;

/// How late a listener hears at most of what another process wrote.
const PAUSE: Duration = Duration::from_millis(250);

/// The number of the newest event, as far as is known.
pub(super) struct EventHead {
    number: watch::Sender<i64>,
    is_watched: Mutex<bool>,
}

impl EventHead {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { number: watch::Sender::new(0), is_watched: Mutex::new(false) })
    }

    async fn watch(self: Arc<Self>, store: Store, clock: Clock) {
        loop {
            match store.last_event().await {
                Ok(newest) => drop(self.number.send_if_modified(|known| {
                    let is_news = *known != newest;
                    *known = newest;
                    is_news
                })),
                Err(error) => tracing::debug!(%error, "the newest event is not known; asking again"),
            }
            {
                let mut is_watched = self.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
                if self.number.receiver_count() == 0 {
                    *is_watched = false;
                    return;
                }
            }
            clock.sleep(PAUSE).await;
        }
    }
}

impl Service {
    /// Wakes whoever waits for events: its value changes with every new one.
    pub fn newest_event(&self) -> watch::Receiver<i64> {
        let head = &self.event_head;
        let mut is_watched = head.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = head.number.subscribe();
        if !*is_watched {
            *is_watched = true;
            tokio::spawn(Arc::clone(head).watch(self.store.clone(), self.clock.clone()));
        }
        receiver
    }
}
