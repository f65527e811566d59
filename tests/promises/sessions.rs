//! Sessions of the console: they live as long as their token, and their forms are taken once, whichever process is asked.

use std::sync::Arc;
use std::time::Duration;

use countersign::service::Service;
use countersign::service::access::{CreateToken, DeleteToken};
use countersign::service::sessions::{FormProof, SignedIn};
use countersign::service::tokens::NewToken;
use secrecy::ExposeSecret;

use crate::harness::Installation;

const HOUR: Duration = Duration::from_secs(3600);

async fn sign_in(installation: &Installation) -> String {
    let token = installation.credential();
    let value = installation.service.sign_in(token.expose_secret(), "192.0.2.1".into(), "a browser").await.unwrap();
    value.expect("the token is good").to_string()
}

async fn session(service: &Arc<Service>, value: &str) -> Option<SignedIn> {
    service.session(value, "192.0.2.1".into(), true).await.unwrap()
}

#[tokio::test]
async fn a_session_is_known_to_every_process_and_by_its_hash_alone() {
    let installation = Installation::new().await;
    let value = sign_in(&installation).await;
    let other = installation.second_service().await;
    let seen = session(&other, &value).await.expect("the session is shared");
    assert_eq!(seen.caller.token().name, "admin");
    assert_eq!((seen.session.agent.as_str(), seen.session.source.as_str()), ("a browser", "192.0.2.1"));
    assert!(session(&other, &value.replace(|_| true, "A")).await.is_none());
    assert!(!format!("{:?}", seen.session).contains(&value));
    let started = "SELECT COUNT(*) FROM audit_events WHERE action = 'session.start'";
    assert_eq!(installation.count(started), 1);
    assert!(installation.service.end_session(&seen, seen.session.id).await.unwrap());
    assert!(session(&other, &value).await.is_none(), "ended here, ended everywhere");
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'session.end'"), 1);
}

#[tokio::test]
async fn an_unknown_token_opens_no_session() {
    let installation = Installation::new().await;
    let wrong = "x".repeat(48);
    assert!(installation.service.sign_in(&wrong, String::new(), "").await.unwrap().is_none());
    assert_eq!(installation.count("SELECT COUNT(*) FROM sessions"), 0);
}

#[tokio::test]
async fn idleness_ends_a_session_and_pages_that_look_by_themselves_do_not_keep_it() {
    let installation = Installation::new().await;
    let value = sign_in(&installation).await;
    for _ in 0..5 {
        installation.clock.advance(HOUR / 2);
        assert!(session(&installation.service, &value).await.is_some(), "its owner is there");
    }
    installation.clock.advance(HOUR / 2);
    assert!(installation.service.session(&value, String::new(), false).await.unwrap().is_some());
    installation.clock.advance(HOUR / 2);
    assert!(session(&installation.service, &value).await.is_none(), "nobody was there for an hour");
    installation.service.forget_sessions().await.unwrap();
    assert_eq!(installation.count("SELECT COUNT(*) FROM sessions"), 0);
}

#[tokio::test]
async fn no_session_lives_longer_than_twelve_hours() {
    let installation = Installation::new().await;
    let value = sign_in(&installation).await;
    for _ in 0..23 {
        installation.clock.advance(HOUR / 2);
        assert!(session(&installation.service, &value).await.is_some());
    }
    installation.clock.advance(HOUR / 2);
    assert!(session(&installation.service, &value).await.is_none());
}

#[tokio::test]
async fn a_session_ends_with_its_token_however_that_ends() {
    let installation = Installation::new().await;
    let caller = installation.caller().await;
    let account = caller.account();
    let making = installation.service.permit_in_account::<CreateToken>(caller.clone(), account).await.unwrap();
    let new = |name: &str, hours: Option<u32>| NewToken {
        name: name.into(),
        permissions: caller.token().grants.permissions.clone(),
        zones: None,
        not_before: None,
        expires_on: hours.map(|hours| installation.now() + HOUR * hours),
    };
    let mut opened = Vec::new();
    for new in [new("deleted", None), new("rolled", None), new("ended", Some(1))] {
        let (token, value) = installation.service.create_token(&making, new).await.unwrap();
        let session = installation.service.sign_in(&value, String::new(), "").await.unwrap().unwrap();
        opened.push((token.id, session.to_string()));
    }
    let own = sign_in(&installation).await;
    let other = installation.second_service().await;

    let deleting = installation.service.permit_in_account::<DeleteToken>(caller.clone(), account).await.unwrap();
    installation.service.delete_token(&deleting, Some(opened[0].0)).await.unwrap();
    assert!(session(&other, &opened[0].1).await.is_none(), "the token is gone");
    // Whoever gives a token another value takes the sessions of the old one.
    installation.tamper("UPDATE tokens SET value_sha256 = randomblob(32) WHERE name = 'rolled'");
    assert!(session(&other, &opened[1].1).await.is_none(), "the token has another value");
    assert!(session(&other, &opened[2].1).await.is_some());
    installation.clock.advance(HOUR / 2);
    session(&other, &opened[2].1).await.expect("it has half an hour left");
    session(&other, &own).await.unwrap();
    installation.clock.advance(HOUR / 2);
    assert!(session(&other, &opened[2].1).await.is_none(), "the token has expired");
    assert!(session(&other, &own).await.is_some(), "the others live on");
}

