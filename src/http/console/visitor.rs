//! Who looks at a page, and who sends a form: extractors that a handler names for what it does, as those of the API.
//!
//! A page is asked for with [`Visitor`], [`ZonePage`] or [`AccountPage`]; a form that changes something comes as
//! [`VisitorForm`], [`ZoneForm`] or [`AccountForm`], which exist only if it came from a page of the same session, from this very
//! site, for the first time.

use std::future::Future;
use std::pin::Pin;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, ORIGIN, REFERER};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use secrecy::{ExposeSecret, SecretString};
use zeroize::{Zeroize, Zeroizing};

use crate::domain::bulk::MAX_IDS;
use crate::domain::id::ZoneId;
use crate::domain::permission::{Permission, Reach};
use crate::domain::zone::Zone;
use crate::http::authentication::{service, source};
use crate::http::body;
use crate::service::access::{AccountPermit, Act, Caller, ReadCertificates, ZonePermit};
use crate::service::sessions::{FormProof, SignedIn};

use super::again::{TakenForm, voucher_of};
use super::fault::{Fault, WayOut};
use super::page::{self, Crumb, Flash, Page};
use super::{is_secure, navigation};

/// The longest address that a sign-in leads back to.
const MAX_ADDRESS: usize = 2000;
/// A form that chooses as many certificates as can be chosen has no more fields than this.
const MAX_FIELDS: usize = MAX_IDS + 100;
/// The field of a form that proves where it came from.
const PROOF: &str = "form";

/// Somebody who is signed in.
pub struct Visitor {
    pub signed_in: SignedIn,
    pub request: HttpRequest,
}

/// A visitor who may do `A` in the zone that the path names.
pub type ZonePage<A> = Seen<ZonePermit<A>>;

/// A visitor who may do `A` in the account of their token.
pub type AccountPage<A> = Seen<AccountPermit<A>>;

/// A form of a page of the same session, sent once.
pub type VisitorForm = Sent<()>;

/// The same, from a visitor who may do `A` in the zone that the path names.
pub type ZoneForm<A> = Sent<ZonePermit<A>>;

/// The same, from a visitor who may do `A` in the account of their token.
pub type AccountForm<A> = Sent<AccountPermit<A>>;

/// A form that changes nothing and may therefore be sent as often as one likes: a question.
pub type ZoneQuestion<A> = Asked<ZonePermit<A>>;

/// The same, for what belongs to the account.
pub type AccountQuestion<A> = Asked<AccountPermit<A>>;

/// A page that is asked for, and what its visitor may do.
pub struct Seen<P> {
    pub visitor: Visitor,
    pub permit: P,
}

/// A form that is taken once, and what who sent it may do.
pub struct Sent<P> {
    pub visitor: Visitor,
    pub form: Form,
    pub permit: P,
}

/// A form that is not taken, and what who sent it may do.
pub struct Asked<P> {
    pub visitor: Visitor,
    pub form: Form,
    pub permit: P,
}

/// The fields of a form, decoded. A name that comes twice counts once, the first, unless all are asked for.
pub struct Form(Vec<(String, String)>);

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, Fault>>>>;

impl FromRequest for Visitor {
    type Error = Fault;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { visitor(request).await })
    }
}

impl<P: Given + 'static> FromRequest for Seen<P> {
    type Error = Fault;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let visitor = visitor(request).await?;
            let permit = P::given_to(&visitor).await?;
            Ok(Self { visitor, permit })
        })
    }
}

impl<P: Given + 'static> FromRequest for Sent<P> {
    type Error = Fault;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload).into_inner());
        Box::pin(async move {
            let Asked { visitor, form, permit } = asked(request, payload).await?;
            visitor.take(&form).await?;
            Ok(Self { visitor, form, permit })
        })
    }
}

impl<P: Given + 'static> FromRequest for Asked<P> {
    type Error = Fault;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload).into_inner());
        Box::pin(asked(request, payload))
    }
}

/// What a visitor is given before the handler runs, or refused.
pub trait Given: Sized {
    fn given_to(visitor: &Visitor) -> impl Future<Output = Result<Self, Fault>>;
}

/// Whoever is signed in.
impl Given for () {
    async fn given_to(_: &Visitor) -> Result<Self, Fault> {
        Ok(())
    }
}

impl<A: Act> Given for ZonePermit<A> {
    async fn given_to(visitor: &Visitor) -> Result<Self, Fault> {
        let zone = ZoneId::parse(visitor.request.match_info().query("zone_id")).ok_or_else(Fault::no_page)?;
        Ok(service(&visitor.request)?.permit_in_zone(visitor.caller().clone(), zone).await?)
    }
}

impl<A: Act> Given for AccountPermit<A> {
    async fn given_to(visitor: &Visitor) -> Result<Self, Fault> {
        let account = visitor.caller().account();
        Ok(service(&visitor.request)?.permit_in_account(visitor.caller().clone(), account).await?)
    }
}

