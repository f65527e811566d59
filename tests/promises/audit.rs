//! Promises 1 and 8: nothing leaves unrecorded, and every act is audited in the same transaction.

use countersign::domain::status::Status;
use countersign::service::ServiceError;

use crate::harness::Installation;

#[tokio::test]
async fn an_act_that_cannot_be_audited_does_not_happen() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.refuse("no_audit", "INSERT ON audit_events", "TRUE");
    let refused = installation.try_issue("another", 30).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable(_))), "{refused:?}");
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 1);
    let refused =
        installation.service.revoke(&installation.permit().await, Some(certificate.id), Default::default()).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable(_))), "{refused:?}");
    assert_eq!(installation.show(certificate.id).await.status, Status::Active);
    assert_eq!(installation.count("SELECT COUNT(*) FROM transitions"), 0);
    assert_eq!(installation.count("SELECT SUM(total) FROM certificate_counters"), 1);
}

#[tokio::test]
async fn who_did_what_on_what_from_where_is_recorded() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    for (action, actor, source) in [
        ("certificate.issue", "admin", "192.0.2.1"),
        ("certificate.revoke", "admin", "192.0.2.1"),
        ("certificate.revoked", "system", ""),
    ] {
        let sql = format!(
            "SELECT COUNT(*) FROM audit_events WHERE action = '{action}' AND actor_name = '{actor}' \
             AND source = '{source}' AND subject = '{}' AND result = 0 AND zone_id IS NOT NULL",
            certificate.id
        );
        assert_eq!(installation.count(&sql), 1, "{action}");
    }
}

#[tokio::test]
async fn a_refused_request_leaves_its_audit_event_and_nothing_else() {
    let installation = Installation::new().await;
    let refused = installation.try_issue("device", 0).await;
    assert!(matches!(&refused, Err(ServiceError::Invalid(why)) if why[0].pointer == "/validity_days"), "{refused:?}");
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates"), 0);
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificate_counters"), 0);
    let refusals = "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.issue' AND result = 1";
    assert_eq!(installation.count(refusals), 1);
}

#[tokio::test]
async fn counters_equal_a_recount_after_every_change() {
    let installation = Installation::new().await;
    let mut certificates = Vec::new();
    for number in 0..6 {
        certificates.push(installation.issue(&format!("device-{number}")).await);
    }
    for (index, certificate) in certificates.iter().enumerate() {
        if index > 1 {
            installation.revoke(certificate.id, None).await;
        }
        if index == 3 {
            installation.publish(certificate.authority).await.unwrap();
        }
        if index == 4 {
            installation.reactivate(certificates[2].id).await.unwrap();
        }
    }
    let differences = "SELECT COUNT(*) FROM (SELECT zone_id, status, COUNT(*) AS counted FROM certificates GROUP BY 1, 2) AS real \
                       JOIN certificate_counters USING (zone_id, status) WHERE counted <> total";
    assert_eq!(installation.count(differences), 0);
    assert_eq!(installation.count("SELECT SUM(total) FROM certificate_counters"), 6);
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificate_counters WHERE total < 0"), 0);
}
