//! OCSP tells what was published, in the same moment: once any process has shown a revocation, none says `good`.

use std::sync::Arc;

use chrono::TimeDelta;
use countersign::domain::certificate::Certificate;
use countersign::domain::id::AuthorityId;
use countersign::domain::ocsp::CertStatus;
use countersign::domain::reason::RevocationReason::{self, CertificateHold, KeyCompromise};
use countersign::domain::serial::SerialNumber;
use countersign::domain::status::Status;
use countersign::service::certificates::RevocationRequest;
use countersign::service::ocsp::{OcspAnswer, SignedAnswer};
use countersign::service::{Service, ServiceError};
use countersign::worker;
use countersign::x509::certificate;
use countersign::x509::ocsp::asking;
use countersign::x509::ocsp::issuer::IssuerHashes;
use countersign::x509::ocsp::reading::{self, OcspFacts};
use countersign::x509::ocsp::request::MAX_CERTIFICATES;
use countersign::x509::ocsp::response::Refusal;
use countersign::x509::public_key;
use countersign::x509::signature::verify_document;
use tokio::sync::watch;

use crate::harness::{DAY, Installation, OCSP_VALIDITY};

#[tokio::test]
async fn every_stage_of_a_life_has_its_status() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);
    installation.revoke(certificate.id, None).await;
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good, "nothing is published yet");
    installation.publish(certificate.authority).await.unwrap();
    let CertStatus::Revoked(held) = installation.ocsp_status(&certificate).await else { panic!("it is revoked") };
    assert_eq!((held.reason, held.invalidity_date), (CertificateHold, None));
    assert_eq!(Some(held.revoked_on), installation.show(certificate.id).await.revocation.unwrap().revoked_on);

    installation.reactivate(certificate.id).await.unwrap();
    assert!(is_revoked(&installation.ocsp_status(&certificate).await), "it is still listed");
    installation.publish(certificate.authority).await.unwrap();
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);

    installation.revoke(certificate.id, Some(KeyCompromise)).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.clock.advance(DAY * 800);
    for _ in 0..3 {
        installation.publish(certificate.authority).await.unwrap();
    }
    let CertStatus::Revoked(ended) = installation.ocsp_status(&certificate).await else { panic!("also past its end") };
    assert_eq!(ended.reason, KeyCompromise);
}

#[tokio::test]
async fn what_was_never_issued_is_unknown_and_what_is_issued_then_is_good() {
    let installation = Installation::new().await;
    let issuing = installation.issuing().await;
    let never = SerialNumber::from_be_bytes(&[1, 2, 3]).unwrap();
    let answer = installation.ask(&installation.service, issuing, &[&never], None).await;
    assert!(matches!(answer, OcspAnswer::Once(_)), "caches must not keep it: it may come to be");
    assert_eq!(facts(&answer).answers[0].status, CertStatus::Unknown);
    for number in 0..5 {
        let certificate = installation.issue(&format!("device-{number}")).await;
        assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);
    }
}

#[tokio::test]
async fn the_root_answers_for_the_authorities_below_and_each_for_its_responder() {
    let installation = Installation::new().await;
    let issuing = installation.issuing().await;
    let authority = installation.service.public_authority(Some(issuing)).await.unwrap();
    let root = authority.parent.unwrap();
    let answer = installation.ask(&installation.service, root, &[&authority.serial], None).await;
    let told = facts(&answer);
    assert_eq!(told.answers[0].status, CertStatus::Good);
    let responder = certificate::read(&told.responder_certificate).unwrap();
    let of_itself = installation.ask(&installation.service, root, &[&responder.serial], None).await;
    assert_eq!(facts(&of_itself).answers[0].status, CertStatus::Good);
    let elsewhere = installation.ask(&installation.service, issuing, &[&responder.serial], None).await;
    assert_eq!(facts(&elsewhere).answers[0].status, CertStatus::Unknown);
}

