//! Client certificates: the five operations of the wire contract, sections 1.1 to 1.5.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::certificate::{CertificateFilter, CertificateOrder};
use crate::domain::id::CertificateId;
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;
use crate::domain::status::Status;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::service::Service;
use crate::service::access::{IssueCertificate, ReactivateCertificate, ReadCertificates, RevokeCertificate};
use crate::service::certificates::RevocationRequest;
use crate::service::issuance::{Idempotency, IssueInput};

use super::wire_certificate::{ClientCertificate, ReasonWord};
use crate::http::admission::PageTurn;
use crate::http::authentication::InZone;
use crate::http::body::{self, Fields, integer, string};
use crate::http::client_timeout;
use crate::http::envelope::{self, Note, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

/// What to sign. Keys that are not listed here are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field, so that all faults are told at once; this is its description")]
pub struct CreateClientCertificate {
    /// PKCS#10 in PEM. Line ends may be LF, CRLF, or a literal backslash and n.
    #[schema(example = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB...\n-----END CERTIFICATE REQUEST-----\n")]
    csr: String,
    /// From 1 to the profile's maximum; never shortened in silence.
    #[schema(minimum = 1, example = 365)]
    validity_days: i64,
    /// `client` if left out.
    #[schema(nullable = false, required = false)]
    profile: Option<String>,
    /// Names beside those of the CSR.
    #[schema(nullable = false, required = false, max_items = 1000)]
    subject_alternative_names: Option<Vec<RequestedName>>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct RequestedName {
    /// `dns`, `email`, `uri` or `ip`.
    #[schema(rename = "type", example = "dns")]
    kind: String,
    #[schema(example = "device-0001.example.com")]
    value: String,
}

/// `{"reactivate": true}`, an empty object or no body at all lift a hold; anything else changes nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct EditClientCertificate {
    #[schema(required = false)]
    reactivate: Option<bool>,
}

/// List client certificates, oldest first.
#[utoipa::path(
    tag = "Client certificates",
    operation_id = "client-certificate-for-a-zone-list-client-certificates",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("status" = Option<String>, Query, description = "all, active, pending_reactivation, pending_revocation or revoked, in any case"),
        ("page" = Option<f64>, Query, description = "from 1; a page past the end is empty"),
        ("per_page" = Option<f64>, Query, description = "20 by default; from 1, more than 1000 is cut to 1000"),
        ("limit" = Option<i64>, Query, description = "size of the window that pages move in"),
        ("offset" = Option<i64>, Query, description = "start of that window"),
        ("common_name" = Option<String>, Query, description = "the common name starts with this"),
        ("serial_number" = Option<String>, Query, description = "decimal or hex"),
        ("fingerprint_sha256" = Option<String>, Query, description = "64 hex digits, colons allowed"),
        ("expires_before" = Option<String>, Query, description = "RFC 3339"),
        ("expires_after" = Option<String>, Query, description = "RFC 3339"),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<ClientCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:read")))
)]
#[get("/client/v4/zones/{zone_id}/client_certificates")]
pub async fn list(
    permit: InZone<ReadCertificates>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    let filter = filter(&mut parameters);
    parameters.finish()?;
    let window = page.window();
    let _turn = PageTurn::of(window.length, client_timeout()).await.ok_or_else(ApiError::overloaded)?;
    let found = service.certificates(&permit.0, filter, CertificateOrder::OldestFirst, window).await?;
    let info = page.info(found.items.len(), found.total);
    Ok(envelope::page(found.items.into_iter().map(ClientCertificate::from).collect(), info))
}

