//! Reading the audit log: a zone's reader sees the zone's, filters say what they find, and no reading goes on for ever.

use countersign::domain::audit::{AuditFilter, AuditResult, What, Who};
use countersign::service::access::ReadAuditLog;
use countersign::service::audit_log::{AuditReader, AuditReading};
use countersign::store::{AuditPosition, LoggedAct};

use crate::harness::Installation;

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

impl Installation {
    async fn reader(&self) -> AuditReader {
        let caller = self.caller().await;
        let account = caller.account();
        AuditReader::from(&self.service.permit_in_account::<ReadAuditLog>(caller, account).await.unwrap())
    }

    /// All of it, in readings of this length, and how many they were.
    async fn log(&self, reader: AuditReader, filter: AuditFilter, length: i64) -> (Vec<LoggedAct>, usize) {
        let (mut acts, mut before, mut readings) = (Vec::new(), None, 0);
        loop {
            let reading = AuditReading { filter: filter.clone(), before, length };
            let stretch = self.service.audit_log(reader, reading).await.unwrap();
            readings += 1;
            assert!(i64::try_from(stretch.acts.len()).unwrap() <= length && readings < 1000);
            acts.extend(stretch.acts);
            // As it comes back in an address.
            before = stretch.next.map(|next| AuditPosition::parse(&next.written()).unwrap());
            if before.is_none() {
                return (acts, readings);
            }
        }
    }
}

#[tokio::test]
async fn the_log_is_read_from_its_end_page_by_page_and_nothing_is_left_out() {
    let installation = Installation::new().await;
    for number in 0..7 {
        installation.issue(&format!("device-{number}")).await;
    }
    let reader = installation.reader().await;
    let (all, _) = installation.log(reader, AuditFilter::default(), 1000).await;
    assert_eq!(i64::try_from(all.len()).unwrap(), installation.count("SELECT COUNT(*) FROM audit_events"));
    assert!(all.windows(2).all(|pair| pair[0].at >= pair[1].at));
    for length in [1, 2, 3] {
        assert_eq!(installation.log(reader, AuditFilter::default(), length).await.0, all, "{length}");
    }
}

#[tokio::test]
async fn each_filter_finds_what_it_says() {
    let installation = Installation::new().await;
    let start = installation.now();
    let certificate = installation.issue("device").await;
    installation.issue("another").await;
    installation.clock.advance(MILLISECOND);
    installation.revoke(certificate.id, None).await;
    installation.clock.advance(MILLISECOND);
    installation.publish(certificate.authority).await.unwrap();
    let _ = installation.try_issue("refused", 0).await;
    let reader = installation.reader().await;
    let token = installation.caller().await.token().id;
    let found = async |filter: AuditFilter| {
        let (acts, _) = installation.log(reader, filter, 2).await;
        acts.into_iter().map(|act| (act.action, act.actor_name, act.is_refused)).collect::<Vec<_>>()
    };
    let of = |action: &str, who: &str| (action.to_owned(), who.to_owned(), false);
    let named = |name: &str| Some(Who::Named(name.into()));
    let noun = |noun: &str| Some(What::Noun(noun.into()));

    let subject = Some(certificate.id.to_string());
    let history =
        [of("certificate.revoked", "system"), of("certificate.revoke", "admin"), of("certificate.issue", "admin")];
    assert_eq!(found(AuditFilter { subject: subject.clone(), ..AuditFilter::default() }).await, history);
    let by_admin = AuditFilter { subject, who: named("admin"), ..AuditFilter::default() };
    assert_eq!(found(by_admin).await, history[1..]);

    let refused = AuditFilter { result: Some(AuditResult::Refused), ..AuditFilter::default() };
    assert_eq!(found(refused).await, [("certificate.issue".to_owned(), "admin".to_owned(), true)]);
    let by_token =
        found(AuditFilter { who: Some(Who::Token(token)), what: noun("certificate"), ..Default::default() }).await;
    assert_eq!(by_token.len(), 4);
    assert_eq!(found(AuditFilter { who: named("192.0.2.1"), ..AuditFilter::default() }).await.len(), 4);
    assert!(found(AuditFilter { what: noun("certificat"), ..AuditFilter::default() }).await.is_empty());
    let exact = AuditFilter { what: Some(What::Action("certificate.revoke".into())), ..AuditFilter::default() };
    assert_eq!(found(exact).await, [of("certificate.revoke", "admin")]);
    assert!(found(AuditFilter { until: Some(start), ..AuditFilter::default() }).await.is_empty());
    let all = found(AuditFilter::default()).await;
    assert_eq!(found(AuditFilter { from: Some(start), ..AuditFilter::default() }).await, all);
}

#[tokio::test]
async fn a_zone_s_reader_sees_what_belongs_to_the_zone() {
    let installation = Installation::new().await;
    let (other, _) = installation.sharded_zone(2).await;
    installation.issue("here").await;
    installation.issue_in(other, "there", 30).await;
    let permit = installation.permit_for::<ReadAuditLog>(other).await;
    let (acts, _) = installation.log(AuditReader::from(&permit), AuditFilter::default(), 50).await;
    assert!(!acts.is_empty() && acts.iter().all(|act| act.zone == Some(other)), "{acts:?}");
    assert_eq!(acts.iter().filter(|act| act.action == "certificate.issue").count(), 1);
    let whole = installation.log(installation.reader().await, AuditFilter::default(), 50).await.0;
    assert!(whole.len() > acts.len());
}

/// Also where more events than one reading looks through happened at the same instant.
#[tokio::test]
async fn what_is_rare_is_found_in_readings_that_each_end() {
    let installation = Installation::new().await;
    let certificate = installation.issue("rare").await;
    let copy = |spread: &str| {
        format!(
            "INSERT INTO audit_events (id, at, account_id, zone_id, actor_token_id, actor_name, source, action, subject, \
             result, detail) WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 21000) \
             SELECT id, at + 60000 + {spread}, account_id, zone_id, NULL, 'crowd', '', 'crl.publish', '', result, '' \
             FROM audit_events, numbers WHERE subject = '{}' AND action = 'certificate.issue'",
            certificate.id
        )
    };
    installation.tamper(&copy("0"));
    installation.tamper(&copy("n"));
    let reader = installation.reader().await;
    let filter = AuditFilter { what: Some(What::Action("certificate.issue".into())), ..AuditFilter::default() };
    let (acts, readings) = installation.log(reader, filter, 10).await;
    assert_eq!(acts.len(), 1);
    assert_eq!(acts[0].subject, certificate.id.to_string());
    assert!(readings > 1, "one reading looked through everything");
}
