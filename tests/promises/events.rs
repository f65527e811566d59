//! Promises about events: numbered in the order of the commits, each once to whoever listens across breaks and processes,
//! nothing of another zone, and notices of ends that are near.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use countersign::domain::certificate::Certificate;
use countersign::domain::event_stream::{Kinds, NumberedEvent};
use countersign::domain::id::ZoneId;
use countersign::domain::permission::Permission;
use countersign::service::access::{Caller, ReadCertificates, ZonePermit};
use countersign::service::event_streams::{EventStream, Listening, Tidings};
use countersign::service::tokens::NewToken;
use countersign::service::{Service, ServiceError};
use secrecy::SecretString;

use crate::harness::{DAY, Installation};

/// Longer than any stream needs to see what is there.
const PATIENCE: Duration = Duration::from_secs(20);

fn from(after: i64) -> Listening {
    Listening { after: Some(after), kinds: Kinds::default() }
}

impl Installation {
    /// Everything that the administrator hears of the zone.
    async fn heard(&self) -> Vec<NumberedEvent> {
        self.heard_by(&self.permit().await, from(0)).await
    }

    async fn heard_by(&self, permit: &ZonePermit<ReadCertificates>, listening: Listening) -> Vec<NumberedEvent> {
        self.service.events(permit, listening, 1000).await.unwrap().events
    }

    async fn stream(&self, service: &Arc<Service>, after: i64) -> EventStream {
        let stream = Arc::clone(service).listen(self.permit().await, from(after), self.credential()).await;
        stream.unwrap()
    }

    /// A caller with another token: of the zone, or of the account.
    async fn caller_with(&self, permissions: &[Permission], zone: Option<ZoneId>) -> (Caller, String) {
        let permit = self.service.permit_in_account(self.caller().await, self.caller().await.account()).await.unwrap();
        let new = NewToken {
            name: "test".into(),
            permissions: permissions.iter().copied().collect(),
            zones: zone.map(|zone| BTreeSet::from([zone])),
            not_before: None,
            expires_on: None,
        };
        let (_, value) = self.service.create_token(&permit, new).await.unwrap();
        let caller = self.service.authenticate(&value, "192.0.2.2".into()).await.unwrap().unwrap();
        (caller, value.to_string())
    }

    /// An event of the account as a whole.
    fn tell_the_account(&self, kind: &str) {
        self.tamper(&format!(
            "INSERT INTO events (account_id, zone_id, at, kind, body) \
             SELECT id, NULL, 1800000000000, '{kind}', '{{\"event\":\"{kind}\"}}' FROM accounts LIMIT 1"
        ));
    }

    async fn tell_of_ends(&self) {
        while self.service.tell_of_ending_certificates().await.unwrap() {}
    }

    /// How often each notice was given of a certificate.
    fn notices(&self, certificate: &Certificate) -> Vec<i64> {
        let count = |days| {
            self.count(&format!(
                "SELECT COUNT(*) FROM events WHERE kind = 'certificate.expiring' AND body LIKE '%{}%' \
                 AND body LIKE '%\"within_days\":{days}}}'",
                certificate.id
            ))
        };
        [30, 14, 7, 1].map(count).to_vec()
    }
}

fn numbers(events: &[NumberedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.number).collect()
}

