//! Removing an identity: who relies on it, and its name to be typed where somebody does.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;

use crate::service::access::{AccountPermit, RemoveIdentity};
use crate::service::identity_preview::RemovalPreview;
use crate::service::{Service, ServiceError};

use super::fault::Fault;
use super::identities::{crumb, identities_crumb, identity_id, use_link};
use super::page::{Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, Visitor};

#[derive(Template)]
#[template(path = "identity_removal.html", config = "src/http/console/askama.toml")]
struct RemovalPage {
    page: Page,
    removal: RemovalPreview,
    typed: String,
    fault: Option<&'static str>,
}

#[get("/identities/{identity_id}/remove")]
pub async fn ask(here: AccountPage<RemoveIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    show(&page(&here.visitor, &here.permit, &service, String::new()).await?)
}

#[post("/identities/{identity_id}/remove")]
pub async fn remove(sent: AccountForm<RemoveIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = identity_id(&sent.visitor.request);
    let typed = sent.form.text("name").to_owned();
    let mut page = page(&sent.visitor, &sent.permit, &service, typed).await?;
    let is_used = !page.removal.uses.is_empty();
    if is_used && page.typed.trim() != page.removal.identity.name.trim() {
        page.fault = Some("Type the name exactly as it stands above.");
        return show_with(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    // Only those that the form named are overruled: who came since is asked about anew.
    match service.remove_identity(&sent.permit, id, is_used).await {
        Ok(_) => Ok(go_to("/identities", Some(Flash::IdentityRemoved))),
        Err(ServiceError::InUse(_)) => {
            let mut page = self::page(&sent.visitor, &sent.permit, &service, page.typed).await?;
            page.fault = Some("Somebody has come to rely on it just now: look at who it is.");
            show_with(StatusCode::CONFLICT, &page)
        }
        Err(other) => Err(other.into()),
    }
}

async fn page(
    visitor: &Visitor,
    permit: &AccountPermit<RemoveIdentity>,
    service: &Service,
    typed: String,
) -> Result<RemovalPage, Fault> {
    let removal = service.preview_removal(permit, identity_id(&visitor.request)).await?;
    let page = visitor.page("Remove", vec![identities_crumb(), crumb(&removal.identity)]).await?;
    Ok(RemovalPage { page, removal, typed, fault: None })
}
