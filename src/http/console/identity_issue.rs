//! Having an identity issued: a zone of the account signs for a key that is made here, and the worker renews it in time.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;

use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::profile::{self, Profile};
use crate::domain::violation::Violation;
use crate::domain::zone::Zone;
use crate::service::access::{AddIdentity, IssueCertificate, ZonePermit};
use crate::service::identities::IdentityInput;
use crate::service::identity_material::Material;
use crate::service::managed_identities::{DEFAULT_GRACE, DEFAULT_VALIDITY_DAYS, MAX_GRACE, ManagedInput, key_types};
use crate::service::{Service, ServiceError};

use super::certificate::{key_type_name, key_type_names};
use super::fault::Fault;
use super::field_faults::FieldFaults;
use super::identities::{address, identities_crumb, may_have_issued};
use super::identity_upload::lines;
use super::issue::names;
use super::page::{Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, Form, PRIVATE_KEY_SENT, Visitor, holds_private_key};

const FIELDS: &[&str] = &[
    "zone_id",
    "common_name",
    "organization",
    "organizational_unit",
    "subject_alternative_names",
    "key_type",
    "profile",
    "validity_days",
    "grace_hours",
    "name",
    "hosts",
    "primary",
    "trusted_ca",
];
const SECONDS_PER_HOUR: i64 = 3600;

#[derive(Template)]
#[template(path = "identity_issue.html", config = "src/http/console/askama.toml")]
struct IssuePage {
    page: Page,
    zones: Zones,
    profiles: Vec<Arc<Profile>>,
    key_types: Vec<(&'static str, String)>,
    typed: Typed,
    faults: FieldFaults,
}

/// The zones that can issue.
enum Zones {
    Known(Vec<Zone>),
    /// There are some, perhaps: the token may not list them.
    Unlisted,
    None {
        may_make: bool,
    },
}

/// What was typed, as it was typed.
#[derive(Default)]
struct Typed {
    zone: String,
    common_name: String,
    organization: String,
    organizational_unit: String,
    names: String,
    key_type: String,
    profile: String,
    validity_days: String,
    grace_hours: String,
    name: String,
    hosts: String,
    is_primary: bool,
    trusted_ca: String,
    /// A private key came in the place of the CAs, and was thrown away.
    had_key: bool,
}

#[get("/identities/new/issued")]
pub async fn ask(here: AccountPage<AddIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    if !may_have_issued(&here.visitor) {
        return Err(ServiceError::Forbidden.into());
    }
    let typed = Typed {
        profile: profile::DEFAULT.into(),
        validity_days: DEFAULT_VALIDITY_DAYS.to_string(),
        grace_hours: DEFAULT_GRACE.num_hours().to_string(),
        ..Typed::default()
    };
    show(&page(&here.visitor, &service, typed, FieldFaults::default()).await?)
}

#[post("/identities/new/issued")]
pub async fn create(sent: AccountForm<AddIdentity>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let AccountForm { visitor, form, permit } = sent;
    let typed = Typed::of(&form);
    let (mut input, managed) = typed.input();
    let outcome = match zone(&visitor, &service, &typed.zone).await? {
        Some(zone) => {
            let service = service.clone().into_inner();
            // To its end, also when nobody waits for the page any more: what is issued is kept, or revoked.
            let made =
                tokio::spawn(async move { service.add_managed_identity(&permit, &zone, input, managed).await }).await;
            made.map_err(|error| ServiceError::Internal(error.to_string()))?
        }
        None => {
            let why = "choose a zone in which your token may issue certificates";
            input.faults.insert(0, Violation::new("/zone_id", why));
            Err(ServiceError::Invalid(input.faults))
        }
    };
    match outcome {
        Ok(kept) => Ok(go_to(&address(kept.identity.id), Some(Flash::IdentityIssued))),
        Err(ServiceError::Invalid(violations)) => {
            let faults = FieldFaults::new(violations.into_iter().map(at_field).collect(), FIELDS);
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page(&visitor, &service, typed, faults).await?)
        }
        Err(other) => Err(other.into()),
    }
}

