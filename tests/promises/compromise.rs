//! Promises about compromised keys: no certificate of the account that holds one stays valid, in whichever zone it is, and
//! nobody else's is touched.

use std::sync::Arc;

use countersign::domain::bulk::{Filter, JobState};
use countersign::domain::certificate::Certificate;
use countersign::domain::id::ZoneId;
use countersign::domain::name::AttributeType;
use countersign::domain::reason::RevocationReason::{self, KeyCompromise, Superseded};
use countersign::domain::status::Status;
use countersign::keys::client_key::{ClientKey, ClientKeyKind};
use countersign::service::ServiceError;
use countersign::service::access::{Caller, CancelJob, CreateJob};
use countersign::service::bulk::{BulkInput, Selection};
use countersign::service::certificates::RevocationRequest;
use countersign::service::issuance::IssueInput;
use countersign::service::zones::NewZone;

use crate::bulk::revoke;
use crate::harness::Installation;

/// A key that may be certified more than once.
struct Key(ClientKey);

impl Key {
    fn new() -> Self {
        Self(ClientKey::generate(ClientKeyKind::P256).unwrap())
    }

    fn csr(&self) -> String {
        self.0.certification_request(&[(AttributeType::CommonName, "device".to_owned())], &[]).unwrap()
    }
}

impl Installation {
    async fn certify(&self, caller: Caller, zone: ZoneId, key: &Key) -> Result<Certificate, ServiceError> {
        let permit = self.service.permit_in_zone(caller, zone).await.unwrap();
        let input = IssueInput { csr: Some(key.csr()), validity_days: Some(30), ..IssueInput::default() };
        Ok(self.service.issue(&permit, input).await?.certificate)
    }

    async fn certify_own(&self, zone: ZoneId, key: &Key) -> Certificate {
        self.certify(self.caller().await, zone, key).await.unwrap()
    }

    fn reason_of(&self, certificate: &Certificate) -> i64 {
        let id = hex::encode(certificate.id.as_bytes());
        self.count(&format!("SELECT COALESCE((SELECT revocation_reason FROM certificates WHERE id = x'{id}'), -1)"))
    }

    fn key_jobs(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM bulk_jobs WHERE selector LIKE '{\"keys\"%'")
    }
}

const COMPROMISED: i64 = 1;
const VALID: i64 = -1;

#[tokio::test]
async fn a_compromised_key_reaches_every_zone_of_the_account_and_no_other_account() {
    let installation = Installation::new().await;
    let (key, innocent) = (Key::new(), Key::new());
    let second = installation.another_zone("second").await;
    let third = installation.another_zone("third").await;
    let reported = installation.certify_own(installation.zone, &key).await;
    let neighbour = installation.certify_own(installation.zone, &key).await;
    let held = installation.certify_own(second, &key).await;
    let bystander = installation.certify_own(second, &innocent).await;
    let replaced = installation.certify_own(third, &key).await;
    let permit = || async { installation.service.permit_in_zone(installation.caller().await, second).await.unwrap() };
    installation.service.revoke(&permit().await, Some(held.id), RevocationRequest::default()).await.unwrap();
    let permit = installation.service.permit_in_zone(installation.caller().await, third).await.unwrap();
    let superseded = RevocationRequest { reason: Some(Superseded), invalidity_date: None };
    installation.service.revoke(&permit, Some(replaced.id), superseded).await.unwrap();
    // Another tenant that certified the same key.
    let made = installation.service.create_account(&installation.in_account().await, "another").await.unwrap();
    let foreigner =
        || async { installation.service.authenticate(&made.token, "192.0.2.2".into()).await.unwrap().unwrap() };
    let account = installation.service.permit_in_account(foreigner().await, made.account.id).await.unwrap();
    let new = NewZone { name: "default".into(), authority: Default::default() };
    let foreign_zone = installation.service.create_zone(&account, new).await.unwrap().id;
    let foreign = installation.certify(foreigner().await, foreign_zone, &key).await.unwrap();

    let since = Some(installation.now() - chrono::TimeDelta::hours(1));
    let request = RevocationRequest { reason: Some(KeyCompromise), invalidity_date: since };
    installation.service.revoke(&installation.permit().await, Some(reported.id), request).await.unwrap();
    assert_eq!(installation.key_jobs(), 2, "one for each zone where such a certificate could be relied on");
    installation.work_on_jobs(&installation.service).await;

    let reasons = [&reported, &neighbour, &held].map(|certificate| installation.reason_of(certificate));
    assert_eq!(reasons, [COMPROMISED; 3], "a hold becomes final");
    let untouched = [&bystander, &foreign].map(|certificate| installation.reason_of(certificate));
    assert_eq!(untouched, [VALID; 2]);
    assert_eq!(installation.reason_of(&replaced), i64::from(RevocationReason::Superseded.code()));
    let neighbour = installation.show(neighbour.id).await;
    assert_eq!(neighbour.status, Status::PendingRevocation);
    assert_eq!(neighbour.revocation.unwrap().invalidity_date, since);
    assert_eq!(installation.count("SELECT COUNT(DISTINCT actor_name) FROM bulk_jobs"), 1);
    assert!(installation.totals_are_true());
    // The key is blocked here, and nowhere else.
    let refused = installation.certify(installation.caller().await, third, &key).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))));
    installation.certify(foreigner().await, foreign_zone, &key).await.unwrap();
}