#[tokio::test]
async fn an_answer_is_signed_by_a_short_lived_responder_of_the_authority() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let told = facts(&installation.ask_about(&installation.service, &certificate, None).await);
    let responder = certificate::read(&told.responder_certificate).unwrap();
    let authority = installation.service.public_authority(Some(certificate.authority)).await.unwrap();
    let issuer = certificate::read(&authority.certificate).unwrap();
    verify_document(&told.responder_certificate, &issuer.spki).unwrap();
    assert_eq!(responder.issuer, issuer.subject);
    assert_eq!(told.responder(&authority.certificate, installation.now()).unwrap().serial, responder.serial);
    let root = installation.service.public_authority(authority.parent).await.unwrap();
    assert!(told.responder(&root.certificate, installation.now()).is_err(), "another's responder");
    assert!(told.responder(&authority.certificate, installation.now() + DAY * 8).is_err(), "one that has ended");
    assert_eq!(responder.ski.as_deref(), Some(told.responder_key.as_slice()));
    assert!(!responder.is_ca && responder.crl_urls.is_empty());
    assert_eq!(responder.not_after - responder.not_before, TimeDelta::days(7));
    let [name] = responder.subject.attributes.as_slice() else { panic!("one attribute") };
    assert!(name.value.starts_with("OCSP of Managed CA for zone ") && name.value.len() <= 64, "{}", name.value);
    let answer = &told.answers[0];
    assert_eq!((answer.this_update, told.produced_at), (installation.now(), installation.now()));
    assert_eq!(answer.next_update - answer.this_update, OCSP_VALIDITY);
}

#[tokio::test]
async fn revoked_is_never_good_again_whichever_process_is_asked() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let certificates = [installation.issue("one").await, installation.issue("two").await];
    for round in 0..4 {
        for certificate in &certificates {
            // Both remember it as good, with a signed answer.
            for service in [&installation.service, &other] {
                let answer = installation.ask_about(service, certificate, None).await;
                assert_eq!(facts(&answer).answers[0].status, CertStatus::Good, "round {round}");
                assert!(matches!(answer, OcspAnswer::Shared(_)));
            }
        }
        installation.revoke(certificates[0].id, None).await;
        installation.publish(certificates[0].authority).await.unwrap();
        for service in [&other, &installation.service] {
            for nonce in [None, Some([7; 32])] {
                let answer = installation
                    .ask_about(service, &certificates[0], nonce.as_ref().map(|nonce| nonce.as_slice()))
                    .await;
                assert!(is_revoked(&facts(&answer).answers[0].status), "round {round}");
            }
            assert_eq!(installation.status_by(service, &certificates[1]).await, CertStatus::Good);
        }
        installation.reactivate(certificates[0].id).await.unwrap();
        installation.publish(certificates[0].authority).await.unwrap();
    }
}

#[tokio::test]
async fn nor_where_the_log_of_changes_no_longer_goes_back_so_far() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let certificate = installation.issue("device").await;
    assert_eq!(installation.status_by(&other, &certificate).await, CertStatus::Good);
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.tamper("UPDATE publications SET base_number = number; DELETE FROM crl_changes");
    assert!(is_revoked(&installation.status_by(&other, &certificate).await));
}

#[tokio::test]
async fn nor_where_the_answer_had_to_wait_for_its_responder() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    // Nobody has asked yet, so a responder is to be made, which must wait.
    let mut held = installation.hold_the_database();
    let asked = installation.ask_about(&installation.service, &certificate, None);
    let revoked = async {
        installation.clock.sleep(std::time::Duration::from_millis(300)).await;
        let publish = "INSERT INTO revocations \
            SELECT authority_id, 0, serial, id, zone_id, 1, not_after, NULL, not_after, TRUE FROM certificates; \
            INSERT INTO crl_changes SELECT c.authority_id, p.number + 1, c.serial, 1, c.not_after, NULL \
            FROM certificates c JOIN publications p ON p.authority_id = c.authority_id; \
            UPDATE publications SET number = number + 1; COMMIT";
        held.execute(publish);
    };
    let (answer, ()) = tokio::join!(asked, revoked);
    assert!(is_revoked(&facts(&answer).answers[0].status), "it was, before the answer was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_while_everything_happens_at_once() {
    let installation = Arc::new(Installation::new().await);
    let services = [installation.service.clone(), installation.second_service().await];
    let (stop, stopped) = watch::channel(false);
    let workers: Vec<_> = services.iter().map(|service| worker::start(service.clone(), stopped.clone())).collect();
    let watchers = (0..12).map(|number| {
        let (installation, services) = (Arc::clone(&installation), services.clone());
        tokio::spawn(async move {
            let certificate = installation.issue(&format!("device-{number}")).await;
            for service in &services {
                assert_eq!(installation.status_by(service, &certificate).await, CertStatus::Good);
            }
            let request = RevocationRequest { reason: Some(KeyCompromise), invalidity_date: None };
            installation.service.revoke(&installation.permit().await, Some(certificate.id), request).await.unwrap();
            let mut was_revoked = false;
            for turn in 0..100_000 {
                // Before OCSP is asked: what the API has shown counts as well.
                was_revoked |= turn % 3 == 0 && installation.show(certificate.id).await.status == Status::Revoked;
                let status = installation.status_by(&services[turn % 2], &certificate).await;
                assert!(is_revoked(&status) || !was_revoked, "good after revoked");
                if was_revoked && turn % 7 == 0 {
                    return;
                }
                was_revoked |= is_revoked(&status);
            }
            panic!("it is never revoked");
        })
    });
    for watcher in watchers.collect::<Vec<_>>() {
        watcher.await.unwrap();
    }
    stop.send(true).unwrap();
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_is_shared_until_half_of_its_validity() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let ask = async || shared(installation.ask_about(&installation.service, &certificate, None).await);
    let first = ask().await;
    installation.clock.advance(std::time::Duration::from_secs(149));
    assert!(Arc::ptr_eq(&first, &ask().await));
    installation.clock.advance(std::time::Duration::from_secs(1));
    let second = ask().await;
    assert!(!Arc::ptr_eq(&first, &second) && second.this_update == installation.now());
    installation.clock.set(installation.now() - TimeDelta::hours(1));
    assert!(ask().await.this_update <= installation.now(), "no answer from the future after the clock is put right");
}

