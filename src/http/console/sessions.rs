//! The sessions of one's own token: seeing where one is signed in, and ending that.

use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::id::SessionId;
use crate::domain::session::Session;
use crate::service::Service;

use super::fault::Fault;
use super::page::{Flash, Page, go_to, show};
use super::show;
use super::visitor::{Visitor, VisitorForm};

#[derive(Template)]
#[template(path = "sessions.html", config = "src/http/console/askama.toml")]
struct SessionsPage {
    page: Page,
    sessions: Vec<Session>,
    own: SessionId,
    now: DateTime<Utc>,
}

#[get("/sessions")]
pub async fn list(visitor: Visitor, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let page = visitor.page("Sessions", Vec::new()).await?;
    let sessions = service.sessions(&visitor.signed_in).await?;
    show(&SessionsPage { page, sessions, own: visitor.signed_in.session.id, now: service.clock().now() })
}

#[post("/sessions/{session_id}/end")]
pub async fn end(sent: VisitorForm, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = SessionId::parse(sent.visitor.request.match_info().query("session_id")).ok_or_else(Fault::no_page)?;
    if !service.end_session(&sent.visitor.signed_in, id).await? {
        return Err(Fault::no_page());
    }
    // One's own: the next page asks for a sign-in.
    Ok(go_to("/sessions", Some(Flash::SessionEnded)))
}
