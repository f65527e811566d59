//! API checks: calls at intervals with an identity, and what came of them.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::check::CheckState;
use crate::domain::id::CheckId;
use crate::service::Service;
use crate::service::access::{ReadIdentities, WriteChecks};

use super::check_body::{self, DefineCheck, EditCheck};
use super::to_the_end;
use super::wire_check::{WireCheck, WireRun};
use crate::http::authentication::InAccount;
use crate::http::body;
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

#[derive(Serialize, ToSchema)]
pub struct DeletedCheck {
    id: String,
}

/// List the account's checks, oldest first.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-list",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("state" = Option<String>, Query, description = "passing, degraded or failing"),
        ("page" = Option<f64>, Query),
        ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireCheck>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/checks")]
pub async fn list(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    let state = parameters.parsed("state", "passing, degraded or failing", CheckState::parse);
    parameters.finish()?;
    let found = service.checks(&permit.0, state, page.window()).await?;
    let info = page.info(found.items.len(), found.total);
    Ok(envelope::page(found.items.into_iter().map(WireCheck::from).collect(), info))
}

/// Make a check. One with an interval runs for the first time at once.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-create",
    params(("account_id" = String, Path, max_length = 32)),
    request_body = DefineCheck,
    responses(
        (status = 200, description = "the check", body = Success<WireCheck>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[post("/client/v4/accounts/{account_id}/checks")]
pub async fn create(
    permit: InAccount<WriteChecks>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = check_body::definition(recorded(&service, &permit.0, body::fields(payload).await).await?);
    Ok(envelope::success(WireCheck::from(service.create_check(&permit.0, input).await?)))
}

/// Show a check.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-get",
    params(("account_id" = String, Path, max_length = 32), ("check_id" = String, Path)),
    responses(
        (status = 200, description = "the check", body = Success<WireCheck>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/checks/{check_id}")]
pub async fn show(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    Ok(envelope::success(WireCheck::from(service.check(&permit.0, check_id(&request)).await?)))
}

/// Change a check. A run that is under way is not recorded any more.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-edit",
    params(("account_id" = String, Path, max_length = 32), ("check_id" = String, Path)),
    request_body = EditCheck,
    responses(
        (status = 200, description = "the check", body = Success<WireCheck>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[patch("/client/v4/accounts/{account_id}/checks/{check_id}")]
pub async fn edit(
    permit: InAccount<WriteChecks>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = check_body::definition(recorded(&service, &permit.0, body::fields(payload).await).await?);
    Ok(envelope::success(WireCheck::from(service.edit_check(&permit.0, check_id(&request), input).await?)))
}

/// Delete a check and its runs.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-delete",
    params(("account_id" = String, Path, max_length = 32), ("check_id" = String, Path)),
    responses(
        (status = 200, description = "deleted", body = Success<DeletedCheck>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[delete("/client/v4/accounts/{account_id}/checks/{check_id}")]
pub async fn delete(
    permit: InAccount<WriteChecks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = service.delete_check(&permit.0, check_id(&request)).await?;
    Ok(envelope::success(DeletedCheck { id: id.to_string() }))
}

/// Run a check now, and hand out what the server answered.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-run",
    params(("account_id" = String, Path, max_length = 32), ("check_id" = String, Path)),
    responses(
        (status = 200, description = "the run, whatever came of it", body = Success<WireRun>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[post("/client/v4/accounts/{account_id}/checks/{check_id}/run")]
pub async fn run(
    permit: InAccount<WriteChecks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (service, id) = (service.into_inner(), check_id(&request));
    let turn = service.turn(&permit.0).await?;
    let finished = to_the_end(async move { service.run_check(&permit.0, id, turn).await }).await?;
    Ok(envelope::success(WireRun::with_answer(finished.run, finished.called)))
}

/// List the last runs of a check, the newest first; the last hundred are kept.
#[utoipa::path(
    tag = "Checks",
    operation_id = "checks-runs",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("check_id" = String, Path),
        ("page" = Option<f64>, Query),
        ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireRun>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/checks/{check_id}/runs")]
pub async fn runs(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let (runs, info) = page.of_list(service.runs(&permit.0, check_id(&request)).await?);
    Ok(envelope::page(runs.into_iter().map(WireRun::of).collect(), info))
}

/// An id of another shape is simply unknown.
fn check_id(request: &HttpRequest) -> Option<CheckId> {
    CheckId::parse(request.match_info().query("check_id"))
}