impl Form {
    /// A form without a session behind it: the sign-in.
    pub async fn of_stranger(request: &HttpRequest, payload: web::Payload, max: usize) -> Result<Self, Fault> {
        require_own_site(request)?;
        Self::read(payload, max).await
    }

    async fn read(payload: web::Payload, max: usize) -> Result<Self, Fault> {
        let body = Zeroizing::new(body::read_at_most(payload, max).await?);
        Self::parse(&body).ok_or_else(|| {
            let text = format!("A form can have {MAX_FIELDS} fields; this one has more. Choose less at once.");
            Fault::new(StatusCode::BAD_REQUEST, "The form is too large", text, WayOut::home())
        })
    }

    fn parse(body: &[u8]) -> Option<Self> {
        // Counted before anything is made of them: a body has room for hundreds of thousands.
        let count = body.iter().filter(|byte| **byte == b'&').count() + 1;
        (count <= MAX_FIELDS).then(|| Self(url::form_urlencoded::parse(body).into_owned().collect()))
    }

    #[cfg(test)]
    pub fn with(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// A field as it was typed; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// A field that says something.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    /// A field that nobody is to read again: moved out, not copied.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        let place = self.0.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.0.remove(place);
        Some(SecretString::from(value)).filter(|secret| !secret.expose_secret().is_empty())
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Keys and passphrases come in forms.
impl Drop for Form {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

impl Visitor {
    pub fn caller(&self) -> &Caller {
        &self.signed_in.caller
    }

    pub fn may(&self, permission: Permission, zone: &Zone) -> bool {
        self.caller().token().grants.allow_in_zone(permission, zone.account.id, zone.id)
    }

    pub fn may_in_account(&self, permission: Permission) -> bool {
        self.caller().token().grants.allow_in_account(permission, self.caller().account())
    }

    /// Whether a script of ours asked, by itself or for a part of a page.
    pub fn is_script(&self) -> bool {
        is_script(&self.request)
    }

    /// What stands around a page that belongs to no zone. `crumbs` lead to it from the account; the page itself is added.
    pub async fn page(&self, title: &str, crumbs: Vec<Crumb>) -> Result<Page, Fault> {
        self.page_in(None, title, crumbs).await
    }

    /// What stands around a page of a zone.
    pub async fn zone_page(&self, zone: &Zone, title: &str, crumbs: Vec<Crumb>) -> Result<Page, Fault> {
        let home = Crumb { label: zone_title(zone), href: format!("/zones/{}", zone.id) };
        let is_home = crumbs.is_empty() && title == zone_title(zone);
        let crumbs = if is_home { crumbs } else { std::iter::once(home).chain(crumbs).collect() };
        self.page_in(Some(zone), title, crumbs).await
    }

    async fn page_in(&self, zone: Option<&Zone>, title: &str, crumbs: Vec<Crumb>) -> Result<Page, Fault> {
        let service = service(&self.request)?;
        let (caller, path) = (self.caller(), self.request.path());
        let zones = self.zones().await?;
        let account = service.account(caller, caller.account()).await?;
        let mut trail = vec![Crumb { label: account_title(&account.name), href: "/".into() }];
        trail.extend(crumbs);
        if path != "/" {
            trail.push(Crumb { label: title.to_owned(), href: path.to_owned() });
        }
        let flash = self.request.cookie(page::flash_cookie()).filter(|_| !self.is_script());
        let title = trail.last().map(|crumb| crumb.label.clone()).unwrap_or_default();
        Ok(Page {
            title,
            about: None,
            crumbs: trail,
            menu: navigation::menu(&caller.token().grants, &zones, zone, path),
            flash: flash.and_then(|cookie| Flash::told(cookie.value())),
            who: caller.token().name.clone(),
            proof: service.form_proof(&self.signed_in)?,
            assets: page::assets(),
        })
    }

    /// The zones that the token reaches, as far as it may know of them: all that it may list, or those that it names.
    pub async fn zones(&self) -> Result<Vec<Zone>, Fault> {
        let service = service(&self.request)?;
        let caller = self.caller();
        let grants = &caller.token().grants;
        if grants.permissions.contains(&Permission::ReadZones) {
            return Ok(service.zones(caller).await?);
        }
        let Reach::Zones(named) = &grants.reach else { return Ok(Vec::new()) };
        let mut zones = Vec::new();
        for zone in named {
            if let Ok(permit) = service.permit_in_zone::<ReadCertificates>(caller.clone(), *zone).await {
                zones.push(permit.issuer().zone.clone());
            }
        }
        Ok(zones)
    }

    async fn take(&self, form: &Form) -> Result<(), Fault> {
        let proof = form.text(PROOF);
        let voucher = voucher_of(&self.request, proof);
        match service(&self.request)?.take_form(&self.signed_in, proof, voucher.as_deref()).await? {
            FormProof::Good => {
                let taken = TakenForm { signed_in: self.signed_in.clone(), proof: proof.to_owned() };
                self.request.extensions_mut().insert(taken);
                Ok(())
            }
            FormProof::Repeated => Err(Fault::repeated_form(came_from(&self.request))),
            FormProof::Forged => Err(Fault::forged_form()),
        }
    }
}

/// What is said of a private key in a field that asks for something else.
pub const PRIVATE_KEY_SENT: &str =
    "this held a private key, and was thrown away: no such key belongs here. Since it left your machine, replace it";

/// A private key in PEM, whole or in part. A field that asks for something else never shows it again.
pub fn holds_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY")
}

/// What somebody searches for. PostgreSQL takes no NUL, and no text that is kept has one, so none is searched for either.
pub fn searched(text: &str) -> String {
    text.replace('\0', "").trim().to_owned()
}

/// What the first page of a zone is called.
pub fn zone_title(zone: &Zone) -> String {
    format!("Zone {}", zone.name)
}

/// What the first page of an account is called.
fn account_title(name: &str) -> String {
    format!("Account {name}")
}

/// The cookie of a session, or one that takes it away.
pub fn session_cookie(request: &HttpRequest, value: Option<&str>) -> Cookie<'static> {
    let is_secure = is_secure(request);
    let cookie = Cookie::build(cookie_name(is_secure), value.unwrap_or_default().to_owned());
    let mut cookie = cookie.path("/").http_only(true).same_site(SameSite::Strict).secure(is_secure).finish();
    if value.is_none() {
        cookie.make_removal();
    }
    cookie
}

/// An address of this site that a sign-in may lead to; the overview for everything else.
pub fn own_address(address: &str) -> String {
    let is_own = address.starts_with('/') && !address.starts_with("//") && address.len() <= MAX_ADDRESS;
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own && is_plain && !address.starts_with("/sign-") { address.to_owned() } else { "/".to_owned() }
}

async fn visitor(request: HttpRequest) -> Result<Visitor, Fault> {
    let cookie = request.cookie(cookie_name(is_secure(&request)));
    let is_script = is_script(&request);
    let is_act = !(is_script && request.method().is_safe());
    let signed_in = match &cookie {
        Some(cookie) => service(&request)?.session(cookie.value(), source(&request), is_act).await?,
        None => None,
    };
    if let Some(signed_in) = signed_in {
        return Ok(Visitor { signed_in, request });
    }
    // What was sent is not sent again after the sign-in: back to the page that it came from.
    let to = if request.method().is_safe() && !is_script { address(&request) } else { came_from(&request) };
    Err(Fault::SignIn { to, is_part: is_script })
}

/// A form of a page of this session; whether it is the first time is not asked yet.
async fn asked<P: Given>(
    request: HttpRequest,
    payload: Result<web::Payload, actix_web::Error>,
) -> Result<Asked<P>, Fault> {
    let payload = payload.map_err(|_| Fault::forged_form())?;
    require_own_site(&request)?;
    let visitor = visitor(request).await?;
    let form = Form::read(payload, crate::http::MAX_BODY).await?;
    if !service(&visitor.request)?.is_own_form(&visitor.signed_in, form.text(PROOF)) {
        return Err(Fault::forged_form());
    }
    let permit = P::given_to(&visitor).await?;
    Ok(Asked { visitor, form, permit })
}

/// Browsers say which site a form comes from. One that says nothing of the kind sends none.
fn require_own_site(request: &HttpRequest) -> Result<(), Fault> {
    let text = |name: &str| request.headers().get(name).and_then(|header| header.to_str().ok());
    let is_own = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin.split_once("://").is_some_and(|(_, host)| Some(host) == host_of(request)),
        (None, None) => false,
    };
    if is_own { Ok(()) } else { Err(Fault::forged_form()) }
}

