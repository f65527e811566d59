//! Promises about identities: one primary, exact notices, keys that stay sealed, and an account that sees only its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use countersign::domain::check::Selector;
use countersign::domain::id::IdentityId;
use countersign::domain::identity::{Identity, IdentityFilter};
use countersign::service::access::{AccountPermit, Act};
use countersign::service::identities::{Duplicates, EditInput, IdentityInput};
use countersign::service::identity_material::Material;
use countersign::service::identity_uses::{UseInput, mark};
use countersign::service::managed_identities::ManagedInput;
use countersign::service::{Service, ServiceError};
use countersign::store::Window;
use countersign::x509::pem;
use secrecy::SecretString;

use crate::harness::{DAY, Installation};

/// A self-made client certificate: PEM with its key, valid for so many days from the installation's now.
pub fn pem_of(installation: &Installation, common_name: &str, days: i64) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    pem_for(installation, &key, common_name, days) + &key_pem(&key)
}

pub fn pem_for(installation: &Installation, key: &rcgen::KeyPair, common_name: &str, days: i64) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let at = |offset: TimeDelta| {
        time::OffsetDateTime::from_unix_timestamp((installation.now() + offset).timestamp()).unwrap()
    };
    params.not_before = at(TimeDelta::days(-1));
    params.not_after = at(TimeDelta::days(days));
    pem::encode("CERTIFICATE", params.self_signed(key).unwrap().der())
}

pub fn key_pem(key: &rcgen::KeyPair) -> String {
    pem::encode("PRIVATE KEY", &key.serialize_der())
}

pub fn input(text: String, hosts: &[&str]) -> IdentityInput {
    let material = Material { certificates: Some(SecretString::from(text)), ..Material::default() };
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    IdentityInput { material, hosts, ..IdentityInput::default() }
}

impl Installation {
    pub async fn in_account<A: Act>(&self) -> AccountPermit<A> {
        let caller = self.caller().await;
        let account = caller.account();
        self.service.permit_in_account(caller, account).await.unwrap()
    }

    pub async fn keep(&self, input: IdentityInput) -> Result<Identity, ServiceError> {
        let kept = self.service.add_identity(&self.in_account().await, input, Duplicates::Refused).await;
        kept.map(|kept| kept.identity)
    }

    pub async fn kept(&self, id: IdentityId) -> Identity {
        self.service.identity(&self.in_account().await, Some(id)).await.unwrap()
    }

    async fn make_primary(&self, service: &Arc<Service>, id: IdentityId) {
        let edit = EditInput { is_primary: Some(true), ..EditInput::default() };
        service.edit_identity(&self.in_account().await, Some(id), edit).await.unwrap();
    }

    pub async fn manage(&self, validity_days: i64, grace_seconds: i64) -> Identity {
        let managed = ManagedInput {
            common_name: Some("service".into()),
            validity_days: Some(validity_days),
            grace_seconds: Some(grace_seconds),
            ..ManagedInput::default()
        };
        let (account, zone) = (self.in_account().await, self.permit().await);
        self.service.add_managed_identity(&account, &zone, IdentityInput::default(), managed).await.unwrap().identity
    }

    pub fn events(&self, action: &str) -> i64 {
        self.count(&format!("SELECT COUNT(*) FROM audit_events WHERE action = '{action}' AND result = 0"))
    }
}

#[tokio::test]
async fn there_is_one_primary_whoever_makes_another_at_the_same_time() {
    let installation = Installation::new().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let name = format!("client-{number}");
        ids.push(installation.keep(input(pem_of(&installation, &name, 100), &[])).await.unwrap().id);
    }
    let other = installation.second_service().await;
    let all = ids.iter().enumerate().map(|(index, id)| {
        let service = if index % 2 == 0 { &installation.service } else { &other };
        installation.make_primary(service, *id)
    });
    futures_util::future::join_all(all).await;
    assert_eq!(installation.count("SELECT COUNT(*) FROM identities WHERE is_primary"), 1);
}

#[tokio::test]
async fn expiry_is_told_at_30_14_7_and_1_days_each_once_whoever_tells() {
    let installation = Installation::new().await;
    installation.keep(input(pem_of(&installation, "client", 40), &[])).await.unwrap();
    let other = installation.second_service().await;
    let mut told = BTreeMap::new();
    for day in 0..45 {
        let before = installation.events("identity.expiring");
        let (one, two) =
            tokio::join!(installation.service.note_expiring_identities(), other.note_expiring_identities());
        one.unwrap();
        two.unwrap();
        let count = installation.events("identity.expiring") - before;
        if count > 0 {
            told.insert(40 - day, count);
        }
        installation.clock.advance(DAY);
    }
    assert_eq!(told, BTreeMap::from([(30, 1), (14, 1), (7, 1), (1, 1)]));
}

