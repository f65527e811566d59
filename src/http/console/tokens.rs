//! API tokens: making one, seeing what each may do, giving it another value, taking it away. A value is shown once, in the
//! answer that made it.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::id::{TokenId, ZoneId};
use crate::domain::permission::{Permission, Reach};
use crate::domain::text::parse_timestamp;
use crate::domain::token::{Token, TokenStatus};
use crate::domain::violation::Violation;
use crate::domain::zone::Zone;
use crate::service::access::{CreateToken, DeleteToken, ReadTokens, RollToken};
use crate::service::tokens::NewToken;
use crate::service::{Service, ServiceError};

use super::confirm::{Confirmation, Question};
use super::fault::Fault;
use super::page::{Crumb, Flash, Page, go_to, show, show_with};
use super::show::{self, Html};
use super::visitor::{AccountForm, AccountPage, Form, Visitor};

#[derive(Template)]
#[template(path = "tokens.html", config = "src/http/console/askama.toml")]
struct TokensPage {
    page: Page,
    tokens: Vec<Token>,
    own: TokenId,
    now: DateTime<Utc>,
}

#[derive(Template)]
#[template(path = "token.html", config = "src/http/console/askama.toml")]
struct TokenPage {
    page: Page,
    token: Token,
    is_own: bool,
    /// Those that it reaches, if it does not reach all; by id where the visitor may not know the name.
    zones: Vec<(ZoneId, String)>,
    may_read_log: bool,
    now: DateTime<Utc>,
}

#[derive(Template)]
#[template(path = "token_new.html", config = "src/http/console/askama.toml")]
struct NewTokenPage {
    page: Page,
    /// What the visitor's own token may do, and therefore hand on.
    permissions: Vec<&'static Choice>,
    zones: Vec<Zone>,
    own_end: Option<DateTime<Utc>>,
    typed: Typed,
    faults: Faults,
}

/// The one page that shows a value.
#[derive(Template)]
#[template(path = "token_value.html", config = "src/http/console/askama.toml")]
struct ValuePage {
    page: Page,
    token: Token,
    value: String,
    is_new: bool,
    is_own: bool,
    public_url: String,
}

/// Where a token may act, as the form says it.
const IN_ACCOUNT: &str = "account";
const IN_ZONES: &str = "zones";

/// A permission in words.
struct Choice {
    permission: Permission,
    hint: &'static str,
}

#[derive(Default)]
struct Typed {
    name: String,
    permissions: BTreeSet<String>,
    /// Nobody's choice is taken for granted: it may be neither.
    reach: String,
    zones: BTreeSet<String>,
    expires_on: String,
}

#[derive(Default)]
struct Faults {
    name: Vec<String>,
    permissions: Vec<String>,
    zones: Vec<String>,
    expires_on: Vec<String>,
    other: Vec<String>,
}

const CHOICES: [Choice; 12] = [
    Choice { permission: Permission::ReadCertificates, hint: "see certificates and their history" },
    Choice { permission: Permission::IssueCertificates, hint: "have certificates signed" },
    Choice { permission: Permission::RevokeCertificates, hint: "revoke them, and lift a hold" },
    Choice { permission: Permission::ReadAuthorities, hint: "see the CAs of a zone" },
    Choice { permission: Permission::WriteAuthorities, hint: "make another CA for a zone, and name its hosts" },
    Choice { permission: Permission::ReadIdentities, hint: "see identities and checks, without their keys" },
    Choice { permission: Permission::WriteIdentities, hint: "add, replace and remove identities" },
    Choice { permission: Permission::UseIdentities, hint: "present identities to servers, and define checks" },
    Choice { permission: Permission::ReadZones, hint: "list zones and see webhooks" },
    Choice { permission: Permission::WriteZones, hint: "make and rename zones, define webhooks" },
    Choice { permission: Permission::WriteTokens, hint: "make, roll and revoke tokens" },
    Choice { permission: Permission::ReadAudit, hint: "read the audit log: who did what" },
];

