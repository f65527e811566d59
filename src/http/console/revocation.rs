//! Asking for the revocation of one certificate: why, and what breaks.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::certificate::Certificate;
use crate::domain::id::ZoneId;
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;
use crate::domain::text::parse_timestamp;
use crate::service::access::{ReadCertificates, RevokeCertificate, ZonePermit};
use crate::service::certificates::RevocationRequest;
use crate::service::{Service, ServiceError};
use crate::store::Dependant;

use super::certificate::{address, certificate_id, certificates_crumb};
use super::certificates::label;
use super::fault::Fault;
use super::page::{Crumb, Flash, Page, go_to, show, show_with};
use super::reasons::{REASONS, Reason};
use super::show;
use super::visitor::{Visitor, ZoneForm, ZonePage};

#[derive(Template)]
#[template(path = "revocation.html", config = "src/http/console/askama.toml")]
struct RevocationPage {
    page: Page,
    zone: ZoneId,
    certificate: Certificate,
    reasons: Vec<&'static Reason>,
    chosen: RevocationReason,
    /// As it was typed.
    invalidity_date: String,
    fault: Option<String>,
    dependant: Option<Dependant>,
    now: DateTime<Utc>,
}

#[get("/zones/{zone_id}/certificates/{certificate_id}/revoke")]
pub async fn ask(here: ZonePage<RevokeCertificate>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = certificate_id(&here.visitor.request);
    let reading = reading(&here.visitor, &here.permit, &service).await?;
    let certificate = service.certificate(&reading, id).await?;
    let page = page(&here.visitor, &reading, certificate, &service).await?;
    show(&page)
}

#[post("/zones/{zone_id}/certificates/{certificate_id}/revoke")]
pub async fn revoke(sent: ZoneForm<RevokeCertificate>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = certificate_id(&sent.visitor.request);
    let reason = RevocationReason::parse(sent.form.text("reason"));
    let typed = sent.form.filled("invalidity_date").unwrap_or_default().to_owned();
    let invalidity_date = parse_timestamp(&typed);
    let unreadable = (!typed.is_empty() && invalidity_date.is_none())
        .then(|| ServiceError::invalid("", "write the date as year, month and day: 2026-03-31"));
    let request = RevocationRequest { reason, invalidity_date };
    let outcome = match unreadable {
        Some(fault) => Err(fault),
        None => service.revoke(&sent.permit, id, request).await,
    };
    let fault = match outcome {
        Ok(certificate) => return Ok(go_to(&address(&certificate), Some(Flash::RevocationAsked))),
        Err(ServiceError::Invalid(violations)) => violations,
        Err(other) => return Err(other.into()),
    };
    let reading = reading(&sent.visitor, &sent.permit, &service).await?;
    let certificate = service.certificate(&reading, id).await?;
    let mut page = page(&sent.visitor, &reading, certificate, &service).await?;
    page.fault = fault.into_iter().next().map(|violation| violation.message);
    page.chosen = reason.unwrap_or(page.chosen);
    page.invalidity_date = typed;
    show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// The form shows the certificate, which another permission is for.
async fn reading(
    visitor: &Visitor,
    permit: &ZonePermit<RevokeCertificate>,
    service: &Service,
) -> Result<ZonePermit<ReadCertificates>, Fault> {
    Ok(service.permit_in_zone(visitor.caller().clone(), permit.zone()).await?)
}

async fn page(
    visitor: &Visitor,
    permit: &ZonePermit<ReadCertificates>,
    certificate: Certificate,
    service: &Service,
) -> Result<RevocationPage, Fault> {
    let zone = &permit.issuer().zone;
    let allows_hold = service.allows_hold(&certificate.profile);
    // What is on hold already can only become final.
    let is_held = certificate.status != Status::Active;
    let reasons: Vec<&Reason> =
        REASONS.iter().filter(|reason| !reason.reason.is_hold() || (allows_hold && !is_held)).collect();
    let chosen = reasons.first().map_or(RevocationReason::Unspecified, |reason| reason.reason);
    let crumbs = vec![certificates_crumb(zone.id), Crumb { label: label(&certificate), href: address(&certificate) }];
    Ok(RevocationPage {
        page: visitor.zone_page(zone, "Revoke", crumbs).await?.about(&label(&certificate)),
        zone: zone.id,
        dependant: service.dependant(permit, &certificate).await?,
        reasons,
        chosen,
        certificate,
        invalidity_date: String::new(),
        fault: None,
        now: service.clock().now(),
    })
}