/// The next events of a stream, until there are so many.
async fn take(stream: &mut EventStream, count: usize) -> Vec<NumberedEvent> {
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < count {
            match stream.next().await {
                Some(Tidings::Events(events)) => taken.extend(events),
                Some(_) => {}
                None => panic!("the stream ended after {}", taken.len()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the events come");
    taken
}

#[tokio::test]
async fn numbers_grow_in_the_order_of_the_commits_and_what_is_refused_makes_none() {
    let installation = Installation::new().await;
    let issued = futures_util::future::join_all((0..40).map(|_| installation.issue("device"))).await;
    installation.revoke(issued[0].id, None).await;
    assert!(installation.try_issue("device", 0).await.is_err());
    assert!(installation.service.revoke(&installation.permit().await, None, Default::default()).await.is_err());
    installation.refuse("no_audit", "INSERT ON audit_events", "TRUE");
    assert!(installation.try_issue("another", 30).await.is_err());

    let events = installation.heard().await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds[..40], ["certificate.issued"; 40]);
    assert_eq!(kinds[40..], ["certificate.pending_revocation"]);
    assert!(numbers(&events).is_sorted_by(|one, next| one < next));
    let told: BTreeSet<_> = events[..40].iter().map(|event| event.body["certificate"]["id"].to_string()).collect();
    assert_eq!(told.len(), 40, "each certificate once");
}

#[tokio::test]
async fn a_zone_hears_only_its_own_and_the_account_only_whoever_may_read_its_identities() {
    let installation = Installation::new().await;
    let other = installation.another_zone("another").await;
    let (reader, _) = installation.caller_with(&[Permission::ReadCertificates], None).await;
    let zone = installation.zone;
    let (both, _) =
        installation.caller_with(&[Permission::ReadCertificates, Permission::ReadIdentities], Some(zone)).await;
    installation.issue("device").await;
    installation.tell_the_account("check.state");

    let kinds = |events: Vec<NumberedEvent>| events.into_iter().map(|event| event.kind).collect::<Vec<_>>();
    let heard = async |caller: Caller, zone| {
        let permit = installation.service.permit_in_zone(caller, zone).await.unwrap();
        kinds(installation.heard_by(&permit, from(0)).await)
    };
    assert_eq!(heard(installation.caller().await, zone).await, ["certificate.issued", "check.state"]);
    assert_eq!(heard(installation.caller().await, other).await, ["crl.published", "check.state"], "its first CRL");
    assert_eq!(heard(reader.clone(), zone).await, ["certificate.issued"]);
    assert_eq!(heard(reader, other).await, ["crl.published"]);
    // A token of some zones reads nothing of the account, whatever it is allowed in them.
    assert_eq!(heard(both, zone).await, ["certificate.issued"]);
}

#[tokio::test]
async fn each_event_comes_once_across_breaks_and_across_two_processes() {
    let installation = Installation::new().await;
    let second = installation.second_service().await;
    let expected = 230;
    let issuing = async {
        for _ in 0..expected / 10 {
            futures_util::future::join_all((0..10).map(|_| installation.issue("device"))).await;
        }
    };
    let listening = async {
        let mut heard = Vec::new();
        while heard.len() < expected {
            // Each time another process, and each time only a little.
            let service = if heard.len() % 2 == 0 { &installation.service } else { &second };
            let mut stream = installation.stream(service, heard.last().copied().unwrap_or_default()).await;
            let count = (expected - heard.len()).min(7);
            heard.extend(numbers(&take(&mut stream, count).await));
        }
        heard
    };
    let ((), heard) = tokio::join!(issuing, listening);
    assert_eq!(heard, (1..=i64::try_from(expected).unwrap()).collect::<Vec<_>>());
}

#[tokio::test]
async fn kinds_are_chosen_and_pages_go_on_where_the_last_one_ended() {
    let installation = Installation::new().await;
    for _ in 0..5 {
        let certificate = installation.issue("device").await;
        installation.revoke(certificate.id, None).await;
    }
    let permit = installation.permit().await;
    let kinds = Kinds::parse(["certificate.pending_revocation"]).unwrap();
    let (mut after, mut heard) = (0, Vec::new());
    loop {
        let listening = Listening { after: Some(after), kinds: kinds.clone() };
        let page = installation.service.events(&permit, listening, 2).await.unwrap();
        heard.extend(page.events.iter().map(|event| event.number));
        after = page.looked_until;
        if page.is_end {
            break;
        }
    }
    assert_eq!(heard, [2, 4, 6, 8, 10]);
    let now = Listening { after: None, kinds: Kinds::default() };
    let page = installation.service.events(&permit, now, 100).await.unwrap();
    assert_eq!((page.events.len(), page.looked_until), (0, 10));
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_at_the_stop() {
    let installation = Installation::new().await;
    let (caller, value) = installation.caller_with(&[Permission::ReadCertificates], None).await;
    let token = caller.token().id;
    let permit = installation.service.permit_in_zone(caller, installation.zone).await.unwrap();
    let listening = from(0);
    let service = &installation.service;
    let mut doomed = Arc::clone(service).listen(permit, listening, SecretString::from(value)).await.unwrap();
    let mut kept = installation.stream(service, 0).await;
    let account = installation.caller().await.account();
    let permit = service.permit_in_account(installation.caller().await, account).await.unwrap();
    service.delete_token(&permit, Some(token)).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, doomed.next()).await.expect("it ends within seconds");
    assert!(ended.is_none(), "{ended:?}");

    installation.issue("device").await;
    assert_eq!(take(&mut kept, 1).await.len(), 1);
    service.close_streams();
    let ended = tokio::time::timeout(Duration::from_secs(1), kept.next()).await.expect("at once");
    assert!(ended.is_none(), "{ended:?}");
}

#[tokio::test]
async fn a_ninth_stream_of_a_token_waits_until_another_ends() {
    let installation = Installation::new().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(installation.stream(&installation.service, 0).await);
    }
    let ninth =
        Arc::clone(&installation.service).listen(installation.permit().await, from(0), installation.credential());
    assert!(matches!(ninth.await, Err(ServiceError::Unavailable(_))));
    streams.pop();
    installation.stream(&installation.service, 0).await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_but_for_the_newest_and_whoever_missed_it_is_told() {
    let installation = Installation::new().await;
    for _ in 0..3 {
        installation.issue("device").await;
    }
    installation.clock.advance(DAY * 31);
    assert!(!installation.service.forget_old_events().await.unwrap());
    assert_eq!(numbers(&installation.heard().await), [3], "numbers are never given twice");
    installation.issue("device").await;
    assert_eq!(numbers(&installation.heard().await), [3, 4]);

    let mut stream = installation.stream(&installation.service, 1).await;
    assert!(matches!(stream.next().await, Some(Tidings::Gap { after: 1, resumes_after: 2 })));
    assert_eq!(numbers(&take(&mut stream, 2).await), [3, 4]);
    let mut stream = installation.stream(&installation.service, 99).await;
    assert!(matches!(stream.next().await, Some(Tidings::Gap { after: 99, resumes_after: 4 })));
}

#[tokio::test]
async fn each_notice_of_an_end_is_given_once_and_never_of_what_is_revoked() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("device", 90).await.unwrap();
    let revoked = installation.try_issue("revoked", 90).await.unwrap();
    installation.revoke(revoked.id, None).await;
    let short = installation.try_issue("short", 10).await.unwrap();
    let second = installation.second_service().await;
    for _ in 0..95 {
        // Two processes, and each twice.
        installation.tell_of_ends().await;
        second.tell_of_ending_certificates().await.unwrap();
        installation.tell_of_ends().await;
        installation.clock.advance(DAY);
    }
    assert_eq!(installation.notices(&certificate), [1, 1, 1, 1]);
    assert_eq!(installation.notices(&revoked), [0; 4]);
    assert_eq!(installation.notices(&short), [0, 0, 1, 1], "its maker knows that it ends soon");
    let events = installation.heard().await;
    let notice = events.iter().find(|event| event.kind == "certificate.expiring").unwrap();
    assert_eq!(notice.body["within_days"], 7);
    assert_eq!(notice.body["common_name"], "short");
    assert_eq!(notice.zone, Some(installation.zone));
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action LIKE '%expir%'"), 0);
}

#[tokio::test]
async fn after_a_pause_only_the_nearest_notice_is_given() {
    let installation = Installation::new().await;
    let certificate = installation.try_issue("device", 90).await.unwrap();
    let ended = installation.try_issue("ended", 50).await.unwrap();
    // Nobody has ever told of this zone's certificates, as after an upgrade.
    installation.clock.advance(DAY * 80);
    installation.tell_of_ends().await;
    assert_eq!(installation.notices(&certificate), [0, 1, 0, 0], "10 days are left");
    installation.clock.advance(DAY * 9 + Duration::from_secs(12 * 3600));
    installation.tell_of_ends().await;
    assert_eq!(installation.notices(&certificate), [0, 1, 0, 1]);
    assert_eq!(installation.notices(&ended), [0; 4], "what has ended ends no more");
}

#[tokio::test]
async fn very_many_that_end_at_one_moment_are_each_told_once() {
    let installation = Installation::new().await;
    let first = installation.try_issue("device", 90).await.unwrap();
    let columns = "zone_id, authority_id, der, csr, ski, fingerprint_sha256, spki_sha256, signature, common_name, \
                   subject, subject_alternative_names, profile, validity_days, not_before, not_after, created_at, \
                   status, version";
    installation.tamper(&format!(
        "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1199) \
         INSERT INTO certificates (id, serial, {columns}) SELECT randomblob(16), randomblob(20), {columns} \
         FROM certificates, many"
    ));
    // Two that end just before and just after them.
    for (name, shift) in [("before", -1), ("after", 1)] {
        let other = installation.try_issue(name, 90).await.unwrap();
        let end = first.not_after + TimeDelta::milliseconds(shift);
        installation.tamper(&format!(
            "UPDATE certificates SET not_after = {} WHERE common_name = '{}'",
            end.timestamp_millis(),
            other.subject.common_name
        ));
    }
    installation.clock.set(first.not_after - TimeDelta::days(20));
    installation.tell_of_ends().await;
    installation.tell_of_ends().await;
    let told = "FROM events WHERE kind = 'certificate.expiring'";
    assert_eq!(installation.count(&format!("SELECT COUNT(*) {told}")), 1202);
    let distinct = format!("SELECT COUNT(DISTINCT json_extract(body, '$.certificate.id')) {told}");
    assert_eq!(installation.count(&distinct), 1202);
    // A crash in the middle goes on where it stopped: what was told is noted in the same transaction.
    installation.tamper("DELETE FROM events; DELETE FROM expiry_notices");
    installation.refuse("broken", "INSERT ON events", "(SELECT COUNT(*) FROM events) > 700");
    assert!(installation.service.tell_of_ending_certificates().await.is_err());
    assert_eq!(installation.count(&format!("SELECT COUNT(*) {told}")), 500);
    installation.allow_again("broken");
    installation.tell_of_ends().await;
    assert_eq!(installation.count(&format!("SELECT COUNT(*) {told}")), 1202);
    assert_eq!(installation.count(&distinct), 1202);
}
