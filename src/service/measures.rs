//! What publishing and OCSP tell the metrics.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use metrics::{Counter, Histogram};

use crate::store::Publication;

/// With more authorities than this, only the oldest CRL of all is told: each label is a series that somebody stores.
const MAX_LABELLED: usize = 1000;

/// Where publishing stood when the database last told. Ages are made of it when somebody asks for them: they grow also
/// while the database is away, and then most of all they are watched.
#[derive(Default)]
pub(super) struct Standing {
    publications: Mutex<Vec<Publication>>,
    oldest_transition: Mutex<Option<DateTime<Utc>>>,
}

impl Standing {
    pub(super) fn publications_are(&self, publications: Vec<Publication>) {
        *lock(&self.publications) = publications;
    }

    /// `None` when no transition waits.
    pub(super) fn oldest_transition_is(&self, requested_on: Option<DateTime<Utc>>) {
        *lock(&self.oldest_transition) = requested_on;
    }

    /// Tells the gauges how it is now.
    pub(super) fn tell(&self, now: DateTime<Utc>) {
        ages(&lock(&self.publications), now);
        let waits = lock(&self.oldest_transition).map_or(0.0, |since| (now - since).num_milliseconds() as f64 / 1000.0);
        metrics::gauge!("countersign_transitions_oldest_seconds").set(waits);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How old the CRLs in force are, and how long they will be.
fn ages(publications: &[Publication], now: DateTime<Utc>) {
    let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_seconds() as f64;
    if let Some(oldest) = publications.iter().map(|publication| publication.this_update).min() {
        metrics::gauge!("countersign_crl_age_seconds").set(seconds(oldest, now));
    }
    if let Some(first) = publications.iter().map(|publication| publication.next_update).min() {
        metrics::gauge!("countersign_crl_next_update_seconds").set(seconds(now, first));
    }
    if publications.len() > MAX_LABELLED {
        return;
    }
    for publication in publications {
        let authority = publication.authority.to_string();
        let age = seconds(publication.oldest_update, now);
        metrics::gauge!("countersign_authority_crl_age_seconds", "authority" => authority).set(age);
    }
}

/// How long it took from the requests to the CRL that carried them out.
pub(super) fn lag(requested_on: &[DateTime<Utc>], now: DateTime<Utc>) {
    static LAG: OnceLock<Histogram> = OnceLock::new();
    let lag = LAG.get_or_init(|| metrics::histogram!("countersign_transition_lag_seconds"));
    for requested_on in requested_on {
        lag.record((now - *requested_on).num_milliseconds() as f64 / 1000.0);
    }
}

/// An OCSP answer, by what it says of one certificate or why it says nothing.
pub(super) fn ocsp_answer(status: &'static str) {
    static COUNTERS: OnceLock<[(&str, Counter); 7]> = OnceLock::new();
    let register = |status| (status, metrics::counter!("countersign_ocsp_answers_total", "status" => status));
    let counters = COUNTERS.get_or_init(|| OCSP_STATUSES.map(register));
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == status) {
        counter.increment(1);
    }
}

/// Of a SingleResponse and of a refused request (RFC 6960, 4.2.1), the most frequent first.
const OCSP_STATUSES: [&str; 7] =
    ["good", "revoked", "unknown", "malformedRequest", "unauthorized", "tryLater", "internalError"];
