//! The services in this process, on a database of their own, with a clock that stands still.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use countersign::clock::Clock;
use countersign::config::MasterKeySource;
use countersign::domain::authority::CrlScope;
use countersign::domain::certificate::Certificate;
use countersign::domain::egress::EgressPolicy;
use countersign::domain::id::{AuthorityId, CertificateId, ZoneId};
use countersign::domain::key::AuthorityKeyType;
use countersign::domain::name::AttributeType;
use countersign::domain::reason::RevocationReason;
use countersign::keys::client_key::{ClientKey, ClientKeyKind};
use countersign::service::access::{Act, Caller, CreateZone, ReadCertificates, ZonePermit};
use countersign::service::authorities::AuthorityOptions;
use countersign::service::certificates::RevocationRequest;
use countersign::service::issuance::IssueInput;
use countersign::service::publication::Published;
use countersign::service::zones::NewZone;
use countersign::service::{Options, Random, Service, ServiceError};
use countersign::store::Store;
use countersign::x509::crl::CrlFacts;
use secrecy::SecretString;
use tempfile::TempDir;
use uuid::Uuid;

use crate::database::{Door, TestDatabase};

pub const CRL_VALIDITY: TimeDelta = TimeDelta::days(7);
pub const OCSP_VALIDITY: TimeDelta = TimeDelta::minutes(5);
pub const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

pub struct Installation {
    pub service: Arc<Service>,
    pub clock: Clock,
    pub zone: ZoneId,
    pub database: TestDatabase,
    token: String,
    folder: TempDir,
}

impl Installation {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let database = TestDatabase::migrated(folder.path());
        let store = Store::open(&database.address()).unwrap();
        let (service, first) =
            Service::start(store, clock.clone(), Random::system(), options(folder.path().into())).await.unwrap();
        let first = first.expect("an empty store is set up");
        Self { service, clock, zone: first.zone.id, token: first.token.to_string(), database, folder }
    }

    /// A second process on the same database.
    pub async fn second_service(&self) -> Arc<Service> {
        self.service_with(Random::system()).await
    }

    /// A second process with a source of randomness of its own.
    pub async fn service_with(&self, random: Random) -> Arc<Service> {
        let store = self.store();
        let (service, first) =
            Service::start(store, self.clock.clone(), random, options(self.folder.path().into())).await.unwrap();
        assert!(first.is_none(), "only the first start sets up");
        service
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn caller(&self) -> Caller {
        self.service.authenticate(&self.token, "192.0.2.1".into()).await.unwrap().unwrap()
    }

    /// The administrator's token, as it is sent.
    pub fn credential(&self) -> SecretString {
        SecretString::from(self.token.as_str())
    }

    pub async fn permit<A: Act>(&self) -> ZonePermit<A> {
        self.service.permit_in_zone(self.caller().await, self.zone).await.unwrap()
    }

    pub async fn issue(&self, common_name: &str) -> Certificate {
        self.try_issue(common_name, 365).await.unwrap()
    }

    pub async fn try_issue(&self, common_name: &str, days: i64) -> Result<Certificate, ServiceError> {
        let input = IssueInput { csr: Some(csr(common_name)), validity_days: Some(days), ..IssueInput::default() };
        Ok(self.service.issue(&self.permit().await, input).await?.certificate)
    }

    pub async fn revoke(&self, id: CertificateId, reason: Option<RevocationReason>) -> Certificate {
        let request = RevocationRequest { reason, invalidity_date: None };
        self.service.revoke(&self.permit().await, Some(id), request).await.unwrap()
    }

    pub async fn reactivate(&self, id: CertificateId) -> Result<Certificate, ServiceError> {
        self.service.reactivate(&self.permit().await, Some(id)).await
    }

    pub async fn show(&self, id: CertificateId) -> Certificate {
        self.service.certificate(&self.permit().await, Some(id)).await.unwrap()
    }

    /// What a worker does for one authority in one round.
    pub async fn publish(&self, authority: AuthorityId) -> Result<Published, ServiceError> {
        let lease = self.service.claim_lease(authority, Uuid::new_v4()).await?.expect("the lease is free");
        let published = self.service.publish(lease).await;
        self.service.take_over_leases().await?;
        published
    }

    pub async fn crl(&self, authority: AuthorityId) -> CrlFacts {
        let crl = self.service.public_crl(Some(authority), CrlScope::Complete).await.unwrap();
        countersign::x509::crl::read(&crl.der()).unwrap()
    }

    /// SQL past the store, for faults that no caller can make.
    pub fn tamper(&self, sql: &str) {
        self.database.connect().execute(sql);
    }

    /// Has every such statement fail: "INSERT ON certificates", where `when` is true.
    pub fn refuse(&self, name: &str, statement: &str, when: &str) {
        self.database.connect().refuse(name, statement, when);
    }

    pub fn allow_again(&self, name: &str) {
        self.database.connect().allow_again(name);
    }

    /// One number out of the database, past the store.
    pub fn count(&self, sql: &str) -> i64 {
        self.database.connect().count(sql)
    }

    /// One text out of the database, past the store.
    pub fn text(&self, sql: &str) -> String {
        self.database.connect().text(sql)
    }
}

pub fn csr(common_name: &str) -> String {
    let key = ClientKey::generate(ClientKeyKind::P256).unwrap();
    key.certification_request(&[(AttributeType::CommonName, common_name.to_owned())], &[]).unwrap()
}