#[tokio::test]
async fn the_event_of_an_end_names_the_identity_its_end_and_the_days() {
    let installation = Installation::new().await;
    let identity = installation.keep(input(pem_of(&installation, "client \"7\"", 9), &[])).await.unwrap();
    installation.service.note_expiring_identities().await.unwrap();
    let text = |column: &str| {
        installation.text(&format!("SELECT {column} FROM audit_events WHERE action = 'identity.expiring'"))
    };
    let told: serde_json::Value = serde_json::from_str(&text("detail")).unwrap();
    let expected = serde_json::json!({
        "event": "identity.expiring",
        "identity": {"id": identity.id.to_string(), "name": "client \"7\""},
        "expires_on": identity.facts.not_after.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "within_days": 14,
    });
    assert_eq!(told, expected);
    assert_eq!((text("subject"), text("actor_name")), (identity.id.to_string(), "system".into()));
}

#[tokio::test]
async fn the_metrics_tell_how_many_identities_end_within_the_days_of_each_notice() {
    let installation = Installation::new().await;
    for (number, days) in [1, 5, 5, 10, 29, 90].into_iter().enumerate() {
        let text = pem_of(&installation, &format!("client-{number}"), days);
        installation.keep(input(text, &[])).await.unwrap();
    }
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut seen = Vec::new();
    for _ in 0..2 {
        installation.service.note_expiring_identities().await.unwrap();
        let rendered = recorder.handle().render();
        let value = |days: i64| {
            let name = format!("countersign_identities_expiring{{within_days=\"{days}\"}} ");
            let lines: Vec<&str> = rendered.lines().filter_map(|line| line.strip_prefix(&name)).collect();
            assert_eq!(lines.len(), 1, "{rendered}");
            lines[0].parse::<i64>().unwrap()
        };
        seen.push([0, 1, 7, 14, 30].map(value));
        installation.clock.advance(DAY * 6);
    }
    // Those that have ended are counted apart, and among no others.
    assert_eq!(seen, [[0, 1, 3, 4, 5], [3, 0, 1, 1, 2]]);
}

#[tokio::test]
async fn a_replacement_keeps_hosts_rank_and_uses_and_is_told_of_anew() {
    let installation = Installation::new().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut first = input(pem_for(&installation, &key, "client", 10) + &key_pem(&key), &["a.example", "*.b.example"]);
    first.is_primary = true;
    let before = installation.keep(first).await.unwrap();
    installation.service.note_expiring_identities().await.unwrap();

    // The newer certificate comes alone: the key is the one that is kept.
    let mut newer = input(pem_for(&installation, &key, "client", 20), &[]);
    newer.replaces = true;
    let after = installation.keep(newer).await.unwrap();
    assert_eq!((after.id, after.version), (before.id, 1));
    assert_eq!(after.hosts, before.hosts);
    assert!(after.is_primary);
    installation.service.note_expiring_identities().await.unwrap();
    assert_eq!(installation.events("identity.expiring"), 2, "the successor has notices of its own");

    // Another key under the same name replaces too; another name does not.
    let mut renamed = input(pem_of(&installation, "client", 50), &[]);
    renamed.replaces = true;
    renamed.name = Some("client".into());
    assert_eq!(installation.keep(renamed).await.unwrap().version, 2);
    let mut stranger = input(pem_of(&installation, "stranger", 50), &[]);
    stranger.replaces = true;
    assert_ne!(installation.keep(stranger).await.unwrap().id, before.id);
}

#[tokio::test]
async fn a_sealed_key_moved_to_another_identity_does_not_open() {
    let installation = Installation::new().await;
    let one = installation.keep(input(pem_of(&installation, "one", 50), &["localhost"])).await.unwrap();
    let two = installation.keep(input(pem_of(&installation, "two", 50), &[])).await.unwrap();
    let id = |identity: &Identity| identity.id.to_string().replace('-', "");
    installation.tamper(&format!(
        "UPDATE identities SET sealed_key = (SELECT sealed_key FROM identities WHERE hex(id) = upper('{}')) WHERE hex(id) = upper('{}')",
        id(&two),
        id(&one)
    ));
    let call = countersign::service::outgoing::CallInput {
        url: Some("https://localhost:1/".into()),
        identity: Some(Selector::Explicit(one.id)),
        ..Default::default()
    };
    let permit = installation.in_account().await;
    let turn = installation.service.turn(&permit).await.unwrap();
    let refused = installation.service.call(&permit, call, turn).await;
    assert!(matches!(refused, Err(ServiceError::Signing(_))), "{:?}", refused.err());
}

