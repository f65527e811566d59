//! What people look at first: the history of a certificate, and what happened in a zone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign::domain::permission::Permission;
use countersign::service::access::{CreateToken, ReadCertificates};
use countersign::service::activity::Activity;
use countersign::service::tokens::NewToken;

use crate::harness::{DAY, Installation};

async fn activity(installation: &Installation) -> Arc<Activity> {
    let permit = installation.permit::<ReadCertificates>().await;
    for _ in 0..200 {
        if let Some(activity) = installation.service.activity(&permit).await.unwrap()
            && activity.counted_on == installation.now()
        {
            return activity;
        }
        countersign::clock::Clock::system().sleep(Duration::from_millis(20)).await;
    }
    panic!("it is not counted");
}

#[tokio::test]
async fn what_happened_is_counted_by_days() {
    let installation = Installation::new().await;
    let first = installation.issue("one").await;
    installation.copy(&first, 500);
    installation.try_issue("soon over", 30).await.unwrap();
    installation.revoke(first.id, None).await;
    installation.publish(first.authority).await.unwrap();
    let seen = activity(&installation).await;
    let today = seen.days.last().unwrap();
    assert_eq!((seen.days.len(), today.issued, today.revoked), (30, 502, 1));
    assert_eq!(seen.days.iter().map(|day| day.issued).sum::<i64>(), 502);
    assert_eq!((seen.ends.len(), seen.ends.iter().map(|(_, count)| count).sum::<i64>()), (91, 1));

    installation.clock.advance(DAY);
    installation.issue("two").await;
    for _ in 0..2 {
        let seen = activity(&installation).await;
        let issued: Vec<i64> = seen.days.iter().rev().take(3).map(|day| day.issued).collect();
        assert_eq!(issued, [1, 502, 0]);
        // Long enough for it to be counted anew.
        installation.clock.advance(DAY / 24);
    }
}

#[tokio::test]
async fn a_certificate_tells_what_became_of_it_and_who_did_it_to_those_who_may_know() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.clock.advance(Duration::from_secs(60));
    installation.revoke(certificate.id, None).await;
    installation.clock.advance(Duration::from_secs(1));
    installation.publish(certificate.authority).await.unwrap();
    // Others, whose acts are not its own.
    installation.issue("another").await;

    let permit = installation.permit::<ReadCertificates>().await;
    let history = installation.service.history(&permit, &certificate).await.unwrap();
    let acts: Vec<(&str, &str)> =
        history.acts.iter().map(|act| (act.action.as_str(), act.actor_name.as_str())).collect();
    let expected = [("certificate.revoked", "system"), ("certificate.revoke", "admin"), ("certificate.issue", "admin")];
    assert_eq!(acts, expected);
    assert!(history.tells_who && history.acts[0].detail.starts_with("CRL number "), "{:?}", history.acts[0]);

    let caller = installation.caller().await;
    let account = caller.account();
    let making = installation.service.permit_in_account::<CreateToken>(caller, account).await.unwrap();
    let new = NewToken {
        name: "reader".into(),
        permissions: BTreeSet::from([Permission::ReadCertificates]),
        zones: None,
        not_before: None,
        expires_on: None,
    };
    let (_, value) = installation.service.create_token(&making, new).await.unwrap();
    let reader = installation.service.authenticate(&value, String::new()).await.unwrap().unwrap();
    let permit = installation.service.permit_in_zone::<ReadCertificates>(reader, installation.zone).await.unwrap();
    let history = installation.service.history(&permit, &certificate).await.unwrap();
    assert!(!history.tells_who && history.acts.len() == 3);
    assert!(history.acts.iter().all(|act| act.actor_name.is_empty() && act.source.is_empty()));
}
