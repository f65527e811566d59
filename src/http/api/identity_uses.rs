//! Who relies on an identity.

use actix_web::{HttpRequest, HttpResponse, delete, get, put, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Service;
use crate::service::access::{AssociateIdentity, ReadIdentities};
use crate::service::identity_uses::UseInput;

use super::identities::identity_id;
use super::wire_identity::MtlsCertificateAssociation;
use crate::http::authentication::InAccount;
use crate::http::body::{self, Fields, string};
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

/// Who relies on the identity, and where to see it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct AssociateMtlsCertificate {
    /// What kind of thing it is; `custom` if left out.
    #[schema(nullable = false, required = false, example = "workflow")]
    kind: Option<String>,
    /// An http or https address, or a path.
    #[schema(nullable = false, required = false)]
    link: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct DissociatedMtlsCertificate {
    service: String,
}

/// List who relies on an identity.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-list-m-tls-certificate-associations",
    params(("account_id" = String, Path, max_length = 32), ("mtls_certificate_id" = String, Path)),
    responses(
        (status = 200, description = "all of them", body = SuccessPage<MtlsCertificateAssociation>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}/associations")]
pub async fn list(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::or_all(&mut parameters);
    parameters.finish()?;
    let uses = service.identity_uses(&permit.0, identity_id(&request)).await?;
    let (uses, info) = page.of_list(uses);
    Ok(envelope::page(uses.into_iter().map(MtlsCertificateAssociation::from).collect(), info))
}

/// Say that something relies on an identity; it is then not removed by mistake.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-associate-m-tls-certificate",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("mtls_certificate_id" = String, Path),
        ("name" = String, Path, description = "what relies on it, 1 to 120 printable characters"),
    ),
    request_body(content = Option<AssociateMtlsCertificate>, content_type = "application/json"),
    responses(
        (status = 200, description = "the association", body = Success<MtlsCertificateAssociation>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[put("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}/associations/{name}")]
pub async fn put(
    permit: InAccount<AssociateIdentity>,
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = recorded(&service, &permit.0, use_input(payload).await).await?;
    let using = service.associate_identity(&permit.0, identity_id(&request), &path.2, input).await?;
    Ok(envelope::success(MtlsCertificateAssociation::from(using)))
}

/// Take back that something relies on an identity.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-dissociate-m-tls-certificate",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("mtls_certificate_id" = String, Path),
        ("name" = String, Path),
    ),
    responses(
        (status = 200, description = "taken back", body = Success<DissociatedMtlsCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[delete("/client/v4/accounts/{account_id}/mtls_certificates/{mtls_certificate_id}/associations/{name}")]
pub async fn delete(
    permit: InAccount<AssociateIdentity>,
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (.., name) = path.into_inner();
    service.dissociate_identity(&permit.0, identity_id(&request), &name).await?;
    Ok(envelope::success(DissociatedMtlsCertificate { service: name }))
}

async fn use_input(payload: web::Payload) -> Result<UseInput, ApiError> {
    let mut fields = Fields::parse_optional(&body::read(payload).await?)?;
    let kind = fields.optional("kind", "a string", string);
    let link = fields.optional("link", "a string", string);
    Ok(UseInput { kind, link, faults: fields.into_faults() })
}
