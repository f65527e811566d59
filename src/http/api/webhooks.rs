//! Webhooks: who is told of a zone's events.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::id::WebhookId;
use crate::service::Service;
use crate::service::access::{ReadWebhooks, WriteWebhooks};
use crate::service::webhooks::WebhookInput;

use super::to_the_end;
use super::wire_webhook::{WireDelivery, WireWebhook};
use crate::http::authentication::InZone;
use crate::http::body::{self, Fields, string, strings};
use crate::http::envelope::{self, Note, Refusals, Success, SuccessPage};
use crate::http::error::{ApiError, recorded};
use crate::http::parameters::{PageRequest, Parameters};

/// A webhook to make.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct DefineWebhook {
    /// Which no other webhook of the zone has.
    name: String,
    /// An https address, not one that leads inside unless the operator permits it.
    #[schema(example = "https://hooks.partner.example/countersign")]
    url: String,
    /// Which kinds of events it hears of; every kind if left out or empty.
    #[schema(nullable = false, required = false)]
    kinds: Option<Vec<String>>,
    /// PEM of the CAs to verify the receiver by; those of the system if left out.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    #[schema(nullable = false, required = false)]
    enabled: Option<bool>,
}

/// What to change of a webhook. What is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct EditWebhook {
    #[schema(nullable = false, required = false)]
    name: Option<String>,
    /// An https address. On another server, the secret must be rotated with it.
    #[schema(nullable = false, required = false)]
    url: Option<String>,
    #[schema(nullable = false, required = false)]
    kinds: Option<Vec<String>>,
    /// PEM of the CAs to verify the receiver by; null for those of the system.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    /// Switched on again, it is told what happened meanwhile, as far as it is kept.
    #[schema(nullable = false, required = false)]
    enabled: Option<bool>,
    /// Make a new secret, which is in the answer. The old one signs nothing any more.
    #[schema(nullable = false, required = false)]
    rotate_secret: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct DeletedWebhook {
    id: String,
}

/// List the webhooks of a zone, oldest first.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-list",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("page" = Option<f64>, Query),
        ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireWebhook>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:read")))
)]
#[get("/client/v4/zones/{zone_id}/webhooks")]
pub async fn list(
    permit: InZone<ReadWebhooks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let (webhooks, info) = page.of_list(service.webhooks(&permit.0).await?);
    let webhooks = webhooks.into_iter().map(|(webhook, last)| WireWebhook::of(webhook, last)).collect();
    Ok(envelope::page(webhooks, info))
}

