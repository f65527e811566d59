//! Promises about bulk jobs: what is selected is fixed, each certificate is asked once whatever happens in between, and what
//! one asks alone a job asks alike.

use chrono::TimeDelta;
use countersign::domain::bulk::{Filter, JobState, Progress, Wish};
use countersign::domain::certificate::Certificate;
use countersign::domain::id::{CertificateId, ZoneId};
use countersign::domain::reason::RevocationReason::{self, CertificateHold, KeyCompromise, Superseded};
use countersign::domain::status::Status;
use countersign::service::access::{CancelJob, CreateJob, ReadJobs};
use countersign::service::bulk::{BulkInput, Preview, Selection, Unknown};
use countersign::service::bulk_work::Turn;
use countersign::service::zones::NewZone;
use countersign::service::{Service, ServiceError};
use countersign::store::{Batch, ShownJob, Step};

use crate::harness::{DAY, Installation, csr, is_listed};

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

pub fn revoke(reason: Option<RevocationReason>) -> Wish {
    Wish::Revoke { reason, invalidity_date: None }
}

fn all() -> Filter {
    Filter { all: true, ..Filter::default() }
}

impl Installation {
    async fn preview(&self, wish: Wish, selection: Selection) -> Preview {
        let input = BulkInput { wish, selection };
        self.service.preview_job(&self.permit::<CreateJob>().await, input).await.unwrap()
    }

    async fn try_job(&self, wish: Wish, selection: Selection) -> Result<(ShownJob, Unknown), ServiceError> {
        self.service.create_job(&self.permit::<CreateJob>().await, BulkInput { wish, selection }).await
    }

    async fn job(&self, wish: Wish, filter: Filter) -> ShownJob {
        self.try_job(wish, Selection::Filter(filter)).await.unwrap().0
    }

    async fn shown(&self, job: &ShownJob) -> ShownJob {
        self.service.job(&self.permit::<ReadJobs>().await, Some(job.job.id)).await.unwrap()
    }

