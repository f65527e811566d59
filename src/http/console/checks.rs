//! The checks of an account: how each stands, and how long its last runs took.

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::check::{Check, CheckState};
use crate::domain::id::CheckId;
use crate::domain::permission::Permission;
use crate::service::Service;
use crate::service::access::ReadIdentities;
use crate::store::Window;

use super::fault::Fault;
use super::page::{Crumb, Page, show};
use super::plot::{self, Plot};
use super::show::{self, Plain};
use super::visitor::AccountPage;

const PER_PAGE: i64 = 25;
/// So many of the last runs are in the small plot.
const RUNS_PLOTTED: usize = 30;

#[derive(Template)]
#[template(path = "checks.html", config = "src/http/console/askama.toml")]
struct ChecksPage {
    page: Page,
    tabs: Vec<Tab>,
    shown: &'static str,
    rows: Vec<Row>,
    first: i64,
    total: i64,
    newer: Option<String>,
    older: Option<String>,
    may_use: bool,
    is_empty: bool,
    now: DateTime<Utc>,
}

struct Tab {
    label: &'static str,
    word: &'static str,
    total: i64,
}

struct Row {
    check: Check,
    plot: Option<Plot>,
    summary: String,
}

#[get("/checks")]
pub async fn list(here: AccountPage<ReadIdentities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(here.visitor.request.query_string().as_bytes()).into_owned().collect();
    let text = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let state = text("state").and_then(CheckState::parse);
    let number: i64 =
        text("page").and_then(|page| page.parse().ok()).filter(|page| (1..=1000).contains(page)).unwrap_or(1);
    let mut tabs = Vec::new();
    for (label, state) in [
        ("All", None),
        ("Failing", Some(CheckState::Failing)),
        ("Degraded", Some(CheckState::Degraded)),
        ("Passing", Some(CheckState::Passing)),
    ] {
        let nothing = Window { offset: 0, length: 0 };
        let total = service.checks(&here.permit, state, nothing).await?.total;
        tabs.push(Tab { label, word: word(state), total });
    }
    let window = Window { offset: (number - 1) * PER_PAGE, length: PER_PAGE };
    let found = service.checks(&here.permit, state, window).await?;
    let mut rows = Vec::new();
    for check in found.items {
        // One that was removed meanwhile has none.
        let runs = service.runs(&here.permit, Some(check.id)).await.unwrap_or_default();
        let plot = plot::latencies(&runs, RUNS_PLOTTED);
        rows.push(Row { summary: plot.as_ref().map(summary).unwrap_or_default(), plot, check });
    }
    let has_more = number * PER_PAGE < found.total && !rows.is_empty();
    let to = |page: i64| format!("?state={}&page={page}", word(state));
    show(&ChecksPage {
        page: here.visitor.page("Checks", Vec::new()).await?,
        is_empty: tabs.iter().all(|tab| tab.total == 0),
        tabs,
        shown: word(state),
        rows,
        first: window.offset + 1,
        total: found.total,
        newer: (number > 1).then(|| to(number - 1)),
        older: has_more.then(|| to(number + 1)),
        may_use: here.visitor.may_in_account(Permission::UseIdentities),
        now: service.clock().now(),
    })
}

/// A plot in words, for whoever does not see it.
pub fn summary(plot: &Plot) -> String {
    let mut answered: Vec<i64> = plot.bars.iter().filter(|bar| bar.upper_value == 0).map(|bar| bar.value).collect();
    answered.sort_unstable();
    let failed = plot.bars.len() - answered.len();
    let mut words = format!("Last {}", show::count(show::as_i64(plot.bars.len()), "run"));
    if let (Some(least), Some(middle), Some(most)) =
        (answered.first(), answered.get(answered.len() / 2), answered.last())
    {
        words.push_str(&format!(": {least} to {most} ms, half of them under {middle} ms"));
    }
    if failed > 0 {
        words.push_str(&format!("; {failed} failed"));
    }
    words
}

/// How often a check runs.
pub fn rhythm(check: &Check) -> String {
    match check.definition.interval_seconds {
        None => "by hand".into(),
        Some(_) if !check.definition.is_enabled => "switched off".into(),
        Some(seconds) => format!("every {}", seconds_in_words(seconds)),
    }
}

pub fn seconds_in_words(seconds: impl Plain<i64>) -> String {
    show::length(chrono::TimeDelta::seconds(seconds.plain()))
}

pub fn address(id: CheckId) -> String {
    format!("/checks/{id}")
}

pub fn checks_crumb() -> Crumb {
    Crumb { label: "Checks".into(), href: "/checks".into() }
}

fn word(state: Option<CheckState>) -> &'static str {
    state.map_or("", CheckState::as_str)
}