#[tokio::test]
async fn a_nonce_is_repeated_and_its_answer_is_fresh() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.ocsp_status(&certificate).await;
    for nonce in [&[1_u8][..], &[2; 16], &[3; 32], &[4; 128]] {
        installation.clock.advance(std::time::Duration::from_secs(1));
        let answer = installation.ask_about(&installation.service, &certificate, Some(nonce)).await;
        assert!(matches!(answer, OcspAnswer::Once(_)));
        let told = facts(&answer);
        assert_eq!((told.nonce.as_deref(), told.produced_at), (Some(nonce), installation.now()));
    }
    for wrong in [&[][..], &[5; 129]] {
        let answer = installation.ask_about(&installation.service, &certificate, Some(wrong)).await;
        assert_eq!(refusal(&answer), Some(Refusal::MalformedRequest));
    }
}

#[tokio::test]
async fn several_certificates_are_answered_in_their_order() {
    let installation = Installation::new().await;
    let (good, revoked) = (installation.issue("good").await, installation.issue("revoked").await);
    installation.revoke(revoked.id, Some(RevocationReason::Superseded)).await;
    installation.publish(revoked.authority).await.unwrap();
    let never = SerialNumber::from_be_bytes(&[9]).unwrap();
    let serials = [&revoked.serial, &good.serial, &never, &good.serial];
    let told = facts(&installation.ask(&installation.service, good.authority, &serials, None).await);
    assert_eq!(told.answers.iter().map(|answer| &answer.serial).collect::<Vec<_>>(), serials);
    let words: Vec<_> = told.answers.iter().map(|answer| answer.status.as_str()).collect();
    assert_eq!(words, ["revoked", "good", "unknown", "good"]);
    // Some of it remembered, in every place.
    for turn in 0..MAX_CERTIFICATES {
        let mut serials = vec![&good.serial; MAX_CERTIFICATES];
        serials[turn] = if turn % 2 == 0 { &revoked.serial } else { &never };
        let told = facts(&installation.ask(&installation.service, good.authority, &serials, None).await);
        for (place, answer) in told.answers.iter().enumerate() {
            let expected = if place != turn { "good" } else { words[turn % 2 * 2] };
            assert_eq!((answer.status.as_str(), &answer.serial), (expected, serials[place]), "{place} of {turn}");
        }
    }
    let many = vec![&good.serial; MAX_CERTIFICATES + 1];
    let answer = installation.ask(&installation.service, good.authority, &many, None).await;
    assert_eq!(refusal(&answer), Some(Refusal::MalformedRequest));
}

#[tokio::test]
async fn others_certificates_and_hashes_are_not_our_business() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let root = installation.service.public_authority(Some(certificate.authority)).await.unwrap().parent.unwrap();
    let of_root = installation.request(root, &[&certificate.serial], None).await;
    let answer = installation.service.answer_ocsp(Some(certificate.authority), &of_root).await.unwrap();
    assert_eq!(refusal(&answer), Some(Refusal::Unauthorized));
    let mut request = installation.request(certificate.authority, &[&certificate.serial], None).await;
    // SHA-256 becomes SHA-384.
    let oid = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    let place = request.windows(9).position(|window| window == oid).unwrap();
    request[place + 8] = 2;
    let answer = installation.service.answer_ocsp(Some(certificate.authority), &request).await.unwrap();
    assert_eq!(refusal(&answer), Some(Refusal::Unauthorized));
    let nowhere =
        installation.service.answer_ocsp(AuthorityId::parse("0d89c70d-ad9f-4843-b99f-6cc0252067e9"), b"").await;
    assert!(matches!(nowhere, Err(ServiceError::NotFound(_))));
}

