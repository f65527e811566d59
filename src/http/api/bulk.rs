//! Bulk jobs: revoking and reactivating many certificates at once.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::audit::Actor;
use crate::domain::bulk::Wish;
use crate::domain::certificate::Certificate;
use crate::domain::id::{CertificateId, JobId};
use crate::domain::reason::RevocationReason;
use crate::domain::text::timestamp;
use crate::service::Service;
use crate::service::access::{CancelJob, CreateJob, ReadJobs};
use crate::service::bulk::{Preview, Unknown};
use crate::store::ShownJob;

use super::bulk_body::{self, ChangeManyCertificates};
use super::wire_certificate::StatusWord;
use crate::http::authentication::InZone;
use crate::http::body;
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

/// A change asked of many certificates.
#[derive(Serialize, ToSchema)]
pub struct BulkJob {
    /// UUID.
    id: String,
    /// `revoke` or `reactivate`.
    action: &'static str,
    /// Null where each certificate's profile decides (a hold, where it allows one), and for `reactivate`.
    #[schema(example = "superseded")]
    reason: Option<&'static str>,
    invalidity_date: Option<String>,
    /// What was selected; null where certificates were named one by one.
    #[schema(value_type = Option<Object>)]
    filter: Option<serde_json::Value>,
    /// `queued`, `running`, `publishing` (every certificate was asked, some CRL is still to come), `completed` (relying
    /// parties can see all of it), `failed` or `cancelled`.
    state: &'static str,
    /// How many certificates were selected.
    total: i64,
    /// How many of them were looked at.
    processed: i64,
    changed: i64,
    /// How many were as was asked already.
    unchanged: i64,
    /// How many could not be changed; the audit log says why.
    refused: i64,
    /// How many changes wait for the CRL that says so.
    waiting: i64,
    created_on: String,
    started_on: Option<String>,
    finished_on: Option<String>,
    /// Why it was given up.
    failure: Option<String>,
    requested_by: Requester,
}

/// The token that asked, or the service itself.
#[derive(Serialize, ToSchema)]
pub struct Requester {
    /// The token's id; null for the service itself.
    id: Option<String>,
    name: String,
}

/// A job that was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedBulkJob {
    #[serde(flatten)]
    job: BulkJob,
    #[serde(flatten)]
    unknown: UnknownIds,
}

#[derive(Serialize, ToSchema)]
pub struct UnknownIds {
    /// How many of the named certificates the zone does not have.
    unknown: usize,
    /// The first twenty of them.
    unknown_ids: Vec<String>,
}

/// What a job would do.
#[derive(Serialize, ToSchema)]
pub struct BulkPreview {
    /// Always `true`.
    dry_run: bool,
    action: &'static str,
    /// How many certificates are selected.
    total: i64,
    would_change: i64,
    /// How many are as is asked already.
    would_stay: i64,
    would_be_refused: i64,
    #[serde(flatten)]
    unknown: UnknownIds,
    /// The first twenty of them; none for a token without `client_certificates:read`.
    samples: Vec<SampleCertificate>,
}

#[derive(Serialize, ToSchema)]
pub struct SampleCertificate {
    id: String,
    common_name: String,
    /// Decimal.
    serial_number: String,
    status: StatusWord,
}

/// The job, or with `dry_run` what it would do.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the two are answered by themselves; this is their description")]
pub enum BulkAnswer {
    Job(Box<CreatedBulkJob>),
    Preview(Box<BulkPreview>),
}

