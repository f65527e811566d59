//! The first page: the account and its zones.

use actix_web::{HttpResponse, get};
use askama::Template;

use crate::domain::zone::Zone;

use super::fault::Fault;
use super::page::{Page, show};
use super::show;
use super::visitor::Visitor;

#[derive(Template)]
#[template(path = "overview.html", config = "src/http/console/askama.toml")]
struct OverviewPage {
    page: Page,
    zones: Vec<Zone>,
}

#[get("/")]
pub async fn of_account(visitor: Visitor) -> Result<HttpResponse, Fault> {
    let page = visitor.page("Overview", Vec::new()).await?;
    show(&OverviewPage { page, zones: visitor.zones().await? })
}