pub fn is_listed(crl: &CrlFacts, certificate: &Certificate) -> bool {
    crl.entries.iter().any(|entry| entry.serial == certificate.serial)
}

fn options(data_dir: PathBuf) -> Options {
    Options {
        public_url: "http://pki.test".into(),
        crl_validity: CRL_VALIDITY,
        ocsp_validity: OCSP_VALIDITY,
        root_key_type: AuthorityKeyType::P384,
        issuing_key_type: AuthorityKeyType::P256,
        master_key: MasterKeySource::File(data_dir.join("master.key")),
        data_dir,
        bootstrap_token: None,
        profiles_dir: None,
        blocked_keys_file: None,
        egress: EgressPolicy::parse("127.0.0.1").unwrap(),
    }
}

impl Installation {
    /// Keeps every writer out until the door is dropped.
    pub fn hold_the_database(&self) -> Door {
        self.database.hold()
    }

    /// The cheapest request that is refused.
    pub async fn ask_for_nothing(&self) {
        let refused = self.service.issue(&self.permit().await, IssueInput::default()).await;
        assert!(matches!(refused, Err(ServiceError::Invalid(_))));
    }

    /// Issues until the queue is full, for a while.
    pub async fn try_until_busy(&self) -> bool {
        for _ in 0..400 {
            let attempt =
                tokio::time::timeout(std::time::Duration::from_millis(20), self.try_issue("device", 30)).await;
            if let Ok(Err(ServiceError::Unavailable(why))) = attempt {
                return why.contains("queue");
            }
        }
        false
    }
}

/// What is done in another zone than the default one.
impl Installation {
    pub async fn permit_for<A: Act>(&self, zone: ZoneId) -> ZonePermit<A> {
        self.service.permit_in_zone(self.caller().await, zone).await.unwrap()
    }

    /// A zone whose authority has so many shards.
    pub async fn sharded_zone(&self, shards: i32) -> (ZoneId, AuthorityId) {
        let caller = self.caller().await;
        let account = caller.account();
        let permit = self.service.permit_in_account::<CreateZone>(caller, account).await.unwrap();
        let authority = AuthorityOptions { key_type: None, crl_shards: Some(shards) };
        let zone = self.service.create_zone(&permit, NewZone { name: "sharded".into(), authority }).await.unwrap();
        (zone.id, self.permit_for::<ReadCertificates>(zone.id).await.issuer().authority.id)
    }

    pub async fn issue_in(&self, zone: ZoneId, common_name: &str, days: i64) -> Certificate {
        let input = IssueInput { csr: Some(csr(common_name)), validity_days: Some(days), ..IssueInput::default() };
        self.service.issue(&self.permit_for(zone).await, input).await.unwrap().certificate
    }

    pub async fn revoke_in(&self, zone: ZoneId, id: CertificateId, reason: Option<RevocationReason>) {
        let request = RevocationRequest { reason, invalidity_date: None };
        self.service.revoke(&self.permit_for(zone).await, Some(id), request).await.unwrap();
    }

    pub async fn reactivate_in(&self, zone: ZoneId, id: CertificateId) -> Result<Certificate, ServiceError> {
        self.service.reactivate(&self.permit_for(zone).await, Some(id)).await
    }

    pub async fn show_in(&self, zone: ZoneId, id: CertificateId) -> Certificate {
        self.service.certificate(&self.permit_for(zone).await, Some(id)).await.unwrap()
    }
}

/// Certificates by the thousand, past the issuance.
impl Installation {
    /// So many copies of a certificate, each with an id, a serial number, a fingerprint and a key of its own; issued in the
    /// millisecond of the first.
    pub fn copy(&self, certificate: &Certificate, count: usize) {
        let own = "id, serial, fingerprint_sha256, spki_sha256";
        let same = "zone_id, authority_id, der, csr, ski, signature, common_name, subject, subject_alternative_names, \
                    profile, validity_days, not_before, not_after, created_at, status, version";
        let id = format!("x'{}'", hex::encode(certificate.id.as_bytes()));
        self.tamper(&format!(
            "BEGIN;
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             INSERT INTO certificates ({own}, {same})
                 SELECT CAST(substr(id, 1, 6) || x'7f' || randomblob(9) AS BLOB), CAST(x'10' || randomblob(15) AS BLOB),
                        randomblob(32), randomblob(32), {same}
                 FROM certificates, numbers WHERE id = {id};
             UPDATE certificate_counters SET total = total + {count}
                 WHERE zone_id = x'{zone}' AND status = {status};
             COMMIT",
            zone = hex::encode(certificate.zone.as_bytes()),
            status = certificate.status.code(),
        ));
    }

    /// The store alone, as another process would open it.
    pub fn store(&self) -> Store {
        Store::open(&self.database.address()).unwrap()
    }

    /// Whether the totals are what a count of the certificates gives.
    pub fn totals_are_true(&self) -> bool {
        let differing = "SELECT COUNT(*) FROM (
            SELECT zone_id, status, COUNT(*) AS n FROM certificates GROUP BY zone_id, status
            EXCEPT SELECT zone_id, status, total FROM certificate_counters
            UNION ALL
            SELECT * FROM (SELECT zone_id, status, total FROM certificate_counters WHERE total <> 0
            EXCEPT SELECT zone_id, status, COUNT(*) FROM certificates GROUP BY zone_id, status) AS kept) AS differing";
        self.count(differing) == 0
    }
}
