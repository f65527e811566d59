//! Issuing: a request, what would become of it, and the certificate.

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use serde_json::json;

use crate::domain::certificate::Certificate;
use crate::domain::id::ZoneId;
use crate::domain::name::AttributeType;
use crate::domain::permission::Permission;
use crate::domain::plan::{ExtendedKeyUsage, KeyUsage, Plan, PlanKind, RevocationPointers};
use crate::domain::policy::MAX_SUBJECT_ALTERNATIVE_NAMES;
use crate::domain::profile::{self, Profile};
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::domain::violation::Violation;
use crate::domain::zone::Zone;
use crate::service::access::IssueCertificate;
use crate::service::issuance::IssueInput;
use crate::service::{Service, ServiceError};

use super::certificate::{address, certificates_crumb, key_type_name, key_type_names};
use super::fault::Fault;
use super::page::{Flash, Page, go_to, guarded, show, show_with};
use super::show;
use super::visitor::{Form, PRIVATE_KEY_SENT, Visitor, ZoneForm, ZonePage, ZoneQuestion, holds_private_key};

/// What a form proposes.
const DEFAULT_DAYS: i64 = 365;

#[derive(Template)]
#[template(path = "issue.html", config = "src/http/console/askama.toml")]
struct IssuePage {
    page: Page,
    zone: ZoneId,
    typed: Typed,
    profiles: Vec<ProfileChoice>,
    faults: Faults,
    preview: Option<Preview>,
}

/// What was typed, as it was typed.
#[derive(Default)]
struct Typed {
    csr: String,
    profile: String,
    validity_days: String,
    names: String,
    /// A private key came in the place of the request, and was thrown away.
    had_key: bool,
}

struct ProfileChoice {
    name: String,
    description: String,
    max_days: i64,
    key_types: String,
}

/// What is wrong, by the field that it is about.
#[derive(Default)]
struct Faults {
    csr: Vec<String>,
    profile: Vec<String>,
    validity_days: Vec<String>,
    names: Vec<String>,
    /// About no field, or about several.
    other: Vec<String>,
}

