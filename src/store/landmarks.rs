//! Where every so many rows of a long list stand, so that a page in its middle is found without walking there.
//!
//! Lists are asked for by a page's number, and a database can only count rows one after the other: 100 ms for a million on
//! PostgreSQL. So a long list is walked once, beside, in many short reads: when the process starts, and when somebody asks for
//! a page far from what is known. The id of every 1024th row is remembered.
//!
//! Certificates are never deleted, and the ids of new ones come last: in the list of all of them each keeps its place. In the
//! list of one status they do not, so what is known of it is worth nothing once a transition of the zone was asked for or
//! finished. The newest rows have no landmark: a certificate with an id a little older may still be on its way.
//!
//! A process whose clock is behind makes ids that stand among old ones. So it is looked whether as many rows come after the last
//! landmark as those before it leave of the total: where they are few, by every page that is found from landmarks, and at
//! the end of every walk. What does not add up is forgotten.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::Connection as _;
use diesel::prelude::*;
use tokio::sync::Semaphore;

use crate::domain::certificate::CertificateFilter;
use crate::domain::id::{CertificateId, ZoneId};
use crate::domain::status::Status;

use super::certificate_lists::filtered;
use super::connection::Connection;
use super::convert::{certificate_id, status, zone_id};
use super::error::StoreError;
use super::overview::first_id;
use super::schema::{authorities, certificate_counters, certificates, publications};
use super::{Store, counters};

/// How many rows there are from one landmark to the next.
pub(super) const STEP: i64 = 1024;
/// Who has further to walk has the list walked.
const FAR: i64 = 2 * STEP;
/// A certificate is stored within this time after its id was made, on whatever replica.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(2);
/// So many rows after the last landmark are counted by every page; where there are more, the list is to be walked on.
const FEW: i64 = 4 * STEP;
/// After a walk the same list is left alone for so many times as long as it took.
const REST: u32 = 20;
/// More lists than anybody reads at a time; of 16 kB for each million certificates.
const MAX_LISTS: usize = 256;

/// A list of certificates of a zone, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    pub zone: ZoneId,
    pub status: Option<Status>,
}

/// A row from which to count: so many further on is the one that is sought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// None for the beginning of the list.
    pub after: Option<CertificateId>,
    pub distance: i64,
    /// Whether the list should be walked, beside, for those who come later.
    pub must_walk: bool,
}

impl Start {
    fn beginning(place: i64) -> Self {
        Self { after: None, distance: place, must_walk: Landmarks::is_far(place) }
    }
}

/// The landmark from which to count, and what is left behind the last one.
struct Nearest {
    after: CertificateId,
    distance: i64,
    last: CertificateId,
    left: i64,
}

#[derive(Clone)]
pub(super) struct Landmarks {
    lists: Arc<Mutex<HashMap<List, Known>>>,
    /// One walk at a time.
    walk: Arc<Semaphore>,
}

struct Known {
    state: State,
    /// The last row of each step.
    ids: Vec<CertificateId>,
    rests_until: Instant,
}

/// What changes with every transition of a zone: how many certificates have each status but active, and the sum of its CRL
/// numbers. Of the list of all certificates it is nothing.
type State = Vec<i64>;

impl Default for Landmarks {
    fn default() -> Self {
        Self { lists: Arc::default(), walk: Arc::new(Semaphore::new(1)) }
    }
}

impl Landmarks {
    /// Whence to count to the row at this place of a list of so many, in a connection's transaction.
    pub(super) fn nearest(
        &self,
        connection: &mut Connection,
        list: List,
        place: i64,
        total: i64,
    ) -> Result<Start, StoreError> {
        if place < STEP {
            return Ok(Start::beginning(place));
        }
        let state = state(connection, list)?;
        let Some(nearest) = self.find(list, &state, place, total) else { return Ok(Start::beginning(place)) };
        let are_many = nearest.left > FEW;
        if !are_many && !adds_up(connection, list, nearest.last, nearest.left)? {
            self.forget(list);
            return Ok(Start::beginning(place));
        }
        let must_walk = are_many || Self::is_far(nearest.distance);
        Ok(Start { after: Some(nearest.after), distance: nearest.distance, must_walk })
    }

    /// Whether who must count so many rows should have the list walked.
    pub(super) fn is_far(distance: i64) -> bool {
        distance > FAR
    }

    fn find(&self, list: List, state: &State, place: i64, total: i64) -> Option<Nearest> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lists.get(&list).filter(|known| known.state == *state)?;
        let steps = usize::try_from(place / STEP).unwrap_or(usize::MAX).min(known.ids.len());
        let after = *known.ids.get(steps.checked_sub(1)?)?;
        Some(Nearest {
            after,
            distance: place - rows_of(steps),
            last: *known.ids.last()?,
            left: total - rows_of(known.ids.len()),
        })
    }

    /// It is walked anew, but not sooner than it would have been.
    fn forget(&self, list: List) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lists.get_mut(&list) {
            known.ids.clear();
        }
    }

    fn is_resting(&self, list: List) -> bool {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(&list).is_some_and(|known| Instant::now() < known.rests_until)
    }

    /// The landmarks from which a walk goes on.
    fn known(&self, list: List, state: &State) -> Vec<CertificateId> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(&list).filter(|known| known.state == *state).map(|known| known.ids.clone()).unwrap_or_default()
    }

    fn learn(&self, list: List, state: State, ids: Vec<CertificateId>, took: Duration) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= MAX_LISTS && !lists.contains_key(&list) {
            lists.clear();
        }
        lists.insert(list, Known { state, ids, rests_until: Instant::now() + took * REST });
    }
}

