//! A repeated request under one Idempotency-Key gets the first one's certificate, also where many come at the same moment and
//! share a transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign::domain::certificate::Certificate;
use countersign::service::ServiceError;
use countersign::service::issuance::{Idempotency, IssueInput};
use futures_util::future::join_all;

use crate::harness::{DAY, Installation, csr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_one_key_that_share_a_transaction_get_one_certificate() {
    let installation = Arc::new(Installation::new().await);
    let held = installation.hold_the_database();
    let numbers = 0..24_usize;
    let requests = numbers.clone().map(|number| {
        let installation = Arc::clone(&installation);
        // Six of each: under a key of their own, and under one key with two bodies.
        let (key, body) = match number % 4 {
            0 => (format!("own-{number}"), "one"),
            1 => ("shared".to_owned(), "one"),
            2 => ("quarrel".to_owned(), "one"),
            _ => ("quarrel".to_owned(), "other"),
        };
        tokio::spawn(async move { installation.issue_under(&key, body).await })
    });
    let requests: Vec<_> = requests.collect();
    // Until they wait for the writer, who waits for the database: it takes one, and then all others at once.
    installation.clock.sleep(Duration::from_millis(500)).await;
    drop(held);
    let outcomes: Vec<_> = join_all(requests).await.into_iter().map(Result::unwrap).collect();

    let of_kind = |kind: usize| outcomes.iter().skip(kind).step_by(4);
    let certificates = |kind: usize| -> Vec<&Certificate> { of_kind(kind).flatten().collect() };
    let ids = |kind: usize| certificates(kind).iter().map(|one| one.id.to_string()).collect::<BTreeSet<_>>();
    assert_eq!((certificates(0).len(), ids(0).len()), (6, 6));
    assert_eq!((certificates(1).len(), ids(1).len()), (6, 1), "all are answered with the first one's");
    let (winners, losers) = if certificates(2).is_empty() { (3, 2) } else { (2, 3) };
    assert_eq!((certificates(winners).len(), ids(winners).len()), (6, 1));
    for refused in of_kind(losers) {
        assert!(is_another_request(refused), "{refused:?}");
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 8);
    assert_eq!(installation.count("SELECT COUNT(*) FROM idempotency_keys"), 8);
    assert_eq!(
        installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.issue' AND result = 0"),
        8
    );
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn a_key_is_kept_for_a_day_and_then_taken_over() {
    let installation = Installation::new().await;
    let first = installation.issue_under("key", "one").await.unwrap();
    installation.clock.advance(DAY);
    assert_eq!(installation.issue_under("key", "one").await.unwrap().id, first.id);
    assert!(is_another_request(&installation.issue_under("key", "other").await));

    installation.clock.advance(Duration::from_millis(1));
    let next = installation.issue_under("key", "other").await.unwrap();
    assert_ne!(next.id, first.id);
    assert!(is_another_request(&installation.issue_under("key", "one").await), "it is the other request's now");
    assert_eq!(installation.issue_under("key", "other").await.unwrap().id, next.id);
    assert_eq!(installation.count("SELECT COUNT(*) FROM idempotency_keys"), 1);
}

#[tokio::test]
async fn very_many_old_keys_are_cleared_away_little_by_little() {
    let installation = Installation::new().await;
    installation.issue_under("old", "one").await.unwrap();
    installation.tamper(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 12000)
         INSERT INTO idempotency_keys
             SELECT token_id, randomblob(32), request_sha256, zone_id, certificate_id, messages, created_at - n / 2
             FROM idempotency_keys, numbers",
    );
    installation.clock.advance(DAY + Duration::from_millis(1));
    installation.issue_under("new", "one").await.unwrap();
    let left = || installation.count("SELECT COUNT(*) FROM idempotency_keys");
    let mut seen = vec![left()];
    while installation.service.forget_idempotency_keys().await.unwrap() {
        seen.push(left());
    }
    assert_eq!(left(), 1, "the new one stays");
    assert!(seen.len() > 2 && seen.windows(2).all(|two| two[0] - two[1] < 6_000), "{seen:?}");
}

impl Installation {
    /// Issues for a key of its own: what was asked for is judged by the body alone.
    async fn issue_under(&self, key: &str, body: &str) -> Result<Certificate, ServiceError> {
        let input = IssueInput {
            csr: Some(csr("device")),
            validity_days: Some(30),
            idempotency: Some(Idempotency { key: key.into(), body: body.into() }),
            ..IssueInput::default()
        };
        Ok(self.service.issue(&self.permit().await, input).await?.certificate)
    }
}

fn is_another_request<T>(outcome: &Result<T, ServiceError>) -> bool {
    matches!(outcome, Err(ServiceError::Invalid(why)) if why[0].message.contains("used with another request"))
}
