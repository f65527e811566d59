//! The zones of an account: making one with an authority of its own, and giving one another name.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;

use crate::domain::authority::Shards;
use crate::domain::key::AuthorityKeyType;
use crate::domain::permission::Permission;
use crate::domain::violation::Violation;
use crate::domain::zone::Zone;
use crate::service::access::{CreateZone, RenameZone};
use crate::service::authorities::AuthorityOptions;
use crate::service::zones::NewZone;
use crate::service::{Service, ServiceError};

use super::certificate::key_type_name;
use super::fault::Fault;
use super::page::{Crumb, Flash, Page, go_to, show, show_with};
use super::show;
use super::visitor::{AccountForm, AccountPage, Visitor, ZoneForm, ZonePage};

#[derive(Template)]
#[template(path = "zones.html", config = "src/http/console/askama.toml")]
struct ZonesPage {
    page: Page,
    zones: Vec<Row>,
    may_create: bool,
}

struct Row {
    zone: Zone,
    may_rename: bool,
    may_open: bool,
}

#[derive(Template)]
#[template(path = "zone_new.html", config = "src/http/console/askama.toml")]
struct NewZonePage {
    page: Page,
    key_types: Vec<(&'static str, String)>,
    typed: Typed,
    faults: Vec<Violation>,
}

#[derive(Template)]
#[template(path = "zone_name.html", config = "src/http/console/askama.toml")]
struct NamePage {
    page: Page,
    zone: Zone,
    /// As it was typed.
    name: String,
    faults: Vec<Violation>,
}

#[derive(Default)]
struct Typed {
    name: String,
    key_type: String,
    crl_shards: String,
}

#[get("/zones")]
pub async fn list(visitor: Visitor) -> Result<HttpResponse, Fault> {
    let caller = visitor.caller();
    let grants = &caller.token().grants;
    if !grants.permissions.contains(&Permission::ReadZones) {
        return Err(ServiceError::Forbidden.into());
    }
    let zones = visitor.zones().await?.into_iter().map(|zone| Row {
        may_rename: visitor.may(Permission::WriteZones, &zone),
        may_open: visitor.may(Permission::ReadCertificates, &zone),
        zone,
    });
    show(&ZonesPage {
        page: visitor.page("Zones", Vec::new()).await?,
        zones: zones.collect(),
        may_create: grants.allow_in_account(Permission::WriteZones, caller.account()),
    })
}

#[get("/zones/new")]
pub async fn ask(here: AccountPage<CreateZone>) -> Result<HttpResponse, Fault> {
    show(&new_page(&here.visitor, Typed::default(), Vec::new()).await?)
}

#[post("/zones")]
pub async fn create(sent: AccountForm<CreateZone>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let typed = Typed {
        name: sent.form.text("name").to_owned(),
        key_type: sent.form.text("key_type").to_owned(),
        crl_shards: sent.form.text("crl_shards").trim().to_owned(),
    };
    let made = match typed.read() {
        Ok(new) => service.create_zone(&sent.permit, new).await,
        Err(fault) => Err(ServiceError::Invalid(vec![fault])),
    };
    match made {
        Ok(zone) => {
            let may_open = sent.visitor.may(Permission::ReadCertificates, &zone);
            let address = if may_open { format!("/zones/{}", zone.id) } else { "/zones".to_owned() };
            Ok(go_to(&address, Some(Flash::ZoneMade)))
        }
        Err(ServiceError::Invalid(faults)) => {
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &new_page(&sent.visitor, typed, faults).await?)
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/zones/{zone_id}/name")]
pub async fn ask_name(here: ZonePage<RenameZone>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let name = zone.name.clone();
    show(&name_page(&here.visitor, zone, name, Vec::new()).await?)
}

#[post("/zones/{zone_id}/name")]
pub async fn rename(sent: ZoneForm<RenameZone>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let name = sent.form.text("name").to_owned();
    match service.rename_zone(&sent.permit, &name).await {
        Ok(_) => Ok(go_to("/zones", Some(Flash::ZoneRenamed))),
        Err(ServiceError::Invalid(faults)) => {
            let page = name_page(&sent.visitor, sent.permit.issuer().zone.clone(), name, faults).await?;
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(other) => Err(other.into()),
    }
}

async fn new_page(visitor: &Visitor, typed: Typed, faults: Vec<Violation>) -> Result<NewZonePage, Fault> {
    let key_types = AuthorityKeyType::ALL.iter().map(|kind| (kind.as_str(), key_type_name(kind.as_str())));
    Ok(NewZonePage {
        page: visitor.page("New zone", vec![Crumb { label: "Zones".into(), href: "/zones".into() }]).await?,
        key_types: key_types.collect(),
        typed,
        faults,
    })
}

async fn name_page(visitor: &Visitor, zone: Zone, name: String, faults: Vec<Violation>) -> Result<NamePage, Fault> {
    let page = visitor.zone_page(&zone, "Rename", Vec::new()).await?.about(&zone.name);
    Ok(NamePage { page, zone, name, faults })
}

impl Typed {
    fn read(&self) -> Result<NewZone, Violation> {
        let crl_shards = match self.crl_shards.as_str() {
            "" => None,
            typed => match typed.parse().ok().filter(|count| (2..=Shards::MOST).contains(count)) {
                Some(count) => Some(count),
                None => {
                    let message = format!("write a whole number from 2 to {}, or nothing", Shards::MOST);
                    return Err(Violation::new("/authority/crl_shards", message));
                }
            },
        };
        let authority = AuthorityOptions { key_type: AuthorityKeyType::parse(&self.key_type), crl_shards };
        Ok(NewZone { name: self.name.clone(), authority })
    }
}

/// The faults of one field; those of all others when it has no name.
fn of_field<'a>(faults: &'a [Violation], field: &str) -> Vec<&'a str> {
    const FIELDS: [&str; 2] = ["/name", "/authority/crl_shards"];
    let is_of = |fault: &&Violation| match field {
        "" => !FIELDS.contains(&fault.pointer.as_str()),
        field => fault.pointer == field,
    };
    faults.iter().filter(is_of).map(|fault| fault.message.as_str()).collect()
}