#[tokio::test]
async fn a_second_report_queues_no_second_job() {
    let installation = Installation::new().await;
    let key = Key::new();
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(installation.certify_own(installation.zone, &key).await);
    }
    for certificate in &made[..3] {
        installation.revoke(certificate.id, Some(KeyCompromise)).await;
        installation.revoke(certificate.id, Some(KeyCompromise)).await;
    }
    assert_eq!(installation.key_jobs(), 1);
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.reason_of(&made[3]), COMPROMISED);
    assert_eq!(installation.events("certificate.revoke"), 4);
}

#[tokio::test]
async fn what_spreads_a_compromise_comes_first_and_cannot_be_cancelled() {
    let installation = Installation::new().await;
    let key = Key::new();
    let second = installation.another_zone("second").await;
    let reported = installation.certify_own(installation.zone, &key).await;
    let elsewhere = installation.certify_own(second, &key).await;
    for _ in 0..6 {
        let filter = Filter { status: Some(Status::Revoked), ..Filter::default() };
        let input = BulkInput { wish: revoke(None), selection: Selection::Filter(filter) };
        let permit = installation.service.permit_in_zone::<CreateJob>(installation.caller().await, second).await;
        installation.service.create_job(&permit.unwrap(), input).await.unwrap();
    }
    installation.revoke(reported.id, Some(KeyCompromise)).await;
    let first = installation.service.jobs_due().await.unwrap()[0];
    let spreading = "SELECT hex(id) FROM bulk_jobs WHERE selector LIKE '{\"keys\"%'";
    assert_eq!(hex::encode_upper(first.1.as_bytes()), installation.text(spreading));

    let cancel = async || {
        let permit = installation.service.permit_in_zone::<CancelJob>(installation.caller().await, second).await;
        installation.service.cancel_job(&permit.unwrap(), Some(first.1)).await
    };
    let refused = cancel().await;
    assert!(matches!(&refused, Err(ServiceError::Invalid(why)) if why[0].message.contains("cannot be cancelled")));
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'job.cancel' AND result = 1"), 1);
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.reason_of(&elsewhere), COMPROMISED);
    let refused = cancel().await;
    assert!(matches!(&refused, Err(ServiceError::Invalid(why)) if why[0].message.contains("nothing left")));
}

#[tokio::test]
async fn a_repeated_report_reaches_what_the_first_did_not() {
    let installation = Installation::new().await;
    let key = Key::new();
    let second = installation.another_zone("second").await;
    let reported = installation.certify_own(installation.zone, &key).await;
    let elsewhere = installation.certify_own(second, &key).await;
    let give_up = |state: JobState| {
        installation.tamper(&format!("UPDATE bulk_jobs SET state = {}, finished_at = 0", state.code()));
    };
    installation.revoke(reported.id, Some(KeyCompromise)).await;
    give_up(JobState::Failed);
    installation.revoke(reported.id, Some(KeyCompromise)).await;
    assert_eq!(installation.key_jobs(), 2);
    give_up(JobState::Failed);
    // By a bulk job just so.
    let filter = Filter { all: true, ..Filter::default() };
    let input = BulkInput { wish: revoke(Some(KeyCompromise)), selection: Selection::Filter(filter) };
    installation.service.create_job(&installation.permit::<CreateJob>().await, input).await.unwrap();
    installation.work_on_jobs(&installation.service).await;
    assert_eq!((installation.key_jobs(), installation.reason_of(&elsewhere)), (3, COMPROMISED));
    // And where nothing is left, nothing is queued or told.
    let told = installation.count("SELECT COUNT(*) FROM audit_events");
    installation.revoke(reported.id, Some(KeyCompromise)).await;
    assert_eq!((installation.key_jobs(), installation.count("SELECT COUNT(*) FROM audit_events")), (3, told));
}

