//! What each authority's CRLs list, encoded and kept in memory, so that one more revocation need not re-read a million
//! rows. The store says what changed since; only a first use, or a change log that begins too late, reads everything.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::domain::authority::{Authority, CrlScope};
use crate::domain::id::AuthorityId;
use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::serial::SerialNumber;
use crate::store::StoreError;
use crate::x509::crl::{EntryList, EntryListBuilder};

use super::authority_locks::AuthorityLocks;
use super::{Service, ServiceError};

/// From this length on, in octets, it takes tens of milliseconds to read a list.
const LONG: i64 = 1 << 20;
/// How many lists are read whole at once.
const READINGS: usize = 2;

/// The entries of an authority's CRLs as they stand with one CRL number.
#[derive(Clone, Debug)]
pub(super) struct RevocationList {
    pub(super) number: i64,
    /// By shard; a single one where there are none.
    shards: Vec<EntryList>,
}

pub(super) struct RevocationLists {
    known: Mutex<HashMap<AuthorityId, Arc<RevocationList>>>,
    /// Reading a long list takes a second: whoever else needs it meanwhile waits for the same one.
    reading: AuthorityLocks,
    /// How many may be read whole at once: others need the store's readers too.
    readings: Semaphore,
}

impl Default for RevocationLists {
    fn default() -> Self {
        Self { known: Mutex::default(), reading: AuthorityLocks::default(), readings: Semaphore::new(READINGS) }
    }
}

impl Service {
    /// The list as the store has it now. No older one is ever returned.
    pub(super) async fn revocation_list(&self, authority: &Authority) -> Result<Arc<RevocationList>, ServiceError> {
        let _turn = self.revocation_lists.reading.lock(authority.id).await;
        if let Some(known) = self.revocation_lists.find(authority.id) {
            let (number, changes) = self.store.crl_changes(authority.id, known.number).await?;
            if number == known.number {
                return Ok(known);
            }
            if let Some(changes) = changes {
                let shards = authority.clone();
                let caught_up = off_thread(move || known.changed(&shards, number, &changes)).await?;
                return Ok(self.revocation_lists.keep(authority.id, caught_up));
            }
        }
        let list = self.read_revocation_list(authority).await?;
        Ok(self.revocation_lists.keep(authority.id, list))
    }

    /// Reads the long lists, before somebody has to wait for them.
    pub async fn prepare_revocation_lists(&self) -> Result<(), ServiceError> {
        for id in self.store.authorities_with_long_crls(LONG).await? {
            if let Some(authority) = self.store.authority(id).await? {
                self.revocation_list(&authority).await?;
            }
        }
        Ok(())
    }

    async fn read_revocation_list(&self, authority: &Authority) -> Result<RevocationList, ServiceError> {
        let turn = self.revocation_lists.readings.acquire().await;
        let _turn = turn.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let count = usize::try_from(authority.shard_count()).unwrap_or(1);
        let builders: Vec<EntryListBuilder> = (0..count).map(|_| EntryListBuilder::default()).collect();
        let push = |builders: &mut Vec<EntryListBuilder>, shard: i32, entry: RevokedEntry| {
            let builder = usize::try_from(shard).ok().and_then(|shard| builders.get_mut(shard));
            let missing = || StoreError::Damaged(format!("a revocation is in shard {shard}, which does not exist"));
            builder.ok_or_else(missing)?.push(&entry).map_err(|error| StoreError::Damaged(error.to_string()))
        };
        let (number, builders) = self.store.gather_revocations(authority.id, builders, push).await?;
        let list = RevocationList { number, shards: builders.into_iter().map(EntryListBuilder::finish).collect() };
        tracing::debug!(authority = %authority.id, number, entries = list.count(), "read a revocation list");
        Ok(list)
    }
}

impl RevocationList {
    #[cfg(test)]
    pub(super) fn empty(shards: usize) -> Self {
        Self { number: 0, shards: vec![EntryList::default(); shards] }
    }

    /// The list after these changes, which a CRL with this number carries.
    pub(super) fn changed(&self, authority: &Authority, number: i64, changes: &Changes) -> Result<Self, ServiceError> {
        let mut by_shard: BTreeMap<i32, Changes> = BTreeMap::new();
        for (serial, change) in changes {
            by_shard.entry(authority.shard_of(serial)).or_default().insert(serial.clone(), change.clone());
        }
        let mut shards = self.shards.clone();
        for (shard, changes) in by_shard {
            let list = usize::try_from(shard).ok().and_then(|shard| shards.get_mut(shard));
            let list = list.ok_or_else(|| ServiceError::Internal(format!("there is no shard {shard}")))?;
            *list = list.changed(&changes)?;
        }
        Ok(Self { number, shards })
    }

    /// What a CRL of this scope lists; a delta lists changes, which are not here.
    pub(super) fn entries(&self, scope: CrlScope) -> EntryList {
        match scope {
            CrlScope::Complete => self.shards.iter().cloned().collect(),
            CrlScope::Delta => EntryList::default(),
            CrlScope::Shard(shard) => {
                let shard = usize::try_from(shard).ok().and_then(|shard| self.shards.get(shard));
                shard.cloned().unwrap_or_default()
            }
        }
    }

    pub(super) fn find(
        &self,
        authority: &Authority,
        serial: &SerialNumber,
    ) -> Result<Option<RevokedEntry>, ServiceError> {
        let shard = usize::try_from(authority.shard_of(serial)).ok().and_then(|shard| self.shards.get(shard));
        Ok(shard.map(|list| list.find(serial)).transpose()?.flatten())
    }

    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(EntryList::count).sum()
    }
}

impl RevocationLists {
    const CAPACITY: usize = 1000;

    fn find(&self, authority: AuthorityId) -> Option<Arc<RevocationList>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&authority).cloned()
    }

    /// Keeps a list, unless a later one is known.
    pub(super) fn keep(&self, authority: AuthorityId, list: RevocationList) -> Arc<RevocationList> {
        let list = Arc::new(list);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(&authority).is_some_and(|other| other.number > list.number) {
            return list;
        }
        if known.len() >= Self::CAPACITY && !known.contains_key(&authority) {
            known.clear();
        }
        known.insert(authority, Arc::clone(&list));
        list
    }
}

/// Does work that may take tens of milliseconds away from the asynchronous threads.
pub(super) async fn off_thread<T, F>(work: F) -> Result<T, ServiceError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| ServiceError::Internal(error.to_string()))?
}
