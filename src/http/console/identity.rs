//! One identity: what its certificate holds, who relies on it; renaming it, its hosts and rank, and noting uses.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::identity::{Identity, Use};
use crate::domain::permission::Permission;
use crate::domain::violation::Violation;
use crate::service::access::{AccountPermit, AssociateIdentity, EditIdentity, ReadIdentities};
use crate::service::identities::EditInput;
use crate::service::identity_uses::UseInput;
use crate::service::{Service, ServiceError};

use super::certificate::key_type_name;
use super::fault::Fault;
use super::field_faults::FieldFaults;
use super::identities::{address, crumb, identities_crumb, identity_id, state, use_link};
use super::identity_upload::{lines, shown};
use super::page::{Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, Visitor, searched};

/// What a check is called among the uses: it says so itself, and is taken back by changing it.
const BY_THEMSELVES: [&str; 2] = ["check", "zone"];

#[derive(Template)]
#[template(path = "identity.html", config = "src/http/console/askama.toml")]
struct IdentityPage {
    page: Page,
    identity: Identity,
    uses: Vec<Use>,
    serial: String,
    may_write: bool,
    may_use: bool,
    typed: TypedUse,
    faults: FieldFaults,
    now: DateTime<Utc>,
}

#[derive(Default)]
struct TypedUse {
    name: String,
    kind: String,
    link: String,
}

#[derive(Template)]
#[template(path = "identity_edit.html", config = "src/http/console/askama.toml")]
struct EditPage {
    page: Page,
    identity: Identity,
    name: String,
    hosts: String,
    is_primary: bool,
    faults: FieldFaults,
}

#[get("/identities/{identity_id}")]
pub async fn show_one(here: AccountPage<ReadIdentities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    show(&page(&here.visitor, &here.permit, &service, TypedUse::default()).await?)
}

#[get("/identities/{identity_id}/edit")]
pub async fn ask_edit(here: AccountPage<EditIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let identity = shown(&here.visitor, &here.visitor.request, &service).await?;
    let hosts: Vec<&str> = identity.hosts.iter().map(|host| host.as_str()).collect();
    let (name, hosts, is_primary) = (identity.name.clone(), hosts.join("\n"), identity.is_primary);
    show(&EditPage {
        page: edit_page(&here.visitor, &identity).await?,
        identity,
        name,
        hosts,
        is_primary,
        faults: FieldFaults::default(),
    })
}

#[post("/identities/{identity_id}/edit")]
pub async fn edit(sent: AccountForm<EditIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = identity_id(&sent.visitor.request);
    let identity = shown(&sent.visitor, &sent.visitor.request, &service).await?;
    let form = &sent.form;
    let (name, hosts) = (form.text("name").to_owned(), form.text("hosts").to_owned());
    let is_primary = form.filled("primary").is_some();
    let input = EditInput {
        name: Some(name.clone()),
        hosts: (!identity.is_ca).then(|| lines(&hosts)),
        is_primary: (is_primary != identity.is_primary).then_some(is_primary),
        ..EditInput::default()
    };
    match service.edit_identity(&sent.permit, id, input).await {
        Ok(kept) => Ok(go_to(&address(kept.identity.id), Some(Flash::IdentityChanged))),
        Err(ServiceError::Invalid(violations)) => {
            let page = edit_page(&sent.visitor, &identity).await?;
            let faults = FieldFaults::new(violations, &["name", "hosts", "primary"]);
            let shown = EditPage { page, identity, name, hosts, is_primary, faults };
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Err(other) => Err(other.into()),
    }
}

#[post("/identities/{identity_id}/primary")]
pub async fn make_primary(sent: AccountForm<EditIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let input = EditInput { is_primary: Some(true), ..EditInput::default() };
    let kept = service.edit_identity(&sent.permit, identity_id(&sent.visitor.request), input).await?;
    Ok(go_to(&address(kept.identity.id), Some(Flash::PrimaryMade)))
}

#[post("/identities/{identity_id}/uses")]
pub async fn associate(
    sent: AccountForm<AssociateIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let id = identity_id(&sent.visitor.request);
    let text = |name: &str| sent.form.text(name).trim().to_owned();
    let typed = TypedUse { name: text("name"), kind: text("kind"), link: text("link") };
    let input = UseInput {
        kind: Some(typed.kind.clone()).filter(|kind| !kind.is_empty()),
        link: Some(typed.link.clone()).filter(|link| !link.is_empty()),
        faults: Vec::new(),
    };
    let violations = match service.associate_identity(&sent.permit, id, &typed.name, input).await {
        Ok(_) => {
            let to = id.map_or_else(|| "/identities".into(), |id| format!("{}#uses", address(id)));
            return Ok(go_to(&to, Some(Flash::UseNoted)));
        }
        Err(ServiceError::Invalid(violations)) => violations,
        Err(other) => return Err(other.into()),
    };
    // The service tells what is wrong with the name as about the whole.
    let at_name = |violation: Violation| match violation.pointer.as_str() {
        "" => Violation::new("/name", violation.message),
        _ => violation,
    };
    let caller = sent.visitor.caller();
    let permit = service.permit_in_account::<ReadIdentities>(caller.clone(), caller.account()).await?;
    let mut page = page(&sent.visitor, &permit, &service, typed).await?;
    page.faults = FieldFaults::new(violations.into_iter().map(at_name).collect(), &["name", "kind", "link"]);
    show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

#[post("/identities/{identity_id}/uses/end")]
pub async fn dissociate(
    sent: AccountForm<AssociateIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let id = identity_id(&sent.visitor.request).ok_or_else(Fault::no_page)?;
    service.dissociate_identity(&sent.permit, Some(id), &searched(sent.form.text("name"))).await?;
    Ok(go_to(&format!("{}#uses", address(id)), Some(Flash::UseGone)))
}

async fn page(
    visitor: &Visitor,
    permit: &AccountPermit<ReadIdentities>,
    service: &Service,
    typed: TypedUse,
) -> Result<IdentityPage, Fault> {
    let id = identity_id(&visitor.request);
    let identity = service.identity(permit, id).await?;
    let uses = service.identity_uses(permit, id).await?;
    Ok(IdentityPage {
        page: visitor.page(&identity.name, vec![identities_crumb()]).await?,
        serial: hex::encode(&identity.facts.serial),
        uses,
        identity,
        may_write: visitor.may_in_account(Permission::WriteIdentities),
        may_use: visitor.may_in_account(Permission::UseIdentities),
        typed,
        faults: FieldFaults::default(),
        now: service.clock().now(),
    })
}

async fn edit_page(visitor: &Visitor, identity: &Identity) -> Result<Page, Fault> {
    Ok(visitor.page("Change", vec![identities_crumb(), crumb(identity)]).await?.about(&identity.name))
}

/// Whether a use was said by somebody, and not seen by ourselves.
fn is_said(using: &Use) -> bool {
    !BY_THEMSELVES.contains(&using.kind.as_str())
}
