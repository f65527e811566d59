//! Identities as Checkly's client certificates (wire contract, section 4): one host each, no names, no editing.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, IdentityFilter};
use crate::service::access::{AddIdentity, ReadIdentities, RemoveIdentity};
use crate::service::identities::{Duplicates, IdentityInput};
use crate::service::identity_material::Material;
use crate::service::{Noun, Service, ServiceError};
use crate::store::Window;

use super::wire_identity::as_one_pattern;
use crate::http::bare::{BareError, BareRefusals, InOwnAccount};
use crate::http::body::{self, Fields, string};
use crate::http::error::{ApiError, recorded};

#[derive(Serialize, ToSchema)]
pub struct V1ClientCertificate {
    /// UUID.
    id: String,
    /// A host name or pattern; several hosts as one pattern with braces, none as an empty text.
    host: String,
    /// PEM, the leaf first.
    cert: String,
    /// PEM of the CAs to verify the host by.
    ca: Option<String>,
    /// With milliseconds.
    created_at: String,
}

/// What to keep for one host. Further keys are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct CreateV1ClientCertificate {
    /// A host name or pattern, without https://.
    #[schema(example = "*.acme.com")]
    host: String,
    /// PEM, with its chain; may hold the key too.
    cert: String,
    /// PEM; left out only if `cert` holds it.
    #[schema(nullable = false, required = false)]
    key: Option<String>,
    /// PEM of the CAs to verify the host by.
    #[schema(required = false)]
    ca: Option<String>,
    /// Of the key. It is not kept.
    #[schema(required = false)]
    passphrase: Option<String>,
}

/// List the client certificates, oldest first. CA bundles are not among them.
#[utoipa::path(
    tag = "Identities",
    operation_id = "getV1Clientcertificates",
    params(("x-checkly-account" = Option<String>, Header, description = "the token's own account, if given")),
    responses(
        (status = 200, description = "all of them", body = Vec<V1ClientCertificate>),
        BareRefusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/v1/client-certificates")]
pub async fn list(
    permit: InOwnAccount<ReadIdentities>,
    service: web::Data<Service>,
) -> Result<HttpResponse, BareError> {
    let filter = IdentityFilter { is_ca: Some(false), ..IdentityFilter::default() };
    let identities = service.identities(&permit.0, filter, Window::ALL).await?;
    let list: Vec<V1ClientCertificate> = identities.items.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(list))
}

/// Keep a certificate with its key, for one host.
#[utoipa::path(
    tag = "Identities",
    operation_id = "postV1Clientcertificates",
    params(("x-checkly-account" = Option<String>, Header, description = "the token's own account, if given")),
    request_body = CreateV1ClientCertificate,
    responses(
        (status = 201, description = "what is kept", body = V1ClientCertificate),
        BareRefusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[post("/v1/client-certificates")]
pub async fn create(
    permit: InOwnAccount<AddIdentity>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, BareError> {
    let input = recorded(&service, &permit.0, input(payload).await).await?;
    let input = recorded(&service, &permit.0, readable(input)).await?;
    // One certificate may be kept for several hosts, each by itself.
    let kept = service.add_identity(&permit.0, input, Duplicates::Allowed).await.map_err(in_v1_words)?;
    Ok(HttpResponse::Created().json(V1ClientCertificate::from(kept.identity)))
}

/// Show a client certificate.
#[utoipa::path(
    tag = "Identities",
    operation_id = "getV1ClientcertificatesId",
    params(("id" = String, Path), ("x-checkly-account" = Option<String>, Header, description = "the token's own account, if given")),
    responses(
        (status = 200, description = "the certificate", body = V1ClientCertificate),
        BareRefusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/v1/client-certificates/{id}")]
pub async fn show(
    permit: InOwnAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, BareError> {
    let identity = service.identity(&permit.0, id(&request)).await?;
    if identity.is_ca {
        return Err(ServiceError::NotFound(Noun::Identity).into());
    }
    Ok(HttpResponse::Ok().json(V1ClientCertificate::from(identity)))
}

/// Remove a client certificate. One that others said they rely on is refused.
#[utoipa::path(
    tag = "Identities",
    operation_id = "deleteV1ClientcertificatesId",
    params(("id" = String, Path), ("x-checkly-account" = Option<String>, Header, description = "the token's own account, if given")),
    responses(
        (status = 204, description = "removed"),
        BareRefusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("identities:write")))
)]
#[delete("/v1/client-certificates/{id}")]
pub async fn delete(
    permit: InOwnAccount<RemoveIdentity>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, BareError> {
    service.remove_client_certificate(&permit.0, id(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<Identity> for V1ClientCertificate {
    fn from(identity: Identity) -> Self {
        Self {
            id: identity.id.to_string(),
            host: as_one_pattern(&identity.hosts),
            cert: identity.certificates,
            ca: Some(identity.trusted_ca).filter(|pem| !pem.is_empty()),
            created_at: identity.created_on.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        }
    }
}

async fn input(payload: web::Payload) -> Result<IdentityInput, ApiError> {
    let mut fields = Fields::parse(&body::read(payload).await?)?;
    let host = fields.required("host", "a host name or pattern, without https://", string);
    let certificates = fields.secret("cert");
    if certificates.is_none() {
        fields.fault("/cert", "cert is required: a certificate in PEM");
    }
    let material = Material {
        certificates,
        private_key: fields.secret("key"),
        passphrase: fields.secret("passphrase"),
        trusted_ca: fields.optional("ca", "PEM, as a string", string).filter(|pem| !pem.trim().is_empty()),
        pkcs12: None,
    };
    let hosts = host.into_iter().collect();
    Ok(IdentityInput { material, hosts, faults: fields.into_faults(), ..IdentityInput::default() })
}

/// Without a certificate there is nothing to look at, and nothing more to say.
fn readable(input: IdentityInput) -> Result<IdentityInput, ApiError> {
    if input.material.certificates.is_none() { Err(ApiError::invalid(input.faults)) } else { Ok(input) }
}

/// Faults name the fields as they are called here.
fn in_v1_words(error: ServiceError) -> ServiceError {
    let ServiceError::Invalid(mut violations) = error else { return error };
    for violation in &mut violations {
        let pointer = match violation.pointer.as_str() {
            "/certificates" => "/cert",
            "/private_key" => "/key",
            "/trusted_ca" => "/ca",
            "/hosts/0" => "/host",
            other => other,
        };
        let name = pointer.trim_start_matches('/').to_owned();
        if !name.is_empty() && !violation.message.starts_with(&name) {
            violation.message = format!("{name}: {}", violation.message);
        }
        violation.pointer = pointer.to_owned();
    }
    ServiceError::Invalid(violations)
}

fn id(request: &HttpRequest) -> Option<IdentityId> {
    IdentityId::parse(request.match_info().query("id"))
}
