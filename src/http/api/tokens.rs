//! API tokens, and their verification (wire contract, 2.3).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::{AccountId, TokenId, ZoneId};
use crate::domain::permission::{Permission, Reach};
use crate::domain::text::timestamp;
use crate::domain::token::{Token, TokenStatus};
use crate::service::Service;
use crate::service::access::{CreateToken, DeleteToken, ReadTokens, RollToken};
use crate::service::tokens::NewToken;

use crate::http::authentication::{InAccount, bearer, credential};
use crate::http::body::{self, Fields, string, strings, time};
use crate::http::envelope::{self, Note, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

const MAX_ZONES: usize = 1000;

#[derive(Serialize, ToSchema)]
pub struct WireToken {
    /// 32 hex digits.
    id: String,
    name: String,
    /// `active`, `disabled` or `expired`.
    status: &'static str,
    permissions: Vec<&'static str>,
    /// The zones it reaches; null for the whole account.
    zones: Option<Vec<String>>,
    issued_on: String,
    not_before: Option<String>,
    expires_on: Option<String>,
    /// The secret, shown once: only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    value: Option<String>,
}

/// A token to make.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct CreateTokenBody {
    /// 1 to 120 printable characters.
    #[schema(example = "fleet enrolment")]
    name: String,
    /// Nothing that your own token may not do.
    #[schema(example = json!(["client_certificates:read", "client_certificates:issue"]))]
    permissions: Vec<String>,
    /// Zone ids; the whole account if left out.
    #[schema(required = false)]
    zones: Option<Vec<String>>,
    #[schema(required = false)]
    not_before: Option<String>,
    #[schema(required = false)]
    expires_on: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct VerifiedToken {
    id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    expires_on: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct DeletedToken {
    id: String,
}

fn wire(service: &Service, token: Token, value: Option<String>) -> WireToken {
    let status = token.status(service.clock().now()).as_str();
    WireToken {
        id: token.id.to_string(),
        status,
        permissions: token.grants.permissions.iter().map(|permission| permission.as_str()).collect(),
        zones: match token.grants.reach {
            Reach::Account => None,
            Reach::Zones(zones) => Some(zones.iter().map(ToString::to_string).collect()),
        },
        issued_on: timestamp(token.created_on),
        not_before: token.not_before.map(timestamp),
        expires_on: token.expires_on.map(timestamp),
        name: token.name,
        value,
    }
}

/// Make a token. Its value is shown in this answer and never again.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-tokens-create",
    params(("account_id" = String, Path, max_length = 32)),
    request_body = CreateTokenBody,
    responses(
        (status = 200, description = "the token with its value", body = Success<WireToken>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("tokens:write")))
)]
#[post("/client/v4/accounts/{account_id}/tokens")]
pub async fn create(
    permit: InAccount<CreateToken>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let new = recorded(&service, &permit.0, new_token(payload).await).await?;
    let (token, value) = service.create_token(&permit.0, new).await?;
    Ok(envelope::success(wire(&service, token, Some(value.to_string()))))
}

/// List the account's tokens, oldest first, without their values.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-tokens-list",
    params(("account_id" = String, Path, max_length = 32), ("page" = Option<f64>, Query), ("per_page" = Option<f64>, Query)),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireToken>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("tokens:write")))
)]
#[get("/client/v4/accounts/{account_id}/tokens")]
pub async fn list(
    permit: InAccount<ReadTokens>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let (tokens, info) = page.of_list(service.tokens(&permit.0).await?);
    Ok(envelope::page(tokens.into_iter().map(|token| wire(&service, token, None)).collect(), info))
}

/// Show a token, without its value.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-tokens-get",
    params(("account_id" = String, Path, max_length = 32), ("token_id" = String, Path)),
    responses(
        (status = 200, description = "the token", body = Success<WireToken>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("tokens:write")))
)]
#[get("/client/v4/accounts/{account_id}/tokens/{token_id}")]
pub async fn show(
    permit: InAccount<ReadTokens>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let token = service.token(&permit.0, token_id(&request)).await?;
    Ok(envelope::success(wire(&service, token, None)))
}

/// Give a token another value; the old one stops working at once, on other replicas within a second. Nothing else of it
/// changes. The value is shown in this answer and never again.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-api-tokens-roll-token",
    params(("account_id" = String, Path, max_length = 32), ("token_id" = String, Path)),
    responses(
        (status = 200, description = "the new value", body = Success<String>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("tokens:write")))
)]
#[put("/client/v4/accounts/{account_id}/tokens/{token_id}/value")]
pub async fn roll(
    permit: InAccount<RollToken>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (_, value) = service.roll_token(&permit.0, token_id(&request)).await?;
    Ok(envelope::success(value.as_str()))
}

