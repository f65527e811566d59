//! A zone's certificate authorities, and the bundle that relying parties trust.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::authority::Shards;
use crate::domain::id::AuthorityId;
use crate::domain::key::AuthorityKeyType;
use crate::domain::text::timestamp;
use crate::service::Service;
use crate::service::access::{CreateAuthority, ReadAuthorities};
use crate::service::authorities::{AuthorityOptions, ShownAuthority};
use crate::x509::{self, pem};

use crate::http::authentication::InZone;
use crate::http::body::{self, Fields, integer};
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

#[derive(Serialize, ToSchema)]
pub struct CertificateAuthority {
    /// UUID.
    id: String,
    name: String,
    /// `root` or `issuing`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `active`, `retired` or `disabled`.
    state: &'static str,
    /// `p256`, `p384`, `rsa2048`, `rsa3072`, `rsa4096` or `ed25519`.
    key_type: &'static str,
    subject: String,
    /// Subject key identifier, hex.
    ski: String,
    /// Decimal.
    serial_number: String,
    fingerprint_sha256: String,
    /// PEM.
    certificate: String,
    issued_on: String,
    expires_on: String,
    /// In how many shards its CRL is published beside the complete one; 0 for none.
    crl_shards: i32,
    /// Its last CRL.
    #[schema(value_type = Option<WireCrl>)]
    crl: Option<WireCrl>,
}

#[derive(Serialize, ToSchema)]
pub struct WireCrl {
    number: i64,
    this_update: String,
    next_update: String,
    url: String,
}

/// What an issuing authority shall be like; what is left out is as configured.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct CreateAuthorityBody {
    /// p256, p384, rsa2048, rsa3072, rsa4096 or ed25519.
    #[schema(example = "p256", nullable = false, required = false)]
    key_type: Option<String>,
    /// Publish its CRL also in so many shards, whose addresses stand in the certificates: for zones that may come to revoke
    /// more than some ten thousand. Fixed for the authority's life.
    #[schema(minimum = 2, maximum = 1024, nullable = false, required = false)]
    crl_shards: Option<i32>,
}

/// Reads the fields of [`CreateAuthorityBody`].
pub fn authority_options(fields: &mut Fields) -> AuthorityOptions {
    let kinds = AuthorityKeyType::ALL.map(AuthorityKeyType::as_str).join(", ");
    let key_type = |value: &Value| value.as_str().and_then(AuthorityKeyType::parse);
    let shards = |value: &Value| {
        let count = integer(value).and_then(|count| i32::try_from(count).ok())?;
        (2..=Shards::MOST).contains(&count).then_some(count)
    };
    AuthorityOptions {
        key_type: fields.optional("key_type", &format!("one of {kinds}"), key_type),
        crl_shards: fields.optional("crl_shards", &format!("a whole number from 2 to {}", Shards::MOST), shards),
    }
}

fn wire(service: &Service, shown: ShownAuthority) -> Result<CertificateAuthority, ApiError> {
    let authority = shown.authority;
    let facts = x509::certificate::read(&authority.certificate).map_err(crate::service::ServiceError::from)?;
    Ok(CertificateAuthority {
        id: authority.id.to_string(),
        kind: if authority.is_root() { "root" } else { "issuing" },
        state: authority.state.as_str(),
        key_type: authority.key_type.as_str(),
        subject: facts.subject.to_string(),
        ski: hex::encode(&authority.ski),
        serial_number: authority.serial.to_decimal(),
        fingerprint_sha256: hex::encode(facts.fingerprint_sha256),
        certificate: pem::encode("CERTIFICATE", &authority.certificate),
        issued_on: timestamp(authority.not_before),
        expires_on: timestamp(authority.not_after),
        crl_shards: authority.shards.as_ref().map_or(0, |shards| shards.count),
        crl: shown.publication.map(|publication| WireCrl {
            number: publication.number,
            this_update: timestamp(publication.this_update),
            next_update: timestamp(publication.next_update),
            url: service.crl_url(authority.id),
        }),
        name: authority.name,
    })
}

