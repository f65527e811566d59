//! Whoever holds a certificate's key revokes it without a token; nobody else does, and nobody learns anything by trying.

use std::time::Duration;

use countersign::domain::certificate::Certificate;
use countersign::domain::id::AuthorityId;
use countersign::domain::name::AttributeType;
use countersign::domain::reason::RevocationReason;
use countersign::domain::reason::RevocationReason::{CertificateHold, KeyCompromise, Superseded, Unspecified};
use countersign::domain::serial::SerialNumber;
use countersign::domain::status::Status;
use countersign::keys::client_key::{ClientKey, ClientKeyKind};
use countersign::keys::private_key::PrivateKey;
use countersign::keys::proof;
use countersign::service::ServiceError;
use countersign::service::issuance::IssueInput;
use countersign::service::possession::GivenChallenge;
use serde_json::{Value, json};

use crate::harness::{Installation, is_listed};

const SOURCE: &str = "198.51.100.7";

/// Somebody with a certificate and its key.
struct Holder {
    certificate: Certificate,
    key: PrivateKey,
}

impl Installation {
    async fn holder(&self, kind: ClientKeyKind) -> Holder {
        let key = ClientKey::generate(kind).unwrap();
        let csr = key.certification_request(&[(AttributeType::CommonName, "device".to_owned())], &[]).unwrap();
        let input = IssueInput { csr: Some(csr), validity_days: Some(30), ..IssueInput::default() };
        let certificate = self.service.issue(&self.permit().await, input).await.unwrap().certificate;
        Holder { certificate, key: PrivateKey::from_pkcs8(key.pkcs8_der()).unwrap() }
    }

    async fn challenge(&self, certificate: &Certificate) -> GivenChallenge {
        let given = self.service.revocation_challenge(Some(certificate.authority), certificate.serial.clone()).await;
        given.unwrap()
    }

    /// A message that is all right.
    async fn message(&self, holder: &Holder, reason: Option<RevocationReason>) -> Value {
        holder.answer(&self.challenge(&holder.certificate).await, &holder.payload(reason))
    }

    async fn send(&self, authority: AuthorityId, message: &Value) -> Result<Certificate, ServiceError> {
        self.service.revoke_by_holder(Some(authority), message.to_string().as_bytes(), SOURCE.into()).await
    }

    async fn expect_unproven(&self, authority: AuthorityId, message: &Value) {
        let refused = self.send(authority, message).await;
        assert!(matches!(refused, Err(ServiceError::Unproven)), "{refused:?}");
    }
}

impl Holder {
    fn payload(&self, reason: Option<RevocationReason>) -> Value {
        let mut payload = json!({"serial_number": self.certificate.serial.to_decimal()});
        if let Some(reason) = reason {
            payload["reason"] = reason.as_str().into();
        }
        payload
    }

    fn answer(&self, given: &GivenChallenge, payload: &Value) -> Value {
        proof::answer(&self.key, &given.challenge, &given.url, payload).unwrap()
    }
}

#[tokio::test]
async fn the_holder_of_every_kind_of_key_revokes_without_a_token() {
    let installation = Installation::new().await;
    for kind in ClientKeyKind::ALL.into_iter().filter(|kind| *kind != ClientKeyKind::Rsa4096) {
        let holder = installation.holder(kind).await;
        let Certificate { id, authority, .. } = holder.certificate;
        let done = installation.send(authority, &installation.message(&holder, None).await).await.unwrap();
        assert_eq!((done.id, done.status), (id, Status::PendingRevocation), "{kind:?}");
        assert_eq!(done.revocation.unwrap().reason, Unspecified);

        installation.publish(authority).await.unwrap();
        assert_eq!(installation.show(id).await.status, Status::Revoked);
        assert!(is_listed(&installation.crl(authority).await, &holder.certificate));
    }
}

#[tokio::test]
async fn the_audit_log_names_the_holder_and_whence_they_came() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let message = installation.message(&holder, Some(KeyCompromise)).await;
    installation.send(holder.certificate.authority, &message).await.unwrap();
    let sql = format!(
        "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke' AND actor_name = 'holder of {}' \
         AND actor_token_id IS NULL AND source = '{SOURCE}' AND subject = '{}' AND result = 0 \
         AND detail = 'reason keyCompromise' AND zone_id IS NOT NULL",
        holder.certificate.serial, holder.certificate.id
    );
    assert_eq!(installation.count(&sql), 1);
    assert_eq!(installation.count("SELECT COUNT(*) FROM blocked_keys"), 1, "the key gets no further certificate");
    assert_eq!(installation.count("SELECT COUNT(*) FROM events WHERE kind = 'certificate.pending_revocation'"), 1);
}

#[tokio::test]
async fn an_act_of_a_holder_that_cannot_be_audited_does_not_happen() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let message = installation.message(&holder, None).await;
    installation.refuse("no_audit", "INSERT ON audit_events", "TRUE");
    let refused = installation.send(holder.certificate.authority, &message).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable(_))), "{refused:?}");
    assert_eq!(installation.show(holder.certificate.id).await.status, Status::Active);
}

