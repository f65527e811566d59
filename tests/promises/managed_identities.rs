//! Promises about managed identities: renewed on time, at once when their certificate is revoked for good, and by nobody
//! else; what they leave behind is revoked.

use countersign::domain::certificate::Certificate;
use countersign::domain::identity::Identity;
use countersign::domain::reason::RevocationReason;
use countersign::domain::status::Status;
use countersign::service::ServiceError;
use countersign::service::identities::{Duplicates, Kept};
use secrecy::SecretString;

use crate::harness::{DAY, Installation, is_listed};
use crate::identities::{input, pem_of};

impl Installation {
    /// The certificate that a managed identity presents.
    async fn presented(&self, identity: &Identity) -> Certificate {
        self.show(identity.managed.as_ref().unwrap().certificate).await
    }
}

#[tokio::test]
async fn a_managed_identity_is_renewed_at_two_thirds_and_the_old_certificate_revoked_after_its_grace() {
    let installation = Installation::new().await;
    let before = installation.manage(30, 86_400).await;
    let first = before.managed.clone().unwrap().certificate;
    let authority = installation.show(first).await.authority;

    installation.clock.advance(DAY * 19);
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.kept(before.id).await.version, 0, "it is not due on the 19th day");

    installation.clock.advance(DAY);
    installation.service.keep_identities_fresh().await.unwrap();
    let after = installation.kept(before.id).await;
    let second = after.managed.clone().unwrap().certificate;
    assert_eq!((after.version, after.id), (1, before.id));
    assert_ne!(first, second);
    assert_ne!(before.facts.spki_sha256, after.facts.spki_sha256, "the key is new too");
    assert!(after.facts.not_after > before.facts.not_after);
    assert_eq!(installation.show(first).await.status, Status::Active, "until the grace is over");

    installation.clock.advance(DAY);
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.show(first).await.status, Status::PendingRevocation);
    installation.publish(authority).await.unwrap();
    let revoked = installation.show(first).await;
    assert_eq!(revoked.status, Status::Revoked);
    assert_eq!(revoked.revocation.as_ref().unwrap().reason, RevocationReason::Superseded);
    assert!(is_listed(&installation.crl(authority).await, &revoked));
    assert_eq!(installation.show(second).await.status, Status::Active);
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.count("SELECT COUNT(*) FROM supersessions"), 0);
    assert_eq!(installation.events("identity.renew"), 1);
    assert_eq!(
        installation
            .count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke' AND actor_name = 'system'"),
        1
    );
}

#[tokio::test]
async fn two_workers_renew_an_identity_once() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    let other = installation.second_service().await;
    installation.clock.advance(DAY * 21);
    let (one, two) = tokio::join!(installation.service.keep_identities_fresh(), other.keep_identities_fresh());
    one.unwrap();
    two.unwrap();
    assert_eq!(installation.kept(identity.id).await.version, 1);
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_and_leaves_the_identity_as_it_is() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    installation.refuse("no_issuance", "INSERT ON certificates", "TRUE");
    installation.clock.advance(DAY * 21);
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.kept(identity.id).await.version, 0);
    installation.allow_again("no_issuance");
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.kept(identity.id).await.version, 0, "not before the pause is over");
    installation.clock.advance(std::time::Duration::from_secs(61));
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.kept(identity.id).await.version, 1);
}

#[tokio::test]
async fn a_managed_identity_that_is_removed_has_its_certificate_revoked() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    let certificate = identity.managed.clone().unwrap().certificate;
    installation.service.remove_identity(&installation.in_account().await, Some(identity.id), false).await.unwrap();
    installation.service.keep_identities_fresh().await.unwrap();
    let revoked = installation.show(certificate).await;
    assert_eq!(revoked.status, Status::PendingRevocation);
    assert_eq!(revoked.revocation.unwrap().reason, RevocationReason::CessationOfOperation);
}

#[tokio::test]
async fn a_managed_identity_whose_certificate_is_revoked_for_good_is_renewed_at_once_with_another_key() {
    let installation = Installation::new().await;
    let before = installation.manage(30, 0).await;
    let bystander = installation.manage(30, 0).await;
    let first = installation.presented(&before).await;
    installation.revoke(first.id, Some(RevocationReason::KeyCompromise)).await;
    installation.service.keep_identities_fresh().await.unwrap();

    let after = installation.kept(before.id).await;
    let second = installation.presented(&after).await;
    assert_eq!((after.version, second.status), (1, Status::Active));
    assert_ne!(second.id, first.id);
    assert_ne!(after.facts.spki_sha256, before.facts.spki_sha256);
    assert_eq!(installation.kept(bystander.id).await.version, 0, "nobody revoked this one");

    // What was said of the certificate stays, although the renewal would have called it superseded.
    installation.publish(first.authority).await.unwrap();
    installation.service.keep_identities_fresh().await.unwrap();
    let revoked = installation.show(first.id).await;
    assert_eq!(revoked.status, Status::Revoked);
    assert_eq!(revoked.revocation.unwrap().reason, RevocationReason::KeyCompromise);
    assert_eq!(installation.kept(before.id).await.version, 1, "once");
}

#[tokio::test]
async fn a_hold_renews_no_managed_identity_and_what_makes_it_final_does() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    let certificate = installation.presented(&identity).await;
    installation.revoke(certificate.id, Some(RevocationReason::CertificateHold)).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.show(certificate.id).await.status, Status::Revoked);
    assert_eq!(installation.kept(identity.id).await.version, 0);

    installation.reactivate(certificate.id).await.unwrap();
    installation.publish(certificate.authority).await.unwrap();
    installation.service.keep_identities_fresh().await.unwrap();
    let after = installation.kept(identity.id).await;
    assert_eq!(after.version, 0);
    assert_eq!(installation.presented(&after).await.status, Status::Active);

    installation.revoke(certificate.id, Some(RevocationReason::CertificateHold)).await;
    installation.publish(certificate.authority).await.unwrap();
    installation.revoke(certificate.id, Some(RevocationReason::PrivilegeWithdrawn)).await;
    installation.service.keep_identities_fresh().await.unwrap();
    assert_eq!(installation.kept(identity.id).await.version, 1);
}

#[tokio::test]
async fn nobody_replaces_a_managed_identity_with_a_key_or_without() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    let permit = installation.in_account().await;
    for text in [pem_of(&installation, "service", 50), identity.certificates.clone()] {
        let material = input(text.clone(), &[]).material;
        assert_managed(installation.service.replace_identity(&permit, Some(identity.id), material).await);
        let mut added = input(text, &[]);
        added.name = Some(identity.name.clone());
        added.replaces = true;
        let adding = installation.in_account().await;
        assert_managed(installation.service.add_identity(&adding, added, Duplicates::Allowed).await);
    }
    let mut key_alone = input(String::new(), &[]).material;
    key_alone.certificates = None;
    key_alone.private_key = Some(SecretString::from(pem_of(&installation, "service", 50)));
    assert_managed(installation.service.replace_identity(&permit, Some(identity.id), key_alone).await);
    let after = installation.kept(identity.id).await;
    assert_eq!((after.version, after.certificates), (0, identity.certificates));
    assert_eq!(installation.count("SELECT COUNT(*) FROM identities"), 1);
    assert_eq!(installation.events("identity.replace"), 0);
}

fn assert_managed(outcome: Result<Kept, ServiceError>) {
    let Err(ServiceError::Invalid(faults)) = outcome else { panic!("it is refused") };
    assert!(faults.iter().any(|fault| fault.message.contains("managed")), "{faults:?}");
}
