//! The webhooks of a zone: who is told what happens there, and what came of it. A secret is shown once, in the answer that
//! made it.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use crate::domain::event::Event;
use crate::domain::event_stream::ACCOUNT_KINDS;
use crate::domain::id::WebhookId;
use crate::domain::permission::Permission;
use crate::domain::violation::Violation;
use crate::domain::webhook::{Delivery, KEPT_DELIVERIES, Webhook};
use crate::domain::zone::Zone;
use crate::service::access::{ReadWebhooks, WriteWebhooks};
use crate::service::webhooks::{DefinedWebhook, WebhookInput};
use crate::service::{Service, ServiceError};
use crate::store::{Page as Found, Window};

use super::confirm::{Confirmation, Question};
use super::fault::Fault;
use super::page::{Crumb, Flash, Page, go_to, show, show_with};
use super::show::{self, Plain};
use super::visitor::{Form, PRIVATE_KEY_SENT, Visitor, ZoneForm, ZonePage, holds_private_key};

const PER_PAGE: i64 = 25;

#[derive(Template)]
#[template(path = "webhooks.html", config = "src/http/console/askama.toml")]
struct WebhooksPage {
    page: Page,
    zone: Zone,
    webhooks: Vec<(Webhook, Option<Delivery>)>,
    may_write: bool,
    now: DateTime<Utc>,
}

#[derive(Template)]
#[template(path = "webhook.html", config = "src/http/console/askama.toml")]
struct WebhookPage {
    page: Page,
    zone: Zone,
    webhook: Webhook,
    disabled_reason: Option<String>,
    deliveries: Found<Delivery>,
    number: i64,
    may_write: bool,
}

#[derive(Template)]
#[template(path = "webhook_form.html", config = "src/http/console/askama.toml")]
struct FormPage {
    page: Page,
    zone: Zone,
    /// None for a new one.
    id: Option<WebhookId>,
    /// What can be heard of.
    kinds: Vec<&'static str>,
    typed: Typed,
    faults: Vec<Violation>,
}

/// The one page that shows a secret.
#[derive(Template)]
#[template(path = "webhook_secret.html", config = "src/http/console/askama.toml")]
struct SecretPage {
    page: Page,
    zone: Zone,
    id: WebhookId,
    secret: String,
    messages: Vec<String>,
}

#[derive(Default)]
struct Typed {
    name: String,
    url: String,
    kinds: Vec<String>,
    trusted_ca: String,
    /// A private key came among the CAs, and was thrown away.
    had_key: bool,
    is_enabled: bool,
    rotates_secret: bool,
}

#[get("/zones/{zone_id}/webhooks")]
pub async fn list(here: ZonePage<ReadWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    show(&WebhooksPage {
        page: here.visitor.zone_page(&zone, "Webhooks", Vec::new()).await?,
        webhooks: service.webhooks(&here.permit).await?,
        may_write: here.visitor.may(Permission::WriteZones, &zone),
        zone,
        now: service.clock().now(),
    })
}

#[get("/zones/{zone_id}/webhooks/new")]
pub async fn ask(here: ZonePage<WriteWebhooks>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let typed = Typed { is_enabled: true, ..Typed::default() };
    show(&new_page(&here.visitor, zone, typed, Vec::new()).await?)
}

