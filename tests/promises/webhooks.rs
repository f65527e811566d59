//! Promises about webhooks: what they may carry away, secrets that stay sealed, claims with a fence, and an end to trying.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::domain::permission::Permission;
use countersign::domain::webhook::Webhook;
use countersign::service::ServiceError;
use countersign::service::access::{ReadWebhooks, WriteWebhooks, ZonePermit};
use countersign::service::tokens::NewToken;
use countersign::service::webhooks::{DefinedWebhook, WebhookInput};
use countersign::store::Window;
use countersign::worker;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::Installation;

/// Nobody listens there.
const NOWHERE: &str = "https://127.0.0.1:1/hook?key=in-the-address";

/// Of a name that no other has.
fn definition(url: &str) -> WebhookInput {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("partner-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    WebhookInput { name: Some(name), url: Some(url.into()), ..WebhookInput::default() }
}

impl Installation {
    async fn define(&self, input: WebhookInput) -> DefinedWebhook {
        self.service.create_webhook(&self.permit().await, input).await.unwrap()
    }

    async fn edit_webhook(&self, webhook: &Webhook, input: WebhookInput) -> Result<DefinedWebhook, Vec<String>> {
        self.edit_webhook_by(&self.permit().await, webhook, input).await
    }

    async fn edit_webhook_by(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        webhook: &Webhook,
        input: WebhookInput,
    ) -> Result<DefinedWebhook, Vec<String>> {
        match self.service.edit_webhook(permit, Some(webhook.id), input).await {
            Ok(defined) => Ok(defined),
            Err(ServiceError::Invalid(faults)) => Err(faults.into_iter().map(|fault| fault.pointer).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn permit_with(&self, permissions: &[Permission]) -> ZonePermit<WriteWebhooks> {
        let account = self.caller().await.account();
        let permit = self.service.permit_in_account(self.caller().await, account).await.unwrap();
        let new = NewToken {
            name: "test".into(),
            permissions: permissions.iter().copied().collect::<BTreeSet<_>>(),
            zones: None,
            not_before: None,
            expires_on: None,
        };
        let (_, value) = self.service.create_token(&permit, new).await.unwrap();
        let caller = self.service.authenticate(&value, "192.0.2.2".into()).await.unwrap().unwrap();
        self.service.permit_in_zone(caller, self.zone).await.unwrap()
    }

    async fn shown_webhook(&self, webhook: &Webhook) -> Webhook {
        let permit: ZonePermit<ReadWebhooks> = self.permit().await;
        self.service.webhook(&permit, Some(webhook.id)).await.unwrap().0
    }

    /// One round of the worker over the webhooks; how many were due.
    async fn tell(&self) -> usize {
        let due = self.service.webhooks_due(100).await.unwrap();
        for one in &due {
            self.service.tell_webhook(*one, pending()).await.unwrap();
        }
        due.len()
    }

    fn holds(&self, text: &str) -> bool {
        self.database.holds(text.as_bytes())
    }
}

#[tokio::test]
async fn a_secret_is_told_once_and_rests_sealed() {
    let installation = Installation::new().await;
    let made = installation.define(definition(NOWHERE)).await;
    let secret = made.secret.unwrap();
    assert!(secret.expose_secret().starts_with("whsec_") && secret.expose_secret().len() == 49);
    assert!(!installation.holds(&secret.expose_secret()[6..]));
    let renamed = WebhookInput { name: Some("renamed".into()), ..WebhookInput::default() };
    assert!(installation.edit_webhook(&made.webhook, renamed).await.unwrap().secret.is_none());

    let rotation = WebhookInput { rotates_secret: true, ..WebhookInput::default() };
    let rotated = installation.edit_webhook(&made.webhook, rotation).await.unwrap().secret.unwrap();
    assert_ne!(rotated.expose_secret(), secret.expose_secret());
    assert!(!installation.holds(&rotated.expose_secret()[6..]));
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'webhook.edit' AND result = 0"), 2);
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE detail LIKE '%in-the-address%'"), 0);
}

#[tokio::test]
async fn another_server_takes_another_secret() {
    let installation = Installation::new().await;
    let webhook = installation.define(definition(NOWHERE)).await.webhook;
    let to = |url: &str| WebhookInput { url: Some(url.into()), ..WebhookInput::default() };
    for elsewhere in ["https://127.0.0.1:2/hook", "https://evil.example/hook"] {
        assert_eq!(installation.edit_webhook(&webhook, to(elsewhere)).await.err().unwrap(), ["/url"]);
        let rotating = WebhookInput { rotates_secret: true, ..to(elsewhere) };
        assert!(installation.edit_webhook(&webhook, rotating).await.unwrap().secret.is_some());
    }
    assert!(installation.edit_webhook(&webhook, to("https://evil.example/other")).await.unwrap().secret.is_none());
}

#[tokio::test]
async fn nobody_has_carried_away_what_they_may_not_read() {
    let installation = Installation::new().await;
    let zones_alone = installation.permit_with(&[Permission::WriteZones]).await;
    let refused = installation.service.create_webhook(&zones_alone, definition(NOWHERE)).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))));

    let zone_admin = installation.permit_with(&[Permission::WriteZones, Permission::ReadCertificates]).await;
    let lesser = installation.service.create_webhook(&zone_admin, definition(NOWHERE)).await.unwrap().webhook;
    assert!(!lesser.definition.hears_account);
    let kinds = |word: &str| WebhookInput { kinds: Some(vec![word.into()]), ..WebhookInput::default() };
    let faults = installation.edit_webhook_by(&zone_admin, &lesser, kinds("check.state")).await.err().unwrap();
    assert_eq!(faults, ["/kinds"]);
    // Nobody is given more by somebody else's hand on their webhook.
    let renamed = WebhookInput { name: Some("x".into()), ..WebhookInput::default() };
    assert!(!installation.edit_webhook(&lesser, renamed).await.unwrap().webhook.definition.hears_account);

    let whole = installation.define(definition(NOWHERE)).await.webhook;
    assert!(whole.definition.hears_account);
    let renamed = WebhookInput { name: Some("y".into()), ..WebhookInput::default() };
    let kept = installation.edit_webhook_by(&zone_admin, &whole, renamed).await.unwrap().webhook;
    assert!(kept.definition.hears_account);
    let moved = WebhookInput { rotates_secret: true, ..definition("https://evil.example/") };
    let moved = installation.edit_webhook_by(&zone_admin, &whole, moved).await.unwrap().webhook;
    assert!(!moved.definition.hears_account);
    let faults = installation.edit_webhook_by(&zones_alone, &whole, kinds("crl.published")).await;
    assert!(faults.is_err());
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_with_every_fault() {
    let installation = Installation::new().await;
    let input = WebhookInput {
        kinds: Some(vec!["certificate.eaten".into()]),
        trusted_ca: Some(Some("nothing".into())),
        ..definition("http://127.0.0.1/")
    };
    let input = WebhookInput { name: Some(" ".into()), ..input };
    let Err(ServiceError::Invalid(faults)) =
        installation.service.create_webhook(&installation.permit().await, input).await
    else {
        panic!("it is refused");
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/name", "/url", "/kinds", "/trusted_ca"]);
    for _ in 0..20 {
        installation.define(definition(NOWHERE)).await;
    }
    let refused = installation.service.create_webhook(&installation.permit().await, definition(NOWHERE)).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "twenty are enough");
}

#[tokio::test]
async fn a_name_belongs_to_one_webhook_of_a_zone() {
    let installation = Installation::new().await;
    let named = |name: &str| WebhookInput { name: Some(name.into()), ..definition(NOWHERE) };
    let rename = |name: &str| WebhookInput { name: Some(name.into()), ..WebhookInput::default() };
    let first = installation.define(named("first")).await.webhook;
    let refused = installation.service.create_webhook(&installation.permit().await, named(" first ")).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(faults)) if faults[0].pointer == "/name"));
    let second = installation.define(named("second")).await.webhook;
    assert_eq!(installation.edit_webhook(&second, rename("first")).await.err().unwrap(), ["/name"]);
    installation.edit_webhook(&first, rename("first")).await.unwrap();
    // As it may be in an older database.
    installation.tamper("UPDATE webhooks SET name = 'first'");
    let off = WebhookInput { is_enabled: Some(false), ..rename("first") };
    installation.edit_webhook(&second, off).await.unwrap();
    installation.edit_webhook(&second, rename("second")).await.unwrap();
    // Another zone's names are its own.
    let other = installation.another_zone("other").await;
    let permit = installation.service.permit_in_zone(installation.caller().await, other).await.unwrap();
    installation.service.create_webhook(&permit, named("first")).await.unwrap();
}