/// List the zone's authorities: the one that signs first, the root last.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "certificate-authorities-list",
    params(("zone_id" = String, Path, max_length = 32), ("page" = Option<f64>, Query), ("per_page" = Option<f64>, Query)),
    responses(
        (status = 200, description = "one page", body = SuccessPage<CertificateAuthority>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:read")))
)]
#[get("/client/v4/zones/{zone_id}/certificate_authorities")]
pub async fn list(
    permit: InZone<ReadAuthorities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let (authorities, info) = page.of_list(service.authorities(&permit.0).await?);
    let authorities: Result<Vec<_>, _> = authorities.into_iter().map(|shown| wire(&service, shown)).collect();
    Ok(envelope::page(authorities?, info))
}

/// Make another issuing authority for the zone, which signs from now on. The one before is retired: it signs CRLs and OCSP
/// answers for its certificates, and stays in the bundle as long as they live.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "certificate-authorities-create",
    params(("zone_id" = String, Path, max_length = 32)),
    request_body(content = Option<CreateAuthorityBody>, content_type = "application/json"),
    responses(
        (status = 200, description = "the authority", body = Success<CertificateAuthority>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:write")))
)]
#[post("/client/v4/zones/{zone_id}/certificate_authorities")]
pub async fn create(
    permit: InZone<CreateAuthority>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let options = recorded(&service, &permit.0, options(payload).await).await?;
    let shown = service.create_authority(&permit.0, options).await?;
    Ok(envelope::success(wire(&service, shown)?))
}

/// Show one of the zone's authorities.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "certificate-authorities-get",
    params(("zone_id" = String, Path, max_length = 32), ("certificate_authority_id" = String, Path)),
    responses(
        (status = 200, description = "the authority", body = Success<CertificateAuthority>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:read")))
)]
#[get("/client/v4/zones/{zone_id}/certificate_authorities/{certificate_authority_id}")]
pub async fn show(
    permit: InZone<ReadAuthorities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = AuthorityId::parse(request.match_info().query("certificate_authority_id"));
    let shown = service.authority(&permit.0, id).await?;
    Ok(envelope::success(wire(&service, shown)?))
}

/// The zone's CA bundle: what a relying party trusts, the issuing certificate first.
#[utoipa::path(
    tag = "Certificate authorities",
    operation_id = "certificate-authorities-bundle",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("format" = Option<String>, Query, description = "pem (default), der (certificates one after the other) or pkcs7"),
    ),
    responses(
        (status = 200, description = "the bundle", content(
            (String = "application/x-pem-file"),
            (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "application/x-pkcs7-certificates"),
        )),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("authorities:read")))
)]
#[get("/client/v4/zones/{zone_id}/certificate_authorities/bundle")]
pub async fn bundle(
    permit: InZone<ReadAuthorities>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let format = parameters.parsed("format", "pem, der or pkcs7", Format::parse).unwrap_or(Format::Pem);
    parameters.finish()?;
    let bundle = service.bundle(&permit.0).await?;
    Ok(match format {
        Format::Pem => HttpResponse::Ok().content_type("application/x-pem-file").body(bundle.pem()),
        Format::Der => HttpResponse::Ok().content_type("application/octet-stream").body(bundle.der()),
        Format::Pkcs7 => HttpResponse::Ok().content_type("application/x-pkcs7-certificates").body(bundle.pkcs7()),
    })
}

async fn options(payload: web::Payload) -> Result<AuthorityOptions, ApiError> {
    let mut fields = Fields::parse_optional(&body::read(payload).await?)?;
    let options = authority_options(&mut fields);
    fields.finish().map(|()| options)
}

enum Format {
    Pem,
    Der,
    Pkcs7,
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "pem" => Some(Self::Pem),
            "der" => Some(Self::Der),
            "pkcs7" => Some(Self::Pkcs7),
            _ => None,
        }
    }
}
