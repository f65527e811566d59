//! Bringing a certificate with its key: what the files hold and what is wrong with them, keeping it, and putting it in the
//! place of an older one. Keys and passphrases come in and are never written on a page.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::domain::identity::Identity;
use crate::domain::violation::Violation;
use crate::service::access::{AddIdentity, ReadIdentities, ReplaceIdentity};
use crate::service::identities::{Duplicates, IdentityInput};
use crate::service::identity_material::Material;
use crate::service::identity_preview::{Holds, UploadPreview};
use crate::service::{Service, ServiceError};

use super::certificate::key_type_name;
use super::fault::Fault;
use super::field_faults::FieldFaults;
use super::identities::{address, crumb, identities_crumb, identity_id, may_have_issued};
use super::page::{Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, AccountQuestion, Form, PRIVATE_KEY_SENT, Visitor, holds_private_key};

const FIELDS: &[&str] =
    &["certificates", "private_key", "pkcs12", "passphrase", "trusted_ca", "name", "hosts", "primary", "ca"];

#[derive(Template)]
#[template(path = "identity_new.html", config = "src/http/console/askama.toml")]
struct NewPage {
    page: Page,
    may_have_issued: bool,
    typed: Typed,
    faults: FieldFaults,
    holds: Option<Holds>,
}

#[derive(Template)]
#[template(path = "identity_replacement.html", config = "src/http/console/askama.toml")]
struct ReplacementPage {
    page: Page,
    identity: Identity,
    typed: Typed,
    faults: FieldFaults,
    holds: Option<Holds>,
}

/// What was typed, as far as it may be shown again.
#[derive(Default)]
struct Typed {
    certificates: String,
    trusted_ca: String,
    name: String,
    hosts: String,
    is_primary: bool,
    is_ca: bool,
    /// There was something that is not shown again.
    is_withheld: bool,
}

/// What was sent: to be shown again, to be opened, and what cannot be read of it.
struct Sent {
    typed: Typed,
    material: Material,
    faults: Vec<Violation>,
}

#[get("/identities/new")]
pub async fn ask(here: AccountPage<AddIdentity>) -> Result<HttpResponse, Fault> {
    show(&new_page(&here.visitor, Typed::default()).await?)
}

/// Where a preview stood, for whoever comes back to its address.
#[get("/identities/new/preview")]
pub async fn ask_anew(_: AccountPage<AddIdentity>) -> HttpResponse {
    go_to("/identities/new", None)
}

/// What the files hold. Nothing is kept.
#[post("/identities/new/preview")]
pub async fn check(
    mut asked: AccountQuestion<AddIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let sent = Sent::of(&mut asked.form);
    let is_begun = !sent.is_empty() || !asked.visitor.is_script();
    let (typed, input) = sent.input();
    let mut page = new_page(&asked.visitor, typed).await?;
    if is_begun {
        let UploadPreview { holds, faults } = service.preview_identity(&asked.permit, input).await?;
        page.holds = holds;
        page.faults = FieldFaults::new(faults, FIELDS);
    }
    show(&page)
}