#[tokio::test]
async fn retired_authorities_answer_and_disabled_or_ended_ones_do_not() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let ask = async || {
        installation.clock.advance(std::time::Duration::from_secs(1));
        refusal(&installation.ask_about(&installation.service, &certificate, None).await)
    };
    installation.tamper("UPDATE authorities SET state = 1 WHERE zone_id IS NOT NULL");
    assert_eq!(ask().await, None);
    installation.tamper("UPDATE authorities SET state = 2 WHERE zone_id IS NOT NULL");
    assert_eq!(ask().await, Some(Refusal::Unauthorized));
    let made = "SELECT COUNT(*) FROM ocsp_responders JOIN authorities ON id = authority_id WHERE state = 2";
    installation.tamper("DELETE FROM ocsp_responders");
    installation.service.keep_responders_fresh().await.unwrap();
    assert_eq!(installation.count(made), 0, "a disabled authority gets none");
    installation.tamper("UPDATE authorities SET state = 0");
    installation.clock.advance(DAY * 365 * 26);
    assert_eq!(ask().await, Some(Refusal::Unauthorized), "past its end");
    installation.service.keep_responders_fresh().await.unwrap();
    let past_end =
        "SELECT COUNT(*) FROM ocsp_responders JOIN authorities ON id = authority_id WHERE zone_id IS NOT NULL";
    assert_eq!(installation.count(past_end), 0);
}

#[tokio::test]
async fn a_store_that_is_away_makes_nobody_good() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);
    installation.tamper("ALTER TABLE publications RENAME TO away");
    for nonce in [None, Some(&[1; 8][..])] {
        let answer = installation.ask_about(&installation.service, &certificate, nonce).await;
        assert_eq!(refusal(&answer), Some(Refusal::TryLater), "although it is remembered");
    }
    installation.tamper("ALTER TABLE away RENAME TO publications");
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);
    // A database that takes no writes answers all the same.
    let held = installation.hold_the_database();
    assert_eq!(installation.ocsp_status(&certificate).await, CertStatus::Good);
    drop(held);
}

#[tokio::test]
async fn one_responder_is_made_whoever_comes_first() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let certificate = installation.issue("device").await;
    let services = [&installation.service, &other];
    let asked = (0..20).map(|turn| installation.ask_about(services[turn % 2], &certificate, None));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| refusal(answer).is_none()));
    assert_eq!(installation.responders(), 1);
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'responder.issue'"), 1);
    for service in services {
        service.keep_responders_fresh().await.unwrap();
    }
    assert_eq!(installation.responders(), 1, "of the issuing authority");
    assert_eq!(installation.count("SELECT COUNT(*) FROM ocsp_responders"), 2, "and the root's");
}

#[tokio::test]
async fn a_responder_is_renewed_at_half_its_life_and_forgotten_after_its_end() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let certificate = installation.issue("device").await;
    let by = async |service: &Arc<Service>| {
        let told = facts(&installation.ask_about(service, &certificate, Some(&[1; 8])).await);
        certificate::read(&told.responder_certificate).unwrap().serial
    };
    let first = by(&installation.service).await;
    assert_eq!(by(&other).await, first, "all processes share it");
    let keep_fresh = async || {
        let (one, two) = tokio::join!(installation.service.keep_responders_fresh(), other.keep_responders_fresh());
        one.unwrap();
        two.unwrap();
    };
    installation.clock.advance(DAY * 3 + DAY / 3);
    keep_fresh().await;
    assert_eq!((installation.responders(), by(&other).await), (1, first.clone()));

    installation.clock.advance(DAY / 3);
    keep_fresh().await;
    assert_eq!(installation.responders(), 2, "one of the two made it");
    let second = by(&installation.service).await;
    assert_ne!(second, first);
    assert_eq!(by(&other).await, second);
    keep_fresh().await;
    assert_eq!(installation.responders(), 2);
    installation.clock.advance(DAY * 4);
    keep_fresh().await;
    installation.clock.advance(DAY);
    keep_fresh().await;
    let ended = "SELECT COUNT(*) FROM ocsp_responders WHERE not_after < ".to_owned();
    assert_eq!(installation.count(&format!("{ended}{}", installation.now().timestamp_millis() - 86_400_000)), 0);
    assert_ne!(by(&other).await, first);
}

