//! A zone at a glance: how its certificates stand, what happened lately, what ends soon, and how fresh its answers are.

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, Utc};
use tokio::join;

use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::status::Status;
use crate::service::Service;
use crate::service::access::ReadCertificates;
use crate::service::overview::Publishing;

use super::fault::Fault;
use super::page::{Page, show};
use super::plot::Plots;
use super::show;
use super::visitor::{ZonePage, zone_title};

#[derive(Template)]
#[template(path = "zone.html", config = "src/http/console/askama.toml")]
struct ZoneOverview {
    page: Page,
    zone: ZoneId,
    tiles: Vec<Tile>,
    is_empty: bool,
    may_issue: bool,
    /// Where this page looks again.
    address: String,
    /// None while it is counted.
    plots: Option<Plots>,
    publishing: Publishing,
    pending: i64,
    now: DateTime<Utc>,
}

struct Tile {
    figure: i64,
    name: &'static str,
    query: &'static str,
}

#[get("/zones/{zone_id}")]
pub async fn overview(here: ZonePage<ReadCertificates>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let service = service.into_inner();
    let zone = here.permit.issuer().zone.clone();
    let title = zone_title(&zone);
    // Beside one another, and what may be counted for long is begun last: nothing else waits behind it.
    let (page, totals, publishing, activity) = join!(
        here.visitor.zone_page(&zone, &title, Vec::new()),
        service.totals(&here.permit),
        service.publishing(&here.permit),
        service.activity(&here.permit),
    );
    let totals = totals?;
    let total = |status| totals.get(&status).copied().unwrap_or_default();
    let pending = total(Status::PendingRevocation) + total(Status::PendingReactivation);
    let plots = activity?.map(|activity| Plots::of(&activity, &format!("/zones/{}/certificates", zone.id)));
    show(&ZoneOverview {
        page: page?,
        zone: zone.id,
        tiles: vec![
            Tile { figure: total(Status::Active), name: "active", query: "?status=active" },
            Tile { figure: pending, name: "changing", query: "?status=pending_revocation" },
            Tile { figure: total(Status::Revoked), name: "revoked", query: "?status=revoked" },
        ],
        is_empty: totals.values().sum::<i64>() == 0,
        may_issue: here.visitor.may(Permission::IssueCertificates, &zone),
        address: format!("/zones/{}", zone.id),
        plots,
        publishing: publishing?,
        pending,
        now: service.clock().now(),
    })
}
