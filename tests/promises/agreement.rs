//! Whatever happens, in whatever order: API, complete CRL, delta over its base, shards and OCSP say the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use countersign::domain::authority::CrlScope;
use countersign::domain::certificate::Certificate;
use countersign::domain::id::{AuthorityId, CertificateId, ZoneId};
use countersign::domain::ocsp::CertStatus;
use countersign::domain::reason::RevocationReason::{self, CertificateHold, KeyCompromise, Superseded};
use countersign::domain::revocation::RevokedEntry;
use countersign::domain::status::Status;
use countersign::service::Service;
use countersign::service::certificates::RevocationRequest;
use countersign::x509::crl::{self, CrlFacts};
use proptest::prelude::*;
use uuid::Uuid;

use crate::crls::{applied, sorted};
use crate::harness::{CRL_VALIDITY, Installation};

const SHARDS: i32 = 3;
const CERTIFICATES: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    /// DELETE, with a reason or without, and since so many days.
    Revoke(usize, Option<RevocationReason>, Option<i64>),
    /// PATCH.
    Reactivate(usize),
    /// A worker's round, in one of the two processes.
    Publish(usize),
    /// A round that comes to nothing because the store fails in the middle.
    FailToPublish(usize),
    /// A round under a lease that somebody else has taken over.
    PublishTooLate(usize),
    /// kill -9 and a new start: what was in memory is gone.
    Crash(usize),
    /// Time for everything to be signed again.
    GrowOld,
    Days(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..CERTIFICATES;
    let reason = prop::sample::select(vec![None, Some(CertificateHold), Some(KeyCompromise), Some(Superseded)]);
    let since = proptest::option::weighted(0.3, 0..1000_i64);
    prop_oneof![
        6 => (which.clone(), reason, since).prop_map(|(index, reason, since)| Step::Revoke(index, reason, since)),
        4 => which.prop_map(Step::Reactivate),
        6 => (0..2_usize).prop_map(Step::Publish),
        1 => (0..2_usize).prop_map(Step::FailToPublish),
        1 => (0..2_usize).prop_map(Step::PublishTooLate),
        1 => (0..2_usize).prop_map(Step::Crash),
        1 => Just(Step::GrowOld),
        1 => (1..15_u64).prop_map(Step::Days),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_learn_of_a_revocation_says_the_same(steps in proptest::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.take(step).await;
                world.check(step).await;
            }
            world.settle().await;
        });
    }
}

struct World {
    installation: Installation,
    /// Two processes on one store.
    services: [Arc<Service>; 2],
    zone: ZoneId,
    authority: AuthorityId,
    certificates: Vec<CertificateId>,
    /// Every complete CRL there ever was, by number.
    complete: BTreeMap<u64, CrlFacts>,
}

impl World {
    async fn new() -> Self {
        let installation = Installation::new().await;
        let (zone, authority) = installation.sharded_zone(SHARDS).await;
        let mut certificates = Vec::new();
        for index in 0..CERTIFICATES {
            // Some end while the others live.
            let days = if index == 0 { 5 } else { 365 };
            certificates.push(installation.issue_in(zone, &format!("device-{index}"), days).await.id);
        }
        let services = [installation.service.clone(), installation.second_service().await];
        let first = installation.crl(authority).await;
        let complete = BTreeMap::from([(first.number, first)]);
        Self { installation, services, zone, authority, certificates, complete }
    }

    async fn take(&mut self, step: &Step) {
        let installation = &self.installation;
        match step {
            Step::Revoke(index, reason, since) => {
                let invalidity_date = since.map(|days| installation.now() - TimeDelta::days(days));
                let request = RevocationRequest { reason: *reason, invalidity_date };
                let permit = installation.permit_for(self.zone).await;
                installation.service.revoke(&permit, Some(self.certificates[*index]), request).await.unwrap();
            }
            // Refused where the revocation is final or the certificate has ended.
            Step::Reactivate(index) => drop(installation.reactivate_in(self.zone, self.certificates[*index]).await),
            Step::Publish(index) => self.publish(*index).await,
            Step::FailToPublish(index) => {
                installation.refuse("fails", "INSERT ON audit_events", "NEW.action = 'crl.publish'");
                let lease = self.services[*index].claim_lease(self.authority, Uuid::new_v4()).await.unwrap().unwrap();
                assert!(self.services[*index].publish(lease).await.is_err());
                installation.allow_again("fails");
                installation.service.take_over_leases().await.unwrap();
            }
            Step::PublishTooLate(index) => {
                let late = self.services[*index].claim_lease(self.authority, Uuid::new_v4()).await.unwrap().unwrap();
                installation.service.take_over_leases().await.unwrap();
                self.publish(1 - *index).await;
                let outcome = self.services[*index].publish(late).await.unwrap();
                assert_eq!(outcome, countersign::service::publication::Published::LeaseLost);
            }
            Step::Crash(index) => self.services[*index] = installation.second_service().await,
            Step::GrowOld => {
                installation.clock.advance(CRL_VALIDITY.to_std().unwrap() / 2);
                self.publish(0).await;
            }
            Step::Days(days) => installation.clock.advance(Duration::from_secs(days * 86_400)),
        }
    }

