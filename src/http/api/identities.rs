//! Identities as Cloudflare's account mTLS certificates (wire contract, 2.2), with hosts, rank, labels and more forms of
//! upload.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put, web};
use chrono::TimeDelta;

use crate::config::duration;
use crate::domain::id::IdentityId;
use crate::domain::identity::IdentityFilter;
use crate::service::access::{
    AddIdentity, EditIdentity, IssueCertificate, ReadIdentities, RemoveIdentity, ReplaceIdentity,
};
use crate::service::identities::{Duplicates, Kept};
use crate::service::{Service, ServiceError};
use crate::store::Page;

use super::identity_body::{self, EditMtlsCertificate, ReplaceMtlsCertificate, UploadBody, UploadMtlsCertificate};
use super::to_the_end;
use super::wire_identity::MtlsCertificate;
use crate::http::authentication::InAccount;
use crate::http::body;
use crate::http::envelope::{self, Note, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

/// List identities and CA bundles, oldest first: all of them, unless a page is asked for.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-list-m-tls-certificates",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("type" = Option<String>, Query, description = "custom; others are never there"),
        ("ca" = Option<bool>, Query, description = "CA bundles only, or none of them"),
        ("name" = Option<String>, Query, description = "with exactly this name"),
        ("primary" = Option<bool>, Query),
        ("label" = Option<String>, Query, description = "KEY or KEY=VALUE"),
        ("expiring_within" = Option<String>, Query, description = "a number of days, or a duration such as 36h: ends before then, or has ended"),
        ("page" = Option<f64>, Query),
        ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "the identities", body = SuccessPage<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/mtls_certificates")]
pub async fn list(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::or_all(&mut parameters);
    let is_custom = parameters.text("type").is_none_or(|kind| kind == "custom");
    let filter = filter(&mut parameters, &service);
    parameters.finish()?;
    let found = match is_custom {
        true => service.identities(&permit.0, filter, page.window()).await?,
        false => Page { items: Vec::new(), total: 0 },
    };
    let info = page.info(found.items.len(), found.total);
    Ok(envelope::page(found.items.into_iter().map(MtlsCertificate::from).collect(), info))
}

/// Keep a certificate with its key, a CA bundle, or have a zone issue one. The key is sealed and never shown.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-upload-m-tls-certificate",
    params(("account_id" = String, Path, max_length = 32)),
    request_body = UploadMtlsCertificate,
    responses(
        (status = 200, description = "what is kept; messages say what is odd about it", body = Success<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[post("/client/v4/accounts/{account_id}/mtls_certificates")]
pub async fn create(
    permit: InAccount<AddIdentity>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let UploadBody { input, managed } =
        identity_body::upload(recorded(&service, &permit.0, body::fields(payload).await).await?);
    let kept = match managed {
        None => service.add_identity(&permit.0, input, Duplicates::Refused).await?,
        Some((None, _)) => return Err(ServiceError::Invalid(input.faults).into()),
        Some((Some(zone), managed)) => {
            let caller = permit.0.caller().clone();
            let zone = service.permit_in_zone::<IssueCertificate>(caller, zone).await?;
            let service = service.into_inner();
            to_the_end(async move { service.add_managed_identity(&permit.0, &zone, input, managed).await }).await?
        }
    };
    Ok(answer(kept))
}

/// Show an identity.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-get-m-tls-certificate",
    params(("account_id" = String, Path, max_length = 32), ("mtls_certificate_id" = String, Path)),
    responses(
        (status = 200, description = "the identity", body = Success<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}")]
pub async fn show(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let identity = service.identity(&permit.0, identity_id(&request)).await?;
    Ok(envelope::success(MtlsCertificate::from(identity)))
}

/// Rename an identity, change its hosts or labels, make it the primary or take that back.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-edit-m-tls-certificate",
    params(("account_id" = String, Path, max_length = 32), ("mtls_certificate_id" = String, Path)),
    request_body = EditMtlsCertificate,
    responses(
        (status = 200, description = "the identity", body = Success<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[patch("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}")]
pub async fn edit(
    permit: InAccount<EditIdentity>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let edit = identity_body::edit(recorded(&service, &permit.0, body::fields(payload).await).await?);
    Ok(answer(service.edit_identity(&permit.0, identity_id(&request), edit).await?))
}

/// Put a newer certificate in the place of an identity's: its hosts, rank and uses stay.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-replace-m-tls-certificate",
    params(("account_id" = String, Path, max_length = 32), ("mtls_certificate_id" = String, Path)),
    request_body = ReplaceMtlsCertificate,
    responses(
        (status = 200, description = "the identity", body = Success<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[put("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}")]
pub async fn replace(
    permit: InAccount<ReplaceIdentity>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = recorded(&service, &permit.0, body::fields(payload).await).await?;
    let material = identity_body::material(&mut fields);
    recorded(&service, &permit.0, fields.finish()).await?;
    Ok(answer(service.replace_identity(&permit.0, identity_id(&request), material).await?))
}

/// Remove an identity and its key. One that others rely on is refused, unless forced.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-delete-m-tls-certificate",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("mtls_certificate_id" = String, Path),
        ("force" = Option<bool>, Query, description = "remove it even if others rely on it"),
    ),
    responses(
        (status = 200, description = "what was removed; messages name the checks that now present something else", body = Success<MtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[delete("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}")]
pub async fn delete(
    permit: InAccount<RemoveIdentity>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let is_forced = parameters.switch("force").unwrap_or_default();
    recorded(&service, &permit.0, parameters.finish()).await?;
    let removed = service.remove_identity(&permit.0, identity_id(&request), is_forced).await;
    let with_way_out = |error| match error {
        ServiceError::InUse(who) => ServiceError::InUse(format!("{who}; force=true removes it all the same")),
        other => other,
    };
    Ok(answer(removed.map_err(with_way_out)?))
}

/// An id of another shape is simply unknown.
pub fn identity_id(request: &HttpRequest) -> Option<IdentityId> {
    IdentityId::parse(request.match_info().query("mtls_certificate_id"))
}

fn answer(kept: Kept) -> HttpResponse {
    let notes = kept.messages.into_iter().map(Note::about_request).collect();
    envelope::success_with(MtlsCertificate::from(kept.identity), notes)
}

fn filter(parameters: &mut Parameters, service: &Service) -> IdentityFilter {
    let within = parameters.parsed("expiring_within", "a number of days, or a duration such as 36h", |text| {
        let days = text.parse::<u64>().ok().and_then(|days| days.checked_mul(86_400));
        let seconds = days.or_else(|| duration(text).ok().map(|time| time.as_secs()))?;
        TimeDelta::try_seconds(i64::try_from(seconds).ok()?).filter(|span| *span <= TimeDelta::days(36_500))
    });
    IdentityFilter {
        is_ca: parameters.switch("ca"),
        name: parameters.stored_text("name"),
        is_primary: parameters.switch("primary"),
        expires_before: within.map(|span| service.clock().now() + span),
        label: parameters.text("label").map(|text| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        }),
    }
}