/// The permit to have the typed zone issue; none where there is no such zone for this visitor.
async fn zone(
    visitor: &Visitor,
    service: &Service,
    typed: &str,
) -> Result<Option<ZonePermit<IssueCertificate>>, Fault> {
    let Some(id) = ZoneId::parse(typed) else { return Ok(None) };
    match service.permit_in_zone(visitor.caller().clone(), id).await {
        Ok(permit) => Ok(Some(permit)),
        Err(ServiceError::Forbidden) if may_have_issued(visitor) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

async fn page(visitor: &Visitor, service: &Service, typed: Typed, faults: FieldFaults) -> Result<IssuePage, Fault> {
    let known = visitor.zones().await?;
    let zones = match (known.is_empty(), visitor.may_in_account(Permission::ReadZones)) {
        (false, _) => Zones::Known(known),
        (true, true) => Zones::None { may_make: visitor.may_in_account(Permission::WriteZones) },
        (true, false) => Zones::Unlisted,
    };
    Ok(IssuePage {
        page: visitor.page("Have an identity issued", vec![identities_crumb()]).await?,
        zones,
        profiles: service.known_profiles(),
        key_types: key_types().into_iter().map(|word| (word, key_type_name(word))).collect(),
        typed,
        faults,
    })
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let had_key = holds_private_key(form.text("trusted_ca"));
        Self {
            zone: form.text("zone_id").trim().to_owned(),
            common_name: text("common_name"),
            organization: text("organization"),
            organizational_unit: text("organizational_unit"),
            names: text("names"),
            key_type: text("key_type"),
            profile: text("profile"),
            validity_days: text("validity_days"),
            grace_hours: text("grace_hours"),
            name: text("name"),
            hosts: text("hosts"),
            is_primary: form.filled("primary").is_some(),
            trusted_ca: if had_key { String::new() } else { text("trusted_ca") },
            had_key,
        }
    }

    /// As the API would take it: what cannot be read is a fault beside those that the service finds.
    fn input(&self) -> (IdentityInput, ManagedInput) {
        let mut faults = Vec::new();
        if self.had_key {
            faults.push(Violation::new("/trusted_ca", PRIVATE_KEY_SENT));
        }
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let subject_alternative_names = names(&self.names, &mut faults);
        let validity_days = filled(&self.validity_days).map(|text| text.parse::<i64>());
        if let Some(Err(_)) = validity_days {
            faults.push(Violation::new("/validity_days", "write a whole number of days"));
        }
        let grace_hours = filled(&self.grace_hours).map(|text| text.parse::<i64>().ok());
        let grace_hours = grace_hours.map(|hours| hours.filter(|hours| (0..=MAX_GRACE.num_hours()).contains(hours)));
        if grace_hours == Some(None) {
            let why = format!("write a whole number of hours from 0 to {}", MAX_GRACE.num_hours());
            faults.push(Violation::new("/grace_hours", why));
        }
        let managed = ManagedInput {
            common_name: filled(&self.common_name),
            organization: filled(&self.organization),
            organizational_unit: filled(&self.organizational_unit),
            subject_alternative_names,
            key_type: filled(&self.key_type),
            profile: filled(&self.profile),
            validity_days: validity_days.and_then(Result::ok),
            grace_seconds: grace_hours.flatten().map(|hours| hours * SECONDS_PER_HOUR),
        };
        let input = IdentityInput {
            name: filled(&self.name),
            hosts: lines(&self.hosts),
            is_primary: self.is_primary,
            material: Material { trusted_ca: filled(&self.trusted_ca), ..Material::default() },
            faults,
            ..IdentityInput::default()
        };
        (input, managed)
    }

    /// Something beside what nearly everybody leaves as it is.
    fn has_more(&self) -> bool {
        let texts = [&self.organization, &self.organizational_unit, &self.trusted_ca];
        texts.iter().any(|text| !text.trim().is_empty())
    }
}

/// Faults of what the zone is to issue stand below `managed` in the API, and at the fields themselves here.
fn at_field(violation: Violation) -> Violation {
    match violation.pointer.strip_prefix("/managed") {
        Some(pointer) => Violation::new(pointer, violation.message),
        None => violation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(fields: &[(&str, &str)]) -> Vec<String> {
        let (input, _) = Typed::of(&Form::with(fields)).input();
        input.faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_field_and_all_at_once() {
        let wrong = [("validity_days", "soon"), ("grace_hours", "721"), ("names", "ip:none")];
        assert_eq!(pointers(&wrong), ["/subject_alternative_names", "/validity_days", "/grace_hours"]);
        for hours in ["-1", "9223372036854775807", "1.5"] {
            assert_eq!(pointers(&[("grace_hours", hours)]), ["/grace_hours"], "{hours}");
        }
        assert!(pointers(&[("validity_days", "30"), ("grace_hours", "720"), ("names", "a.example")]).is_empty());
    }

    #[test]
    fn a_private_key_among_the_trusted_cas_is_refused_and_not_shown_again() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
        let typed = Typed::of(&Form::with(&[("trusted_ca", key)]));
        assert!(typed.trusted_ca.is_empty());
        assert!(typed.input().0.material.trusted_ca.is_none());
        assert_eq!(pointers(&[("trusted_ca", key)]), ["/trusted_ca"]);
    }

    #[test]
    fn faults_of_the_service_stand_at_the_fields_of_the_form() {
        for (told, shown) in [("/managed/profile", "/profile"), ("/managed", ""), ("/hosts/1", "/hosts/1")] {
            assert_eq!(at_field(Violation::new(told, "x")).pointer, shown);
        }
    }
}
