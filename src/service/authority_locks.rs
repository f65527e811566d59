//! One lock for each authority: what is slow is done once, by one of those who need it, and nobody waits for what is done
//! for another authority.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::domain::id::AuthorityId;

#[derive(Default)]
pub(super) struct AuthorityLocks(Mutex<HashMap<AuthorityId, Arc<tokio::sync::Mutex<()>>>>);

impl AuthorityLocks {
    pub(super) async fn lock(&self, authority: AuthorityId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(authority).or_default())
        };
        lock.lock_owned().await
    }
}