#[post("/identities")]
pub async fn create(mut sent: AccountForm<AddIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let (typed, input) = Sent::of(&mut sent.form).input();
    let violations = match service.add_identity(&sent.permit, input, Duplicates::Refused).await {
        Ok(kept) => return Ok(go_to(&address(kept.identity.id), Some(Flash::IdentityKept))),
        Err(ServiceError::Invalid(violations)) => violations,
        Err(ServiceError::Duplicate(said)) => vec![Violation::new("/certificates", said)],
        Err(other) => return Err(other.into()),
    };
    let mut page = new_page(&sent.visitor, typed).await?;
    page.faults = FieldFaults::new(violations, FIELDS);
    show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

#[get("/identities/{identity_id}/replace")]
pub async fn ask_replacement(
    here: AccountPage<ReplaceIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    show(&replacement_page(&here.visitor, &service, Typed::default()).await?)
}

#[get("/identities/{identity_id}/replace/preview")]
pub async fn ask_replacement_anew(here: AccountPage<ReplaceIdentity>) -> Result<HttpResponse, Fault> {
    let id = identity_id(&here.visitor.request).ok_or_else(Fault::no_page)?;
    Ok(go_to(&format!("{}/replace", address(id)), None))
}

#[post("/identities/{identity_id}/replace/preview")]
pub async fn check_replacement(
    mut asked: AccountQuestion<ReplaceIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let sent = Sent::of(&mut asked.form);
    let is_begun = !sent.is_empty() || !asked.visitor.is_script();
    let Sent { typed, material, mut faults } = sent;
    let mut page = replacement_page(&asked.visitor, &service, typed).await?;
    if is_begun {
        let id = identity_id(&asked.visitor.request);
        let found = match service.preview_replacement(&asked.permit, id, material).await {
            Ok(preview) => preview,
            Err(ServiceError::Invalid(faults)) => UploadPreview { holds: None, faults },
            Err(other) => return Err(other.into()),
        };
        faults.extend(found.faults);
        page.holds = found.holds;
        page.faults = FieldFaults::new(faults, FIELDS);
    }
    show(&page)
}

#[post("/identities/{identity_id}/replace")]
pub async fn replace(
    mut sent: AccountForm<ReplaceIdentity>,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let Sent { typed, material, faults } = Sent::of(&mut sent.form);
    let id = identity_id(&sent.visitor.request);
    let outcome = match faults.is_empty() {
        true => service.replace_identity(&sent.permit, id, material).await,
        false => Err(ServiceError::Invalid(faults)),
    };
    let violations = match outcome {
        Ok(kept) => return Ok(go_to(&address(kept.identity.id), Some(Flash::IdentityReplaced))),
        Err(ServiceError::Invalid(violations)) => violations,
        Err(other) => return Err(other.into()),
    };
    let mut page = replacement_page(&sent.visitor, &service, typed).await?;
    page.faults = FieldFaults::new(violations, FIELDS);
    show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

async fn new_page(visitor: &Visitor, typed: Typed) -> Result<NewPage, Fault> {
    let page = visitor.page("Bring an identity", vec![identities_crumb()]).await?;
    let may_have_issued = may_have_issued(visitor);
    Ok(NewPage { page, may_have_issued, typed, faults: FieldFaults::default(), holds: None })
}

async fn replacement_page(visitor: &Visitor, service: &Service, typed: Typed) -> Result<ReplacementPage, Fault> {
    let identity = shown(visitor, &visitor.request, service).await?;
    let page = visitor.page("Replace", vec![identities_crumb(), crumb(&identity)]).await?.about(&identity.name);
    Ok(ReplacementPage { page, identity, typed, faults: FieldFaults::default(), holds: None })
}

/// The identity that the path names, for whoever may see it.
pub async fn shown(visitor: &Visitor, request: &HttpRequest, service: &Service) -> Result<Identity, Fault> {
    let caller = visitor.caller();
    let permit = service.permit_in_account::<ReadIdentities>(caller.clone(), caller.account()).await?;
    Ok(service.identity(&permit, identity_id(request)).await?)
}

impl Sent {
    fn of(form: &mut Form) -> Self {
        let mut faults = Vec::new();
        let certificates = form.secret("certificates").filter(is_filled);
        let private_key = form.secret("private_key").filter(is_filled);
        let pkcs12 = form.secret("pkcs12").filter(is_filled);
        let passphrase = form.secret("passphrase");
        let has_key_inside = certificates.as_ref().is_some_and(|text| holds_private_key(text.expose_secret()));
        let has_stray_key = holds_private_key(form.text("trusted_ca"));
        if has_stray_key {
            faults.push(Violation::new("/trusted_ca", PRIVATE_KEY_SENT));
        }
        let trusted_ca = form.filled("trusted_ca").filter(|_| !has_stray_key).map(str::to_owned);
        let typed = Typed {
            certificates: certificates
                .as_ref()
                .filter(|_| !has_key_inside)
                .map(|text| text.expose_secret().to_owned())
                .unwrap_or_default(),
            trusted_ca: trusted_ca.clone().unwrap_or_default(),
            name: form.text("name").to_owned(),
            hosts: form.text("hosts").to_owned(),
            is_primary: form.filled("primary").is_some(),
            is_ca: form.filled("ca").is_some(),
            is_withheld: has_key_inside
                || has_stray_key
                || private_key.is_some()
                || pkcs12.is_some()
                || passphrase.is_some(),
        };
        let pkcs12 = pkcs12.and_then(|text| match decoded(&text) {
            Some(file) => Some(file),
            None => {
                let message = "this must be the bytes of a PKCS#12 file in base64, as base64 FILE prints them";
                faults.push(Violation::new("/pkcs12", message));
                None
            }
        });
        let material = Material { certificates, private_key, pkcs12, passphrase, trusted_ca };
        Self { typed, material, faults }
    }

    /// Nothing to open yet.
    fn is_empty(&self) -> bool {
        let Material { certificates, private_key, pkcs12, .. } = &self.material;
        certificates.is_none() && private_key.is_none() && pkcs12.is_none() && self.faults.is_empty()
    }

    fn input(self) -> (Typed, IdentityInput) {
        let Self { typed, material, faults } = self;
        let input = IdentityInput {
            name: Some(typed.name.clone()).filter(|name| !name.trim().is_empty()),
            is_ca: typed.is_ca,
            material,
            hosts: lines(&typed.hosts),
            is_primary: typed.is_primary,
            faults,
            ..IdentityInput::default()
        };
        (typed, input)
    }
}

/// One host on each line, or several with blanks or commas between them.
pub fn lines(hosts: &str) -> Vec<String> {
    let mut read = vec![String::new()];
    let mut depth = 0_usize;
    for character in hosts.chars() {
        match character {
            // The comma of `{www,api}.example.com` is part of the pattern.
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if character.is_whitespace() || (character == ',' && depth == 0) {
            read.push(String::new());
        } else if let Some(last) = read.last_mut() {
            last.push(character);
        }
    }
    read.retain(|host| !host.is_empty());
    read
}

fn is_filled(text: &SecretString) -> bool {
    !text.expose_secret().trim().is_empty()
}

fn decoded(text: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let all = text.expose_secret();
    let mut plain = Zeroizing::new(String::with_capacity(all.len()));
    plain.extend(all.chars().filter(|character| !character.is_ascii_whitespace()));
    STANDARD.decode(plain.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_among_the_trusted_cas_is_refused_and_not_shown_again() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n";
        let sent = Sent::of(&mut Form::with(&[("trusted_ca", key)]));
        assert!(sent.typed.trusted_ca.is_empty() && sent.typed.is_withheld && sent.material.trusted_ca.is_none());
        assert_eq!(sent.faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/trusted_ca"]);
    }

    #[test]
    fn hosts_are_separated_as_people_do() {
        let expected = ["a.example", "*.b.example", "{www,api}.c.example", "d"];
        assert_eq!(lines(" a.example,*.b.example\r\n\r\n{www,api}.c.example  d,\n"), expected);
        assert!(lines(" \n").is_empty());
    }
}