/// Sign a CSR. The certificate is active at once.
#[utoipa::path(
    tag = "Client certificates",
    operation_id = "client-certificate-for-a-zone-create-client-certificate",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; a repeated request within 24 hours is answered with the first certificate"),
    ),
    request_body = CreateClientCertificate,
    responses(
        (status = 200, description = "the certificate; messages name what was left out", body = Success<ClientCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:issue")))
)]
#[post("/client/v4/zones/{zone_id}/client_certificates")]
pub async fn create(
    permit: InZone<IssueCertificate>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = recorded(&service, &permit.0, issue_input(&request, payload).await).await?;
    let issued = service.issue(&permit.0, input).await?;
    let notes = issued.messages.into_iter().map(Note::about_request).collect();
    Ok(envelope::success_with(ClientCertificate::from(issued.certificate), notes))
}

/// Show a client certificate.
#[utoipa::path(
    tag = "Client certificates",
    operation_id = "client-certificate-for-a-zone-client-certificate-details",
    params(("zone_id" = String, Path, max_length = 32), ("client_certificate_id" = String, Path)),
    responses(
        (status = 200, description = "the certificate", body = Success<ClientCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:read")))
)]
#[get("/client/v4/zones/{zone_id}/client_certificates/{client_certificate_id}")]
pub async fn show(
    permit: InZone<ReadCertificates>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let certificate = service.certificate(&permit.0, certificate_id(&request)).await?;
    Ok(envelope::success(ClientCertificate::from(certificate)))
}