#[tokio::test]
async fn a_repeated_message_is_answered_and_changes_nothing() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::Ed25519).await;
    let authority = holder.certificate.authority;
    let message = installation.message(&holder, Some(CertificateHold)).await;
    let first = installation.send(authority, &message).await.unwrap();
    let acts = "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke'";
    assert_eq!(installation.send(authority, &message).await.unwrap(), first);
    installation.publish(authority).await.unwrap();
    assert_eq!(installation.send(authority, &message).await.unwrap().status, Status::Revoked);
    assert_eq!(installation.count(acts), 1);

    // Somebody made it final meanwhile: the old message asks for nothing that is not so already.
    installation.revoke(holder.certificate.id, Some(Superseded)).await;
    installation.publish(authority).await.unwrap();
    let repeated = installation.send(authority, &message).await.unwrap();
    assert_eq!(repeated.revocation.unwrap().reason, Superseded);
    assert_eq!(installation.count(acts), 2);
}

#[tokio::test]
async fn a_captured_message_is_worthless_after_the_certificate_was_reactivated() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let Certificate { id, authority, .. } = holder.certificate;
    let unsent = installation.message(&holder, Some(KeyCompromise)).await;
    let sent = installation.message(&holder, Some(CertificateHold)).await;
    installation.send(authority, &sent).await.unwrap();
    installation.publish(authority).await.unwrap();
    // Neither does one that was never sent make a hold final behind its holder's back.
    installation.expect_unproven(authority, &unsent).await;

    installation.reactivate(id).await.unwrap();
    installation.expect_unproven(authority, &sent).await;
    installation.publish(authority).await.unwrap();
    for message in [&sent, &unsent] {
        installation.expect_unproven(authority, message).await;
    }
    assert_eq!(installation.show(id).await.status, Status::Active);

    let fresh = installation.message(&holder, None).await;
    assert_eq!(installation.send(authority, &fresh).await.unwrap().status, Status::PendingRevocation);
}

#[tokio::test]
async fn what_the_worker_carries_out_makes_no_challenge_old() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let authority = holder.certificate.authority;
    let hold = installation.message(&holder, Some(CertificateHold)).await;
    installation.send(authority, &hold).await.unwrap();
    let last = installation.message(&holder, Some(KeyCompromise)).await;
    installation.publish(authority).await.unwrap();
    let done = installation.send(authority, &last).await.unwrap();
    assert_eq!((done.status, done.revocation.unwrap().reason), (Status::PendingRevocation, KeyCompromise));
}

#[tokio::test]
async fn a_final_revocation_stays_as_it_is() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    installation.revoke(holder.certificate.id, Some(Superseded)).await;
    installation.publish(holder.certificate.authority).await.unwrap();
    let message = installation.message(&holder, Some(CertificateHold)).await;
    let done = installation.send(holder.certificate.authority, &message).await.unwrap();
    assert_eq!((done.status, done.revocation.unwrap().reason), (Status::Revoked, Superseded));
}

#[tokio::test]
async fn every_proof_that_fails_fails_alike_and_changes_nothing() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let other = installation.holder(ClientKeyKind::P256).await;
    let authority = holder.certificate.authority;
    let given = installation.challenge(&holder.certificate).await;
    let payload = holder.payload(None);

    let mut cases = vec![
        ("another key", other.answer(&given, &payload)),
        ("another serial number", holder.answer(&given, &other.payload(None))),
        ("another's challenge", holder.answer(&installation.challenge(&other.certificate).await, &payload)),
    ];
    let unknown = SerialNumber::from_be_bytes(&[7; 20]).unwrap();
    let for_unknown = installation.service.revocation_challenge(Some(authority), unknown.clone()).await.unwrap();
    cases.push(("an unknown serial number", {
        holder.answer(&for_unknown, &json!({"serial_number": unknown.to_decimal()}))
    }));
    cases.push(("the challenge of an unknown serial number", holder.answer(&for_unknown, &payload)));
    for challenge in ["", "AAAA", &"A".repeat(54)] {
        let made_up = GivenChallenge { challenge: challenge.into(), ..given.clone() };
        cases.push(("a challenge that nobody gave", holder.answer(&made_up, &payload)));
    }
    let good = holder.answer(&given, &payload);
    for part in ["payload", "signature"] {
        let mut changed = good.clone();
        changed[part] = other.answer(&given, &holder.payload(Some(KeyCompromise)))[part].clone();
        cases.push(("a part of another message", changed));
    }
    for kind in [ClientKeyKind::P384, ClientKeyKind::P521, ClientKeyKind::Rsa2048, ClientKeyKind::Ed25519] {
        let stranger = installation.holder(kind).await;
        cases.push(("a key of another kind", stranger.answer(&given, &payload)));
    }
    for (what, message) in &cases {
        let refused = installation.send(authority, message).await;
        assert!(matches!(refused, Err(ServiceError::Unproven)), "{what}: {refused:?}");
    }

    installation.clock.advance(Duration::from_secs(5 * 60));
    installation.expect_unproven(authority, &good).await;
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates WHERE status <> 0"), 0);
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke'"), 0);

    let last_moment = installation.message(&holder, None).await;
    installation.clock.advance(Duration::from_millis(5 * 60 * 1000 - 1));
    assert!(installation.send(authority, &last_moment).await.is_ok());
    installation.clock.advance(Duration::from_millis(1));
    installation.expect_unproven(authority, &last_moment).await;
}