    async fn publish(&self, index: usize) {
        let service = &self.services[index];
        let lease = service.claim_lease(self.authority, Uuid::new_v4()).await.unwrap().unwrap();
        service.publish(lease).await.unwrap();
        self.installation.service.take_over_leases().await.unwrap();
    }

    async fn check(&mut self, step: &Step) {
        let complete = self.crl(0, CrlScope::Complete).await;
        assert_eq!(complete, self.crl(1, CrlScope::Complete).await, "after {step:?} the processes differ");
        if let Some((last, known)) = self.complete.last_key_value() {
            assert!(complete.number > *last || complete == *known, "a number does not grow after {step:?}");
        }
        let entries = sorted(complete.entries.clone());
        self.complete.insert(complete.number, complete);

        let mut in_shards = Vec::new();
        for shard in 0..SHARDS {
            in_shards.extend(self.crl(usize::from(shard % 2 == 1), CrlScope::Shard(shard)).await.entries);
        }
        assert_eq!(sorted(in_shards), entries, "the shards after {step:?}");
        if self.complete.len() > 1 {
            let delta = self.crl(0, CrlScope::Delta).await;
            assert!(self.complete.contains_key(&delta.base.unwrap()), "the base was published, after {step:?}");
            for (number, base) in self.complete.range(delta.base.unwrap()..) {
                assert_eq!(applied(base, &delta), entries, "the delta over {number} after {step:?}");
            }
        }
        for id in &self.certificates {
            let certificate = self.installation.show_in(self.zone, *id).await;
            let listed = entries.iter().find(|entry| entry.serial == certificate.serial);
            self.agree(&certificate, listed, step).await;
        }
    }

    async fn agree(&self, certificate: &Certificate, listed: Option<&RevokedEntry>, step: &Step) {
        let has_ended = certificate.not_after < self.installation.now();
        let revocation = certificate.revocation.as_ref();
        match certificate.status {
            Status::Active => assert_eq!(listed, None, "after {step:?}"),
            Status::Revoked => {
                let said = revocation.map(|revocation| (revocation.reason, revocation.revoked_on));
                assert!(listed.is_some() || has_ended, "revoked and not listed after {step:?}");
                if let Some(entry) = listed {
                    assert_eq!(said, Some((entry.reason, Some(entry.revoked_on))), "after {step:?}");
                }
            }
            Status::PendingRevocation | Status::PendingReactivation => {}
        }
        for service in &self.services {
            let said = self.installation.status_by(service, certificate).await;
            let expected = match (listed, certificate.status) {
                (Some(entry), _) => Some((entry.reason, entry.revoked_on)),
                // Off the list because it has ended, and revoked all the same.
                (None, Status::Revoked) => revocation.map(|known| (known.reason, known.revoked_on.unwrap())),
                // It depends on whether it was ever listed, which the API does not tell of these.
                (None, Status::PendingRevocation | Status::PendingReactivation) if has_ended => continue,
                (None, _) => None,
            };
            let told = match &said {
                CertStatus::Revoked(revocation) => Some((revocation.reason, revocation.revoked_on)),
                CertStatus::Good => None,
                CertStatus::Unknown => panic!("unknown after {step:?}"),
            };
            assert_eq!(told, expected, "OCSP after {step:?}");
        }
    }

    /// In the end, everything that was asked for is carried out.
    async fn settle(&mut self) {
        self.publish(1).await;
        self.check(&Step::Publish(1)).await;
        for id in &self.certificates {
            let status = self.installation.show_in(self.zone, *id).await.status;
            assert!(matches!(status, Status::Active | Status::Revoked), "{status}");
        }
        assert_eq!(self.installation.count("SELECT COUNT(*) FROM transitions"), 0);
    }

    async fn crl(&self, index: usize, scope: CrlScope) -> CrlFacts {
        let published = self.services[index].public_crl(Some(self.authority), scope).await.unwrap();
        crl::read(&published.der()).unwrap()
    }
}
