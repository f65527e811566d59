//! What a process remembers of statuses and answers.
//!
//! Of each authority it knows the CRL number up to which everything remembered holds. Moving on to a later number
//! forgets what changed in between; a status that was read at a later number than that holds at least as long. So what
//! is remembered is always right for the authority's number here, and for the present one after a catching up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::AuthorityId;
use crate::domain::ocsp::CertStatus;
use crate::domain::serial::SerialNumber;
use crate::store::Changes;
use crate::x509::ocsp::request::CertIdForm;

use super::SignedAnswer;

/// How many certificates are remembered at least and, twice that, at most: some two kilobytes each.
const GENERATION: usize = 15_000;

pub(super) struct Memory(Mutex<State>);

/// Two generations: what is used moves to the young one, and when that is full, the old one goes.
struct State {
    authorities: HashMap<AuthorityId, Known>,
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
    epochs: u64,
    capacity: usize,
}

struct Known {
    number: i64,
    /// Entries of another epoch are forgotten, and go when they are met.
    epoch: u64,
}

type Key = (AuthorityId, SerialNumber);

struct Entry {
    epoch: u64,
    status: CertStatus,
    /// One for each form in which the question was put.
    answers: Vec<(CertIdForm, Arc<SignedAnswer>)>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::of(GENERATION)
    }

    fn of(capacity: usize) -> Self {
        let (authorities, young, old) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self(Mutex::new(State { authorities, young, old, epochs: 0, capacity }))
    }

    /// The number up to which the authority's statuses here hold. Of one that is new here nothing is remembered, which
    /// holds up to `published`.
    pub(super) fn number(&self, authority: AuthorityId, published: i64) -> i64 {
        let mut state = self.state();
        if let Some(known) = state.authorities.get(&authority) {
            return known.number;
        }
        let epoch = state.next_epoch();
        state.authorities.insert(authority, Known { number: published, epoch });
        published
    }

    /// Moves on from a number, and forgets what changed.
    pub(super) fn catch_up(&self, authority: AuthorityId, from: i64, changes: Changes) {
        let mut state = self.state();
        let epoch = state.next_epoch();
        let Some(known) = state.authorities.get_mut(&authority).filter(|known| known.number == from) else { return };
        known.number = changes.number.max(from);
        let Some(serials) = changes.serials else {
            known.epoch = epoch;
            return;
        };
        for serial in serials {
            let key = (authority, serial);
            state.young.remove(&key);
            state.old.remove(&key);
        }
    }

    pub(super) fn status(&self, authority: AuthorityId, serial: &SerialNumber) -> Option<CertStatus> {
        self.state().entry(authority, serial).map(|entry| entry.status.clone())
    }

    /// The word of the status, and the answer in this form.
    pub(super) fn answer(
        &self,
        authority: AuthorityId,
        serial: &SerialNumber,
        form: CertIdForm,
    ) -> Option<(&'static str, Arc<SignedAnswer>)> {
        let mut state = self.state();
        let entry = state.entry(authority, serial)?;
        let (_, answer) = entry.answers.iter().find(|(known, _)| *known == form)?;
        Some((entry.status.as_str(), Arc::clone(answer)))
    }

    /// Remembers a status that was read at this number, unless more has been published here meanwhile. What is unknown may
    /// be issued at any time, and is not remembered.
    pub(super) fn keep_status(&self, authority: AuthorityId, serial: SerialNumber, status: &CertStatus, number: i64) {
        let mut state = self.state();
        let known = state.authorities.get(&authority).filter(|known| known.number <= number);
        let (Some(epoch), true) = (known.map(|known| known.epoch), *status != CertStatus::Unknown) else { return };
        // Its answers hold as well.
        if state.entry(authority, &serial).is_some_and(|entry| entry.status == *status) {
            return;
        }
        let entry = Entry { epoch, status: status.clone(), answers: Vec::new() };
        state.keep((authority, serial), entry);
    }

    /// Remembers an answer, if the status that it tells is the one that is remembered.
    pub(super) fn keep_answer(
        &self,
        authority: AuthorityId,
        serial: &SerialNumber,
        form: CertIdForm,
        status: &CertStatus,
        answer: &Arc<SignedAnswer>,
    ) {
        let mut state = self.state();
        let Some(entry) = state.entry(authority, serial).filter(|entry| entry.status == *status) else { return };
        entry.answers.retain(|(known, _)| *known != form);
        entry.answers.push((form, Arc::clone(answer)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_epoch(&mut self) -> u64 {
        self.epochs += 1;
        self.epochs
    }

    fn entry(&mut self, authority: AuthorityId, serial: &SerialNumber) -> Option<&mut Entry> {
        let epoch = self.authorities.get(&authority)?.epoch;
        let key = (authority, serial.clone());
        if !self.young.contains_key(&key) {
            let entry = self.old.remove(&key)?;
            self.keep(key.clone(), entry);
        }
        self.young.get_mut(&key).filter(|entry| entry.epoch == epoch)
    }

    fn keep(&mut self, key: Key, entry: Entry) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    const FORM: CertIdForm = CertIdForm::Sha1;

    fn authority(number: u128) -> AuthorityId {
        AuthorityId::new(Uuid::from_u128(number))
    }

    fn serial(number: u16) -> SerialNumber {
        SerialNumber::from_be_bytes(&(number + 1).to_be_bytes()).unwrap()
    }

    fn signed() -> Arc<SignedAnswer> {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Arc::new(SignedAnswer { der: Bytes::new(), digest: String::new(), this_update: at, next_update: at })
    }

    fn knows(memory: &Memory, owner: u128, number: u16) -> bool {
        memory.status(authority(owner), &serial(number)).is_some()
    }

    fn changed(number: i64, serials: &[u16]) -> Changes {
        let serials: BTreeSet<_> = serials.iter().map(|number| serial(*number)).collect();
        Changes { number, serials: Some(serials) }
    }

    /// Two authorities at number 5, each with the certificates 1 and 2 and an answer.
    fn filled() -> Memory {
        let memory = Memory::of(100);
        for owner in [1, 2] {
            assert_eq!(memory.number(authority(owner), 5), 5);
            for number in [1, 2] {
                memory.keep_status(authority(owner), serial(number), &CertStatus::Good, 5);
                memory.keep_answer(authority(owner), &serial(number), FORM, &CertStatus::Good, &signed());
            }
        }
        memory
    }

    #[test]
    fn only_what_changed_is_forgotten() {
        let memory = filled();
        memory.catch_up(authority(1), 5, changed(7, &[1]));
        assert_eq!(memory.number(authority(1), 9), 7);
        assert!(!knows(&memory, 1, 1) && knows(&memory, 1, 2) && knows(&memory, 2, 1));
        assert!(memory.answer(authority(1), &serial(1), FORM).is_none());
        assert!(memory.answer(authority(1), &serial(2), FORM).is_some());
        assert!(memory.answer(authority(1), &serial(2), CertIdForm::Sha256).is_none());
    }

    #[test]
    fn where_changes_cannot_be_told_all_of_the_authority_is_forgotten() {
        let memory = filled();
        memory.catch_up(authority(1), 5, Changes { number: 9, serials: None });
        assert!(!knows(&memory, 1, 1) && !knows(&memory, 1, 2) && knows(&memory, 2, 1) && knows(&memory, 2, 2));
    }

    #[test]
    fn what_was_read_before_a_publication_is_not_kept_after_it() {
        let memory = filled();
        memory.catch_up(authority(1), 5, changed(6, &[1]));
        memory.keep_status(authority(1), serial(1), &CertStatus::Good, 5);
        assert!(!knows(&memory, 1, 1));
        memory.keep_answer(authority(1), &serial(1), FORM, &CertStatus::Good, &signed());
        assert!(memory.answer(authority(1), &serial(1), FORM).is_none());
        memory.keep_status(authority(1), serial(1), &CertStatus::Good, 6);
        assert!(knows(&memory, 1, 1));
        // Read at a later number than is known here: right for it, and dropped again if it changes on the way there.
        memory.keep_status(authority(1), serial(3), &CertStatus::Good, 8);
        assert!(knows(&memory, 1, 3));
        memory.catch_up(authority(1), 6, changed(8, &[3]));
        assert!(!knows(&memory, 1, 3));
    }

    #[test]
    fn a_status_that_is_read_again_keeps_its_answers() {
        let memory = filled();
        memory.keep_status(authority(1), serial(1), &CertStatus::Good, 5);
        assert!(memory.answer(authority(1), &serial(1), FORM).is_some());
    }

    #[test]
    fn a_catching_up_from_another_number_changes_nothing() {
        let memory = filled();
        memory.catch_up(authority(1), 4, changed(9, &[1]));
        assert!(memory.number(authority(1), 9) == 5 && knows(&memory, 1, 1));
    }

    #[test]
    fn the_unknown_is_not_remembered() {
        let memory = filled();
        memory.keep_status(authority(1), serial(9), &CertStatus::Unknown, 5);
        assert!(!knows(&memory, 1, 9));
    }

    #[test]
    fn an_answer_of_another_status_is_not_kept() {
        let memory = filled();
        memory.keep_status(authority(1), serial(9), &CertStatus::Good, 5);
        memory.keep_answer(authority(1), &serial(9), FORM, &CertStatus::Unknown, &signed());
        assert!(memory.answer(authority(1), &serial(9), FORM).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let memory = Memory::of(10);
        memory.number(authority(1), 1);
        for number in 0..1000 {
            memory.keep_status(authority(1), serial(number), &CertStatus::Good, 1);
            assert!(knows(&memory, 1, 0), "used all the time, at {number}");
            let state = memory.state();
            assert!(state.young.len() <= 10 && state.old.len() <= 10);
        }
        assert!(!knows(&memory, 1, 500));
    }
}