/// Revoke or reactivate many certificates, without waiting until it is done.
///
/// The selection is what there is now: certificates issued later are not touched. The job goes on when the token that
/// asked is deleted; single requests overtake it. Selections are counted in turns, one of an account at once; whoever
/// would wait too long is answered 503.
#[utoipa::path(
    tag = "Bulk jobs",
    operation_id = "bulk-jobs-create",
    params(("zone_id" = String, Path, max_length = 32)),
    request_body = ChangeManyCertificates,
    responses(
        (status = 200, description = "the job, or what it would do", body = Success<BulkAnswer>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[post("/client/v4/zones/{zone_id}/client_certificates/bulk")]
pub async fn create(
    permit: InZone<CreateJob>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let read = async { bulk_body::read(&body::read(payload).await?) };
    let asked = recorded(&service, &permit.0, read.await).await?;
    if asked.is_dry_run {
        let action = asked.input.wish.as_str();
        let preview = service.preview_job(&permit.0, asked.input).await?;
        return Ok(envelope::success(BulkPreview::of(action, preview)));
    }
    let (job, unknown) = service.create_job(&permit.0, asked.input).await?;
    Ok(envelope::success(CreatedBulkJob { job: job.into(), unknown: unknown.into() }))
}

/// List bulk jobs, newest first. They are kept for 90 days after their end.
#[utoipa::path(
    tag = "Bulk jobs",
    operation_id = "bulk-jobs-list",
    params(("zone_id" = String, Path, max_length = 32), ("page" = Option<f64>, Query), ("per_page" = Option<f64>, Query)),
    responses(
        (status = 200, description = "one page", body = SuccessPage<BulkJob>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[get("/client/v4/zones/{zone_id}/client_certificates/bulk")]
pub async fn list(
    permit: InZone<ReadJobs>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let found = service.jobs(&permit.0, page.window()).await?;
    let info = page.info(found.items.len(), found.total);
    Ok(envelope::page(found.items.into_iter().map(BulkJob::from).collect(), info))
}

/// Show a bulk job and how far it is.
#[utoipa::path(
    tag = "Bulk jobs",
    operation_id = "bulk-jobs-get",
    params(("zone_id" = String, Path, max_length = 32), ("job_id" = String, Path)),
    responses(
        (status = 200, description = "the job", body = Success<BulkJob>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[get("/client/v4/zones/{zone_id}/client_certificates/bulk/{job_id}")]
pub async fn show(
    permit: InZone<ReadJobs>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    Ok(envelope::success(BulkJob::from(service.job(&permit.0, job_id(&request)).await?)))
}

/// Cancel a bulk job. What was asked until then stands. Repeating it is safe. A job that revokes what holds a compromised
/// key cannot be cancelled.
#[utoipa::path(
    tag = "Bulk jobs",
    operation_id = "bulk-jobs-cancel",
    params(("zone_id" = String, Path, max_length = 32), ("job_id" = String, Path)),
    responses(
        (status = 200, description = "the job", body = Success<BulkJob>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[delete("/client/v4/zones/{zone_id}/client_certificates/bulk/{job_id}")]
pub async fn cancel(
    permit: InZone<CancelJob>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    Ok(envelope::success(BulkJob::from(service.cancel_job(&permit.0, job_id(&request)).await?)))
}

fn job_id(request: &HttpRequest) -> Option<JobId> {
    JobId::parse(request.match_info().query("job_id"))
}

impl From<ShownJob> for BulkJob {
    fn from(shown: ShownJob) -> Self {
        let job = shown.job;
        let (reason, invalidity_date) = match job.wish {
            Wish::Revoke { reason, invalidity_date } => (reason, invalidity_date),
            Wish::Reactivate => (None, None),
        };
        Self {
            id: job.id.to_string(),
            action: job.wish.as_str(),
            reason: reason.map(RevocationReason::as_str),
            invalidity_date: invalidity_date.map(timestamp),
            filter: shown.filter.map(|filter| filter.to_json()),
            state: job.state.as_str(),
            total: job.total,
            processed: job.progress.processed,
            changed: job.progress.changed,
            unchanged: job.progress.unchanged,
            refused: job.progress.refused,
            waiting: shown.waiting,
            created_on: timestamp(job.created_on),
            started_on: job.started_on.map(timestamp),
            finished_on: job.finished_on.map(timestamp),
            failure: job.failure,
            requested_by: job.actor.into(),
        }
    }
}

impl From<Actor> for Requester {
    fn from(actor: Actor) -> Self {
        Self { id: actor.kind.token().map(|id| id.to_string()), name: actor.kind.name() }
    }
}

impl From<Unknown> for UnknownIds {
    fn from(unknown: Unknown) -> Self {
        Self { unknown: unknown.count, unknown_ids: unknown.samples.iter().map(CertificateId::to_string).collect() }
    }
}

impl BulkPreview {
    fn of(action: &'static str, preview: Preview) -> Self {
        Self {
            dry_run: true,
            action,
            total: preview.expected.processed,
            would_change: preview.expected.changed,
            would_stay: preview.expected.unchanged,
            would_be_refused: preview.expected.refused,
            unknown: preview.unknown.into(),
            samples: preview.samples.into_iter().map(SampleCertificate::from).collect(),
        }
    }
}

impl From<Certificate> for SampleCertificate {
    fn from(certificate: Certificate) -> Self {
        Self {
            id: certificate.id.to_string(),
            common_name: certificate.subject.common_name,
            serial_number: certificate.serial.to_decimal(),
            status: certificate.status.into(),
        }
    }
}