#[tokio::test]
async fn an_address_that_nothing_could_be_sent_to_is_refused_when_it_is_given() {
    let installation = Installation::new().await;
    let webhook = installation.define(definition(NOWHERE)).await.webhook;
    for inside in ["https://10.0.0.7/", "https://[::1]:8443/", "https://[::ffff:192.168.0.1]/", "https://0x7f.2/"] {
        let refused = installation.service.create_webhook(&installation.permit().await, definition(inside)).await;
        let Err(ServiceError::Invalid(faults)) = refused else { panic!("{inside}") };
        assert!(faults.len() == 1 && faults[0].pointer == "/url", "{faults:?}");
        assert!(faults[0].message.contains("COUNTERSIGN_EGRESS_ALLOW"), "{}", faults[0].message);
        let moved = WebhookInput { rotates_secret: true, url: Some(inside.into()), ..WebhookInput::default() };
        assert_eq!(installation.edit_webhook(&webhook, moved).await.err().unwrap(), ["/url"]);
    }
    // What was permitted before is no reason to refuse another change.
    installation.tamper("UPDATE webhooks SET url = 'https://10.0.0.7/'");
    let renamed = WebhookInput { name: Some("x".into()), ..WebhookInput::default() };
    installation.edit_webhook(&webhook, renamed).await.unwrap();
}

