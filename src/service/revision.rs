//! What a publication changes in an authority's revocation list: a pure decision.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use crate::domain::authority::Authority;
use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::serial::SerialNumber;
use crate::domain::status::{Status, settled};
use crate::domain::transition::Transition;
use crate::store::Misplaced;

use super::ServiceError;
use super::crl_signing::whole_seconds;
use super::revocation_lists::RevocationList;

#[derive(Debug, Default)]
pub(super) struct Revision {
    pub(super) changes: Changes,
    /// What leaves the list or comes back because of certificates' ends: shard, serial number, whether it is listed now.
    pub(super) placed: Vec<(i32, SerialNumber, bool)>,
    /// The entries of what is revoked with it.
    pub(super) entries: BTreeMap<SerialNumber, RevokedEntry>,
}

impl Revision {
    pub(super) fn of(
        authority: &Authority,
        before: &RevocationList,
        transitions: &[Transition],
        misplaced: Misplaced,
    ) -> Result<Self, ServiceError> {
        let mut revision = Self::default();
        for transition in transitions {
            let serial = &transition.serial;
            let listed = before.find(authority, serial)?;
            if settled(transition.status) == Status::Active {
                if listed.is_some() {
                    revision.changes.insert(serial.clone(), None);
                }
                continue;
            }
            let entry = revised(listed.as_ref(), transition);
            if listed.as_ref() != Some(&entry) {
                revision.changes.insert(serial.clone(), Some(entry.clone()));
            }
            revision.entries.insert(serial.clone(), entry);
        }
        let asked_for: BTreeSet<&SerialNumber> = transitions.iter().map(|transition| &transition.serial).collect();
        for serial in misplaced.ended.into_iter().filter(|serial| !asked_for.contains(serial)) {
            revision.placed.push((authority.shard_of(&serial), serial.clone(), false));
            revision.changes.insert(serial, None);
        }
        for mut entry in misplaced.alive.into_iter().filter(|entry| !asked_for.contains(&entry.serial)) {
            entry.revoked_on = whole_seconds(entry.revoked_on);
            revision.placed.push((authority.shard_of(&entry.serial), entry.serial.clone(), true));
            revision.changes.insert(entry.serial.clone(), Some(entry));
        }
        Ok(revision)
    }

    /// The shards that it touches.
    pub(super) fn shards(&self, authority: &Authority) -> BTreeSet<i32> {
        self.changes.keys().map(|serial| authority.shard_of(serial)).collect()
    }
}

/// A hold that becomes final keeps the date from which the certificate did not count.
fn revised(listed: Option<&RevokedEntry>, transition: &Transition) -> RevokedEntry {
    let revoked_on = listed.map_or_else(|| whole_seconds(transition.requested_on), |entry| entry.revoked_on);
    let known = listed.and_then(|entry| entry.invalidity_date);
    // Checked when it was asked for, and once more where it would stop every publication.
    let asked = transition.invalidity_date.map(whole_seconds).filter(|date| *date >= DateTime::UNIX_EPOCH);
    RevokedEntry {
        serial: transition.serial.clone(),
        revoked_on,
        reason: transition.reason,
        invalidity_date: asked.or(known),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use uuid::Uuid;

    use super::*;
    use crate::domain::authority::{AuthorityState, Shards};
    use crate::domain::id::{AccountId, AuthorityId, CertificateId, ZoneId};
    use crate::domain::key::AuthorityKeyType;
    use crate::domain::reason::RevocationReason::{self, CertificateHold, KeyCompromise};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn serial(number: u8) -> SerialNumber {
        SerialNumber::from_be_bytes(&[number]).unwrap()
    }

    fn authority() -> Authority {
        Authority {
            id: AuthorityId::new(Uuid::nil()),
            account: AccountId::new(Uuid::nil()),
            zone: None,
            parent: None,
            name: String::new(),
            state: AuthorityState::Active,
            key_type: AuthorityKeyType::P256,
            serial: serial(1),
            certificate: Vec::new(),
            ski: Vec::new(),
            not_before: at(0),
            not_after: at(1000),
            shards: Some(Shards { count: 2, url: "http://pki.test/crl".into() }),
        }
    }

    fn listed(number: u8, reason: RevocationReason) -> RevokedEntry {
        RevokedEntry { serial: serial(number), revoked_on: at(1), reason, invalidity_date: None }
    }

    fn list(entries: Vec<RevokedEntry>) -> RevocationList {
        let changes = entries.into_iter().map(|entry| (entry.serial.clone(), Some(entry))).collect();
        RevocationList::empty(2).changed(&authority(), 1, &changes).unwrap()
    }

    fn asked(number: u8, status: Status, reason: RevocationReason) -> Transition {
        Transition {
            certificate: CertificateId::new(Uuid::nil()),
            zone: ZoneId::new(Uuid::nil()),
            authority: AuthorityId::new(Uuid::nil()),
            serial: serial(number),
            status,
            version: 1,
            reason,
            invalidity_date: None,
            requested_on: at(5),
            not_after: at(99),
            job: None,
        }
    }

    #[test]
    fn revoked_ones_are_added_released_ones_leave_and_final_reasons_keep_the_first_date() {
        let before = list(vec![listed(1, CertificateHold), listed(2, CertificateHold), listed(3, KeyCompromise)]);
        let transitions = [
            asked(1, Status::PendingReactivation, CertificateHold),
            asked(2, Status::PendingRevocation, KeyCompromise),
            asked(3, Status::PendingRevocation, KeyCompromise),
            asked(4, Status::PendingRevocation, CertificateHold),
            asked(5, Status::PendingReactivation, CertificateHold),
        ];
        let revision = Revision::of(&authority(), &before, &transitions, Misplaced::default()).unwrap();
        let seen: Vec<_> = revision
            .changes
            .iter()
            .map(|(serial, change)| {
                (serial.as_bytes()[0], change.as_ref().map(|entry| (entry.reason, entry.revoked_on)))
            })
            .collect();
        // Number 3 stands there already, and number 5 never did.
        assert_eq!(seen, [(1, None), (2, Some((KeyCompromise, at(1)))), (4, Some((CertificateHold, at(5))))]);
        assert_eq!(revision.entries.len(), 3);
        assert_eq!(revision.shards(&authority()), BTreeSet::from([0, 1]));
    }

    #[test]
    fn what_is_asked_for_goes_before_what_ends() {
        let before = list(vec![listed(1, CertificateHold), listed(2, CertificateHold)]);
        let misplaced = Misplaced { ended: vec![serial(1), serial(2)], alive: vec![listed(6, KeyCompromise)] };
        let transitions = [asked(1, Status::PendingRevocation, KeyCompromise)];
        let revision = Revision::of(&authority(), &before, &transitions, misplaced).unwrap();
        assert_eq!(revision.placed, [(0, serial(2), false), (0, serial(6), true)]);
        assert!(revision.changes[&serial(1)].is_some() && revision.changes[&serial(2)].is_none());
    }
}