/// Make a webhook. It is told what happens from now on; its secret is in this answer and in no other.
///
/// The token needs client_certificates:read in the zone too, since the webhook carries such news away.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-create",
    params(("zone_id" = String, Path, max_length = 32)),
    request_body = DefineWebhook,
    responses(
        (status = 200, description = "the webhook with its secret", body = Success<WireWebhook>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[post("/client/v4/zones/{zone_id}/webhooks")]
pub async fn create(
    permit: InZone<WriteWebhooks>,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = definition(recorded(&service, &permit.0, body::fields(payload).await).await?);
    let made = service.create_webhook(&permit.0, input).await?;
    let messages = notes(&made.messages);
    Ok(envelope::success_with(WireWebhook::defined(made), messages))
}

/// Show a webhook.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-get",
    params(("zone_id" = String, Path, max_length = 32), ("webhook_id" = String, Path)),
    responses(
        (status = 200, description = "the webhook", body = Success<WireWebhook>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:read")))
)]
#[get("/client/v4/zones/{zone_id}/webhooks/{webhook_id}")]
pub async fn show(
    permit: InZone<ReadWebhooks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (webhook, last) = service.webhook(&permit.0, webhook_id(&request)).await?;
    Ok(envelope::success(WireWebhook::of(webhook, last)))
}

/// Change a webhook. The token needs client_certificates:read in the zone too.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-edit",
    params(("zone_id" = String, Path, max_length = 32), ("webhook_id" = String, Path)),
    request_body = EditWebhook,
    responses(
        (status = 200, description = "the webhook, with its secret if that is new", body = Success<WireWebhook>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[patch("/client/v4/zones/{zone_id}/webhooks/{webhook_id}")]
pub async fn edit(
    permit: InZone<WriteWebhooks>,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let input = definition(recorded(&service, &permit.0, body::fields(payload).await).await?);
    let edited = service.edit_webhook(&permit.0, webhook_id(&request), input).await?;
    let messages = notes(&edited.messages);
    Ok(envelope::success_with(WireWebhook::defined(edited), messages))
}

/// Delete a webhook and the log of its deliveries.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-delete",
    params(("zone_id" = String, Path, max_length = 32), ("webhook_id" = String, Path)),
    responses(
        (status = 200, description = "deleted", body = Success<DeletedWebhook>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[delete("/client/v4/zones/{zone_id}/webhooks/{webhook_id}")]
pub async fn delete(
    permit: InZone<WriteWebhooks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let id = service.delete_webhook(&permit.0, webhook_id(&request)).await?;
    Ok(envelope::success(DeletedWebhook { id: id.to_string() }))
}

/// Send a webhook a `ping` now, whether it is on or off, and see what comes of it.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-test",
    params(("zone_id" = String, Path, max_length = 32), ("webhook_id" = String, Path)),
    responses(
        (status = 200, description = "the delivery, whatever came of it", body = Success<WireDelivery>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:write")))
)]
#[post("/client/v4/zones/{zone_id}/webhooks/{webhook_id}/test")]
pub async fn test(
    permit: InZone<WriteWebhooks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let (service, id) = (service.into_inner(), webhook_id(&request));
    let turn = service.turn_in_zone(&permit.0).await?;
    let delivery = to_the_end(async move { service.test_webhook(&permit.0, id, turn).await }).await?;
    Ok(envelope::success(WireDelivery::from(delivery)))
}

/// List the last deliveries of a webhook, the newest first; the last 500 are kept.
#[utoipa::path(
    tag = "Webhooks",
    operation_id = "webhooks-deliveries",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("webhook_id" = String, Path),
        ("page" = Option<f64>, Query),
        ("per_page" = Option<f64>, Query),
    ),
    responses(
        (status = 200, description = "one page", body = SuccessPage<WireDelivery>),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("zones:read")))
)]
#[get("/client/v4/zones/{zone_id}/webhooks/{webhook_id}/deliveries")]
pub async fn deliveries(
    permit: InZone<ReadWebhooks>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let mut parameters = Parameters::of(&request);
    let page = PageRequest::of(&mut parameters);
    parameters.finish()?;
    let found = service.webhook_deliveries(&permit.0, webhook_id(&request), page.window()).await?;
    let info = page.info(found.items.len(), found.total);
    Ok(envelope::page(found.items.into_iter().map(WireDelivery::from).collect(), info))
}

fn definition(mut fields: Fields) -> WebhookInput {
    WebhookInput {
        name: fields.optional("name", "a string", string),
        url: fields.optional("url", "a string", string),
        kinds: fields.optional("kinds", "a list of strings", strings),
        trusted_ca: fields
            .has("trusted_ca")
            .then(|| fields.optional("trusted_ca", "PEM of CA certificates, or null", string)),
        is_enabled: fields.optional("enabled", "true or false", Value::as_bool),
        rotates_secret: fields.optional("rotate_secret", "true or false", Value::as_bool).unwrap_or(false),
        faults: fields.into_faults(),
    }
}

fn notes(messages: &[String]) -> Vec<Note> {
    messages.iter().map(|message| Note::about_request(message.clone())).collect()
}

/// An id of another shape is simply unknown.
fn webhook_id(request: &HttpRequest) -> Option<WebhookId> {
    WebhookId::parse(request.match_info().query("webhook_id"))
}