#[tokio::test]
async fn a_form_is_taken_once_by_whichever_process_and_in_its_own_session_alone() {
    let installation = Installation::new().await;
    let value = sign_in(&installation).await;
    let (first, second) = (&installation.service, installation.second_service().await);
    let here = session(first, &value).await.unwrap();
    let there = session(&second, &value).await.unwrap();
    let proof = first.form_proof(&here).unwrap();
    let neighbour = session(first, &sign_in(&installation).await).await.unwrap();

    assert_eq!(first.take_form(&neighbour, &proof, None).await.unwrap(), FormProof::Forged, "another session's");
    assert!(second.is_own_form(&there, &proof) && second.is_own_form(&there, &proof), "asking does not take it");
    assert_eq!(second.take_form(&there, &proof, None).await.unwrap(), FormProof::Good);
    assert_eq!(first.take_form(&here, &proof, None).await.unwrap(), FormProof::Repeated);
    let mut changed = proof.clone().into_bytes();
    changed[0] = if changed[0] == b'A' { b'B' } else { b'A' };
    for forged in ["", "AAAA", "not base64 !", &"A".repeat(64), &String::from_utf8(changed).unwrap()] {
        assert_eq!(first.take_form(&here, forged, None).await.unwrap(), FormProof::Forged, "{forged}");
    }
}

#[tokio::test]
async fn a_voucher_lets_one_form_of_one_session_be_sent_once_more() {
    let installation = Installation::new().await;
    let value = sign_in(&installation).await;
    let (first, second) = (&installation.service, installation.second_service().await);
    let here = session(first, &value).await.unwrap();
    let neighbour = session(first, &sign_in(&installation).await).await.unwrap();
    let [form, other, unsent] = [(); 3].map(|()| first.form_proof(&here).unwrap());
    let take = async |proof: &str, voucher: &str| second.take_form(&here, proof, Some(voucher)).await.unwrap();
    for proof in [&form, &other] {
        assert_eq!(first.take_form(&here, proof, None).await.unwrap(), FormProof::Good);
    }
    let voucher = first.form_voucher(&here, &form).unwrap().unwrap();
    assert_eq!(take(&other, &voucher).await, FormProof::Repeated, "it is for one form");
    for forged in ["", "AAAA", &form, &other, &unsent, &"A".repeat(64)] {
        assert_eq!(take(&form, forged).await, FormProof::Repeated, "{forged}");
    }
    assert_eq!(take(&voucher, &voucher).await, FormProof::Forged, "and is none itself");
    assert!(first.form_voucher(&neighbour, &form).unwrap().is_none(), "nobody vouches for another session's");

    // Whichever process is asked, and however often.
    assert_eq!(take(&form, &voucher).await, FormProof::Good);
    assert_eq!(first.take_form(&here, &form, Some(&voucher)).await.unwrap(), FormProof::Repeated);
    let next = first.form_voucher(&here, &form).unwrap().unwrap();
    assert_eq!((take(&form, &next).await, take(&form, &next).await), (FormProof::Good, FormProof::Repeated));

    // One that came too early is not lost, nor is it a second first time.
    let early = first.form_voucher(&here, &unsent).unwrap().unwrap();
    assert_eq!((take(&unsent, &early).await, take(&unsent, &early).await), (FormProof::Good, FormProof::Good));
    assert_eq!(take(&unsent, &early).await, FormProof::Repeated);
}

#[tokio::test]
async fn one_token_has_a_hundred_sessions_and_the_oldest_makes_room() {
    let installation = Installation::new().await;
    let first = sign_in(&installation).await;
    for _ in 0..100 {
        installation.clock.advance(Duration::from_millis(1));
        sign_in(&installation).await;
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM sessions"), 100);
    assert!(session(&installation.service, &first).await.is_none());
}