#[tokio::test]
async fn a_webhook_hears_of_what_happens_from_its_making_on_and_passes_over_other_kinds() {
    let installation = Installation::new().await;
    installation.issue("before").await;
    let input = WebhookInput { kinds: Some(vec!["crl.published".into()]), ..definition(NOWHERE) };
    let webhook = installation.define(input).await.webhook;
    assert_eq!(webhook.last_event, 1);
    assert_eq!(installation.tell().await, 0, "nothing has happened since");
    installation.issue("device").await;
    assert_eq!(installation.tell().await, 1);
    assert_eq!(installation.tell().await, 0);
    assert_eq!(installation.shown_webhook(&webhook).await.last_event, 2);
    assert_eq!(installation.count("SELECT COUNT(*) FROM webhook_deliveries"), 0, "nobody was called");
}

#[tokio::test]
async fn failures_are_tried_again_ever_later_and_given_up_after_three_days() {
    let installation = Installation::new().await;
    let webhook = installation.define(definition(NOWHERE)).await.webhook;
    installation.issue("device").await;
    let mut pauses = Vec::new();
    let begun = installation.now();
    let last = loop {
        assert_eq!(installation.tell().await, 1);
        let shown = installation.shown_webhook(&webhook).await;
        assert_eq!(shown.last_event, 0, "nothing is passed over");
        if !shown.definition.is_enabled {
            break shown;
        }
        assert_eq!(shown.failing_since, Some(begun));
        assert_eq!(installation.tell().await, 0, "not before its time");
        pauses.push((shown.retry_on - installation.now()).num_seconds());
        installation.clock.set(shown.retry_on);
    };
    assert_eq!(pauses[..12], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    assert!((installation.now() - begun).num_hours() >= 72);
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'webhook.disable'"), 1);
    let permit: ZonePermit<ReadWebhooks> = installation.permit().await;
    let (shown, delivery) = installation.service.webhook(&permit, Some(webhook.id)).await.unwrap();
    let reason = shown.disabled_reason(delivery.as_ref()).unwrap();
    assert!(reason.contains("three days") && reason.contains("connect: "), "{reason}");
    let all = Window { offset: 0, length: 1000 };
    let page = installation.service.webhook_deliveries(&permit, Some(webhook.id), all).await.unwrap();
    assert_eq!(page.items[0].attempt, last.attempts, "every attempt is logged, the newest first");
    assert_eq!(page.items.len(), usize::try_from(last.attempts).unwrap());

    // Switched on again, it is told what it missed, with fresh patience.
    assert_eq!(installation.tell().await, 0);
    let on = WebhookInput { is_enabled: Some(true), ..WebhookInput::default() };
    let shown = installation.edit_webhook(&webhook, on).await.unwrap().webhook;
    assert_eq!((shown.attempts, shown.failing_since, shown.disabled_reason(None)), (0, None, None));
    assert_eq!(installation.tell().await, 1);
}

#[tokio::test]
async fn one_at_a_time_tells_a_webhook_and_a_change_disowns_what_is_under_way() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let webhook = installation.define(definition(&url)).await.webhook;
    installation.issue("device").await;
    let due = installation.service.webhooks_due(10).await.unwrap()[0];

    let telling = installation.service.tell_webhook(due, pending());
    let meanwhile = async {
        let call = silent.accept().await.unwrap();
        assert!(other.webhooks_due(10).await.unwrap().is_empty(), "somebody is at it");
        other.tell_webhook(due, pending()).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(200), silent.accept()).await;
        assert!(second.is_err(), "nobody else calls");
        let renamed = WebhookInput { name: Some("renamed".into()), ..WebhookInput::default() };
        installation.edit_webhook(&webhook, renamed).await.unwrap();
        assert!(other.webhooks_due(10).await.unwrap().is_empty(), "also after a change");
        drop(call);
    };
    let (told, ()) = tokio::join!(telling, meanwhile);
    told.unwrap();
    let shown = installation.shown_webhook(&webhook).await;
    assert_eq!((shown.attempts, shown.definition.name.as_str()), (0, "renamed"), "the failure was another's");
    assert_eq!(installation.count("SELECT COUNT(*) FROM webhook_deliveries"), 1, "but it is logged");
    assert_eq!(other.webhooks_due(10).await.unwrap().len(), 1, "and it is due at once");
}

