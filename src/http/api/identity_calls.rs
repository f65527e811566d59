//! Which identity a host would be shown, and a call that shows it.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Service;
use crate::service::access::{ReadIdentities, UseIdentity};
use crate::service::choices::{Match, Ranked};

use super::check_body::{self, RequestWithMtlsCertificate};
use super::to_the_end;
use super::wire_check::WireCall;
use crate::http::authentication::InAccount;
use crate::http::body;
use crate::http::envelope::{self, Refusals, Success};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::Parameters;

/// What would be presented to a host.
#[derive(Serialize, ToSchema)]
pub struct MtlsCertificateMatch {
    /// As patterns are matched against it: lower case, A-labels, without a dot at the end.
    host: String,
    /// Null when none would be.
    #[schema(value_type = Option<RankedMtlsCertificate>)]
    choice: Option<RankedMtlsCertificate>,
    /// What would be presented if the choice, and those before, were not there; at most a hundred.
    runners_up: Vec<RankedMtlsCertificate>,
}

#[derive(Serialize, ToSchema)]
pub struct RankedMtlsCertificate {
    id: String,
    name: String,
    /// `host_name`, `host_pattern` or `primary`.
    reason: &'static str,
    /// The host name or pattern that matched; null for the primary.
    pattern: Option<String>,
}

/// Tell which identity would be presented to a host, why, and which would be next.
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-match-m-tls-certificate",
    params(
        ("account_id" = String, Path, max_length = 32),
        ("host" = String, Query, description = "a host name alone: no scheme, port or path"),
    ),
    responses(
        (status = 200, description = "the choice", body = Success<MtlsCertificateMatch>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:read")))
)]
#[get("/client/v4/accounts/{account_id}/mtls_certificates/match")]
pub async fn find(
    permit: InAccount<ReadIdentities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let parameters = Parameters::of(&request);
    let Some(host) = parameters.text("host") else {
        return Err(ApiError::bad_parameter("the query parameter host is required: a host name"));
    };
    Ok(envelope::success(MtlsCertificateMatch::from(service.match_host(&permit.0, host).await?)))
}

/// Call an address once with an identity: does this certificate work on that host?
#[utoipa::path(
    tag = "Identities",
    operation_id = "m-tls-certificate-management-request-with-m-tls-certificate",
    params(("account_id" = String, Path, max_length = 32)),
    request_body = RequestWithMtlsCertificate,
    responses(
        (status = 200, description = "what came of it, be it a failure", body = Success<WireCall>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("identities:use")))
)]
#[post("/client/v4/accounts/{account_id}/mtls_certificates/request")]
pub async fn call(
    permit: InAccount<UseIdentity>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let fields = recorded(&service, &permit.0, body::fields(payload).await).await?;
    let (service, input) = (service.into_inner(), check_body::call(fields));
    let turn = service.turn(&permit.0).await?;
    let called = to_the_end(async move { service.call(&permit.0, input, turn).await }).await?;
    Ok(envelope::success(WireCall::from(called)))
}

impl From<Match> for MtlsCertificateMatch {
    fn from(found: Match) -> Self {
        Self {
            host: found.host.as_str().to_owned(),
            choice: found.choice.map(Into::into),
            runners_up: found.runners_up.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Ranked> for RankedMtlsCertificate {
    fn from(ranked: Ranked) -> Self {
        Self {
            id: ranked.id.to_string(),
            name: ranked.name,
            reason: ranked.reason.as_str(),
            pattern: ranked.reason.pattern().map(str::to_owned),
        }
    }
}
