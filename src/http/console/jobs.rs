//! Revoking many certificates at once: asking once more, and following the job.

use actix_web::{HttpResponse, get, post, web};
use askama::Template;

use crate::domain::bulk::{MAX_IDS, Wish};
use crate::domain::id::{CertificateId, JobId, ZoneId};
use crate::domain::permission::Permission;
use crate::domain::reason::RevocationReason;
use crate::service::Service;
use crate::service::access::{CancelJob, CreateJob, ReadJobs};
use crate::service::bulk::{BulkInput, Preview, Selection};
use crate::store::ShownJob;

use super::certificate::certificates_crumb;
use super::certificates::label;
use super::fault::Fault;
use super::page::{Flash, Page, go_to, show};
use super::reasons::{self, REASONS, Reason};
use super::show;
use super::visitor::{Form, ZoneForm, ZonePage, ZoneQuestion};

#[derive(Template)]
#[template(path = "chosen.html", config = "src/http/console/askama.toml")]
struct ChosenPage {
    page: Page,
    zone: ZoneId,
    ids: Vec<CertificateId>,
    preview: Preview,
    reasons: &'static [Reason],
}

#[derive(Template)]
#[template(path = "job.html", config = "src/http/console/askama.toml")]
struct JobPage {
    page: Page,
    zone: ZoneId,
    shown: ShownJob,
    is_over: bool,
    may_see_certificates: bool,
}

/// What would become of the chosen ones. Nothing happens yet.
#[post("/zones/{zone_id}/certificates/chosen")]
pub async fn choose(asked: ZoneQuestion<CreateJob>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = asked.permit.issuer().zone.clone();
    let ids = chosen(&asked.form);
    if ids.is_empty() {
        return Ok(go_to(&format!("/zones/{}/certificates", zone.id), Some(Flash::NothingChosen)));
    }
    let wish = Wish::Revoke { reason: None, invalidity_date: None };
    let input = BulkInput { wish, selection: Selection::Ids(ids.clone()) };
    let preview = service.preview_job(&asked.permit, input).await?;
    let page = asked.visitor.zone_page(&zone, "Revoke the chosen ones", vec![certificates_crumb(zone.id)]).await?;
    show(&ChosenPage { page, zone: zone.id, ids, preview, reasons: &REASONS })
}

#[post("/zones/{zone_id}/jobs")]
pub async fn create(sent: ZoneForm<CreateJob>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let reason = RevocationReason::parse(sent.form.text("reason"));
    let wish = Wish::Revoke { reason, invalidity_date: None };
    let input = BulkInput { wish, selection: Selection::Ids(chosen(&sent.form)) };
    let (shown, _) = service.create_job(&sent.permit, input).await?;
    Ok(go_to(&format!("/zones/{}/jobs/{}", sent.permit.zone(), shown.job.id), Some(Flash::JobMade)))
}

#[get("/zones/{zone_id}/jobs/{job_id}")]
pub async fn show_one(here: ZonePage<ReadJobs>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let id = JobId::parse(here.visitor.request.match_info().query("job_id"));
    let shown = service.job(&here.permit, id).await?;
    let page = here.visitor.zone_page(&zone, "Revoking many", vec![certificates_crumb(zone.id)]).await?;
    let is_over = shown.job.finished_on.is_some();
    let may_see_certificates = here.visitor.may(Permission::ReadCertificates, &zone);
    show(&JobPage { page, zone: zone.id, shown, is_over, may_see_certificates })
}

#[post("/zones/{zone_id}/jobs/{job_id}/cancel")]
pub async fn cancel(sent: ZoneForm<CancelJob>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = JobId::parse(sent.visitor.request.match_info().query("job_id"));
    let shown = service.cancel_job(&sent.permit, id).await?;
    Ok(go_to(&format!("/zones/{}/jobs/{}", sent.permit.zone(), shown.job.id), Some(Flash::JobCancelled)))
}

fn chosen(form: &Form) -> Vec<CertificateId> {
    form.all("id").filter_map(CertificateId::parse).take(MAX_IDS).collect()
}
