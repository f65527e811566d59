//! What people look at first: the history of a certificate, and what happened in a zone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use countersign::domain::id::{AccountId, ZoneId};
use countersign::domain::permission::Permission;
use countersign::service::access::{CreateAuthority, CreateToken, ReadCertificates};
use countersign::service::activity::Activity;
use countersign::service::authorities::AuthorityOptions;
use countersign::service::tokens::NewToken;
use countersign::store::Freshness;
use uuid::Uuid;

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
async fn how_fresh_each_zone_is_is_told_for_all_of_them_at_once() {
    let installation = Installation::new().await;
    let (other, its_authority) = installation.sharded_zone(4).await;
    let (here, there) = (installation.issue("one").await, installation.issue_in(other, "two", 30).await);
    let caller = installation.caller().await;
    let zones = installation.service.zones(&caller).await.unwrap();
    let told = async || installation.service.freshness_of(&caller, &zones).await.unwrap();
    let numbers = |told: &BTreeMap<ZoneId, Freshness>| {
        [installation.zone, other].map(|zone| told[&zone].publication.map(|publication| publication.number))
    };
    let waiting = |told: &BTreeMap<ZoneId, Freshness>| [installation.zone, other].map(|zone| told[&zone].waiting_since);
    let before = told().await;
    assert_eq!((before.len(), numbers(&before), waiting(&before)), (2, [Some(1); 2], [None; 2]));
    assert!(before.values().all(|fresh| fresh.responder_until.is_none()));

    let first = installation.now();
    installation.revoke(here.id, None).await;
    installation.clock.advance(Duration::from_secs(60));
    let second = installation.now();
    installation.revoke_in(other, there.id, None).await;
    assert_eq!(waiting(&told().await), [Some(first), Some(second)]);

    // What a retired authority signed is still its own to publish.
    let permit = installation.permit::<CreateAuthority>().await;
    let options = AuthorityOptions { key_type: None, crl_shards: None };
    installation.service.create_authority(&permit, options).await.unwrap();
    installation.publish(its_authority).await.unwrap();
    let retired = told().await;
    assert_eq!((waiting(&retired), numbers(&retired)), ([Some(first), None], [Some(1), Some(2)]));
    installation.publish(here.authority).await.unwrap();
    assert_eq!(waiting(&told().await), [None; 2]);

    let elsewhere = installation.store().freshness(AccountId::new(Uuid::from_u128(1)), vec![other], second).await;
    assert_eq!(elsewhere.unwrap(), BTreeMap::new(), "of another account");
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