#[tokio::test]
async fn a_responders_key_rests_sealed_and_bound_to_its_record() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.ocsp_status(&certificate).await;
    let told = facts(&installation.ask_about(&installation.service, &certificate, Some(&[1; 8])).await);
    let first = certificate::read(&told.responder_certificate).unwrap();
    let (_, point) = public_key::identify(&first.spki).unwrap();
    let sealed = hex::decode(installation.text("SELECT hex(sealed_key) FROM ocsp_responders LIMIT 1")).unwrap();
    assert!(!sealed.windows(point.len()).any(|window| window == point), "PKCS#8 would hold the public key in clear");

    installation.service.keep_responders_fresh().await.unwrap();
    installation.tamper(
        "UPDATE ocsp_responders SET sealed_key = (SELECT sealed_key FROM ocsp_responders AS other \
         WHERE other.authority_id <> ocsp_responders.authority_id)",
    );
    let fresh = installation.second_service().await;
    let told = facts(&installation.ask_about(&fresh, &certificate, Some(&[1; 8])).await);
    let second = certificate::read(&told.responder_certificate).unwrap();
    assert_ne!(second.serial, first.serial, "what does not open is replaced");
}

#[tokio::test]
async fn certificates_point_to_their_responder_unless_they_are_not_to_be_revoked() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let url = format!("http://pki.test/pki/{}/ocsp", certificate.authority);
    let holds = |der: &[u8], text: &str| der.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&certificate.der, &url));
    let authority = installation.service.public_authority(Some(certificate.authority)).await.unwrap();
    assert!(holds(&authority.certificate, &format!("http://pki.test/pki/{}/ocsp", authority.parent.unwrap())));
    let told = facts(&installation.ask_about(&installation.service, &certificate, None).await);
    assert!(!holds(&told.responder_certificate, "/ocsp") && holds(&told.responder_certificate, "/ca.cer"));
}

fn is_revoked(status: &CertStatus) -> bool {
    matches!(status, CertStatus::Revoked(_))
}

fn refusal(answer: &OcspAnswer) -> Option<Refusal> {
    match answer {
        OcspAnswer::Refused(refusal) => Some(*refusal),
        OcspAnswer::Shared(_) | OcspAnswer::Once(_) => None,
    }
}

fn shared(answer: OcspAnswer) -> Arc<SignedAnswer> {
    match answer {
        OcspAnswer::Shared(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Read back, with the signature verified.
fn facts(answer: &OcspAnswer) -> OcspFacts {
    match answer {
        OcspAnswer::Shared(answer) => reading::read(&answer.der).unwrap(),
        OcspAnswer::Once(der) => reading::read(der).unwrap(),
        OcspAnswer::Refused(refusal) => panic!("{refusal:?}"),
    }
}

impl Installation {
    async fn issuing(&self) -> AuthorityId {
        AuthorityId::parse(
            &uuid::Uuid::parse_str(&self.text("SELECT lower(hex(id)) FROM authorities WHERE zone_id IS NOT NULL"))
                .unwrap()
                .to_string(),
        )
        .unwrap()
    }

    fn responders(&self) -> i64 {
        self.count(
            "SELECT COUNT(*) FROM ocsp_responders JOIN authorities ON id = authority_id WHERE zone_id IS NOT NULL",
        )
    }

    async fn ocsp_status(&self, certificate: &Certificate) -> CertStatus {
        self.status_by(&self.service, certificate).await
    }

    pub async fn status_by(&self, service: &Service, certificate: &Certificate) -> CertStatus {
        facts(&self.ask_about(service, certificate, None).await).answers.remove(0).status
    }

    async fn ask_about(&self, service: &Service, certificate: &Certificate, nonce: Option<&[u8]>) -> OcspAnswer {
        self.ask(service, certificate.authority, &[&certificate.serial], nonce).await
    }

    async fn ask(
        &self,
        service: &Service,
        authority: AuthorityId,
        serials: &[&SerialNumber],
        nonce: Option<&[u8]>,
    ) -> OcspAnswer {
        let request = self.request(authority, serials, nonce).await;
        service.answer_ocsp(Some(authority), &request).await.unwrap()
    }

    /// A request in DER, with SHA-256.
    async fn request(&self, authority: AuthorityId, serials: &[&SerialNumber], nonce: Option<&[u8]>) -> Vec<u8> {
        let authority = self.service.public_authority(Some(authority)).await.unwrap();
        asking::request(&IssuerHashes::of(&authority.certificate).unwrap(), serials, nonce).unwrap()
    }
}