#[post("/zones/{zone_id}/webhooks")]
pub async fn create(sent: ZoneForm<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = sent.permit.issuer().zone.clone();
    let typed = Typed::of(&sent.form);
    match service.create_webhook(&sent.permit, typed.input(None)).await {
        Ok(made) => told(&sent.visitor, zone, made, Flash::WebhookEdited).await,
        Err(ServiceError::Invalid(faults)) => {
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &new_page(&sent.visitor, zone, typed, faults).await?)
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/zones/{zone_id}/webhooks/{webhook_id}")]
pub async fn show_one(here: ZonePage<ReadWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let id = webhook_id(&here.visitor.request);
    let (webhook, last) = service.webhook(&here.permit, id).await?;
    let number = page_number(&here.visitor.request);
    let window = Window { offset: (number - 1) * PER_PAGE, length: PER_PAGE };
    show(&WebhookPage {
        page: here.visitor.zone_page(&zone, &webhook.definition.name, vec![webhooks_crumb(&zone)]).await?,
        disabled_reason: webhook.disabled_reason(last.as_ref()),
        deliveries: service.webhook_deliveries(&here.permit, id, window).await?,
        may_write: here.visitor.may(Permission::WriteZones, &zone),
        webhook,
        number,
        zone,
    })
}

/// Sends a `ping` now; the log then holds what came of it.
#[post("/zones/{zone_id}/webhooks/{webhook_id}/test")]
pub async fn test(sent: ZoneForm<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let (service, id) = (service.into_inner(), webhook_id(&sent.visitor.request));
    let turn = service.turn_in_zone(&sent.permit).await?;
    let permit = sent.permit.clone();
    // What is under way is recorded, though its caller may hang up.
    let tested = tokio::spawn(async move { service.test_webhook(&permit, id, turn).await }).await;
    let delivery = tested.map_err(|error| ServiceError::Internal(error.to_string()))??;
    let flash = if delivery.is_success() { Flash::TestDelivered } else { Flash::TestFailed };
    Ok(go_to(&format!("/zones/{}/webhooks/{}", sent.permit.zone(), delivery.webhook), Some(flash)))
}

#[get("/zones/{zone_id}/webhooks/{webhook_id}/edit")]
pub async fn ask_edit(here: ZonePage<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let webhook = existing(&here.visitor, &service, &zone).await?;
    let typed = Typed::stored(&webhook);
    show(&edit_page(&here.visitor, zone, &webhook, typed, Vec::new()).await?)
}

#[post("/zones/{zone_id}/webhooks/{webhook_id}/edit")]
pub async fn edit(sent: ZoneForm<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = sent.permit.issuer().zone.clone();
    let before = existing(&sent.visitor, &service, &zone).await?;
    let typed = Typed::of(&sent.form);
    match service.edit_webhook(&sent.permit, Some(before.id), typed.input(Some(&before))).await {
        Ok(edited) => told(&sent.visitor, zone, edited, Flash::WebhookEdited).await,
        Err(ServiceError::Invalid(faults)) => {
            let page = edit_page(&sent.visitor, zone, &before, typed, faults).await?;
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/zones/{zone_id}/webhooks/{webhook_id}/remove")]
pub async fn ask_remove(here: ZonePage<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let webhook = existing(&here.visitor, &service, &zone).await?;
    let question = Question {
        text: "The webhook and the log of its deliveries are removed for good.".into(),
        consequence: "Its receiver hears of nothing that happens from now on, and nobody tells it later. To pause it, \
                      switch it off instead: then it is told what it missed."
            .into(),
        button: format!("Remove the webhook {}", webhook.definition.name),
        keep: "Keep it",
        back: address(&zone, webhook.id),
    };
    let page = here.visitor.zone_page(&zone, "Remove", webhook_crumbs(&zone, &webhook)).await?;
    let page = page.about(&webhook.definition.name);
    Confirmation::answer(page, question, None)
}

#[post("/zones/{zone_id}/webhooks/{webhook_id}/remove")]
pub async fn remove(sent: ZoneForm<WriteWebhooks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    service.delete_webhook(&sent.permit, webhook_id(&sent.visitor.request)).await?;
    Ok(go_to(&format!("/zones/{}/webhooks", sent.permit.zone()), Some(Flash::WebhookRemoved)))
}

/// On to the webhook; by way of its secret, where there is a new one.
async fn told(visitor: &Visitor, zone: Zone, defined: DefinedWebhook, flash: Flash) -> Result<HttpResponse, Fault> {
    let webhook = defined.webhook;
    let Some(secret) = defined.secret else { return Ok(go_to(&address(&zone, webhook.id), Some(flash))) };
    show(&SecretPage {
        page: visitor.zone_page(&zone, &webhook.definition.name, vec![webhooks_crumb(&zone)]).await?,
        zone,
        id: webhook.id,
        secret: secret.expose_secret().to_owned(),
        messages: defined.messages,
    })
}

/// The webhook that the path names, for whoever may read it.
async fn existing(visitor: &Visitor, service: &Service, zone: &Zone) -> Result<Webhook, Fault> {
    let permit = service.permit_in_zone::<ReadWebhooks>(visitor.caller().clone(), zone.id).await?;
    Ok(service.webhook(&permit, webhook_id(&visitor.request)).await?.0)
}

async fn new_page(visitor: &Visitor, zone: Zone, typed: Typed, faults: Vec<Violation>) -> Result<FormPage, Fault> {
    let page = visitor.zone_page(&zone, "New webhook", vec![webhooks_crumb(&zone)]).await?;
    Ok(FormPage { page, kinds: kinds(visitor, &zone, &typed), zone, id: None, typed, faults })
}

async fn edit_page(
    visitor: &Visitor,
    zone: Zone,
    webhook: &Webhook,
    typed: Typed,
    faults: Vec<Violation>,
) -> Result<FormPage, Fault> {
    let page =
        visitor.zone_page(&zone, "Change", webhook_crumbs(&zone, webhook)).await?.about(&webhook.definition.name);
    Ok(FormPage { page, kinds: kinds(visitor, &zone, &typed), zone, id: Some(webhook.id), typed, faults })
}

/// Those that a webhook of this visitor's can hear of, and those that it hears of already.
fn kinds(visitor: &Visitor, zone: &Zone, typed: &Typed) -> Vec<&'static str> {
    let grants = &visitor.caller().token().grants;
    let hears_account = grants.allow_in_account(Permission::ReadIdentities, zone.account.id);
    let is_open = |kind: &&str| hears_account || !ACCOUNT_KINDS.contains(kind) || typed.hears(kind);
    Event::KINDS.into_iter().filter(is_open).collect()
}

/// What an event says, for whoever chooses among them.
fn what_happened(kind: &str) -> &'static str {
    match kind {
        "certificate.issued" => "a certificate was signed",
        "certificate.pending_revocation" => "somebody asked to revoke one",
        "certificate.revoked" => "relying parties can see that it is revoked",
        "certificate.pending_reactivation" => "somebody asked to lift a hold",
        "certificate.reactivated" => "relying parties can see that it is good again",
        "certificate.expiring" => "one ends soon",
        "crl.published" => "there is a new CRL",
        "identity.expiring" => "an identity ends soon",
        "check.state" => "a check fails, or passes again",
        _ => "",
    }
}

impl Typed {
    fn of(form: &Form) -> Self {
        let had_key = holds_private_key(form.text("trusted_ca"));
        let trusted_ca = if had_key { String::new() } else { form.text("trusted_ca").to_owned() };
        Self {
            name: form.text("name").to_owned(),
            url: form.text("url").trim().to_owned(),
            kinds: sorted(form.all("kind")),
            trusted_ca,
            had_key,
            is_enabled: form.filled("enabled").is_some(),
            rotates_secret: form.filled("rotate_secret").is_some(),
        }
    }

    fn stored(webhook: &Webhook) -> Self {
        let definition = &webhook.definition;
        Self {
            name: definition.name.clone(),
            url: definition.url.clone(),
            kinds: sorted(definition.kinds.words()),
            trusted_ca: definition.trusted_ca.clone(),
            had_key: false,
            is_enabled: definition.is_enabled,
            rotates_secret: false,
        }
    }

    /// What differs from what is there: what is not named stays, and is not judged by what the visitor may hear.
    fn input(&self, before: Option<&Webhook>) -> WebhookInput {
        let stored = before.map(Self::stored);
        let differs = |is_other: fn(&Self, &Self) -> bool| stored.as_ref().is_none_or(|stored| is_other(self, stored));
        let lines = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
        let trusted = lines(&self.trusted_ca);
        let keeps_trust = stored.as_ref().is_some_and(|stored| lines(&stored.trusted_ca) == trusted);
        WebhookInput {
            name: differs(|new, old| new.name != old.name).then(|| self.name.clone()),
            url: differs(|new, old| new.url != old.url).then(|| self.url.clone()),
            kinds: differs(|new, old| new.kinds != old.kinds).then(|| self.kinds.clone()),
            trusted_ca: (!keeps_trust).then(|| Some(trusted).filter(|pem| !pem.is_empty())),
            is_enabled: differs(|new, old| new.is_enabled != old.is_enabled).then_some(self.is_enabled),
            rotates_secret: self.rotates_secret,
            faults: if self.had_key { vec![Violation::new("/trusted_ca", PRIVATE_KEY_SENT)] } else { Vec::new() },
        }
    }

    fn hears(&self, kind: &str) -> bool {
        self.kinds.iter().any(|chosen| chosen == kind)
    }
}

fn sorted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The faults of one field; those of none of them when it has no name.
fn of_field<'a>(faults: &'a [Violation], field: &str) -> Vec<&'a str> {
    const FIELDS: [&str; 4] = ["name", "url", "kinds", "trusted_ca"];
    let is_of = |fault: &&Violation| match fault.pointer.split('/').nth(1) {
        Some(named) if FIELDS.contains(&named) => named == field,
        _ => field.is_empty(),
    };
    faults.iter().filter(is_of).map(|fault| fault.message.as_str()).collect()
}

/// The server that is told, without what may be secret in the address.
fn receiver(webhook: &Webhook) -> String {
    let url = url::Url::parse(&webhook.definition.url);
    url.ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

fn many(count: impl Plain<i32>) -> i64 {
    i64::from(count.plain())
}

fn address(zone: &Zone, id: WebhookId) -> String {
    format!("/zones/{}/webhooks/{id}", zone.id)
}

fn webhooks_crumb(zone: &Zone) -> Crumb {
    Crumb { label: "Webhooks".into(), href: format!("/zones/{}/webhooks", zone.id) }
}

fn webhook_crumbs(zone: &Zone, webhook: &Webhook) -> Vec<Crumb> {
    let own = Crumb { label: webhook.definition.name.clone(), href: address(zone, webhook.id) };
    vec![webhooks_crumb(zone), own]
}

fn webhook_id(request: &HttpRequest) -> Option<WebhookId> {
    WebhookId::parse(request.match_info().query("webhook_id"))
}

fn page_number(request: &HttpRequest) -> i64 {
    let query = url::form_urlencoded::parse(request.query_string().as_bytes());
    let asked = query.into_owned().find(|(name, _)| name == "page").and_then(|(_, value)| value.parse().ok());
    asked.filter(|number| (1..=KEPT_DELIVERIES).contains(number)).unwrap_or(1)
}