/// Lift a hold: reactivate a certificate that is revoked, or about to be, with the reason certificateHold.
#[utoipa::path(
    tag = "Client certificates",
    operation_id = "client-certificate-for-a-zone-edit-client-certificate",
    params(("zone_id" = String, Path, max_length = 32), ("client_certificate_id" = String, Path)),
    request_body(content = Option<EditClientCertificate>, content_type = "application/json"),
    responses(
        (status = 200, description = "the certificate", body = Success<ClientCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[patch("/client/v4/zones/{zone_id}/client_certificates/{client_certificate_id}")]
pub async fn edit(
    permit: InZone<ReactivateCertificate>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = certificate_id(&request);
    let certificate = if recorded(&service, &permit.0, asks_to_reactivate(payload).await).await? {
        service.reactivate(&permit.0, id).await?
    } else {
        service.leave_as_it_is(&permit.0, id).await?
    };
    Ok(envelope::success(ClientCertificate::from(certificate)))
}

/// Revoke a client certificate. Repeating it is safe.
#[utoipa::path(
    tag = "Client certificates",
    operation_id = "client-certificate-for-a-zone-delete-client-certificate",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("client_certificate_id" = String, Path),
        ("reason" = inline(Option<ReasonWord>), Query, description = "CRLReason of RFC 5280, 5.3.1. By default certificateHold, the only one that can be lifted; unspecified where the certificate's profile allows no hold"),
        ("invalidity_date" = Option<String>, Query, description = "since when the key is believed to be in wrong hands, RFC 3339 (RFC 5280, 5.3.2)"),
    ),
    responses(
        (status = 200, description = "the certificate, pending_revocation until the CRL lists it", body = Success<ClientCertificate>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:revoke")))
)]
#[delete("/client/v4/zones/{zone_id}/client_certificates/{client_certificate_id}")]
pub async fn delete(
    permit: InZone<RevokeCertificate>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let asked = recorded(&service, &permit.0, revocation_request(&request)).await?;
    let certificate = service.revoke(&permit.0, certificate_id(&request), asked).await?;
    Ok(envelope::success(ClientCertificate::from(certificate)))
}

/// An id of another shape is simply unknown.
fn certificate_id(request: &HttpRequest) -> Option<CertificateId> {
    CertificateId::parse(request.match_info().query("client_certificate_id"))
}

fn filter(parameters: &mut Parameters) -> CertificateFilter {
    let words = "all, active, pending_reactivation, pending_revocation or revoked";
    let status = parameters.parsed("status", words, |text| {
        if text.eq_ignore_ascii_case("all") { Some(None) } else { Status::parse(text).map(Some) }
    });
    let fingerprint = |text: &str| hex::decode(text.replace(':', "")).ok().filter(|bytes| bytes.len() == 32);
    CertificateFilter {
        status: status.flatten(),
        common_name: parameters.stored_text("common_name"),
        serial: parameters.parsed("serial_number", "a serial number in decimal or hex", SerialNumber::parse),
        fingerprint_sha256: parameters.parsed("fingerprint_sha256", "64 hex digits", fingerprint),
        expires_before: parameters.time("expires_before"),
        expires_after: parameters.time("expires_after"),
    }
}

fn revocation_request(request: &HttpRequest) -> Result<RevocationRequest, ApiError> {
    let names = RevocationReason::names().collect::<Vec<_>>().join(", ");
    let mut parameters = Parameters::of(request);
    let asked = RevocationRequest {
        reason: parameters.parsed("reason", &format!("one of {names}"), RevocationReason::parse),
        invalidity_date: parameters.time("invalidity_date"),
    };
    parameters.finish().map(|()| asked)
}

async fn issue_input(request: &HttpRequest, payload: web::Payload) -> Result<IssueInput, ApiError> {
    let body = body::read(payload).await?;
    let idempotency = idempotency(request, &body)?;
    let mut fields = Fields::parse(&body)?;
    let csr = fields.required("csr", "a certificate signing request in PEM, as a string", string);
    let validity_days = fields.required("validity_days", "a whole number of days", integer);
    let profile = fields.optional("profile", "a string", string);
    let asked = fields.optional("subject_alternative_names", "an array of objects with type and value", |value| {
        value.as_array().cloned()
    });
    let subject_alternative_names = names(&mut fields, &asked.unwrap_or_default());
    let faults = fields.into_faults();
    Ok(IssueInput { csr, validity_days, profile, subject_alternative_names, faults, idempotency })
}

fn names(fields: &mut Fields, asked: &[Value]) -> Vec<SubjectAlternativeName> {
    use crate::domain::policy::MAX_SUBJECT_ALTERNATIVE_NAMES;
    if asked.len() > MAX_SUBJECT_ALTERNATIVE_NAMES {
        let message = format!("at most {MAX_SUBJECT_ALTERNATIVE_NAMES} names can be asked for");
        fields.fault("/subject_alternative_names", message);
        return Vec::new();
    }
    let mut names = Vec::new();
    for (index, item) in asked.iter().enumerate() {
        match name(item) {
            Ok(name) => names.push(name),
            Err(why) => fields.fault(&format!("/subject_alternative_names/{index}"), why),
        }
    }
    names
}

fn name(item: &Value) -> Result<SubjectAlternativeName, String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let (Some(kind), Some(value)) = (text("type"), text("value")) else {
        return Err("a name is an object with the strings type and value".into());
    };
    let known = SubjectAlternativeNameType::parse(kind);
    let kind = known.ok_or_else(|| format!("type must be dns, email, uri or ip, not {kind:?}"))?;
    SubjectAlternativeName::parse(kind, value)
}

fn idempotency(request: &HttpRequest, body: &[u8]) -> Result<Option<Idempotency>, ApiError> {
    let Some(key) = request.headers().get("idempotency-key") else { return Ok(None) };
    let wrong = || ApiError::bad_parameter("the header Idempotency-Key must be 1 to 255 visible ASCII characters");
    let key = key.to_str().map_err(|_| wrong())?.to_owned();
    Ok(Some(Idempotency { key, body: body.to_vec() }))
}

/// No body, `{}` and `reactivate: true` ask for it; `false`, null and bodies with only other keys ask for nothing.
async fn asks_to_reactivate(payload: web::Payload) -> Result<bool, ApiError> {
    let mut fields = Fields::parse_optional(&body::read(payload).await?)?;
    if fields.is_empty() {
        return Ok(true);
    }
    let reactivate = fields.optional("reactivate", "true or false", Value::as_bool);
    fields.finish()?;
    Ok(reactivate == Some(true))
}
