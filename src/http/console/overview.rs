//! The first page: the account, its zones, what happened in them, and whether everything works.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use tokio::join;
use tokio::time::timeout;

use crate::domain::check::{Check, CheckState};
use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::status::Status;
use crate::domain::zone::Zone;
use crate::service::Service;
use crate::service::access::{ReadCertificates, ReadIdentities, ZonePermit};
use crate::service::health::Part;
use crate::store::{Freshness, Totals, Window};

use super::fault::Fault;
use super::page::{Page, show_packed};
use super::plot::Plots;
use super::show;
use super::visitor::Visitor;

/// What does not answer by then is told as that.
const PATIENCE: Duration = Duration::from_millis(400);
const FAILING_SHOWN: Window = Window { offset: 0, length: 10 };
/// More zones than this stand on a page of their own.
const MAX_SHOWN: usize = 100;
/// What happened is added up over no more zones than this.
const MAX_COUNTED: usize = 20;

#[derive(Template)]
#[template(path = "overview.html", config = "src/http/console/askama.toml")]
struct OverviewPage {
    page: Page,
    zones: Vec<ZoneRow>,
    /// How many there are, shown or not.
    total: usize,
    sums: Totals,
    /// Whether the token may know of all zones.
    lists_zones: bool,
    /// How many zones what happened is added up over.
    counted: usize,
    /// How many it could be.
    readable: usize,
    is_empty: bool,
    /// Where the first certificate is issued, if there is only one place for it.
    first_issue: Option<String>,
    /// None while it is counted.
    plots: Option<Plots>,
    /// Where this page looks again.
    address: &'static str,
    parts: Option<Vec<Part>>,
    /// None for who may not see checks.
    failing: Option<Vec<Check>>,
    now: DateTime<Utc>,
}

struct ZoneRow {
    id: ZoneId,
    name: String,
    /// None for who may not read its certificates.
    standing: Option<ZoneStanding>,
}

struct ZoneStanding {
    totals: Totals,
    fresh: Freshness,
}

/// The zones whose certificates a visitor may read: permits for the first of them, and how many there are.
pub struct Readable {
    pub permits: Vec<ZonePermit<ReadCertificates>>,
    pub total: usize,
}

#[get("/")]
pub async fn of_account(visitor: Visitor, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let service = service.into_inner();
    let zones = visitor.zones().await?;
    let readable = readable(&visitor, &service, &zones).await?;
    let shown = zones.get(..MAX_SHOWN).unwrap_or(&zones);
    // Beside one another: together they take no longer than the slowest. What may be counted for long is begun last, so that
    // nothing else waits behind it.
    let (page, totals, fresh, failing, parts, activity) = join!(
        visitor.page("", Vec::new()),
        service.totals_of(visitor.caller(), &zones),
        service.freshness_of(visitor.caller(), shown),
        failing(&visitor, &service),
        timeout(PATIENCE, service.parts()),
        service.activity_of(&readable.permits),
    );
    let (mut totals, mut fresh) = (totals?, fresh?);
    let sums = sums(&totals);
    let rows = shown.iter().map(|zone| ZoneRow {
        id: zone.id,
        name: zone.name.clone(),
        standing: totals
            .remove(&zone.id)
            .map(|totals| ZoneStanding { totals, fresh: fresh.remove(&zone.id).unwrap_or_default() }),
    });
    let ends_at = match readable.permits.as_slice() {
        [only] => format!("/zones/{}/certificates", only.zone()),
        _ => "/ending".to_owned(),
    };
    let overview = OverviewPage {
        page: page?,
        zones: rows.collect(),
        total: zones.len(),
        is_empty: sums.values().sum::<i64>() == 0,
        sums,
        lists_zones: visitor.caller().token().grants.permissions.contains(&Permission::ReadZones),
        counted: readable.permits.len(),
        readable: readable.total,
        plots: activity?.map(|activity| Plots::of(&activity, &ends_at)),
        first_issue: first_issue(&visitor, &zones),
        address: "/",
        parts: parts.ok(),
        failing: failing?,
        now: service.clock().now(),
    };
    show_packed(&visitor.request, &overview)
}

/// Those of these zones that the visitor may read the certificates of.
pub async fn readable(visitor: &Visitor, service: &Service, zones: &[Zone]) -> Result<Readable, Fault> {
    let readable: Vec<&Zone> = zones.iter().filter(|zone| visitor.may(Permission::ReadCertificates, zone)).collect();
    let permits =
        readable.iter().take(MAX_COUNTED).map(|zone| service.permit_in_zone(visitor.caller().clone(), zone.id));
    Ok(Readable { permits: try_join_all(permits).await?, total: readable.len() })
}

async fn failing(visitor: &Visitor, service: &Service) -> Result<Option<Vec<Check>>, Fault> {
    let caller = visitor.caller();
    let account = caller.account();
    if !caller.token().grants.allow_in_account(Permission::ReadIdentities, account) {
        return Ok(None);
    }
    let permit = service.permit_in_account::<ReadIdentities>(caller.clone(), account).await?;
    Ok(Some(service.checks(&permit, Some(CheckState::Failing), FAILING_SHOWN).await?.items))
}

fn first_issue(visitor: &Visitor, zones: &[Zone]) -> Option<String> {
    match zones {
        [only] if visitor.may(Permission::IssueCertificates, only) => Some(format!("/zones/{}/issue", only.id)),
        _ => None,
    }
}

fn sums(totals: &BTreeMap<ZoneId, Totals>) -> Totals {
    let mut sums = Totals::new();
    for (status, total) in totals.values().flatten() {
        *sums.entry(*status).or_default() += total;
    }
    sums
}

fn of(totals: &Totals, status: Status) -> i64 {
    totals.get(&status).copied().unwrap_or_default()
}

fn active(totals: &Totals) -> i64 {
    of(totals, Status::Active)
}

fn changing(totals: &Totals) -> i64 {
    of(totals, Status::PendingRevocation) + of(totals, Status::PendingReactivation)
}

fn revoked(totals: &Totals) -> i64 {
    of(totals, Status::Revoked)
}
