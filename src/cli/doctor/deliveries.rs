//! Checks of what the service does on its own for a zone: calling webhooks, and carrying out bulk jobs.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::finding::Report;
use crate::cli::bulk::Job;
use crate::cli::client::{Call, Client};
use crate::cli::envelope;
use crate::cli::objects::{Webhook, time};
use crate::domain::id::ZoneId;

/// The newest of them: jobs are kept for 90 days.
const JOBS: u64 = 50;
/// What failed longer ago has been seen.
const NEWS: TimeDelta = TimeDelta::days(7);

/// Says nothing where the token may not look at them.
pub async fn check(report: &mut Report, client: &Client, zone: ZoneId, now: DateTime<Utc>) {
    let path = format!("/client/v4/zones/{zone}");
    if let Ok(webhooks) = client.items(&format!("{path}/webhooks")).await {
        let webhooks: Vec<Webhook> = envelope::read(&Value::Array(webhooks)).unwrap_or_default();
        webhooks.iter().for_each(|webhook| check_webhook(report, webhook));
    }
    let jobs = Call::get(format!("{path}/client_certificates/bulk")).query("per_page", JOBS.to_string());
    if let Ok(answer) = client.call(jobs).await {
        let jobs: Vec<Job> = envelope::read(&Value::Array(answer.items().to_vec())).unwrap_or_default();
        jobs.iter().for_each(|job| check_job(report, job, now));
    }
}

fn check_webhook(report: &mut Report, webhook: &Webhook) {
    let name = format!("{:?} to {}", webhook.name, webhook.url);
    match (webhook.enabled, &webhook.disabled_reason, &webhook.failing_since) {
        (true, _, None) => report.ok("webhook", format!("{name} is told")),
        (true, _, Some(since)) => {
            let message = format!("{name} has been failing since {since}, {} attempts", webhook.failed_attempts);
            report.warn("webhook", message, "`countersign webhook deliveries` says why");
        }
        (false, Some(reason), _) => {
            let way_out = "mend the receiver, then `countersign webhook edit --enable`";
            report.warn("webhook", format!("{name} is switched off: {reason}"), way_out);
        }
        (false, None, _) => {
            let way_out = "`countersign webhook edit --enable` switches it on again";
            report.warn("webhook", format!("{name} is switched off"), way_out);
        }
    }
}

fn check_job(report: &mut Report, job: &Job, now: DateTime<Utc>) {
    let ended = job.finished_on.as_deref().and_then(time);
    if job.state != "failed" || ended.is_some_and(|ended| ended + NEWS < now) {
        return;
    }
    let (action, failure) = (&job.action, job.failure.as_deref().unwrap_or("the server's log says why"));
    let done = format!("{} of {} certificates were looked at", job.processed, job.total);
    let message = format!("{} ({action}) failed: {failure}; {done}", job.id);
    report.warn("bulk job", message, "ask again: what is done already is left alone");
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn webhooks_that_nobody_is_told_by_are_noticed() {
        let works = Webhook { enabled: true, ..Webhook::default() };
        let failing = Webhook { failing_since: Some("T".into()), ..works.clone() };
        let off = Webhook { enabled: false, ..works.clone() };
        let gone = Webhook { disabled_reason: Some("gone".into()), ..off.clone() };
        let cases = [(works, Verdict::Ok), (failing, Verdict::Warn), (off, Verdict::Warn), (gone, Verdict::Warn)];
        for (webhook, expected) in cases {
            let mut report = Report::default();
            check_webhook(&mut report, &webhook);
            assert_eq!(report.worst(), expected, "{webhook:?}");
        }
    }

    #[test]
    fn jobs_that_failed_lately_are_noticed() {
        let now = time("2026-11-20T12:00:00Z").unwrap();
        let failed = |day: &str| Job {
            state: "failed".into(),
            finished_on: Some(format!("2026-11-{day}T00:00:00Z")),
            ..Job::default()
        };
        let completed = Job { state: "completed".into(), ..failed("19") };
        for (job, expected) in [(failed("19"), Verdict::Warn), (failed("10"), Verdict::Ok), (completed, Verdict::Ok)] {
            let mut report = Report::default();
            check_job(&mut report, &job, now);
            assert_eq!(report.worst(), expected, "{job:?}");
        }
    }
}
