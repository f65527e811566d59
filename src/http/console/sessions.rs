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

/// A browser in two words: names that its own string holds, the more special ones first.
fn browser(agent: &str) -> String {
    const BROWSERS: [(&str, &str); 7] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&'static str, &'static str)]| {
        names.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
    };
    let browser = named(&BROWSERS).unwrap_or("A browser");
    named(&SYSTEMS).map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_by_what_sets_them_apart() {
        let chromium =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
        assert_eq!(browser(chromium), "Chrome on Linux");
        assert_eq!(browser(&format!("{chromium} Edg/156.0")), "Edge on Linux");
        assert_eq!(
            browser("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1"),
            "Safari on iPhone"
        );
        assert_eq!(browser("something else"), "A browser");
    }
}
