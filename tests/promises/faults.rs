//! Promise 9: faults stay where they are. One bad write fails alone, a busy store says so, a wrong key stops the start.

use std::sync::Arc;

use countersign::domain::reason::RevocationReason;
use countersign::domain::subject_alternative_name::SubjectAlternativeName;
use countersign::domain::violation::Violation;
use countersign::service::issuance::IssueInput;
use countersign::service::{NoRandomness, Random, RandomSource, Service, ServiceError};
use futures_util::future::join_all;

use crate::harness::{Installation, csr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_does_not_fail_its_neighbours() {
    let installation = Arc::new(Installation::new().await);
    installation.refuse("poison", "INSERT ON certificates", "NEW.common_name = 'poison'");
    let issues = (0..30).map(|number| {
        let installation = Arc::clone(&installation);
        let name = if number % 10 == 3 { "poison".to_owned() } else { format!("device-{number}") };
        tokio::spawn(async move { (name.clone(), installation.try_issue(&name, 30).await) })
    });
    for outcome in join_all(issues).await {
        let (name, issued) = outcome.unwrap();
        match issued {
            Ok(certificate) => assert_eq!(certificate.subject.common_name, name),
            Err(error) => assert!(name == "poison" && matches!(error, ServiceError::Unavailable(_)), "{name}: {error}"),
        }
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 27);
    assert_eq!(installation.count("SELECT SUM(total) FROM certificate_counters"), 27);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_up_leaves_a_whole_certificate_or_none() {
    let installation = Arc::new(Installation::new().await);
    let held = installation.hold_the_database();
    let issues = (0..64).map(|number| {
        let installation = Arc::clone(&installation);
        tokio::spawn(async move { installation.try_issue(&format!("device-{number}"), 30).await.map(drop) })
    });
    let issues: Vec<_> = issues.collect();
    // Some are being made, some wait for the database, some have not begun.
    tokio::task::yield_now().await;
    issues.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(issues).await;
    drop(held);
    installation.try_issue("the last one", 30).await.unwrap();
    let certificates = "SELECT COUNT(*) FROM certificates";
    assert!((1..=65).contains(&installation.count(certificates)));
    for others in [
        "SELECT CAST(SUM(total) AS BIGINT) FROM certificate_counters",
        "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.issue'",
    ] {
        // In one statement: some may still be under way.
        assert_eq!(installation.count(&format!("SELECT ({certificates}) - ({others})")), 0, "{others}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_instead_of_growing() {
    let installation = Arc::new(Installation::new().await);
    let held = installation.hold_the_database();
    // Refusals are recorded, so each of these waits for the writer.
    let refusals = (0..4700).map(|_| {
        let installation = Arc::clone(&installation);
        tokio::spawn(async move { installation.ask_for_nothing().await })
    });
    let refusals: Vec<_> = refusals.collect();
    let busy = installation.try_until_busy().await;
    drop(held);
    assert!(busy, "the queue never filled");
    join_all(refusals).await;
    assert!(installation.try_issue("device", 30).await.is_ok(), "it recovers by itself");
}

#[tokio::test]
async fn keys_moved_to_another_record_do_not_open() {
    let installation = Installation::new().await;
    installation.tamper(
        "UPDATE authorities SET sealed_key = (SELECT sealed_key FROM authorities WHERE parent_id IS NULL) \
         WHERE parent_id IS NOT NULL",
    );
    let fresh = installation.second_service().await;
    let issued = issue_with(&installation, &fresh).await;
    assert!(matches!(issued, Err(ServiceError::Signing(_))), "{issued:?}");
}

/// A generator that gives nothing.
struct Broken;

impl RandomSource for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
        Err(NoRandomness)
    }
}

#[tokio::test]
async fn without_randomness_nothing_is_issued() {
    let installation = Installation::new().await;
    let broken = installation.service_with(Random::of(Box::new(Broken))).await;
    let issued = issue_with(&installation, &broken).await;
    assert!(matches!(issued, Err(ServiceError::Internal(_))), "{issued:?}");
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 0);
}

/// A generator with a fault of its own.
struct Panicking;

impl RandomSource for Panicking {
    fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_panic_is_told_as_a_fault_of_ours_and_harms_nobody_else() {
    let installation = Installation::new().await;
    let panicking = installation.service_with(Random::of(Box::new(Panicking))).await;
    for _ in 0..16 {
        let issued = issue_with(&installation, &panicking).await;
        assert!(matches!(&issued, Err(ServiceError::Internal(why)) if why.contains("panicked")), "{issued:?}");
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 0);
    installation.try_issue("device", 30).await.unwrap();
}

#[tokio::test]
async fn a_compromised_key_gets_no_further_certificate() {
    let installation = Installation::new().await;
    let csr = csr("device");
    let input = || IssueInput { csr: Some(csr.clone()), validity_days: Some(30), ..IssueInput::default() };
    let certificate = installation.service.issue(&installation.permit().await, input()).await.unwrap().certificate;
    installation.revoke(certificate.id, Some(RevocationReason::Superseded)).await;
    let again = installation.service.issue(&installation.permit().await, input()).await.unwrap().certificate;
    installation.revoke(again.id, Some(RevocationReason::KeyCompromise)).await;

    let refused = installation.service.issue(&installation.permit().await, input()).await;
    let Err(ServiceError::Invalid(why)) = refused else { panic!("{refused:?}") };
    assert!(why[0].pointer == "/csr" && why[0].message.contains("block list"), "{why:?}");
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 2);
    assert!(installation.try_issue("another key", 30).await.is_ok());
}

#[tokio::test]
async fn a_compromise_reported_late_blocks_the_key_all_the_same() {
    let installation = Installation::new().await;
    let csr = csr("device");
    let input = || IssueInput { csr: Some(csr.clone()), validity_days: Some(30), ..IssueInput::default() };
    let certificate = installation.service.issue(&installation.permit().await, input()).await.unwrap().certificate;
    installation.revoke(certificate.id, Some(RevocationReason::Superseded)).await;
    let repeated = installation.revoke(certificate.id, Some(RevocationReason::KeyCompromise)).await;
    assert_eq!(repeated.revocation.unwrap().reason, RevocationReason::Superseded, "the first final reason stays");
    assert!(installation.service.issue(&installation.permit().await, input()).await.is_err());
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_not_ready_until_it_does_again() {
    let installation = Installation::new().await;
    installation.service.worker_is_alive();
    let database_fault = || async {
        let parts = installation.service.parts().await;
        parts.into_iter().find(|part| part.name == "database").unwrap().fault
    };
    assert_eq!(database_fault().await, None);
    installation.refuse("no_keys", "UPDATE ON master_keys", "TRUE");
    installation.refuse("no_audit", "INSERT ON audit_events", "TRUE");
    assert!(installation.try_issue("device", 30).await.is_err());
    assert!(database_fault().await.is_some() && database_fault().await.is_some(), "a failed write is remembered");
    installation.allow_again("no_keys");
    installation.allow_again("no_audit");
    assert_eq!(database_fault().await, None, "it heals by itself");
}

#[tokio::test]
async fn all_faults_are_told_at_once_whatever_could_not_be_read() {
    let installation = Installation::new().await;
    let input = IssueInput {
        csr: Some("no CSR".into()),
        validity_days: Some(0),
        profile: None,
        subject_alternative_names: vec![SubjectAlternativeName::Dns("not a name".into())],
        faults: vec![Violation::new("/elsewhere", "found while reading")],
        idempotency: None,
    };
    let refused = installation.service.issue(&installation.permit().await, input).await;
    let Err(ServiceError::Invalid(why)) = refused else { panic!("{refused:?}") };
    let mut pointers: Vec<_> = why.iter().map(|violation| violation.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/csr", "/elsewhere", "/subject_alternative_names/0", "/validity_days"]);
}

async fn issue_with(installation: &Installation, service: &Arc<Service>) -> Result<(), ServiceError> {
    let input = IssueInput { csr: Some(csr("device")), validity_days: Some(30), ..IssueInput::default() };
    service.issue(&installation.permit().await, input).await.map(drop)
}

#[tokio::test]
async fn a_clock_set_back_makes_no_tenant_the_operator() {
    let installation = Installation::new().await;
    installation.clock.set(installation.now() - chrono::TimeDelta::hours(1));
    let service = &installation.service;
    let operator = installation.caller().await;
    let permit = service.permit_new_account(operator.clone()).await.unwrap();
    let made = service.create_account(&permit, "older by its date").await.unwrap();
    let tenant = service.authenticate(&made.token, String::new()).await.unwrap().unwrap();
    assert!(matches!(service.permit_new_account(tenant.clone()).await, Err(ServiceError::Forbidden)));
    assert_eq!(service.accounts(&tenant).await.unwrap().len(), 1);
    assert_eq!(service.accounts(&operator).await.unwrap().len(), 2);
}