#[get("/tokens")]
pub async fn list(here: AccountPage<ReadTokens>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let page = here.visitor.page("Tokens", Vec::new()).await?;
    let tokens = service.tokens(&here.permit).await?;
    show(&TokensPage { page, tokens, own: here.visitor.caller().token().id, now: service.clock().now() })
}

#[get("/tokens/new")]
pub async fn ask(here: AccountPage<CreateToken>) -> Result<HttpResponse, Fault> {
    show(&new_page(&here.visitor, Typed::default(), Faults::default()).await?)
}

#[post("/tokens")]
pub async fn create(sent: AccountForm<CreateToken>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let typed = Typed::of(&sent.form);
    let made = match typed.read() {
        Ok(new) => service.create_token(&sent.permit, new).await,
        Err(faults) => Err(ServiceError::Invalid(faults)),
    };
    match made {
        Ok((token, value)) => show_value(&sent.visitor, &service, token, value.to_string(), true).await,
        Err(ServiceError::Invalid(faults)) => {
            let page = new_page(&sent.visitor, typed, Faults::of(faults)).await?;
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/tokens/{token_id}")]
pub async fn show_one(here: AccountPage<ReadTokens>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let token = service.token(&here.permit, token_id(&here.visitor.request)).await?;
    let known = here.visitor.zones().await?;
    let name =
        |id: &ZoneId| known.iter().find(|zone| zone.id == *id).map_or_else(|| id.to_string(), |zone| zone.name.clone());
    let zones = match &token.grants.reach {
        Reach::Account => Vec::new(),
        Reach::Zones(zones) => zones.iter().map(|id| (*id, name(id))).collect(),
    };
    let caller = here.visitor.caller();
    show(&TokenPage {
        page: here.visitor.page(&token.name, vec![tokens_crumb()]).await?,
        is_own: token.id == caller.token().id,
        zones,
        may_read_log: caller.token().grants.allow_in_account(Permission::ReadAudit, caller.account()),
        token,
        now: service.clock().now(),
    })
}

#[get("/tokens/{token_id}/roll")]
pub async fn ask_roll(here: AccountPage<ReadTokens>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let token = service.token(&here.permit, token_id(&here.visitor.request)).await?;
    roll_question(&here.visitor, &token, None).await
}

#[post("/tokens/{token_id}/roll")]
pub async fn roll(sent: AccountForm<RollToken>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = token_id(&sent.visitor.request);
    match service.roll_token(&sent.permit, id).await {
        Ok((token, value)) => show_value(&sent.visitor, &service, token, value.to_string(), false).await,
        Err(ServiceError::Invalid(faults)) => {
            let token = existing(&sent.visitor, &service, id).await?;
            roll_question(&sent.visitor, &token, Some(faults)).await
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/tokens/{token_id}/revoke")]
pub async fn ask_revoke(here: AccountPage<ReadTokens>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let token = service.token(&here.permit, token_id(&here.visitor.request)).await?;
    revoke_question(&here.visitor, &token, None).await
}

#[post("/tokens/{token_id}/revoke")]
pub async fn revoke(sent: AccountForm<DeleteToken>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let id = token_id(&sent.visitor.request);
    match service.delete_token(&sent.permit, id).await {
        // One's own: the next page asks for a sign-in.
        Ok(_) => Ok(go_to("/tokens", Some(Flash::TokenRevoked))),
        Err(ServiceError::Invalid(faults)) => {
            let token = existing(&sent.visitor, &service, id).await?;
            revoke_question(&sent.visitor, &token, Some(faults)).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn existing(visitor: &Visitor, service: &Service, id: Option<TokenId>) -> Result<Token, Fault> {
    let caller = visitor.caller().clone();
    let account = caller.account();
    let permit = service.permit_in_account::<ReadTokens>(caller, account).await?;
    Ok(service.token(&permit, id).await?)
}

async fn roll_question(
    visitor: &Visitor,
    token: &Token,
    faults: Option<Vec<Violation>>,
) -> Result<HttpResponse, Fault> {
    let question = Question {
        text: "The token gets a new value, which the next page shows once. It stays what it is: its name, its permissions, \
               its end."
            .into(),
        consequence: format!(
            "The value that is in use now stops working within a second, and {}",
            signs_out(visitor, token)
        ),
        button: format!("Roll the token {}", token.name),
        keep: "Keep the value",
        back: format!("/tokens/{}", token.id),
    };
    Confirmation::answer(visitor.page("Roll", token_crumbs(token)).await?.about(&token.name), question, faults)
}

async fn revoke_question(
    visitor: &Visitor,
    token: &Token,
    faults: Option<Vec<Violation>>,
) -> Result<HttpResponse, Fault> {
    let question = Question {
        text: "The token is removed for good. What was done with it stays as it is, and stays in the audit log.".into(),
        consequence: format!(
            "Every program that uses it is refused within a second, and {}",
            signs_out(visitor, token)
        ),
        button: format!("Revoke the token {}", token.name),
        keep: "Keep it",
        back: format!("/tokens/{}", token.id),
    };
    Confirmation::answer(visitor.page("Revoke", token_crumbs(token)).await?.about(&token.name), question, faults)
}

/// How a sentence about a value that stops working ends.
fn signs_out(visitor: &Visitor, token: &Token) -> &'static str {
    if token.id == visitor.caller().token().id {
        "everybody who is signed in with it is signed out, you too: this is the token that you are signed in with."
    } else {
        "everybody who is signed in with it is signed out."
    }
}

async fn show_value(
    visitor: &Visitor,
    service: &Service,
    token: Token,
    value: String,
    is_new: bool,
) -> Result<HttpResponse, Fault> {
    show(&ValuePage {
        page: visitor.page(&token.name, vec![tokens_crumb()]).await?,
        is_own: token.id == visitor.caller().token().id,
        public_url: service.public_url().to_owned(),
        token,
        value,
        is_new,
    })
}

async fn new_page(visitor: &Visitor, typed: Typed, faults: Faults) -> Result<NewTokenPage, Fault> {
    let own = visitor.caller().token();
    Ok(NewTokenPage {
        page: visitor.page("New token", vec![tokens_crumb()]).await?,
        permissions: CHOICES.iter().filter(|choice| own.grants.permissions.contains(&choice.permission)).collect(),
        zones: visitor.zones().await?,
        own_end: own.expires_on,
        typed,
        faults,
    })
}

impl Typed {
    fn of(form: &Form) -> Self {
        Self {
            name: form.text("name").to_owned(),
            permissions: form.all("permission").map(str::to_owned).collect(),
            reach: form.text("reach").to_owned(),
            zones: form.all("zone").map(str::to_owned).collect(),
            expires_on: form.text("expires_on").trim().to_owned(),
        }
    }

    /// As it is asked of the service, or what cannot be read.
    fn read(&self) -> Result<NewToken, Vec<Violation>> {
        let mut faults = Vec::new();
        let permissions = self.permissions.iter().filter_map(|word| Permission::parse(word)).collect();
        let zones = self.zones.iter().filter_map(|id| ZoneId::parse(id)).collect::<BTreeSet<_>>();
        let fault = match self.reach.as_str() {
            IN_ACCOUNT if self.zones.is_empty() => None,
            // One who ticked a zone meant less than everything.
            IN_ACCOUNT => Some("zones are chosen too: choose “In these zones only”, or take the zones back"),
            IN_ZONES if zones.is_empty() => Some("choose at least one zone, or the whole account"),
            IN_ZONES => None,
            _ => Some("choose where it may act: in the whole account, or in zones that you choose"),
        };
        faults.extend(fault.map(|why| Violation::new("/zones", why)));
        let expires_on = parse_timestamp(&self.expires_on);
        if !self.expires_on.is_empty() && expires_on.is_none() {
            faults.push(Violation::new("/expires_on", "write the date as year, month and day: 2027-03-31"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let zones = self.is(IN_ZONES).then_some(zones);
        Ok(NewToken { name: self.name.clone(), permissions, zones, not_before: None, expires_on })
    }

    fn is(&self, reach: &str) -> bool {
        self.reach == reach
    }

    fn allows(&self, permission: &Permission) -> bool {
        self.permissions.contains(permission.as_str())
    }

    fn names(&self, zone: &Zone) -> bool {
        self.zones.contains(&zone.id.to_string())
    }
}

impl Faults {
    fn of(violations: Vec<Violation>) -> Self {
        let mut faults = Self::default();
        for Violation { pointer, message } in violations {
            let place = match pointer.split('/').nth(1) {
                Some("name") => &mut faults.name,
                Some("permissions") => &mut faults.permissions,
                Some("zones") => &mut faults.zones,
                Some("expires_on") => &mut faults.expires_on,
                _ => &mut faults.other,
            };
            place.push(message);
        }
        faults
    }
}

fn status(token: &Token, now: &DateTime<Utc>) -> Html {
    let (class, word) = match token.status(*now) {
        TokenStatus::Active => ("active", "Works"),
        TokenStatus::Disabled => ("pending", "Not yet"),
        TokenStatus::Expired => ("expired", "Expired"),
    };
    askama::filters::Safe(format!("<span class=\"badge {class}\">{word}</span>"))
}

/// In few words.
fn reach(token: &Token) -> String {
    match &token.grants.reach {
        Reach::Account => "the whole account".into(),
        Reach::Zones(zones) => show::count(show::as_i64(zones.len()), "zone"),
    }
}

fn permissions(token: &Token) -> String {
    if token.grants.permissions.len() == Permission::ALL.len() {
        return "everything".into();
    }
    let words: Vec<_> = token.grants.permissions.iter().map(|permission| permission.as_str()).collect();
    words.join(", ")
}

fn hint(permission: &Permission) -> &'static str {
    CHOICES.iter().find(|choice| choice.permission == *permission).map_or("", |choice| choice.hint)
}

fn token_id(request: &HttpRequest) -> Option<TokenId> {
    TokenId::parse(request.match_info().query("token_id"))
}

fn tokens_crumb() -> Crumb {
    Crumb { label: "Tokens".into(), href: "/tokens".into() }
}

fn token_crumbs(token: &Token) -> Vec<Crumb> {
    vec![tokens_crumb(), Crumb { label: token.name.clone(), href: format!("/tokens/{}", token.id) }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reaches_what_was_chosen_and_nothing_is_chosen_by_itself() {
        let zone = "c".repeat(32);
        let read = |reach: &str, zones: &[&str]| {
            let zones = zones.iter().map(|id| (*id).to_owned()).collect();
            Typed { reach: reach.into(), zones, ..Typed::default() }
                .read()
                .map(|new| new.zones.map(|zones| zones.len()))
        };
        let is_fault_of_zones = |read: Result<_, Vec<Violation>>| read.unwrap_err()[0].pointer == "/zones";
        assert_eq!(read(IN_ACCOUNT, &[]).unwrap(), None);
        assert_eq!(read(IN_ZONES, &[&zone]).unwrap(), Some(1));
        assert!(is_fault_of_zones(read(IN_ACCOUNT, &[&zone])), "a token for one zone must not become one for all");
        assert!(is_fault_of_zones(read(IN_ACCOUNT, &["no id"])));
        assert!(is_fault_of_zones(read(IN_ZONES, &[])));
        assert!(is_fault_of_zones(read("", &[&zone])) && is_fault_of_zones(read("", &[])));
    }

    #[test]
    fn every_permission_can_be_chosen() {
        let listed: BTreeSet<_> = CHOICES.iter().map(|choice| choice.permission).collect();
        assert_eq!(listed, Permission::ALL.into_iter().collect());
    }
}
