//! What every page has around its own content: title, way back, menu, what was just done, and the headers that guard it.

use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, VARY,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use flate2::Compression;

use super::assets::{self, Assets};
use super::fault::Fault;
use super::navigation::Group;

/// Nothing from another host, nothing inline, nobody around it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                              connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const FLASH: &str = "countersign_flash";

/// Handed to every template that extends `layout.html`, as its field `page`.
pub struct Page {
    pub title: String,
    /// What the title is of, where that alone would not say it; the crumb before the last names it too.
    pub about: Option<String>,
    /// From the account down to this page, which is the last.
    pub crumbs: Vec<Crumb>,
    pub menu: Vec<Group>,
    pub flash: Option<&'static str>,
    /// The name of the token.
    pub who: String,
    /// What each form of this page carries in `form`.
    pub proof: String,
    pub assets: &'static Assets,
}

impl Page {
    /// The same page with a heading that names what it is done to: "Change" which check, "Revoke" which token.
    pub fn about(mut self, name: &str) -> Self {
        self.about = Some(name.to_owned());
        self
    }
}

pub struct Crumb {
    pub label: String,
    pub href: String,
}

/// What was just done: told once, on the next page. Only these can be told, whatever a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flash {
    SignedOut,
    SessionEnded,
    Issued,
    RevocationAsked,
    ReactivationAsked,
    JobMade,
    JobCancelled,
    NothingChosen,
    TokenRevoked,
    ZoneMade,
    ZoneRenamed,
    WebhookEdited,
    WebhookRemoved,
    TestDelivered,
    TestFailed,
    IdentityKept,
    IdentityIssued,
    IdentityChanged,
    IdentityReplaced,
    IdentityRemoved,
    PrimaryMade,
    UseNoted,
    UseGone,
    CheckMade,
    CheckChanged,
    CheckRun,
    CheckRemoved,
}

impl Flash {
    const ALL: [(Self, &'static str, &'static str); 27] = [
        (Self::SignedOut, "signed-out", "You are signed out."),
        (Self::SessionEnded, "session-ended", "The session is ended."),
        (Self::Issued, "issued", "The certificate is issued and active. Download it below."),
        (Self::RevocationAsked, "revoking", "The revocation is under way: it is done once the CRL and OCSP show it."),
        (
            Self::ReactivationAsked,
            "reactivating",
            "The hold is being lifted: it is done once the CRL and OCSP show it.",
        ),
        (Self::JobMade, "job", "The certificates are being revoked, one after the other. This page follows it."),
        (Self::JobCancelled, "job-cancelled", "The job is stopped. What was asked until then stands."),
        (Self::NothingChosen, "none-chosen", "Nothing was done: choose at least one certificate."),
        (Self::TokenRevoked, "token-revoked", "The token is revoked: whoever uses it is refused within a second."),
        (Self::ZoneMade, "zone-made", "The zone is made, with an authority of its own that is ready to sign."),
        (Self::ZoneRenamed, "zone-renamed", "The zone has its new name."),
        (Self::WebhookEdited, "webhook-edited", "The webhook is saved."),
        (Self::WebhookRemoved, "webhook-removed", "The webhook is removed."),
        (Self::TestDelivered, "test-delivered", "The receiver took the test."),
        (Self::TestFailed, "test-failed", "The test was not delivered. The log below says why."),
        (
            Self::IdentityKept,
            "kept",
            "It is kept. The private key is sealed: nobody can read it back, and calls can present it.",
        ),
        (
            Self::IdentityIssued,
            "identity-issued",
            "It is issued and kept, and renewed in time. The private key was made here and is sealed: nobody can read it.",
        ),
        (Self::IdentityChanged, "identity-changed", "Changed."),
        (Self::IdentityReplaced, "replaced", "The new certificate is in place. Hosts, rank and uses stayed."),
        (Self::IdentityRemoved, "removed", "The identity and its private key are gone."),
        (Self::PrimaryMade, "primary", "It is the primary now: presented to every host that no other is for."),
        (Self::UseNoted, "use-noted", "Noted. The identity is now not removed by mistake."),
        (Self::UseGone, "use-gone", "Taken back."),
        (Self::CheckMade, "check-made", "The check is made. Its first result stands below as soon as it has run."),
        (Self::CheckChanged, "check-changed", "The check is changed."),
        (Self::CheckRun, "check-run", "It has run: the result stands first below."),
        (Self::CheckRemoved, "check-removed", "The check and its runs are gone."),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|entry| entry.0 == self).map_or("", |entry| entry.1)
    }

    pub(super) fn told(word: &str) -> Option<&'static str> {
        Self::ALL.iter().find(|entry| entry.1 == word).map(|entry| entry.2)
    }
}

/// The name of the cookie that carries it.
pub(super) fn flash_cookie() -> &'static str {
    FLASH
}

/// A page as an answer.
pub fn show(template: &impl Template) -> Result<HttpResponse, Fault> {
    show_with(StatusCode::OK, template)
}

/// A page that says what is wrong with a form.
pub fn show_with(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Fault> {
    Ok(shown(status).body(template.render()?))
}

/// A page of long tables that is looked at over and over, packed where the browser takes that. For pages that hold nothing
/// of what the address asks for: of others, the length would tell whether a guess stands in them too.
pub fn show_packed(request: &HttpRequest, template: &impl Template) -> Result<HttpResponse, Fault> {
    let text = template.render()?;
    let mut response = shown(StatusCode::OK);
    response.append_header((VARY, ACCEPT_ENCODING.as_str()));
    if assets::takes_packed(request) {
        let packed = assets::packed(text.as_bytes(), Compression::fast());
        return Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(packed));
    }
    Ok(response.body(text))
}

fn shown(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    // It has been told with this.
    let told = Cookie::build(FLASH, "").path("/").http_only(true).same_site(SameSite::Strict).max_age(Duration::ZERO);
    guarded(&mut response).cookie(told.finish()).content_type("text/html; charset=utf-8");
    response
}

/// A part of a page that a script asked for by itself: what is to be told on the next page waits for that.
pub fn show_part(template: &impl Template) -> Result<HttpResponse, Fault> {
    let text = template.render()?;
    Ok(guarded(&mut HttpResponse::Ok()).content_type("text/html; charset=utf-8").body(text))
}

/// Goes on to another page, which a reload does not send again.
pub fn go_to(address: &str, flash: Option<Flash>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    guarded(&mut response).insert_header(("location", address));
    if let Some(flash) = flash {
        let cookie = Cookie::build(FLASH, flash.word()).path("/").http_only(true).same_site(SameSite::Strict);
        response.cookie(cookie.max_age(Duration::minutes(1)).finish());
    }
    response.finish()
}

/// The headers of everything that the console answers.
pub fn guarded(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        // Forms of ours must say where they come from.
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .insert_header((VARY, "cookie, hx-request"))
}

pub fn assets() -> &'static Assets {
    assets::all()
}