    /// What the worker does until no job can be gone on with.
    pub async fn work_on_jobs(&self, service: &Service) {
        loop {
            let mut is_idle = true;
            for (zone, id) in service.jobs_due().await.unwrap() {
                match service.advance_job(zone, id).await {
                    Ok(turn) => is_idle &= turn == Turn::Passed,
                    // The worker comes back after a pause.
                    Err(ServiceError::Unavailable(why)) if why.contains("changed by many at once") => {
                        self.clock.advance(std::time::Duration::from_secs(60));
                        is_idle = false;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            if is_idle {
                return service.complete_published_jobs().await.unwrap();
            }
        }
    }

    async fn publish_all(&self) {
        while self.count("SELECT COUNT(*) FROM transitions") > 0 {
            for authority in self.service.authorities_to_publish().await.unwrap() {
                self.publish(authority).await.unwrap();
            }
        }
        self.service.complete_published_jobs().await.unwrap();
    }

    async fn status(&self, id: CertificateId) -> Status {
        self.show(id).await.status
    }

    pub async fn another_zone(&self, name: &str) -> ZoneId {
        let new = NewZone { name: name.into(), authority: Default::default() };
        self.service.create_zone(&self.in_account().await, new).await.unwrap().id
    }
}

#[tokio::test]
async fn the_selection_is_fixed_when_the_job_is_made() {
    let installation = Installation::new().await;
    let before = [installation.issue("one").await, installation.issue("two").await];
    let job = installation.job(revoke(Some(Superseded)), all()).await;
    assert_eq!((job.job.total, job.job.state), (2, JobState::Queued));
    let after = installation.issue("three").await;

    installation.work_on_jobs(&installation.service).await;
    let asked = installation.shown(&job).await;
    assert_eq!((asked.job.state, asked.waiting), (JobState::Publishing, 2));
    assert_eq!(asked.job.progress, Progress { processed: 2, changed: 2, unchanged: 0, refused: 0 });
    assert_eq!(installation.status(before[0].id).await, Status::PendingRevocation);
    assert_eq!(asked.job.finished_on, None, "relying parties cannot see it yet");

    installation.publish_all().await;
    let done = installation.shown(&job).await;
    assert_eq!(
        (done.job.state, done.waiting, done.job.finished_on),
        (JobState::Completed, 0, Some(installation.now()))
    );
    for certificate in &before {
        let shown = installation.show(certificate.id).await;
        assert_eq!((shown.status, shown.revocation.unwrap().reason), (Status::Revoked, Superseded));
        assert!(is_listed(&installation.crl(certificate.authority).await, certificate));
    }
    assert_eq!(installation.status(after.id).await, Status::Active);
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn each_condition_selects_what_it_says() {
    let installation = Installation::new().await;
    let mut made: Vec<Certificate> = Vec::new();
    let mut moments = Vec::new();
    for name in ["device-1", "device-2", "devise", "DEVICE-3"] {
        moments.push(installation.now());
        made.push(installation.issue(name).await);
        installation.clock.advance(MILLISECOND);
    }
    installation.revoke(made[1].id, None).await;
    let total = async |filter: Filter| {
        let preview = installation.preview(revoke(Some(Superseded)), Selection::Filter(filter)).await;
        let names: Vec<String> = preview.samples.into_iter().map(|sample| sample.subject.common_name).collect();
        assert_eq!(preview.expected.processed, names.len() as i64);
        names.join(" ")
    };
    let none = Filter::default;
    assert_eq!(total(all()).await, "device-1 device-2 devise DEVICE-3");
    assert_eq!(total(Filter { common_name: Some("device".into()), ..none() }).await, "device-1 device-2");
    assert_eq!(total(Filter { common_name: Some("%".into()), ..none() }).await, "");
    assert_eq!(total(Filter { issued_before: Some(moments[2]), ..none() }).await, "device-1 device-2");
    assert_eq!(total(Filter { issued_after: Some(moments[1]), ..none() }).await, "devise DEVICE-3");
    let between = (Some(moments[0]), Some(moments[3]));
    let between = Filter { issued_after: between.0, issued_before: between.1, ..none() };
    assert_eq!(total(between.clone()).await, "device-2 devise");
    assert_eq!(total(Filter { status: Some(Status::Active), ..between }).await, "devise");
    assert_eq!(total(Filter { authority: Some(made[0].authority), ..none() }).await.split(' ').count(), 4);
    let root = installation.text("SELECT hex(id) FROM authorities WHERE zone_id IS NULL").to_lowercase();
    let root = uuid::Uuid::parse_str(&root).unwrap();
    let root = countersign::domain::id::AuthorityId::new(root);
    let of_root = Selection::Filter(Filter { authority: Some(root), ..none() });
    let refused = installation.try_job(revoke(None), of_root).await.err().unwrap();
    assert!(
        refused.to_string().contains("the zone has no such authority"),
        "an id of nobody selects nothing in silence"
    );
    assert_eq!(total(Filter { spki_sha256: Some(made[2].spki_sha256.clone()), ..none() }).await, "devise");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_foresees_what_the_job_does() {
    let installation = Installation::new().await;
    let [active, held, last, going] = [
        installation.issue("active").await,
        installation.issue("held").await,
        installation.issue("last").await,
        installation.issue("going").await,
    ];
    installation.revoke(held.id, None).await;
    installation.revoke(last.id, Some(Superseded)).await;
    installation.publish_all().await;
    installation.revoke(going.id, Some(KeyCompromise)).await;
    let tables = ["bulk_jobs", "audit_events", "events", "transitions", "blocked_keys"];
    let rows = || tables.map(|table| installation.count(&format!("SELECT COUNT(*) FROM {table}")));

    for (wish, changed, unchanged, refused) in
        [(revoke(None), 1, 3, 0), (revoke(Some(Superseded)), 2, 2, 0), (Wish::Reactivate, 1, 1, 2)]
    {
        let before = rows();
        let preview = installation.preview(wish, Selection::Filter(all())).await;
        assert_eq!(preview.expected, Progress { processed: 4, changed, unchanged, refused }, "{wish:?}");
        assert_eq!(rows(), before);
    }
    // And so it goes.
    let job = installation.job(Wish::Reactivate, all()).await;
    installation.work_on_jobs(&installation.service).await;
    let done = installation.shown(&job).await;
    assert_eq!(done.job.progress, Progress { processed: 4, changed: 1, unchanged: 1, refused: 2 });
    assert_eq!(installation.status(held.id).await, Status::PendingReactivation);
    assert_eq!(installation.status(active.id).await, Status::Active);
    let refusals = "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.reactivate' AND result = 1";
    assert_eq!(installation.count(refusals), 2);
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn a_job_goes_on_where_it_was_cut_off_and_asks_each_certificate_once() {
    let installation = Installation::new().await;
    let first = installation.issue("device").await;
    installation.copy(&first, 449);
    installation.clock.advance(MILLISECOND);
    let job = installation.job(revoke(Some(Superseded)), all()).await;
    assert_eq!(job.job.total, 450);
    let (zone, id) = (installation.zone, job.job.id);
    assert_eq!(installation.service.advance_job(zone, id).await.unwrap(), Turn::Batch);
    // Cut off between the claim and the batch: nobody lets the job go.
    let (store, now) = (installation.store(), installation.now());
    let claimed = store.claim_job(zone, id, now, now + TimeDelta::seconds(10)).await;
    assert!(claimed.unwrap().is_some());

    let other = installation.second_service().await;
    assert_eq!(other.jobs_due().await.unwrap(), [], "it is held until the lease is over");
    assert_eq!(other.advance_job(zone, id).await.unwrap(), Turn::Passed);
    other.take_over_leases().await.unwrap();
    installation.work_on_jobs(&other).await;
    let done = installation.shown(&job).await;
    assert_eq!(done.job.progress, Progress { processed: 450, changed: 450, unchanged: 0, refused: 0 });
    let asked = "SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke'";
    let certificates = "SELECT COUNT(DISTINCT subject) FROM audit_events WHERE action = 'certificate.revoke'";
    assert_eq!((installation.count(asked), installation.count(certificates)), (450, 450));
    assert_eq!(installation.count("SELECT COUNT(*) FROM events WHERE kind = 'certificate.pending_revocation'"), 450);
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates WHERE version = 1"), 450);
    assert!(installation.totals_are_true());
    installation.publish_all().await;
    assert_eq!(installation.shown(&job).await.job.state, JobState::Completed);
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn two_workers_do_a_job_once() {
    let installation = Installation::new().await;
    let first = installation.issue("device").await;
    installation.copy(&first, 999);
    installation.clock.advance(MILLISECOND);
    let job = installation.job(revoke(None), all()).await;
    let other = installation.second_service().await;
    while installation.shown(&job).await.job.state.is_unfinished() {
        let turn = |service| Service::advance_job(service, installation.zone, job.job.id);
        let (one, two) = tokio::join!(turn(&installation.service), turn(&other));
        one.unwrap();
        two.unwrap();
    }
    let done = installation.shown(&job).await;
    assert_eq!(done.job.progress, Progress { processed: 1000, changed: 1000, unchanged: 0, refused: 0 });
    assert_eq!(installation.events("certificate.revoke"), 1000);
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn a_batch_that_was_overtaken_writes_nothing_and_is_read_again() {
    let installation = Installation::new().await;
    let [one, two] = [installation.issue("one").await, installation.issue("two").await];
    let job = installation.job(revoke(Some(Superseded)), all()).await;
    let (store, now) = (installation.store(), installation.now());
    let claimed = store.claim_job(installation.zone, job.job.id, now, now + TimeDelta::seconds(10)).await;
    let claimed = claimed.unwrap().unwrap();
    let read = store.next_of_job(claimed.clone(), 200).await.unwrap();
    let read = read.iter().map(|certificate| (certificate.id, certificate.status, certificate.version)).collect();
    let progress = Progress { processed: 2, unchanged: 2, ..Progress::default() };
    let stale = Batch { read, progress, ..Batch::default() };
    installation.revoke(two.id, Some(KeyCompromise)).await;
    assert_eq!(store.advance_job(claimed.clone(), stale).await.unwrap(), Step::Overtaken);
    assert_eq!(installation.shown(&job).await.job.progress, Progress::default());

    installation.clock.advance(std::time::Duration::from_secs(10));
    installation.work_on_jobs(&installation.service).await;
    let done = installation.shown(&job).await;
    assert_eq!(done.job.progress, Progress { processed: 2, changed: 1, unchanged: 1, refused: 0 });
    assert_eq!(installation.show(one.id).await.revocation.unwrap().reason, Superseded);
    assert_eq!(installation.show(two.id).await.revocation.unwrap().reason, KeyCompromise);
    // Whoever held the lease before has nothing to say any more.
    assert_eq!(store.advance_job(claimed, Batch::default()).await.unwrap(), Step::Lost);
}

#[tokio::test]
async fn single_requests_and_a_job_at_once_leave_true_totals() {
    let installation = Installation::new().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(installation.issue(&format!("device-{number}")).await.id);
    }
    let job = installation.job(revoke(None), all()).await;
    let singles = async {
        for id in &ids {
            installation.revoke(*id, None).await;
            installation.reactivate(*id).await.unwrap();
        }
    };
    tokio::join!(installation.work_on_jobs(&installation.service), singles);
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.shown(&job).await.job.progress.processed, 40);
    assert!(installation.totals_are_true());
    installation.publish_all().await;
    assert_eq!(installation.shown(&job).await.job.state, JobState::Completed);
    assert!(installation.totals_are_true());
}

#[tokio::test]
async fn certificates_of_another_zone_are_unknown() {
    let installation = Installation::new().await;
    let own = installation.issue("own").await;
    let other = installation.another_zone("other").await;
    let permit = installation.service.permit_in_zone(installation.caller().await, other).await.unwrap();
    let input = countersign::service::issuance::IssueInput {
        csr: Some(csr("foreign")),
        validity_days: Some(30),
        ..Default::default()
    };
    let foreign = installation.service.issue(&permit, input).await.unwrap().certificate;
    let ids = vec![foreign.id, own.id, own.id];
    let (job, unknown) = installation.try_job(revoke(Some(Superseded)), Selection::Ids(ids)).await.unwrap();
    assert_eq!((job.job.total, unknown), (1, Unknown { count: 1, samples: vec![foreign.id] }));
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.status(own.id).await, Status::PendingRevocation);
    assert_eq!(installation.count("SELECT COUNT(*) FROM transitions"), 1);
    // Nor is a job seen or stopped from another zone.
    let permit = installation.service.permit_in_zone::<ReadJobs>(installation.caller().await, other).await.unwrap();
    assert!(matches!(installation.service.job(&permit, Some(job.job.id)).await, Err(ServiceError::NotFound(_))));
    let permit = installation.service.permit_in_zone::<CancelJob>(installation.caller().await, other).await.unwrap();
    assert!(matches!(installation.service.cancel_job(&permit, Some(job.job.id)).await, Err(ServiceError::NotFound(_))));
}

#[tokio::test]
async fn a_cancelled_job_asks_no_more_and_keeps_what_it_asked() {
    let installation = Installation::new().await;
    let first = installation.issue("device").await;
    installation.copy(&first, 299);
    installation.clock.advance(MILLISECOND);
    let job = installation.job(revoke(None), all()).await;
    let cancel = async || {
        let permit = installation.permit::<CancelJob>().await;
        installation.service.cancel_job(&permit, Some(job.job.id)).await
    };
    installation.service.advance_job(installation.zone, job.job.id).await.unwrap();
    for _ in 0..2 {
        let cancelled = cancel().await.unwrap();
        assert_eq!((cancelled.job.state, cancelled.job.progress.changed), (JobState::Cancelled, 200));
        assert_eq!((cancelled.waiting, cancelled.job.finished_on), (200, Some(installation.now())));
    }
    assert_eq!(installation.events("job.cancel"), 1);
    installation.work_on_jobs(&installation.service).await;
    installation.publish_all().await;
    assert_eq!(installation.count("SELECT COUNT(*) FROM certificates WHERE status = 0"), 100);
    assert_eq!(installation.shown(&job).await.job.state, JobState::Cancelled);

    let done = installation.job(revoke(None), all()).await;
    installation.work_on_jobs(&installation.service).await;
    let permit = installation.permit::<CancelJob>().await;
    let refused = installation.service.cancel_job(&permit, Some(done.job.id)).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(why)) if why[0].message.contains("publishing")));
}

#[tokio::test]
async fn jobs_wait_while_their_crls_are_behind() {
    let installation = Installation::new().await;
    let first = installation.issue("device").await;
    installation.copy(&first, 2999);
    installation.clock.advance(MILLISECOND);
    let job = installation.job(revoke(None), all()).await;
    installation.work_on_jobs(&installation.service).await;
    let waiting = installation.shown(&job).await;
    assert_eq!((waiting.job.state, waiting.job.progress.changed, waiting.waiting), (JobState::Running, 2200, 2200));
    // Each CRL carries some hundred of them.
    for _ in 0..3 {
        installation.publish(first.authority).await.unwrap();
    }
    installation.work_on_jobs(&installation.service).await;
    assert_eq!(installation.shown(&job).await.job.state, JobState::Publishing);
}

#[tokio::test]
async fn a_small_job_gets_its_turn_however_many_jobs_others_have() {
    let installation = Installation::new().await;
    let device = installation.issue("device").await;
    installation.copy(&device, 2999);
    installation.clock.advance(MILLISECOND);
    let [second, third] = [installation.another_zone("second").await, installation.another_zone("third").await];
    let job_in = async |zone| {
        let permit = installation.service.permit_in_zone::<CreateJob>(installation.caller().await, zone).await.unwrap();
        let input = BulkInput { wish: revoke(None), selection: Selection::Filter(all()) };
        installation.service.create_job(&permit, input).await.unwrap().0.job.id
    };
    for zone in [installation.zone, second] {
        for _ in 0..100 {
            job_in(zone).await;
        }
    }
    let small = job_in(third).await;
    let due = installation.service.jobs_due().await.unwrap();
    assert!(due[..3].contains(&(third, small)), "{due:?}");
    assert_eq!(due.len(), 4 + 4 + 1, "a round is short, and what is asked for meanwhile is in the next");
    // What is taken up often gives way to what was not.
    let first = due.iter().find(|(zone, _)| *zone == installation.zone).unwrap().1;
    installation.service.advance_job(installation.zone, first).await.unwrap();
    assert_ne!(installation.service.jobs_due().await.unwrap()[0].0, installation.zone);
    // A zone whose CRLs are behind takes nobody's place.
    while installation.service.advance_job(installation.zone, first).await.unwrap() == Turn::Batch {}
    let due = installation.service.jobs_due().await.unwrap();
    assert!(due.iter().all(|(zone, _)| *zone != installation.zone) && due.len() == 5, "{due:?}");
}

#[tokio::test]
async fn many_dry_runs_at_once_are_counted_in_turns() {
    let installation = Installation::new().await;
    installation.issue("device").await;
    let preview = || installation.preview(revoke(None), Selection::Filter(all()));
    for preview in futures_util::future::join_all((0..40).map(|_| preview())).await {
        assert_eq!(preview.expected, Progress { processed: 1, changed: 1, ..Progress::default() });
    }
}

#[tokio::test]
async fn a_job_goes_on_without_the_token_that_asked_and_is_kept_for_90_days() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let job = installation.job(revoke(Some(CertificateHold)), all()).await;
    installation.tamper("CREATE TABLE kept AS SELECT * FROM tokens; DELETE FROM tokens");
    let other = installation.second_service().await;
    installation.work_on_jobs(&other).await;
    installation.tamper("INSERT INTO tokens SELECT * FROM kept; DROP TABLE kept");
    assert_eq!(installation.status(certificate.id).await, Status::PendingRevocation);
    let by = "SELECT actor_name || source FROM audit_events WHERE action = 'certificate.revoke'";
    assert!(installation.text(by).ends_with("192.0.2.1"), "{}", installation.text(by));
    installation.publish_all().await;

    installation.clock.advance(DAY * 90);
    installation.service.forget_old_jobs().await.unwrap();
    assert_eq!(installation.shown(&job).await.job.state, JobState::Completed);
    installation.clock.advance(MILLISECOND);
    installation.service.forget_old_jobs().await.unwrap();
    assert_eq!(installation.count("SELECT COUNT(*) FROM bulk_jobs"), 0);
}

#[tokio::test]
async fn a_job_that_cannot_go_on_is_tried_later_and_given_up_in_the_end() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let job = installation.job(revoke(None), all()).await;
    installation.tamper("UPDATE certificates SET subject_alternative_names = 'damaged'");
    let mut turns = 0;
    while installation.shown(&job).await.job.state.is_unfinished() {
        assert!(installation.service.advance_job(installation.zone, job.job.id).await.is_err());
        installation.clock.advance(std::time::Duration::from_secs(60));
        turns += 1;
    }
    let failed = installation.shown(&job).await.job;
    assert_eq!((failed.state, turns), (JobState::Failed, 37));
    assert!(failed.failure.unwrap().contains("log"));
    installation.tamper("UPDATE certificates SET subject_alternative_names = '[]'");
    assert_eq!(installation.status(certificate.id).await, Status::Active);
}