#[tokio::test]
async fn a_removal_in_sight_of_some_uses_spares_those_that_came_since() {
    let installation = Installation::new().await;
    let service = &installation.service;
    let kept = installation.keep(input(pem_of(&installation, "client", 50), &[])).await.unwrap();
    let associate = async |name: &str| {
        let nothing = UseInput { kind: None, link: None, faults: Vec::new() };
        let permit = installation.in_account().await;
        mark(&service.associate_identity(&permit, Some(kept.id), name, nothing).await.unwrap())
    };
    let remove = async |seen: &[&String]| {
        let seen = seen.iter().map(|mark| (*mark).clone()).collect();
        service.remove_identity_seeing(&installation.in_account().await, Some(kept.id), &seen).await
    };
    let first = associate("billing").await;
    let second = associate("shipping").await;
    let refused = remove(&[&first]).await;
    assert!(matches!(&refused, Err(ServiceError::InUse(who)) if who.contains("shipping")), "{:?}", refused.err());
    assert!(matches!(remove(&[]).await, Err(ServiceError::InUse(_))));
    assert_eq!(installation.count("SELECT COUNT(*) FROM identities"), 1);
    remove(&[&second, &first]).await.unwrap();
    assert_eq!(installation.count("SELECT COUNT(*) FROM identities"), 0);
}

#[tokio::test]
async fn an_account_sees_only_its_own_identities() {
    let installation = Installation::new().await;
    let kept = installation.keep(input(pem_of(&installation, "client", 50), &["a.example"])).await.unwrap();
    let made = installation.service.create_account(&installation.in_account().await, "another").await.unwrap();
    let caller = installation.service.authenticate(&made.token, "192.0.2.2".into()).await.unwrap().unwrap();
    let account = caller.account();
    let service = &installation.service;
    let read = service.permit_in_account(caller.clone(), account).await.unwrap();
    assert!(service.identities(&read, IdentityFilter::default(), Window::ALL).await.unwrap().items.is_empty());
    assert!(matches!(service.identity(&read, Some(kept.id)).await, Err(ServiceError::NotFound(_))));
    assert!(service.match_host(&read, "a.example").await.unwrap().choice.is_none());
    assert!(matches!(service.identity_uses(&read, Some(kept.id)).await, Err(ServiceError::NotFound(_))));
    let remove = service.permit_in_account(caller.clone(), account).await.unwrap();
    assert!(matches!(service.remove_identity(&remove, Some(kept.id), true).await, Err(ServiceError::NotFound(_))));
    let edit = service.permit_in_account(caller.clone(), account).await.unwrap();
    let asked = EditInput { is_primary: Some(true), ..EditInput::default() };
    assert!(matches!(service.edit_identity(&edit, Some(kept.id), asked).await, Err(ServiceError::NotFound(_))));
    // Naming a foreign identity in a call is naming one that is not there.
    let call = countersign::service::outgoing::CallInput {
        url: Some("https://a.example/".into()),
        identity: Some(Selector::Explicit(kept.id)),
        ..Default::default()
    };
    let use_it = service.permit_in_account(caller, account).await.unwrap();
    let turn = service.turn(&use_it).await.unwrap();
    let Err(ServiceError::Invalid(faults)) = service.call(&use_it, call, turn).await else { panic!("it is refused") };
    assert_eq!(faults.first().unwrap().pointer, "/identity");
}

#[tokio::test]
async fn nothing_in_the_database_is_the_key() {
    let installation = Installation::new().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let text = pem_for(&installation, &key, "client", 50) + &key_pem(&key);
    installation.keep(input(text, &[])).await.unwrap();
    let pkcs8 = key.serialize_der();
    let scalar = &pkcs8[36..68];
    let base64 = pem::encode("PRIVATE KEY", &pkcs8);
    let line = base64.lines().nth(1).unwrap().to_owned();
    for secret in [scalar, &pkcs8[..40], line.as_bytes()] {
        assert!(!installation.database.holds(secret));
    }
    assert!(installation.database.holds(b"identity.add"), "what is no secret is found");
}