impl Store {
    /// Has the list walked, beside, unless one is being walked or this one just was.
    pub(super) fn begin_walk(&self, list: List, now: DateTime<Utc>) {
        let Ok(turn) = Arc::clone(&self.landmarks.walk).try_acquire_owned() else { return };
        if self.landmarks.is_resting(list) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.walk(list, now).await {
                tracing::debug!(%error, zone = %list.zone, "a long list could not be walked");
            }
            drop(turn);
        });
    }

    /// Walks the lists that are long, so that nobody's first request for a page in the middle of one is slow.
    pub async fn walk_long_lists(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        for list in self.read(long_lists).await? {
            let turn = self.landmarks.walk.acquire().await;
            self.walk(list, now).await?;
            drop(turn);
        }
        Ok(())
    }

    async fn walk(&self, list: List, now: DateTime<Utc>) -> Result<(), StoreError> {
        let begun = Instant::now();
        let before = self.read(move |connection| state(connection, list)).await?;
        let mut ids = self.landmarks.known(list, &before);
        loop {
            let last = ids.last().copied();
            let next = self.read(move |connection| next_step(connection, list, last, now - SETTLED_AFTER)).await?;
            let Some(next) = next else { break };
            ids.push(next);
        }
        let (last, steps) = (ids.last().copied(), ids.len());
        let read =
            self.read(move |connection| connection.transaction(|connection| judge(connection, list, last, steps)));
        let (after, is_right) = read.await?;
        // What changed meanwhile may have moved any of them.
        let ids = if after == before && is_right { ids } else { Vec::new() };
        tracing::debug!(zone = %list.zone, status = ?list.status, landmarks = ids.len(), "walked along a long list");
        self.landmarks.learn(list, after, ids, begun.elapsed());
        Ok(())
    }
}

/// The row that is a step further than the last landmark, if it is old enough.
fn next_step(
    connection: &mut Connection,
    list: List,
    last: Option<CertificateId>,
    settled: DateTime<Utc>,
) -> Result<Option<CertificateId>, StoreError> {
    let filter = CertificateFilter { status: list.status, ..CertificateFilter::default() };
    let mut rows = filtered(list.zone, &filter).filter(certificates::id.lt(first_id(settled)));
    if let Some(last) = last {
        rows = rows.filter(certificates::id.gt(last.as_bytes().to_vec()));
    }
    let next = rows.order(certificates::id).offset(STEP - 1).select(certificates::id);
    let found: Option<Vec<u8>> = next.first(connection).optional()?;
    found.map(|id| certificate_id(&id)).transpose()
}

/// Those with a page that is far from both ends, the longest first.
fn long_lists(connection: &mut Connection) -> Result<Vec<List>, StoreError> {
    let counters: Vec<(Vec<u8>, i16, i64)> = certificate_counters::table
        .select((certificate_counters::zone_id, certificate_counters::status, certificate_counters::total))
        .load(connection)?;
    let mut lengths: HashMap<List, i64> = HashMap::new();
    for (zone, code, total) in counters {
        let zone = zone_id(&zone)?;
        for status in [None, Some(status(code)?)] {
            *lengths.entry(List { zone, status }).or_default() += total;
        }
    }
    let mut long: Vec<(List, i64)> = lengths.into_iter().filter(|(_, length)| Landmarks::is_far(length / 2)).collect();
    long.sort_by_key(|(_, length)| Reverse(*length));
    Ok(long.into_iter().map(|(list, _)| list).take(MAX_LISTS / 2).collect())
}

/// The state of a list, and whether the landmarks of so many steps are right in it.
fn judge(
    connection: &mut Connection,
    list: List,
    last: Option<CertificateId>,
    steps: usize,
) -> Result<(State, bool), StoreError> {
    let state = state(connection, list)?;
    let Some(last) = last else { return Ok((state, true)) };
    let total = counters::total(connection, list.zone, list.status)?;
    Ok((state, adds_up(connection, list, last, total - rows_of(steps))?))
}

/// Whether so many rows are left behind the last landmark.
fn adds_up(connection: &mut Connection, list: List, last: CertificateId, left: i64) -> Result<bool, StoreError> {
    let filter = CertificateFilter { status: list.status, ..CertificateFilter::default() };
    let behind = filtered(list.zone, &filter).filter(certificates::id.gt(last.as_bytes().to_vec()));
    let count: i64 = behind.count().get_result(connection)?;
    Ok(count == left)
}

fn rows_of(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX).saturating_mul(STEP)
}

fn state(connection: &mut Connection, list: List) -> Result<State, StoreError> {
    if list.status.is_none() {
        return Ok(State::new());
    }
    let mut state = Vec::new();
    for status in [Status::PendingRevocation, Status::Revoked, Status::PendingReactivation] {
        state.push(counters::total(connection, list.zone, Some(status))?);
    }
    let of_zone = authorities::table.filter(authorities::zone_id.eq(list.zone.as_bytes().as_slice()));
    let numbers: Vec<i64> = publications::table
        .filter(publications::authority_id.eq_any(of_zone.select(authorities::id)))
        .select(publications::number)
        .load(connection)?;
    state.push(numbers.iter().sum());
    Ok(state)
}
