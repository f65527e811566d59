//! Promises 3, 4 and 5: `revoked` means visible; revoking never waits for a CRL; transitions are never lost, doubled or
//! reordered.

use std::time::Duration;

use chrono::TimeDelta;
use countersign::domain::id::CertificateId;
use countersign::domain::reason::RevocationReason::{CertificateHold, KeyCompromise};
use countersign::domain::status::Status;
use countersign::service::ServiceError;
use countersign::service::certificates::RevocationRequest;
use countersign::service::publication::Published;
use countersign::worker;
use tokio::sync::watch;
use uuid::Uuid;

use crate::harness::{CRL_VALIDITY, DAY, Installation, is_listed};

#[tokio::test]
async fn revoked_is_shown_only_after_the_crl_is_published() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let asked = installation.revoke(certificate.id, None).await;
    assert_eq!(asked.status, Status::PendingRevocation);
    assert!(!is_listed(&installation.crl(certificate.authority).await, &certificate));
    assert_eq!(installation.show(certificate.id).await.status, Status::PendingRevocation);

    let published = installation.publish(certificate.authority).await.unwrap();
    assert_eq!(published, Published::Crl { number: 2, finished: 1 });
    let crl = installation.crl(certificate.authority).await;
    let shown = installation.show(certificate.id).await;
    assert!(is_listed(&crl, &certificate));
    assert_eq!(shown.status, Status::Revoked);
    let receipt = shown.receipt.unwrap();
    assert_eq!((receipt.status, receipt.crl_number), (Status::Revoked, 2));
    assert_eq!(receipt.published_on, crl.this_update);
    assert_eq!(shown.revocation.unwrap().crl_number, Some(2));
}

#[tokio::test]
async fn active_again_is_shown_only_after_the_crl_dropped_it() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    let asked = installation.reactivate(certificate.id).await.unwrap();
    assert_eq!(asked.status, Status::PendingReactivation);
    assert!(is_listed(&installation.crl(certificate.authority).await, &certificate));

    installation.publish(certificate.authority).await.unwrap();
    let shown = installation.show(certificate.id).await;
    assert!(!is_listed(&installation.crl(certificate.authority).await, &certificate));
    assert_eq!((shown.status, shown.revocation), (Status::Active, None));
    assert_eq!(shown.receipt.unwrap().crl_number, 3);
}

#[tokio::test]
async fn a_change_of_mind_while_the_crl_is_being_signed_is_carried_out_by_the_next() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    let lease = installation.service.claim_lease(certificate.authority, Uuid::new_v4()).await.unwrap().unwrap();
    // Between the worker's reading and its storing: the two run at once, whichever way they interleave.
    let (published, reactivated) =
        tokio::join!(installation.service.publish(lease), installation.reactivate(certificate.id));
    published.unwrap();
    reactivated.unwrap();
    installation.service.take_over_leases().await.unwrap();

    installation.publish(certificate.authority).await.unwrap();
    let shown = installation.show(certificate.id).await;
    assert_eq!(shown.status, Status::Active);
    assert!(!is_listed(&installation.crl(certificate.authority).await, &certificate));
    assert_eq!(installation.count("SELECT COUNT(*) FROM transitions"), 0);
    assert_eq!(installation.count("SELECT COUNT(*) FROM revocations"), 0);
}

#[tokio::test]
async fn a_hold_that_becomes_final_keeps_its_date_and_cannot_be_lifted() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    let held_on = installation.show(certificate.id).await.revocation.unwrap().revoked_on;

    installation.clock.advance(DAY);
    installation.revoke(certificate.id, Some(KeyCompromise)).await;
    installation.publish(certificate.authority).await.unwrap();
    let revocation = installation.show(certificate.id).await.revocation.unwrap();
    assert_eq!((revocation.reason, revocation.revoked_on), (KeyCompromise, held_on));
    let crl = installation.crl(certificate.authority).await;
    let entry = crl.entries.iter().find(|entry| entry.serial == certificate.serial).unwrap();
    assert_eq!((entry.reason, Some(entry.revoked_on)), (KeyCompromise, held_on));

    let refused = installation.reactivate(certificate.id).await;
    assert!(
        matches!(&refused, Err(ServiceError::Invalid(why)) if why[0].message.contains("keyCompromise")),
        "{refused:?}"
    );
    // Nor does a later plain DELETE turn it back into a hold.
    let repeated = installation.revoke(certificate.id, Some(CertificateHold)).await;
    assert_eq!((repeated.status, repeated.revocation.unwrap().reason), (Status::Revoked, KeyCompromise));
}

#[tokio::test]
async fn revoking_succeeds_while_no_crl_can_be_published() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.tamper("UPDATE authorities SET state = 2 WHERE zone_id IS NOT NULL");
    assert_eq!(installation.revoke(certificate.id, None).await.status, Status::PendingRevocation);
    assert!(installation.publish(certificate.authority).await.is_err());
    assert_eq!(installation.show(certificate.id).await.status, Status::PendingRevocation);
    assert_eq!(installation.count("SELECT MAX(attempts) FROM publications"), 1);
    assert!(installation.service.authorities_to_publish().await.unwrap().is_empty(), "it backs off");

    installation.tamper("UPDATE authorities SET state = 0");
    installation.clock.advance(Duration::from_secs(60));
    assert_eq!(installation.service.authorities_to_publish().await.unwrap(), [certificate.authority]);
    installation.publish(certificate.authority).await.unwrap();
    assert_eq!(installation.show(certificate.id).await.status, Status::Revoked);
}