#[tokio::test]
async fn a_message_is_for_one_authority_at_one_address() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let authority = holder.certificate.authority;
    let root = installation.text("SELECT lower(hex(id)) FROM authorities WHERE parent_id IS NULL");
    let root = AuthorityId::new(root.parse().unwrap());
    let given = installation.challenge(&holder.certificate).await;
    assert_eq!(given.url, format!("http://pki.test/pki/{authority}/revocation"));
    assert_eq!(given.expires_on, installation.now() + chrono::TimeDelta::minutes(5));

    let for_this = holder.answer(&given, &holder.payload(None));
    let elsewhere = installation.send(root, &for_this).await;
    assert!(matches!(&elsewhere, Err(ServiceError::Invalid(why)) if why[0].message.contains("url")), "{elsewhere:?}");
    let mislabelled = GivenChallenge { url: format!("http://pki.test/pki/{root}/revocation"), ..given };
    installation.expect_unproven(root, &holder.answer(&mislabelled, &holder.payload(None))).await;
    let unknown = AuthorityId::new(uuid::Uuid::nil());
    assert!(matches!(installation.send(unknown, &for_this).await, Err(ServiceError::NotFound(_))));
}

#[tokio::test]
async fn a_message_that_says_it_wrongly_is_told_what_is_wrong() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let given = installation.challenge(&holder.certificate).await;
    let serial = holder.certificate.serial.to_hex();
    for (payload, expected) in [
        (json!({}), "serial_number is missing"),
        (json!({"serial_number": 7}), "serial_number must be a string"),
        (json!({"serial_number": "x"}), "in decimal or hex"),
        (json!({"serial_number": serial, "reason": "removeFromCRL"}), "reason must be one of"),
        (json!({"serial_number": serial, "reasons": "superseded"}), "\"reasons\" is not known"),
        (json!({"serial_number": serial, "invalidity_date": "yesterday"}), "invalidity_date must be"),
        (json!({"serial_number": serial, "invalidity_date": "2999-01-01"}), "lies in the future"),
        (json!([]), "a JSON object"),
    ] {
        let refused = installation.send(holder.certificate.authority, &holder.answer(&given, &payload)).await;
        let Err(ServiceError::Invalid(why)) = &refused else { panic!("{payload}: {refused:?}") };
        assert!(why[0].message.contains(expected), "{payload}: {why:?}");
    }
    let payload =
        json!({"serial_number": serial, "reason": "keycompromise", "invalidity_date": "2026-12-31T12:00:00Z"});
    let done = installation.send(holder.certificate.authority, &holder.answer(&given, &payload)).await.unwrap();
    let revocation = done.revocation.unwrap();
    assert_eq!(revocation.reason, KeyCompromise);
    assert_eq!(revocation.invalidity_date.unwrap().to_rfc3339(), "2026-12-31T12:00:00+00:00");
}

#[tokio::test]
async fn a_wish_that_nobody_may_have_is_refused_before_the_proof_and_fills_no_log() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let given = installation.challenge(&holder.certificate).await;
    let mut payload = holder.payload(None);
    payload["invalidity_date"] = "2999-01-01".into();
    let refused = installation.send(holder.certificate.authority, &holder.answer(&given, &payload)).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "{refused:?}");
    let sql = "SELECT COUNT(*) FROM audit_events WHERE result = 1 AND actor_name LIKE 'holder of %'";
    assert_eq!(installation.count(sql), 0);
    let of_the_authority = holder.payload(Some(RevocationReason::CaCompromise));
    let refused = installation.send(holder.certificate.authority, &holder.answer(&given, &of_the_authority)).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "{refused:?}");
    assert_eq!(installation.count(sql), 0);
}

#[tokio::test]
async fn another_process_knows_the_challenge() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let message = installation.message(&holder, None).await;
    let second = installation.second_service().await;
    let body = message.to_string();
    let done = second.revoke_by_holder(Some(holder.certificate.authority), body.as_bytes(), String::new()).await;
    assert_eq!(done.unwrap().status, Status::PendingRevocation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_sent_many_times_at_once_counts_once() {
    let installation = Installation::new().await;
    let holder = installation.holder(ClientKeyKind::P256).await;
    let body = installation.message(&holder, None).await.to_string();
    let sends = (0..20).map(|_| {
        let (service, body, authority) = (installation.service.clone(), body.clone(), holder.certificate.authority);
        tokio::spawn(async move { service.revoke_by_holder(Some(authority), body.as_bytes(), SOURCE.into()).await })
    });
    for sent in sends.collect::<Vec<_>>() {
        assert_eq!(sent.await.unwrap().unwrap().status, Status::PendingRevocation);
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke'"), 1);
    assert_eq!(installation.show(holder.certificate.id).await.version, 1);
}
