//! Zones: listing, making and renaming them. Scripts that know a zone by name find its id here (wire contract, 2.4).

use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::id::AccountId;
use crate::domain::text::timestamp;
use crate::domain::zone::Zone;
use crate::service::Service;
use crate::service::access::{CreateZone, ReadZones, RenameZone};
use crate::service::authorities::AuthorityOptions;
use crate::service::zones::NewZone;

use super::authorities::{CreateAuthorityBody, authority_options};
use crate::http::authentication::{Authenticated, InZone};
use crate::http::body::{self, Fields, string};
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

#[derive(Serialize, ToSchema)]
pub struct WireZone {
    /// 32 hex digits.
    id: String,
    name: String,
    /// Always `active`.
    status: &'static str,
    /// Always `full`.
    #[serde(rename = "type")]
    kind: &'static str,
    paused: bool,
    account: ZoneAccount,
    created_on: String,
    modified_on: String,
}

#[derive(Serialize, ToSchema)]
pub struct ZoneAccount {
    id: String,
    name: String,
}

/// A zone to make.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct CreateZoneBody {
    /// 1 to 253 letters, digits, dots, hyphens and underscores; lower-cased.
    #[schema(example = "devices.example.com")]
    name: String,
    /// The token's own account if left out.
    #[schema(nullable = false, required = false)]
    account: Option<AccountReference>,
    #[schema(nullable = false, required = false)]
    authority: Option<CreateAuthorityBody>,
}

/// What is to be another with a zone.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct EditZoneBody {
    /// 1 to 253 letters, digits, dots, hyphens and underscores; lower-cased.
    #[schema(example = "machines.example.com")]
    name: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct AccountReference {
    id: String,
}

impl From<Zone> for WireZone {
    fn from(zone: Zone) -> Self {
        let created_on = timestamp(zone.created_on);
        Self {
            id: zone.id.to_string(),
            name: zone.name,
            status: "active",
            kind: "full",
            paused: false,
            account: ZoneAccount { id: zone.account.id.to_string(), name: zone.account.name },
            modified_on: created_on.clone(),
            created_on,
        }
    }
}

/// List the zones that the token reaches, oldest first.
#[utoipa::path(
    tag = "Zones",
    operation_id = "zones-list",
    params(
        ("name" = Option<String>, Query, description = "only the zone of this name"),
        ("account.id" = Option<String>, Query, description = "only zones of this account"),
        ("page" = Option<f64>, Query), ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireZone>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:read")))
)]
#[get("/client/v4/zones")]
pub async fn list(
    caller: Authenticated,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    let mut zones = service.zones(&caller.0).await?;
    zones.retain(|zone| parameters.text("name").is_none_or(|name| zone.name.eq_ignore_ascii_case(name)));
    zones.retain(|zone| parameters.text("account.id").is_none_or(|id| zone.account.id.to_string() == id));
    parameters.finish()?;
    let (zones, info) = page.of_list(zones);
    Ok(envelope::page(zones.into_iter().map(WireZone::from).collect(), info))
}

/// Make a zone with an issuing authority of its own.
#[utoipa::path(
    tag = "Zones",
    operation_id = "zones-create",
    request_body = CreateZoneBody,
    responses(
        (status = 200, description = "the zone", body = Success<WireZone>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[post("/client/v4/zones")]
pub async fn create(
    caller: Authenticated,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let own = caller.0.account();
    // Authorised before the body is read, then for the account that the body names.
    let permit = service.permit_in_account::<CreateZone>(caller.0.clone(), own).await?;
    let (account, new) = recorded(&service, &permit, new_zone(payload).await).await?;
    let permit = match account {
        Some(account) => service.permit_in_account(caller.0, account).await?,
        None => permit,
    };
    let zone = service.create_zone(&permit, new).await?;
    Ok(envelope::success(WireZone::from(zone)))
}

/// Show a zone.
#[utoipa::path(
    tag = "Zones",
    operation_id = "zones-get",
    params(("zone_id" = String, Path, max_length = 32)),
    responses(
        (status = 200, description = "the zone", body = Success<WireZone>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:read")))
)]
#[get("/client/v4/zones/{zone_id}")]
pub async fn show(permit: InZone<ReadZones>, service: web::Data<Service>) -> Result<HttpResponse, ApiError> {
    Ok(envelope::success(WireZone::from(service.zone(&permit.0).await?)))
}

/// Give a zone another name. Its certificates and authorities keep the names that they were made with.
#[utoipa::path(
    tag = "Zones",
    operation_id = "zones-edit",
    params(("zone_id" = String, Path, max_length = 32)),
    request_body = EditZoneBody,
    responses(
        (status = 200, description = "the zone", body = Success<WireZone>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[patch("/client/v4/zones/{zone_id}")]
pub async fn edit(
    permit: InZone<RenameZone>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let name = recorded(&service, &permit.0, new_name(payload).await).await?;
    Ok(envelope::success(WireZone::from(service.rename_zone(&permit.0, &name).await?)))
}

async fn new_name(payload: web::Payload) -> Result<String, ApiError> {
    let mut fields = body::fields(payload).await?;
    let name = fields.required("name", "a string", string);
    // The rest of a zone is what it is: whoever sends more means something that would not happen.
    fields.refuse_others("name");
    fields.finish()?;
    Ok(name.unwrap_or_default())
}

/// The account that the body names, if it does, and the zone to make.
async fn new_zone(payload: web::Payload) -> Result<(Option<AccountId>, NewZone), ApiError> {
    let mut fields = Fields::parse(&body::read(payload).await?)?;
    let name = fields.required("name", "a string", string);
    let account = fields.optional("account", "an object with the id of an account", |value| {
        value.get("id").and_then(Value::as_str).and_then(AccountId::parse)
    });
    let mut authority = AuthorityOptions::default();
    if let Some(mut inner) = fields.object("authority") {
        authority = authority_options(&mut inner);
        fields.adopt("authority", inner);
    }
    fields.finish()?;
    Ok((account, NewZone { name: name.unwrap_or_default(), authority }))
}