#[tokio::test]
async fn whoever_lost_the_lease_publishes_nothing() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    let service = &installation.service;
    let stale = service.claim_lease(certificate.authority, Uuid::new_v4()).await.unwrap().unwrap();
    assert!(service.claim_lease(certificate.authority, Uuid::new_v4()).await.unwrap().is_none(), "it is held");

    installation.clock.advance(Duration::from_secs(11));
    let fresh = service.claim_lease(certificate.authority, Uuid::new_v4()).await.unwrap().unwrap();
    assert!(fresh.fence > stale.fence);
    assert_eq!(service.publish(stale).await.unwrap(), Published::LeaseLost);
    assert_eq!(installation.show(certificate.id).await.status, Status::PendingRevocation);
    assert_eq!(installation.crl(certificate.authority).await.number, 1);
    assert_eq!(service.publish(fresh).await.unwrap(), Published::Crl { number: 2, finished: 1 });
}

#[tokio::test]
async fn a_worker_that_stops_keeps_no_lease() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    let (stop, stopped) = watch::channel(false);
    let worker = worker::start(installation.service.clone(), stopped);
    let carried_out = async {
        while installation.show(certificate.id).await.status != Status::Revoked {
            installation.clock.sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), carried_out).await.expect("it is carried out");
    let other = || installation.service.claim_lease(certificate.authority, Uuid::new_v4());
    assert!(other().await.unwrap().is_none(), "it is held");
    stop.send(true).unwrap();
    worker.await.unwrap();
    assert!(other().await.unwrap().is_some(), "at the same moment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_finish_every_transition_once() {
    let installation = Installation::new().await;
    let mut ids: Vec<CertificateId> = Vec::new();
    for number in 0..40 {
        ids.push(installation.issue(&format!("device-{number}")).await.id);
    }
    let (stop, stopped) = watch::channel(false);
    let workers = [
        worker::start(installation.service.clone(), stopped.clone()),
        worker::start(installation.second_service().await, stopped),
    ];
    for (index, id) in ids.iter().enumerate() {
        installation.revoke(*id, None).await;
        if index % 2 == 0 {
            installation.reactivate(*id).await.unwrap();
        }
        // The lease must change hands now and then.
        installation.clock.advance(Duration::from_secs(3));
    }
    let settled = async {
        while installation.count("SELECT COUNT(*) FROM transitions") > 0 {
            installation.clock.advance(Duration::from_secs(11));
            installation.clock.sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("all transitions are carried out");
    stop.send(true).unwrap();
    for worker in workers {
        worker.await.unwrap();
    }

    let authority = installation.show(ids[0]).await.authority;
    let crl = installation.crl(authority).await;
    for (index, id) in ids.iter().enumerate() {
        let certificate = installation.show(*id).await;
        let expected = if index % 2 == 0 { Status::Active } else { Status::Revoked };
        assert_eq!(certificate.status, expected);
        assert_eq!(is_listed(&crl, &certificate), expected == Status::Revoked);
    }
    let published = installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'crl.publish'");
    assert_eq!(crl.number, 1 + u64::try_from(published).unwrap() - installation.root_crls());
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoked' AND subject IN (SELECT subject FROM audit_events WHERE action = 'certificate.revoked' GROUP BY subject HAVING COUNT(*) > 1)"), 0);
}

impl Installation {
    /// CRLs of the root beyond its first.
    fn root_crls(&self) -> u64 {
        let root = "SELECT number - 1 FROM publications JOIN authorities ON id = authority_id WHERE parent_id IS NULL";
        u64::try_from(self.count(root)).unwrap()
    }
}

#[tokio::test]
async fn crls_are_signed_again_at_half_their_validity() {
    let installation = Installation::new().await;
    assert!(installation.service.authorities_to_refresh().await.unwrap().is_empty());
    installation.clock.advance(DAY * 3 + DAY / 2);
    let due = installation.service.authorities_to_refresh().await.unwrap();
    assert_eq!(due.len(), 2, "root and issuing authority");
    for authority in due {
        let before = installation.crl(authority).await;
        installation.publish(authority).await.unwrap();
        let after = installation.crl(authority).await;
        assert_eq!(after.number, before.number + 1);
        assert_eq!(after.next_update - after.this_update, CRL_VALIDITY);
        assert!(after.this_update < before.next_update);
    }
    assert!(installation.service.authorities_to_refresh().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_certificate_leaves_the_crl_after_one_crl_past_its_end() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("short", 1).await.unwrap();
    installation.revoke(certificate.id, Some(KeyCompromise)).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.clock.advance(DAY * 2);
    for expected in [true, false] {
        installation.publish(certificate.authority).await.unwrap();
        assert_eq!(is_listed(&installation.crl(certificate.authority).await, &certificate), expected);
    }
    assert_eq!(installation.show(certificate.id).await.status, Status::Revoked, "its status stays");
}

#[tokio::test]
async fn an_expired_hold_is_not_reactivated() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("short", 1).await.unwrap();
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.clock.advance(DAY * 2);
    let refused = installation.reactivate(certificate.id).await;
    assert!(
        matches!(&refused, Err(ServiceError::Invalid(why)) if why[0].message.contains("expired on")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn crls_are_not_dated_back_when_the_clock_is_corrected_a_little() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let before = installation.crl(certificate.authority).await;
    installation.clock.set(installation.now() - TimeDelta::minutes(2));
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    let after = installation.crl(certificate.authority).await;
    assert!(after.number > before.number && after.this_update >= before.this_update);
}

#[tokio::test]
async fn a_clock_that_ran_ahead_takes_nobody_off_the_crl_for_good() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("device", 30).await.unwrap();
    installation.revoke(certificate.id, Some(KeyCompromise)).await;
    installation.publish(certificate.authority).await.unwrap();
    let right = installation.now();

    installation.clock.advance(DAY * 60);
    for _ in 0..2 {
        installation.publish(certificate.authority).await.unwrap();
    }
    assert!(!is_listed(&installation.crl(certificate.authority).await, &certificate), "its end lay behind");

    installation.clock.set(right);
    let due = installation.service.authorities_to_refresh().await.unwrap();
    assert!(due.contains(&certificate.authority), "a CRL from the future is replaced at once");
    installation.publish(certificate.authority).await.unwrap();
    let crl = installation.crl(certificate.authority).await;
    assert!(is_listed(&crl, &certificate));
    assert_eq!(crl.this_update, right);
    assert_eq!(crl.number, 5);
}

#[tokio::test]
async fn a_pause_set_by_a_clock_that_ran_ahead_is_not_kept() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    installation.tamper("UPDATE authorities SET state = 2 WHERE zone_id IS NOT NULL");
    assert!(installation.publish(certificate.authority).await.is_err());
    installation.tamper("UPDATE authorities SET state = 0");
    installation.clock.set(installation.now() - TimeDelta::days(1));
    assert_eq!(installation.service.authorities_to_publish().await.unwrap(), [certificate.authority]);
}

#[tokio::test]
async fn api_and_crl_name_the_same_date_also_past_the_end() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("short", 1).await.unwrap();
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.clock.advance(DAY * 3);
    for _ in 0..2 {
        installation.publish(certificate.authority).await.unwrap();
    }
    installation.revoke(certificate.id, Some(KeyCompromise)).await;
    installation.publish(certificate.authority).await.unwrap();
    let revoked_on = installation.show(certificate.id).await.revocation.unwrap().revoked_on;
    let crl = installation.crl(certificate.authority).await;
    let entry = crl.entries.iter().find(|entry| entry.serial == certificate.serial).unwrap();
    assert_eq!(Some(entry.revoked_on), revoked_on);
}

#[tokio::test]
async fn what_one_crl_carries_out_keeps_the_dates_of_each() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(4).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(installation.issue_in(zone, &format!("device-{number}"), 365).await.id);
    }
    let mut asked = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        installation.clock.advance(Duration::from_secs(7));
        let is_compromise = index % 3 == 0;
        let request = RevocationRequest {
            reason: is_compromise.then_some(KeyCompromise),
            invalidity_date: is_compromise.then(|| installation.now() - TimeDelta::hours(1)),
        };
        let permit = installation.permit_for(zone).await;
        installation.service.revoke(&permit, Some(*id), request).await.unwrap();
        asked.push((installation.now(), request.invalidity_date));
    }
    installation.clock.advance(Duration::from_secs(7));
    let published = installation.publish(authority).await.unwrap();
    assert_eq!(published, Published::Crl { number: 2, finished: 12 });
    for (id, (revoked_on, invalidity_date)) in ids.iter().zip(&asked) {
        let shown = installation.show_in(zone, *id).await;
        let revocation = shown.revocation.unwrap();
        assert_eq!((shown.status, revocation.crl_number), (Status::Revoked, Some(2)));
        assert_eq!((revocation.revoked_on, revocation.invalidity_date), (Some(*revoked_on), *invalidity_date));
    }

    // Some come back while others become final, which keeps their date.
    installation.clock.advance(DAY);
    for id in [ids[1], ids[2]] {
        installation.reactivate_in(zone, id).await.unwrap();
    }
    installation.revoke_in(zone, ids[4], Some(KeyCompromise)).await;
    let published = installation.publish(authority).await.unwrap();
    assert_eq!(published, Published::Crl { number: 3, finished: 3 });
    for id in [ids[1], ids[2]] {
        let shown = installation.show_in(zone, id).await;
        assert_eq!((shown.status, shown.revocation), (Status::Active, None));
    }
    let revocation = installation.show_in(zone, ids[4]).await.revocation.unwrap();
    assert_eq!((revocation.reason, revocation.revoked_on), (KeyCompromise, Some(asked[4].0)));
    assert!(installation.totals_are_true());
}
