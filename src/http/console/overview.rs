//! The first page: the account, its zones, and whether everything works.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use askama::Template;
use tokio::time::timeout;

use crate::domain::check::{Check, CheckState};
use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::status::Status;
use crate::service::Service;
use crate::service::access::ReadIdentities;
use crate::service::health::Part;
use crate::store::{Totals, Window};

use super::fault::Fault;
use super::page::{Page, show};
use super::show;
use super::visitor::Visitor;

/// What does not answer by then is told as that.
const PATIENCE: Duration = Duration::from_millis(400);
const FAILING_SHOWN: Window = Window { offset: 0, length: 10 };

#[derive(Template)]
#[template(path = "overview.html", config = "src/http/console/askama.toml")]
struct OverviewPage {
    page: Page,
    zones: Vec<ZoneRow>,
    sums: ZoneRow,
    /// Whether the token may know of all zones.
    lists_zones: bool,
    parts: Option<Vec<Part>>,
    /// None for who may not see checks.
    failing: Option<Vec<Check>>,
}

struct ZoneRow {
    id: Option<ZoneId>,
    name: String,
    /// None for who may not read its certificates.
    totals: Option<Totals>,
}

#[get("/")]
pub async fn of_account(visitor: Visitor, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let page = visitor.page("", Vec::new()).await?;
    let zones = visitor.zones().await?;
    let mut totals = service.totals_of(visitor.caller(), &zones).await?;
    let mut sums = Totals::new();
    for of_zone in totals.values() {
        for (status, total) in of_zone {
            *sums.entry(*status).or_default() += total;
        }
    }
    let rows =
        zones.into_iter().map(|zone| ZoneRow { id: Some(zone.id), totals: totals.remove(&zone.id), name: zone.name });
    show(&OverviewPage {
        page,
        zones: rows.collect(),
        sums: ZoneRow { id: None, name: String::new(), totals: Some(sums) },
        lists_zones: visitor.caller().token().grants.permissions.contains(&Permission::ReadZones),
        parts: timeout(PATIENCE, service.parts()).await.ok(),
        failing: failing(&visitor, &service).await?,
    })
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

impl ZoneRow {
    fn of(&self, status: Status) -> i64 {
        self.totals.as_ref().and_then(|totals| totals.get(&status).copied()).unwrap_or_default()
    }

    fn active(&self) -> i64 {
        self.of(Status::Active)
    }

    fn changing(&self) -> i64 {
        self.of(Status::PendingRevocation) + self.of(Status::PendingReactivation)
    }

    fn revoked(&self) -> i64 {
        self.of(Status::Revoked)
    }
}
