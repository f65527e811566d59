//! How much may be in flight at once. What is beyond is answered 503 at once, so that memory stays bounded whatever
//! clients send and however slow the disk is.

use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Gauge;

/// Requests that are worked on. As many as the queue of writes holds: more would only be told there that it is full.
const MAX_REQUESTS: usize = 4096;
/// Requests of one HTTP/2 connection that are worked on.
const MAX_REQUESTS_OF_CONNECTION: u32 = 128;
/// Bytes of bodies that were received, from their arrival to their answer.
const MAX_BODIES: usize = 64 * 1024 * 1024;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static BODIES: AtomicUsize = AtomicUsize::new(0);

tokio::task_local! {
    static HELD: Held;
}

/// A request among those that are worked on.
pub struct Admitted(());

impl Admitted {
    /// `None` when there are too many; `in_connection` are worked on beside it on the same connection.
    pub fn one_more(in_connection: u32) -> Option<Self> {
        let before = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let admitted = Self(());
        if before >= MAX_REQUESTS || in_connection >= MAX_REQUESTS_OF_CONNECTION {
            refused("request");
            return None;
        }
        Some(admitted)
    }

    /// Works on the request; what it holds in memory by [`hold`] counts until then.
    pub async fn work<F: Future>(self, request: F) -> F::Output {
        let _admitted = self;
        HELD.scope(Held(Cell::new(0)), request).await
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        REQUESTS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts bytes of a body that have arrived. False when there is no room for them.
pub fn hold(bytes: usize) -> bool {
    // Outside of a request, as in tests of a single part, nobody would give them back.
    if HELD.try_with(|held| held.0.set(held.0.get() + bytes)).is_err() {
        return true;
    }
    let now = BODIES.fetch_add(bytes, Ordering::Relaxed) + bytes;
    gauge().increment(bytes as f64);
    if now > MAX_BODIES {
        refused("body");
    }
    now <= MAX_BODIES
}

/// The bytes that one request holds, given back with it.
struct Held(Cell<usize>);

impl Drop for Held {
    fn drop(&mut self) {
        let held = self.0.get();
        if held > 0 {
            BODIES.fetch_sub(held, Ordering::Relaxed);
            gauge().decrement(held as f64);
        }
    }
}

fn gauge() -> &'static Gauge {
    static GAUGE: OnceLock<Gauge> = OnceLock::new();
    GAUGE.get_or_init(|| metrics::gauge!("countersign_request_bodies_bytes"))
}

fn refused(what: &'static str) {
    metrics::counter!("countersign_overload_refusals_total", "of" => what).increment(1);
}
