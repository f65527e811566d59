//! Accounts: a token sees its own; the operator sees all and makes new ones.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::account::Account;
use crate::domain::id::AccountId;
use crate::domain::text::timestamp;
use crate::service::Service;

use crate::http::authentication::Authenticated;
use crate::http::body::{self, Fields, string};
use crate::http::envelope::{self, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

#[derive(Serialize, ToSchema)]
pub struct WireAccount {
    /// 32 hex digits.
    id: String,
    name: String,
    /// Always `standard`.
    #[serde(rename = "type")]
    kind: &'static str,
    created_on: String,
}

/// An account to make.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct CreateAccountBody {
    /// 1 to 100 printable characters.
    #[schema(example = "Example Org")]
    name: String,
}

/// An account just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedAccount {
    #[serde(flatten)]
    account: WireAccount,
    /// The value of a token that may do everything in this account. Shown once.
    token: String,
}

impl From<Account> for WireAccount {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            name: account.name,
            kind: "standard",
            created_on: timestamp(account.created_on),
        }
    }
}

/// List the accounts that the token sees.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "accounts-list",
    params(
        ("name" = Option<String>, Query, description = "only the account of this name"),
        ("page" = Option<f64>, Query), ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireAccount>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("any")))
)]
#[get("/client/v4/accounts")]
pub async fn list(
    caller: Authenticated,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    let mut accounts = service.accounts(&caller.0).await?;
    accounts.retain(|account| parameters.text("name").is_none_or(|name| account.name == name));
    parameters.finish()?;
    let (accounts, info) = page.of_list(accounts);
    Ok(envelope::page(accounts.into_iter().map(WireAccount::from).collect(), info))
}

/// Make an account with a root authority and a first token. Takes every permission in the account of the first start.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "accounts-create",
    request_body = CreateAccountBody,
    responses(
        (status = 200, description = "the account, with its first token", body = Success<CreatedAccount>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("all")))
)]
#[post("/client/v4/accounts")]
pub async fn create(
    caller: Authenticated,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let permit = service.permit_new_account(caller.0).await?;
    let name = recorded(&service, &permit, name(payload).await).await?;
    let made = service.create_account(&permit, &name).await?;
    Ok(envelope::success(CreatedAccount { account: made.account.into(), token: made.token.to_string() }))
}

/// Show an account.
#[utoipa::path(
    tag = "Accounts",
    operation_id = "accounts-get",
    params(("account_id" = String, Path, max_length = 32)),
    responses(
        (status = 200, description = "the account", body = Success<WireAccount>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("any")))
)]
#[get("/client/v4/accounts/{account_id}")]
pub async fn show(
    caller: Authenticated,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = AccountId::parse(request.match_info().query("account_id"));
    let id = id.ok_or_else(|| ApiError::no_route(request.path()))?;
    Ok(envelope::success(WireAccount::from(service.account(&caller.0, id).await?)))
}

async fn name(payload: web::Payload) -> Result<String, ApiError> {
    let mut fields = Fields::parse(&body::read(payload).await?)?;
    let name = fields.required("name", "a string", string);
    fields.finish()?;
    Ok(name.unwrap_or_default())
}
