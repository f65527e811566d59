//! How much may be in flight at once. What is beyond is answered 503 at once, so that memory stays bounded whatever
//! clients send and however slow the disk is.

use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Requests that are worked on. As many as the queue of writes holds: more would only be told there that it is full.
const MAX_REQUESTS: usize = 4096;
/// Requests of one HTTP/2 connection that are worked on.
const MAX_REQUESTS_OF_CONNECTION: u32 = 128;
/// Bytes of bodies that were received, from their arrival to their answer.
const MAX_BODIES: usize = 64 * 1024 * 1024;
/// Bytes of answers, each made for one caller, that wait to be taken: of long ones, and of all over HTTP/2.
const MAX_ANSWERS: usize = 64 * 1024 * 1024;

/// Rows of pages that are read and written into answers at the same time. One takes some ten kilobytes meanwhile, and a
/// page has up to a thousand.
const MAX_ROWS: u32 = 2 * 1024;

static ROWS: Semaphore = Semaphore::const_new(MAX_ROWS as usize);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static BODIES: AtomicUsize = AtomicUsize::new(0);
static ANSWERS: AtomicUsize = AtomicUsize::new(0);

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

/// A page's turn to be read and written into an answer; to be kept until that is done.
pub struct PageTurn {
    _permit: SemaphorePermit<'static>,
}

impl PageTurn {
    /// Waits in line behind other pages, as long as a client would. `None` when that was too short.
    pub async fn of(rows: i64, patience: Duration) -> Option<Self> {
        let rows = u32::try_from(rows.max(1)).unwrap_or(MAX_ROWS).min(MAX_ROWS);
        let permit = timeout(patience, ROWS.acquire_many(rows)).await.ok().and_then(Result::ok);
        if permit.is_none() {
            refused("page");
        }
        permit.map(|permit| Self { _permit: permit })
    }
}

/// An answer in memory, from when it is made until the client has it: a long one, or one of many on a connection.
pub struct HeldAnswer(usize);

impl HeldAnswer {
    /// `None` when there is no room for it, unless it must be told in any case.
    pub fn one_more(bytes: usize, must_be_told: bool) -> Option<Self> {
        let now = ANSWERS.fetch_add(bytes, Ordering::Relaxed) + bytes;
        answers_gauge().increment(bytes as f64);
        let held = Self(bytes);
        if now > MAX_ANSWERS && !must_be_told {
            refused("answer");
            return None;
        }
        Some(held)
    }

    /// Whether what is held now is within the bound.
    pub fn is_there_room() -> bool {
        ANSWERS.load(Ordering::Relaxed) <= MAX_ANSWERS
    }
}

impl Drop for HeldAnswer {
    fn drop(&mut self) {
        ANSWERS.fetch_sub(self.0, Ordering::Relaxed);
        answers_gauge().decrement(self.0 as f64);
    }
}

fn answers_gauge() -> &'static Gauge {
    static GAUGE: OnceLock<Gauge> = OnceLock::new();
    GAUGE.get_or_init(|| metrics::gauge!("countersign_answers_held_bytes"))
}

fn gauge() -> &'static Gauge {
    static GAUGE: OnceLock<Gauge> = OnceLock::new();
    GAUGE.get_or_init(|| metrics::gauge!("countersign_request_bodies_bytes"))
}

fn refused(what: &'static str) {
    metrics::counter!("countersign_overload_refusals_total", "of" => what).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_take_turns() {
        const NOT_LONG: Duration = Duration::from_millis(20);
        let all = PageTurn::of(i64::MAX, NOT_LONG).await;
        assert!(all.is_some());
        assert!(PageTurn::of(20, NOT_LONG).await.is_none());
        drop(all);
        assert!(PageTurn::of(20, NOT_LONG).await.is_some());
    }

    #[test]
    fn long_answers_are_held_as_far_as_there_is_room() {
        let first = HeldAnswer::one_more(MAX_ANSWERS - 1, false);
        assert!(first.is_some());
        assert!(HeldAnswer::one_more(2, false).is_none());
        assert!(HeldAnswer::one_more(2, true).is_some());
        drop(first);
        assert!(HeldAnswer::one_more(2, false).is_some(), "what was refused or taken is given back");
    }
}