#[tokio::test]
async fn a_request_without_sense_is_refused_and_recorded() {
    let installation = Installation::new().await;
    let ids = |count: u128| Selection::Ids((0..count).map(|n| CertificateId::new(uuid::Uuid::from_u128(n))).collect());
    let future = Some(installation.now() + TimeDelta::seconds(1));
    for (wish, selection, expected) in [
        (revoke(None), Selection::Filter(Filter::default()), "{\"all\": true}"),
        (revoke(None), ids(0), "1 to 10000"),
        (revoke(None), ids(10_001), "1 to 10000"),
        (Wish::Revoke { reason: None, invalidity_date: future }, Selection::Filter(all()), "future"),
    ] {
        let refused = installation.try_job(wish, selection).await.err().unwrap();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let refusals = "SELECT COUNT(*) FROM audit_events WHERE action = 'job.create' AND result = 1";
    assert_eq!(installation.count(refusals), 4);
    for _ in 0..100 {
        installation.job(revoke(None), all()).await;
    }
    let refused = installation.try_job(revoke(None), Selection::Filter(all())).await.err().unwrap();
    assert!(refused.to_string().contains("100 unfinished"), "{refused}");
    // Before anything else is looked at.
    let refused = installation.try_job(revoke(None), Selection::Filter(Filter::default())).await.err().unwrap();
    assert!(refused.to_string().contains("100 unfinished"), "{refused}");
}
