//! Host name associations (wire contract, 2.1): one ordered list for each pair of zone and CA.

use actix_web::{HttpRequest, HttpResponse, get, put, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::IdentityId;
use crate::service::Service;
use crate::service::access::{ReadAuthorities, WriteAuthorities};

use crate::http::authentication::InZone;
use crate::http::body::{self, Fields, string, strings};
use crate::http::envelope::{self, Refusals, Success};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::Parameters;

#[derive(Serialize, ToSchema)]
pub struct HostnameAssociations {
    /// In the order given.
    hostnames: Vec<String>,
}

/// The list that replaces the old one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct ReplaceHostnameAssociations {
    /// An empty list clears; a missing one is refused, since some clients leave out empty lists.
    #[schema(max_items = 1000)]
    hostnames: Vec<String>,
    /// The zone's own authority if left out.
    #[schema(nullable = false, required = false)]
    mtls_certificate_id: Option<String>,
}

/// List the host names of the zone's authority, or of another CA.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "client-certificate-for-a-zone-list-hostname-associations",
    params(("zone_id" = String, Path, max_length = 32), ("mtls_certificate_id" = Option<String>, Query)),
    responses(
        (status = 200, description = "the host names", body = Success<HostnameAssociations>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:read")))
)]
#[get("/client/v4/zones/{zone_id}/certificate_authorities/hostname_associations")]
pub async fn list(
    permit: InZone<ReadAuthorities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let id = parameters.parsed("mtls_certificate_id", "a UUID", certificate_id);
    parameters.finish()?;
    let hostnames = service.hostnames(&permit.0, id).await?;
    Ok(envelope::success(HostnameAssociations { hostnames }))
}

/// Replace the whole list.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "client-certificate-for-a-zone-put-hostname-associations",
    params(("zone_id" = String, Path, max_length = 32)),
    request_body = ReplaceHostnameAssociations,
    responses(
        (status = 200, description = "the host names", body = Success<HostnameAssociations>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:write")))
)]
#[put("/client/v4/zones/{zone_id}/certificate_authorities/hostname_associations")]
pub async fn replace(
    permit: InZone<WriteAuthorities>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (id, hostnames) = recorded(&service, &permit.0, replacement(payload).await).await?;
    let hostnames = service.associate_hostnames(&permit.0, id, hostnames).await?;
    Ok(envelope::success(HostnameAssociations { hostnames }))
}

/// The CA that is meant, if another one is, and the new list.
async fn replacement(payload: web::Payload) -> Result<(Option<IdentityId>, Vec<String>), ApiError> {
    let mut fields = Fields::parse(&body::read(payload).await?)?;
    let hostnames = fields.required("hostnames", "an array of host names", strings);
    let id = fields.optional("mtls_certificate_id", "a UUID", |value| string(value).and_then(|id| certificate_id(&id)));
    fields.finish()?;
    Ok((id, hostnames.unwrap_or_default()))
}

fn certificate_id(text: &str) -> Option<IdentityId> {
    uuid::Uuid::try_parse(text).ok().map(IdentityId::new)
}
