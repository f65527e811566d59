//! Promise 9: faults stay where they are. One bad write fails alone, a busy store says so, a wrong key stops the start.

use std::sync::Arc;

use countersign::service::{Service, ServiceError};
use futures_util::future::join_all;

use crate::harness::{Installation, csr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_does_not_fail_its_neighbours() {
    let installation = Arc::new(Installation::new().await);
    installation.tamper(
        "CREATE TRIGGER poison BEFORE INSERT ON certificates WHEN NEW.common_name = 'poison' \
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
    );
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

async fn issue_with(installation: &Installation, service: &Service) -> Result<(), ServiceError> {
    let input = countersign::service::issuance::IssueInput {
        csr: Some(csr("device")),
        validity_days: Some(30),
        ..Default::default()
    };
    service.issue(&installation.permit().await, input).await.map(drop)
}