fn host_of(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(HOST).and_then(|header| header.to_str().ok());
    header.or_else(|| request.uri().authority().map(|authority| authority.as_str()))
}

/// The page that a form stands on.
fn came_from(request: &HttpRequest) -> String {
    let referer = request.headers().get(REFERER).and_then(|header| header.to_str().ok());
    let from = referer.and_then(|referer| url::Url::parse(referer).ok());
    let own = from.filter(|from| from.host_str().is_some() && authority(from).as_deref() == host_of(request));
    own.map_or_else(
        || "/".into(),
        |from| own_address(from[url::Position::BeforePath..url::Position::AfterQuery].as_ref()),
    )
}

fn authority(url: &url::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn address(request: &HttpRequest) -> String {
    own_address(request.uri().path_and_query().map_or("/", |address| address.as_str()))
}

fn is_script(request: &HttpRequest) -> bool {
    request.headers().contains_key("hx-request")
}

/// The prefix has browsers refuse it from other hosts and from plain HTTP.
fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-countersign" } else { "countersign" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_room_for_all_that_can_be_chosen_and_not_for_any_number() {
        let chosen = |count: usize| vec!["id=0"; count].join("&");
        let form = Form::parse(chosen(MAX_IDS).as_bytes()).unwrap();
        assert_eq!(form.all("id").count(), MAX_IDS);
        assert!(Form::parse(chosen(MAX_FIELDS).as_bytes()).is_some());
        assert!(Form::parse(chosen(MAX_FIELDS + 1).as_bytes()).is_none());
        assert!(Form::parse(b"").is_some());
    }
}