#[tokio::test]
async fn a_clock_that_ran_ahead_keeps_no_webhook_waiting() {
    let installation = Installation::new().await;
    let webhook = installation.define(definition(NOWHERE)).await.webhook;
    installation.issue("device").await;
    let right = installation.now();
    installation.clock.advance(Duration::from_secs(3600));
    assert_eq!(installation.tell().await, 1);
    installation.clock.set(right);
    assert_eq!(installation.tell().await, 1, "it is tried at once");
    assert_eq!(installation.shown_webhook(&webhook).await.attempts, 2);
    assert_eq!(installation.tell().await, 0, "and then after a pause");
    // A lease, too, that a process took meanwhile and was killed with.
    let hour = installation.now().timestamp_millis() + 3_600_000;
    installation.tamper(&format!("UPDATE webhooks SET retry_at = 0, lease_until = {hour}"));
    assert_eq!(installation.tell().await, 1);
}

#[tokio::test]
async fn a_process_that_stops_leaves_a_webhook_to_the_next_one_at_once() {
    let installation = Installation::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    installation.define(definition(&url)).await;
    installation.issue("device").await;
    let (stop, stopped) = watch::channel(false);
    let worker = worker::start(installation.service.clone(), stopped);
    let _call = silent.accept().await.unwrap();
    assert!(installation.service.webhooks_due(10).await.unwrap().is_empty(), "it is being told");
    stop.send(true).unwrap();
    worker.await.unwrap();
    assert_eq!(installation.service.webhooks_due(10).await.unwrap().len(), 1);
    assert_eq!(installation.count("SELECT COUNT(*) FROM webhook_deliveries"), 0, "nobody knows what came of it");
}

#[tokio::test]
async fn another_zones_webhook_is_unknown_and_only_the_last_deliveries_are_kept() {
    let installation = Installation::new().await;
    let webhook = installation.define(definition(NOWHERE)).await.webhook;
    let account = installation.caller().await.account();
    let permit = installation.service.permit_in_account(installation.caller().await, account).await.unwrap();
    let new = countersign::service::zones::NewZone { name: "another".into(), authority: Default::default() };
    let other = installation.service.create_zone(&permit, new).await.unwrap().id;
    let caller = installation.caller().await;
    let reading: ZonePermit<ReadWebhooks> = installation.service.permit_in_zone(caller.clone(), other).await.unwrap();
    let writing: ZonePermit<WriteWebhooks> = installation.service.permit_in_zone(caller, other).await.unwrap();
    let id = Some(webhook.id);
    let service = &installation.service;
    let unknown = |error: ServiceError| assert!(matches!(error, ServiceError::NotFound(_)), "{error}");
    unknown(service.webhook(&reading, id).await.err().unwrap());
    unknown(service.webhook_deliveries(&reading, id, Window::ALL).await.err().unwrap());
    unknown(service.edit_webhook(&writing, id, definition(NOWHERE)).await.err().unwrap());
    unknown(service.delete_webhook(&writing, id).await.err().unwrap());
    let turn = service.turn_in_zone(&writing).await.unwrap();
    unknown(service.test_webhook(&writing, id, turn).await.err().unwrap());

    installation.tamper(
        "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 510) \
         INSERT INTO webhook_deliveries SELECT webhooks.id, randomblob(16), zone_id, 1, 1, 1, 1, 0, 0, 200, NULL \
         FROM webhooks, many",
    );
    let turn = service.turn_in_zone(&installation.permit::<WriteWebhooks>().await).await.unwrap();
    let tested = service.test_webhook(&installation.permit().await, id, turn).await.unwrap();
    assert!(tested.failure.unwrap().starts_with("connect: "));
    assert_eq!(installation.count("SELECT COUNT(*) FROM webhook_deliveries"), 500);
    service.delete_webhook(&installation.permit().await, id).await.unwrap();
    assert_eq!(installation.count("SELECT COUNT(*) FROM webhook_deliveries"), 0);
}