/// What the certificate would hold.
struct Preview {
    plan: Plan,
    key_type: String,
    subject: Vec<(&'static str, String)>,
    names: Vec<SubjectAlternativeName>,
    key_usage: Vec<&'static str>,
    purposes: Vec<&'static str>,
    is_revocation_published: bool,
}

#[get("/zones/{zone_id}/issue")]
pub async fn ask(here: ZonePage<IssueCertificate>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let profiles = service.known_profiles();
    let usual = profiles.iter().find(|profile| profile.name == profile::DEFAULT);
    let days = usual.map_or(DEFAULT_DAYS, |profile| profile.max_validity_days.min(DEFAULT_DAYS));
    let typed = Typed { profile: profile::DEFAULT.into(), validity_days: days.to_string(), ..Typed::default() };
    let zone = here.permit.issuer().zone.clone();
    show(&page(&here.visitor, &zone, &service, typed).await?)
}

/// Where a preview stood, for whoever comes back to its address.
#[get("/zones/{zone_id}/issue/preview")]
pub async fn ask_anew(here: ZonePage<IssueCertificate>) -> HttpResponse {
    go_to(&format!("/zones/{}/issue", here.permit.zone()), None)
}

/// What would become of the request. Nothing is signed.
#[post("/zones/{zone_id}/issue/preview")]
pub async fn check(asked: ZoneQuestion<IssueCertificate>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let typed = Typed::of(&asked.form);
    let outcome = service.preview(&asked.permit, typed.input());
    let zone = asked.permit.issuer().zone.clone();
    let mut page = page(&asked.visitor, &zone, &service, typed).await?;
    match outcome {
        Ok(plan) => page.preview = Some(Preview::of(plan)),
        // Somebody is still typing.
        Err(ServiceError::Invalid(_)) if !page.typed.is_begun() && asked.visitor.is_script() => {}
        Err(ServiceError::Invalid(violations)) => page.faults = Faults::of(violations),
        Err(other) => return Err(other.into()),
    }
    show(&page)
}

#[post("/zones/{zone_id}/issue")]
pub async fn create(sent: ZoneForm<IssueCertificate>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let typed = Typed::of(&sent.form);
    let violations = match service.issue(&sent.permit, typed.input()).await {
        Ok(issued) if wants_chain(&sent.visitor) => return handed_over(&sent, &service, &issued.certificate).await,
        Ok(issued) => return Ok(go_to(&address(&issued.certificate), Some(Flash::Issued))),
        Err(ServiceError::Invalid(violations)) => violations,
        Err(other) => return Err(other.into()),
    };
    let zone = sent.permit.issuer().zone.clone();
    let mut page = page(&sent.visitor, &zone, &service, typed).await?;
    page.faults = Faults::of(violations);
    show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// The script that made the key asks so: it stays on its page, where the key is.
fn wants_chain(visitor: &Visitor) -> bool {
    visitor.request.headers().get(ACCEPT).is_some_and(|accepted| accepted == "application/json")
}

/// The certificate with its chain, at once: whoever may issue need not be able to read it later, and the key waits for it.
async fn handed_over(
    sent: &ZoneForm<IssueCertificate>,
    service: &Service,
    certificate: &Certificate,
) -> Result<HttpResponse, Fault> {
    let chain = service.issued_chain(&sent.permit, certificate).await?.pem();
    let may_read = sent.visitor.may(Permission::ReadCertificates, &sent.permit.issuer().zone);
    let address = may_read.then(|| address(certificate));
    Ok(guarded(&mut HttpResponse::Ok()).json(json!({ "chain": chain, "address": address })))
}

async fn page(visitor: &Visitor, zone: &Zone, service: &Service, typed: Typed) -> Result<IssuePage, Fault> {
    let profiles = service.known_profiles().iter().map(|profile| ProfileChoice::of(profile)).collect();
    Ok(IssuePage {
        page: visitor.zone_page(zone, "Issue a certificate", vec![certificates_crumb(zone.id)]).await?,
        zone: zone.id,
        typed,
        profiles,
        faults: Faults::default(),
        preview: None,
    })
}

impl Typed {
    fn of(form: &Form) -> Self {
        let had_key = holds_private_key(form.text("csr"));
        let text = |name: &str| form.text(name).to_owned();
        let csr = if had_key { String::new() } else { text("csr") };
        Self { csr, profile: text("profile"), validity_days: text("validity_days"), names: text("names"), had_key }
    }

    fn is_begun(&self) -> bool {
        self.had_key || !self.csr.trim().is_empty()
    }

    /// As the API would take it: what cannot be read is a fault beside those that the policy finds.
    fn input(&self) -> IssueInput {
        let mut faults = Vec::new();
        let validity_days = self.validity_days.trim().parse().ok();
        if validity_days.is_none() {
            faults.push(Violation::new("/validity_days", "write a whole number of days"));
        }
        if self.had_key {
            faults.push(Violation::csr(PRIVATE_KEY_SENT));
        } else if self.csr.trim().is_empty() {
            faults.push(Violation::csr("paste a certificate signing request, or drop its file here"));
        }
        let subject_alternative_names = names(&self.names, &mut faults);
        IssueInput {
            csr: Some(self.csr.clone()).filter(|csr| !csr.trim().is_empty()),
            validity_days,
            profile: Some(self.profile.clone()).filter(|profile| !profile.is_empty()),
            subject_alternative_names,
            faults,
            idempotency: None,
        }
    }
}

/// One name on each line, at `/subject_alternative_names` where it is none. They are counted before any is read, as those of the API.
pub fn names(text: &str, faults: &mut Vec<Violation>) -> Vec<SubjectAlternativeName> {
    const PLACE: &str = "/subject_alternative_names";
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines().nth(MAX_SUBJECT_ALTERNATIVE_NAMES).is_some() {
        let why = format!("at most {MAX_SUBJECT_ALTERNATIVE_NAMES} names can be asked for, one on each line");
        faults.push(Violation::new(PLACE, why));
        return Vec::new();
    }
    let mut names = Vec::new();
    for line in lines() {
        match name(line) {
            Ok(name) => names.push(name),
            Err(why) => faults.push(Violation::new(PLACE, why)),
        }
    }
    names
}

/// `dns:device.example`, or a name whose type can be seen.
fn name(line: &str) -> Result<SubjectAlternativeName, String> {
    if let Some((kind, value)) = line.split_once(':')
        && let Some(kind) = SubjectAlternativeNameType::parse(kind.trim())
    {
        return SubjectAlternativeName::parse(kind, value.trim());
    }
    let kind = if line.parse::<std::net::IpAddr>().is_ok() {
        SubjectAlternativeNameType::Ip
    } else if line.contains("://") || line.starts_with("urn:") {
        SubjectAlternativeNameType::Uri
    } else if line.contains('@') {
        SubjectAlternativeNameType::Email
    } else {
        SubjectAlternativeNameType::Dns
    };
    SubjectAlternativeName::parse(kind, line)
}

impl ProfileChoice {
    fn of(profile: &Profile) -> Self {
        Self {
            name: profile.name.clone(),
            description: profile.description.clone(),
            max_days: profile.max_validity_days,
            key_types: key_type_names(&profile.key_types),
        }
    }
}

impl Faults {
    fn of(violations: Vec<Violation>) -> Self {
        let mut faults = Self::default();
        for Violation { pointer, message } in violations {
            let place = match pointer.split('/').nth(1) {
                Some("csr") => &mut faults.csr,
                Some("profile") => &mut faults.profile,
                Some("validity_days") => &mut faults.validity_days,
                Some("subject_alternative_names") => &mut faults.names,
                _ => &mut faults.other,
            };
            place.push(message);
        }
        faults
    }

    fn is_empty(&self) -> bool {
        [&self.csr, &self.profile, &self.validity_days, &self.names, &self.other].iter().all(|faults| faults.is_empty())
    }
}

impl Preview {
    fn of(plan: Plan) -> Self {
        let subject = plan.subject.attributes.iter().map(|attribute| {
            let known = AttributeType::from_oid(&attribute.oid);
            (known.map_or("other", AttributeType::short_name), attribute.value.clone())
        });
        let (names, key_usage, purposes, revocation) = match &plan.kind {
            PlanKind::Client { subject_alternative_names, key_usage, extended_key_usage, revocation, .. } => (
                subject_alternative_names.clone(),
                KeyUsage::ALL.iter().filter(|(usage, _)| key_usage.contains(usage)).map(|(_, name)| *name).collect(),
                ExtendedKeyUsage::ALL
                    .iter()
                    .filter(|(usage, ..)| extended_key_usage.contains(usage))
                    .map(|(_, name, _)| *name)
                    .collect(),
                *revocation,
            ),
            PlanKind::Authority { .. } | PlanKind::Responder => {
                (Vec::new(), Vec::new(), Vec::new(), RevocationPointers::NotAvailable)
            }
        };
        Self {
            subject: subject.collect(),
            key_type: key_type_name(&plan.public_key.key_type.to_string()),
            names,
            key_usage,
            purposes,
            is_revocation_published: revocation == RevocationPointers::Published,
            plan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_in_the_place_of_the_request_is_refused_and_not_shown_again() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
        let typed = Typed::of(&Form::with(&[("csr", key), ("validity_days", "30")]));
        assert!(typed.csr.is_empty() && typed.is_begun());
        let input = typed.input();
        assert!(input.csr.is_none());
        assert_eq!(input.faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/csr"]);
    }

    #[test]
    fn names_are_counted_before_they_are_read() {
        let read = |count: usize, line: &str| {
            let mut faults = Vec::new();
            let names = names(&format!("{line}\r\n\r\n").repeat(count), &mut faults);
            (names.len(), faults.len())
        };
        assert_eq!(read(MAX_SUBJECT_ALTERNATIVE_NAMES, "a.example"), (MAX_SUBJECT_ALTERNATIVE_NAMES, 0));
        assert_eq!(read(MAX_SUBJECT_ALTERNATIVE_NAMES + 1, "a.example"), (0, 1));
        assert_eq!(read(100_000, "ip:none"), (0, 1), "one fault, not one for each");
    }
}
