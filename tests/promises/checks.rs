//! Promises about checks: what is sealed stays sealed, a run has its turn and its fence, and a change of state is told.

use std::future::pending;
use std::time::Duration;

use countersign::domain::check::{Check, CheckBody, CheckState, Selector};
use countersign::domain::id::CheckId;
use countersign::service::ServiceError;
use countersign::service::checks::{CheckInput, HeaderInput};
use countersign::worker;
use futures_util::future::select;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::Installation;

const SECRET: &str = "Bearer very-secret-value";

fn header(name: &str, value: Option<&str>, is_secret: Option<bool>) -> HeaderInput {
    HeaderInput { name: name.into(), value: value.map(|text| SecretString::from(text.to_owned())), is_secret }
}

fn definition(url: &str) -> CheckInput {
    CheckInput {
        name: Some("partner".into()),
        url: Some(url.into()),
        headers: Some(vec![header("Authorization", Some(SECRET), None), header("Accept", Some("text/plain"), None)]),
        body: Some(Some(SecretString::from("secret body"))),
        is_body_secret: Some(true),
        identity: Some(Selector::None),
        timeout_millis: Some(500),
        ..CheckInput::default()
    }
}

/// A server that takes calls and says nothing.
struct Silent(TcpListener);

impl Silent {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// A check that calls it and waits longer than any test.
    fn definition(&self) -> CheckInput {
        let url = format!("https://127.0.0.1:{}/", self.0.local_addr().unwrap().port());
        CheckInput { timeout_millis: Some(60_000), ..definition(&url) }
    }

    /// The next call, which lasts until it is dropped.
    async fn call(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }

    async fn hang_up_on_a_call(&self) {
        drop(self.call().await);
    }
}

impl Installation {
    async fn create(&self, input: CheckInput) -> Check {
        self.service.create_check(&self.in_account().await, input).await.unwrap()
    }