/// Delete a token; it stops working at once, on other replicas within a second.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-tokens-delete",
    params(("account_id" = String, Path, max_length = 32), ("token_id" = String, Path)),
    responses(
        (status = 200, description = "deleted", body = Success<DeletedToken>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("tokens:write")))
)]
#[delete("/client/v4/accounts/{account_id}/tokens/{token_id}")]
pub async fn delete(
    permit: InAccount<DeleteToken>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = service.delete_token(&permit.0, token_id(&request)).await?;
    Ok(envelope::success(DeletedToken { id: id.to_string() }))
}

/// Say whether the token that carries this request is valid.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "user-api-tokens-verify-token",
    responses(
        (status = 200, description = "it is, or was, or will be: see status", body = Success<VerifiedToken>),
        Refusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("any")))
)]
#[get("/client/v4/user/tokens/verify")]
pub async fn verify(request: HttpRequest, service: web::Data<Service>) -> Result<HttpResponse, ApiError> {
    verified(&request, &service, None).await
}

/// Say whether the token that carries this request is valid in this account.
#[utoipa::path(
    tag = "Tokens",
    operation_id = "account-api-tokens-verify-token",
    params(("account_id" = String, Path, max_length = 32)),
    responses(
        (status = 200, description = "it is, or was, or will be: see status", body = Success<VerifiedToken>),
        Refusals,
    ),
    security(("api_token" = [])),
    extensions(("x-permission" = json!("any")))
)]
#[get("/client/v4/accounts/{account_id}/tokens/verify")]
pub async fn verify_in_account(request: HttpRequest, service: web::Data<Service>) -> Result<HttpResponse, ApiError> {
    credential(&request)?;
    let account = AccountId::parse(request.match_info().query("account_id"));
    let account = account.ok_or_else(|| ApiError::no_route(request.path()))?;
    verified(&request, &service, Some(account)).await
}

async fn verified(
    request: &HttpRequest,
    service: &Service,
    account: Option<AccountId>,
) -> Result<HttpResponse, ApiError> {
    let Some(value) = bearer(request)? else {
        // With no credentials at all that is said; with key authentication, that a token is needed.
        credential(request)?;
        return Err(ApiError::new(StatusCode::BAD_REQUEST, 1001, "Missing \"Authorization\" header"));
    };
    let verified = service.verify_token(value, account).await?;
    let (token, status) = verified.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token"))?;
    let message = match status {
        TokenStatus::Active => "This API Token is valid and active",
        TokenStatus::Disabled => "This API Token is not valid yet",
        TokenStatus::Expired => "This API Token has expired",
    };
    let verified = VerifiedToken {
        id: token.id.to_string(),
        status: status.as_str(),
        not_before: token.not_before.map(timestamp),
        expires_on: token.expires_on.map(timestamp),
    };
    Ok(envelope::success_with(verified, vec![Note { code: 10000, message: message.into() }]))
}

fn token_id(request: &HttpRequest) -> Option<TokenId> {
    TokenId::parse(request.match_info().query("token_id"))
}

async fn new_token(payload: web::Payload) -> Result<NewToken, ApiError> {
    let mut fields = Fields::parse(&body::read(payload).await?)?;
    let name = fields.required("name", "a string", string);
    let permissions = fields.required("permissions", "an array of permissions", strings).unwrap_or_default();
    let zones = fields.optional("zones", "an array of zone ids", strings);
    let not_before = fields.optional("not_before", "an RFC 3339 time", time);
    let expires_on = fields.optional("expires_on", "an RFC 3339 time", time);

    if permissions.len() > Permission::ALL.len() || zones.as_ref().is_some_and(|zones| zones.len() > MAX_ZONES) {
        let message = format!("a token has at most {} permissions and {MAX_ZONES} zones", Permission::ALL.len());
        return Err(ApiError::bad_parameter(message));
    }
    let known = Permission::ALL.map(Permission::as_str).join(", ");
    let mut parsed = Vec::new();
    for (index, word) in permissions.iter().enumerate() {
        match Permission::parse(word) {
            Some(permission) => parsed.push(permission),
            None => fields.fault(&format!("/permissions/{index}"), format!("{word:?} is none of {known}")),
        }
    }
    let mut ids = zones.as_ref().map(|_| std::collections::BTreeSet::new());
    for (index, text) in zones.iter().flatten().enumerate() {
        match (ZoneId::parse(text), &mut ids) {
            (Some(id), Some(ids)) => drop(ids.insert(id)),
            _ => fields.fault(&format!("/zones/{index}"), "a zone id has 32 lower-case hex digits"),
        }
    }
    fields.finish()?;
    let permissions = parsed.into_iter().collect();
    Ok(NewToken { name: name.unwrap_or_default(), permissions, zones: ids, not_before, expires_on })
}