#[tokio::test]
async fn a_compromise_of_what_is_revoked_already_reaches_the_others() {
    let installation = Installation::new().await;
    let key = Key::new();
    let before = installation.certify_own(installation.zone, &key).await;
    let after = installation.certify_own(installation.zone, &key).await;
    installation.revoke(before.id, Some(Superseded)).await;
    assert_eq!(installation.key_jobs(), 0);
    installation.revoke(before.id, Some(KeyCompromise)).await;
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.reason_of(&before), i64::from(Superseded.code()), "the first final reason stays");
    assert_eq!(installation.reason_of(&after), COMPROMISED);
}

#[tokio::test]
async fn a_bulk_revocation_for_compromise_spreads_to_other_zones_and_blocks_the_keys() {
    let installation = Installation::new().await;
    let keys = [Key::new(), Key::new(), Key::new()];
    let second = installation.another_zone("second").await;
    let mut elsewhere = Vec::new();
    for key in &keys {
        installation.certify_own(installation.zone, key).await;
        elsewhere.push(installation.certify_own(second, key).await);
    }
    let filter = Filter { all: true, ..Filter::default() };
    let input = BulkInput { wish: revoke(Some(KeyCompromise)), selection: Selection::Filter(filter) };
    let (job, _) = installation.service.create_job(&installation.permit::<CreateJob>().await, input).await.unwrap();
    installation.work_on_jobs(&installation.service).await;
    for certificate in &elsewhere {
        assert_eq!(installation.reason_of(certificate), COMPROMISED);
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM blocked_keys"), 3);
    assert_eq!(installation.key_jobs(), 1, "one for all keys of a batch");
    let unfinished = format!("SELECT COUNT(*) FROM bulk_jobs WHERE state <> {}", JobState::Publishing.code());
    assert_eq!((installation.count(&unfinished), job.job.total), (0, 3));
}

#[tokio::test]
async fn no_valid_certificate_slips_through_while_its_key_is_reported() {
    let installation = Installation::new().await;
    let second = installation.another_zone("second").await;
    let other = installation.second_service().await;
    for round in 0..8 {
        let key = Key::new();
        let reported = installation.certify_own(installation.zone, &key).await;
        let issue = async |service: &Arc<countersign::service::Service>, zone| {
            let permit = service.permit_in_zone(installation.caller().await, zone).await.unwrap();
            for _ in 0..4 {
                let csr = Some(key.csr());
                let _ = service.issue(&permit, IssueInput { csr, validity_days: Some(30), ..Default::default() }).await;
            }
        };
        let report = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            installation.revoke(reported.id, Some(KeyCompromise)).await;
        };
        tokio::join!(
            issue(&installation.service, installation.zone),
            issue(&other, second),
            report,
            issue(&other, installation.zone),
            issue(&installation.service, second),
        );
        installation.work_on_jobs(&installation.service).await;
        let key = hex::encode(&reported.spki_sha256);
        let valid = format!("SELECT COUNT(*) FROM certificates WHERE spki_sha256 = x'{key}' AND status = 0");
        assert_eq!(installation.count(&valid), 0, "round {round}");
    }
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn an_identity_whose_key_is_hit_elsewhere_is_renewed_at_once() {
    let installation = Installation::new().await;
    let identity = installation.manage(30, 0).await;
    let presented = identity.managed.unwrap().certificate;
    // As if its key had been certified once more.
    let twin = installation.issue("twin").await;
    let key = hex::encode(installation.show(presented).await.spki_sha256);
    let id = hex::encode(twin.id.as_bytes());
    installation.tamper(&format!("UPDATE certificates SET spki_sha256 = x'{key}' WHERE id = x'{id}'"));
    installation.revoke(twin.id, Some(KeyCompromise)).await;
    installation.work_on_jobs(&installation.service).await;
    installation.service.keep_identities_fresh().await.unwrap();
    let after = installation.kept(identity.id).await;
    assert_eq!(after.version, 1);
    assert_eq!(installation.show(presented).await.status, Status::PendingRevocation);
}
