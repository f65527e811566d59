//! One check: what it calls, what it expects, and its runs; running it now, and removing it.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::check::{Check, CheckBody, Selector};
use crate::domain::expectation::StatusRule;
use crate::domain::id::CheckId;
use crate::domain::permission::Permission;
use crate::domain::run::Run;
use crate::service::access::{ReadIdentities, WriteChecks};
use crate::service::{Service, ServiceError};

use super::checks::{address, checks_crumb, rhythm, summary};
use super::fault::Fault;
use super::page::{Flash, Page, go_to, show};
use super::plot::{self, Plot};
use super::show::{self, Html};
use super::visitor::{AccountForm, AccountPage};

const RUNS_PLOTTED: usize = 100;

#[derive(Template)]
#[template(path = "check.html", config = "src/http/console/askama.toml")]
struct CheckPage {
    page: Page,
    check: Check,
    runs: Vec<Run>,
    plot: Option<Plot>,
    summary: String,
    expected: Vec<String>,
    may_use: bool,
    now: DateTime<Utc>,
}

#[get("/checks/{check_id}")]
pub async fn show_one(here: AccountPage<ReadIdentities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = check_id(&here.visitor.request);
    let check = service.check(&here.permit, id).await?;
    let runs = service.runs(&here.permit, id).await?;
    let plot = plot::latencies(&runs, RUNS_PLOTTED);
    show(&CheckPage {
        page: here.visitor.page(&check.definition.name, vec![checks_crumb()]).await?,
        summary: plot.as_ref().map(summary).unwrap_or_default(),
        plot,
        runs,
        expected: expected(&check),
        check,
        may_use: here.visitor.may_in_account(Permission::UseIdentities),
        now: service.clock().now(),
    })
}

#[post("/checks/{check_id}/run")]
pub async fn run_now(sent: AccountForm<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = check_id(&sent.visitor.request);
    let turn = service.turn(&sent.permit).await?;
    let (service, permit) = (service.into_inner(), sent.permit);
    // To its end, also when nobody waits for the page any more: a run that began is recorded.
    let finished = tokio::spawn(async move { service.run_check(&permit, id, turn).await }).await;
    let finished = finished.map_err(|error| ServiceError::Internal(error.to_string()))??;
    Ok(go_to(&address(finished.run.check), Some(Flash::CheckRun)))
}

#[post("/checks/{check_id}/remove")]
pub async fn remove(sent: AccountForm<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    service.delete_check(&sent.permit, check_id(&sent.visitor.request)).await?;
    Ok(go_to("/checks", Some(Flash::CheckRemoved)))
}

/// An id of another shape is simply unknown.
pub fn check_id(request: &HttpRequest) -> Option<CheckId> {
    CheckId::parse(request.match_info().query("check_id"))
}

/// What is expected of the answer, a sentence each.
fn expected(check: &Check) -> Vec<String> {
    let expectations = &check.definition.expectations;
    let status: Vec<String> = expectations.status.iter().map(rule).collect();
    let mut words = vec![match status.is_empty() {
        true => "status 2xx".to_owned(),
        false => format!("status {}", status.join(" or ")),
    }];
    for header in &expectations.headers {
        let what = match (&header.equals, &header.contains) {
            (Some(text), _) => format!("is {text:?}"),
            (None, Some(text)) => format!("contains {text:?}"),
            (None, None) => "is there".into(),
        };
        words.push(format!("the header {} {what}", header.name));
    }
    for value in &expectations.json {
        let what = match (&value.equals, &value.contains) {
            (Some(json), _) => format!("is {json}"),
            (None, Some(text)) => format!("contains {text:?}"),
            (None, None) => "is there".into(),
        };
        words.push(format!("{} in the JSON {what}", value.path));
    }
    words.extend(expectations.latency_ms.map(|millis| format!("within {millis} ms, else it is degraded")));
    let days = expectations.certificate_days_left;
    words.extend(days.map(|days| format!("{days} days left to the server’s certificate, else it is degraded")));
    words
}

/// A status rule as people write it.
pub fn rule(rule: &StatusRule) -> String {
    match rule {
        StatusRule::Code(code) => code.to_string(),
        StatusRule::Class(class) => class.clone(),
    }
}

/// What of a run is worth a sentence.
fn said(run: &Run) -> Vec<&str> {
    let findings = run.report.findings.iter().chain(&run.report.notes);
    findings.map(String::as_str).take(5).collect()
}

fn state_of(run: &Run) -> Html {
    show::check_state(Some(run.state))
}