    async fn edit(&self, id: CheckId, input: CheckInput) -> Result<Check, Vec<String>> {
        match self.service.edit_check(&self.in_account().await, Some(id), input).await {
            Ok(check) => Ok(check),
            Err(ServiceError::Invalid(faults)) => Err(faults.into_iter().map(|fault| fault.pointer).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    fn shows(&self, text: &str) -> bool {
        self.database.holds(text.as_bytes())
    }
}

#[tokio::test]
async fn what_is_sealed_of_a_check_is_not_shown_by_an_edit_nor_sent_to_another_server() {
    let installation = Installation::new().await;
    let check = installation.create(definition("https://api.partner.example/health")).await;
    let id = check.id;
    assert_eq!(check.definition.headers[0].value, None);
    assert_eq!(check.definition.body, CheckBody::Secret);

    let refused = [
        (
            CheckInput { headers: Some(vec![header("Authorization", None, Some(false))]), ..CheckInput::default() },
            "/headers/0/value",
        ),
        (CheckInput { is_body_secret: Some(false), ..CheckInput::default() }, "/body"),
        (CheckInput { url: Some("https://evil.example/health".into()), ..CheckInput::default() }, "/headers/0/value"),
        (CheckInput { url: Some("https://api.partner.example:8443/".into()), ..CheckInput::default() }, "/body"),
    ];
    for (input, pointer) in refused {
        let faults = installation.edit(id, input).await.unwrap_err();
        assert!(faults.iter().any(|fault| fault == pointer), "{pointer}: {faults:?}");
    }
    // A header that is sent back as it was shown stays as it is, and so does one that nobody speaks of.
    let kept = CheckInput { headers: Some(vec![header("authorization", None, None)]), ..CheckInput::default() };
    assert_eq!(installation.edit(id, kept).await.unwrap().definition.headers[0].value, None);
    let moved = CheckInput { url: Some("https://api.partner.example/other".into()), ..CheckInput::default() };
    assert_eq!(installation.edit(id, moved).await.unwrap().definition.body, CheckBody::Secret);
    assert!(!installation.shows("very-secret-value") && !installation.shows("secret body"));
}

#[tokio::test]
async fn a_check_is_run_by_one_at_a_time_wherever_it_is_run() {
    let installation = Installation::new().await;
    let other = installation.second_service().await;
    let silent = Silent::new().await;
    let id = installation.create(silent.definition()).await.id;
    let (one, two) = (installation.in_account().await, installation.in_account().await);
    let turn_one = installation.service.turn(&one).await.unwrap();
    let turn_two = other.turn(&two).await.unwrap();
    let first = Box::pin(installation.service.run_check(&one, Some(id), turn_one));
    let second = Box::pin(other.run_check(&two, Some(id), turn_two));
    // The one that calls waits for an answer until it is hung up on: the other ends before.
    let (refused, running) = select(first, second).await.factor_first();
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "the other one runs it");
    let (ran, ()) = tokio::join!(running, silent.hang_up_on_a_call());
    assert!(ran.is_ok());
    let runs = installation.service.runs(&installation.in_account().await, Some(id)).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, CheckState::Failing);
    assert_eq!(runs[0].report.failure.as_ref().unwrap().stage, "tls");
    assert_eq!(installation.count("SELECT COUNT(*) FROM audit_events WHERE action = 'check.state'"), 1);
}

#[tokio::test]
async fn a_run_under_which_the_check_was_edited_is_not_recorded() {
    let installation = Installation::new().await;
    let silent = Silent::new().await;
    let id = installation.create(silent.definition()).await.id;
    let permit = installation.in_account().await;
    let turn = installation.service.turn(&permit).await.unwrap();
    let edit = async {
        let call = silent.call().await;
        let renamed = CheckInput { name: Some("renamed".into()), ..CheckInput::default() };
        installation.edit(id, renamed).await.unwrap();
        drop(call);
    };
    let (run, ()) = tokio::join!(installation.service.run_check(&permit, Some(id), turn), edit);
    run.unwrap();
    assert!(installation.service.runs(&installation.in_account().await, Some(id)).await.unwrap().is_empty());
    assert_eq!(installation.service.check(&installation.in_account().await, Some(id)).await.unwrap().state, None);
}

#[tokio::test]
async fn a_process_that_stops_leaves_a_check_to_the_next_one_at_once() {
    let installation = Installation::new().await;
    let silent = Silent::new().await;
    let scheduled = CheckInput { interval_seconds: Some(Some(60)), ..silent.definition() };
    let check = installation.create(scheduled).await;
    let (stop, stopped) = watch::channel(false);
    let worker = worker::start(installation.service.clone(), stopped);
    let _call = silent.call().await;
    assert!(installation.service.checks_due(10).await.unwrap().is_empty(), "it is being run");
    stop.send(true).unwrap();
    worker.await.unwrap();
    assert_eq!(installation.service.checks_due(10).await.unwrap(), [(check.account, check.id)]);
}

#[tokio::test]
async fn a_clock_that_ran_ahead_keeps_no_check_waiting() {
    let installation = Installation::new().await;
    let input = CheckInput { interval_seconds: Some(Some(60)), ..definition("https://127.0.0.1:1/") };
    let check = installation.create(input).await;
    let right = installation.now();
    installation.clock.advance(Duration::from_secs(3600));
    installation.service.run_due_check(check.account, check.id, pending()).await.unwrap();
    installation.clock.set(right);
    assert_eq!(installation.service.checks_due(10).await.unwrap().len(), 1);
    installation.service.run_due_check(check.account, check.id, pending()).await.unwrap();
    assert!(installation.service.checks_due(10).await.unwrap().is_empty(), "until its time comes");
    let runs = installation.service.runs(&installation.in_account().await, Some(check.id)).await.unwrap();
    assert_eq!(runs.len(), 2);
    // A lease, too, that a process took meanwhile and was killed with.
    let hour = installation.now().timestamp_millis() + 3_600_000;
    installation.tamper(&format!("UPDATE checks SET next_run_at = 0, lease_until = {hour}"));
    installation.service.run_due_check(check.account, check.id, pending()).await.unwrap();
    let runs = installation.service.runs(&installation.in_account().await, Some(check.id)).await.unwrap();
    assert_eq!(runs.len(), 3);
}

#[tokio::test]
async fn only_the_last_hundred_runs_are_kept() {
    let installation = Installation::new().await;
    let id = installation.create(definition("https://127.0.0.1:1/")).await.id;
    let permit = installation.in_account().await;
    let mut made = Vec::new();
    for _ in 0..103 {
        installation.clock.advance(Duration::from_secs(1));
        let turn = installation.service.turn(&permit).await.unwrap();
        made.push(installation.service.run_check(&permit, Some(id), turn).await.unwrap().run.id);
    }
    assert_eq!(installation.count("SELECT COUNT(*) FROM check_runs"), 100);
    let kept = installation.service.runs(&installation.in_account().await, Some(id)).await.unwrap();
    let kept: Vec<_> = kept.into_iter().map(|run| run.id).collect();
    assert!(made.iter().skip(3).rev().eq(&kept), "the newest first, and not the three oldest");
}

#[tokio::test]
async fn a_scheduled_check_is_due_at_once_and_then_at_its_place_in_the_interval() {
    let installation = Installation::new().await;
    let input = CheckInput { interval_seconds: Some(Some(60)), ..definition("https://127.0.0.1:1/") };
    let check = installation.create(input).await;
    let due = installation.service.checks_due(10).await.unwrap();
    assert_eq!(due, [(check.account, check.id)]);
    installation.service.run_due_check(check.account, check.id, pending()).await.unwrap();
    assert!(installation.service.checks_due(10).await.unwrap().is_empty());
    let next = installation
        .service
        .check(&installation.in_account().await, Some(check.id))
        .await
        .unwrap()
        .next_run_on
        .unwrap();
    let gap = next - installation.now();
    assert!((30..90).contains(&gap.num_seconds()), "{gap}");
    installation.clock.set(next);
    assert_eq!(installation.service.checks_due(10).await.unwrap().len(), 1);
    let off = CheckInput { is_enabled: Some(false), ..CheckInput::default() };
    installation.edit(check.id, off).await.unwrap();
    assert!(installation.service.checks_due(10).await.unwrap().is_empty());
}
