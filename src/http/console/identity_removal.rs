//! Removing an identity: who relies on it, and its name to be typed where somebody does. The form carries whom its page showed:
//! nobody else is overruled.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;

use crate::domain::identity::Use;
use crate::service::access::{AccountPermit, RemoveIdentity};
use crate::service::identity_preview::RemovalPreview;
use crate::service::identity_uses::mark;
use crate::service::{Service, ServiceError};

use super::fault::Fault;
use super::identities::{crumb, identities_crumb, identity_id, use_link};
use super::page::{Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, Visitor};

const SHOWN_AT_ONCE: usize = 50;

#[derive(Template)]
#[template(path = "identity_removal.html", config = "src/http/console/askama.toml")]
struct RemovalPage {
    page: Page,
    removal: RemovalPreview,
    uses: Vec<ShownUse>,
    /// Their marks.
    seen: String,
    typed: String,
    fault: Option<&'static str>,
}

struct ShownUse {
    using: Use,
    /// The page before did not show it.
    is_new: bool,
}

#[get("/identities/{identity_id}/remove")]
pub async fn ask(here: AccountPage<RemoveIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    show(&page(&here.visitor, &here.permit, &service, String::new(), None).await?)
}

#[post("/identities/{identity_id}/remove")]
pub async fn remove(sent: AccountForm<RemoveIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = identity_id(&sent.visitor.request);
    let typed = sent.form.text("name").to_owned();
    let seen: BTreeSet<String> = sent.form.text("seen").split_whitespace().map(str::to_owned).collect();
    let mut page = page(&sent.visitor, &sent.permit, &service, typed, Some(&seen)).await?;
    if page.uses.iter().any(|shown| shown.is_new) {
        return overtaken(page);
    }
    let is_used = !page.uses.is_empty();
    if is_used && page.typed.trim() != page.removal.identity.name.trim() {
        page.fault = Some("Type the name exactly as it stands above.");
        return show_with(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    match service.remove_identity_seeing(&sent.permit, id, &seen).await {
        Ok(_) => Ok(go_to("/identities", Some(Flash::IdentityRemoved))),
        // Between the look above and the removal itself.
        Err(ServiceError::InUse(_)) => {
            overtaken(self::page(&sent.visitor, &sent.permit, &service, page.typed, Some(&seen)).await?)
        }
        Err(other) => Err(other.into()),
    }
}

fn overtaken(mut page: RemovalPage) -> Result<HttpResponse, Fault> {
    page.fault = Some("Somebody has come to rely on it since you looked: see who it is before you go ahead.");
    show_with(StatusCode::CONFLICT, &page)
}

/// With whoever was not `seen` first, if somebody has looked before.
async fn page(
    visitor: &Visitor,
    permit: &AccountPermit<RemoveIdentity>,
    service: &Service,
    typed: String,
    seen: Option<&BTreeSet<String>>,
) -> Result<RemovalPage, Fault> {
    let mut removal = service.preview_removal(permit, identity_id(&visitor.request)).await?;
    let page = visitor.page("Remove", vec![identities_crumb(), crumb(&removal.identity)]).await?;
    let page = page.about(&removal.identity.name);
    let (mut marks, mut uses) = (Vec::new(), Vec::new());
    for using in std::mem::take(&mut removal.uses) {
        let mark = mark(&using);
        uses.push(ShownUse { using, is_new: seen.is_some_and(|seen| !seen.contains(&mark)) });
        marks.push(mark);
    }
    uses.sort_by_key(|shown| !shown.is_new);
    Ok(RemovalPage { page, removal, uses, seen: marks.join(" "), typed, fault: None })
}
