//! The audit log: who did what, on what, from where and when; found by each of these.

use actix_web::{HttpRequest, HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::domain::audit::{Action, AuditFilter, AuditResult, What, Who};
use crate::domain::id::{CertificateId, TokenId, ZoneId};
use crate::domain::permission::Permission;
use crate::domain::text::parse_timestamp;
use crate::domain::zone::Zone;
use crate::service::Service;
use crate::service::access::ReadAuditLog;
use crate::service::audit_log::{AuditReader, AuditReading};
use crate::store::{AuditPosition, AuditStretch, LoggedAct};

use super::fault::Fault;
use super::page::{Page, show};
use super::show;
use super::visitor::{AccountPage, Visitor, ZonePage, searched};

const PER_PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "audit.html", config = "src/http/console/askama.toml")]
struct AuditPage {
    page: Page,
    /// Where the log stands.
    base: String,
    asked: Asked,
    groups: Vec<Group>,
    stretch: AuditStretch,
    /// Those whose names may be told.
    zones: Vec<Zone>,
    is_of_account: bool,
    may_see_certificates: bool,
    may_see_tokens: bool,
}

/// The acts on one kind of things.
struct Group {
    noun: &'static str,
    actions: Vec<&'static str>,
}

/// What the address asks for, as it was typed; whatever of it makes no sense finds nothing or is left out.
pub struct Asked {
    who: String,
    what: String,
    subject: String,
    result: String,
    from: String,
    until: String,
    pub before: Option<AuditPosition>,
}

#[get("/audit")]
pub async fn of_account(here: AccountPage<ReadAuditLog>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    answer(&here.visitor, None, AuditReader::from(&here.permit), &service).await
}

#[get("/zones/{zone_id}/audit")]
pub async fn of_zone(here: ZonePage<ReadAuditLog>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    answer(&here.visitor, Some(zone), AuditReader::from(&here.permit), &service).await
}

async fn answer(
    visitor: &Visitor,
    zone: Option<Zone>,
    reader: AuditReader,
    service: &Service,
) -> Result<HttpResponse, Fault> {
    let asked = Asked::of(&visitor.request);
    let reading = AuditReading { filter: asked.filter(), before: asked.before.clone(), length: PER_PAGE };
    let stretch = service.audit_log(reader, reading).await?;
    let grants = &visitor.caller().token().grants;
    let may = |permission| match &zone {
        Some(zone) => visitor.may(permission, zone),
        None => grants.allow_in_account(permission, grants.account),
    };
    show(&AuditPage {
        base: zone.as_ref().map_or_else(|| "/audit".into(), |zone| format!("/zones/{}/audit", zone.id)),
        page: match &zone {
            Some(zone) => visitor.zone_page(zone, "Audit log", Vec::new()).await?,
            None => visitor.page("Audit log", Vec::new()).await?,
        },
        groups: groups(),
        zones: visitor.zones().await?,
        is_of_account: zone.is_none(),
        may_see_certificates: may(Permission::ReadCertificates),
        may_see_tokens: grants.allow_in_account(Permission::WriteTokens, grants.account),
        asked,
        stretch,
    })
}

impl Asked {
    pub fn of(request: &HttpRequest) -> Self {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        let text = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key == name).map(|(_, value)| searched(value));
            found.unwrap_or_default().chars().take(200).collect::<String>()
        };
        Self {
            who: text("who"),
            what: text("what"),
            subject: text("subject"),
            result: text("result"),
            from: text("from"),
            until: text("until"),
            before: AuditPosition::parse(&text("before")),
        }
    }

    pub fn filter(&self) -> AuditFilter {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let who = filled(&self.who).map(|name| TokenId::parse(&name).map_or(Who::Named(name), Who::Token));
        let what = filled(&self.what);
        AuditFilter {
            who,
            what: what.map(|word| if word.contains('.') { What::Action(word) } else { What::Noun(word) }),
            subject: filled(&self.subject),
            result: match self.result.as_str() {
                "done" => Some(AuditResult::Done),
                "refused" => Some(AuditResult::Refused),
                _ => None,
            },
            from: parse_timestamp(&self.from),
            until: end(&self.until),
        }
    }

    fn is_narrow(&self) -> bool {
        [&self.who, &self.what, &self.subject, &self.result, &self.from, &self.until]
            .iter()
            .any(|text| !text.is_empty())
    }

    fn asks(&self, what: &str) -> bool {
        self.what == what
    }

    /// The same question as an address, from a position on.
    fn query(&self, before: Option<&AuditPosition>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("who", &self.who),
            ("what", &self.what),
            ("subject", &self.subject),
            ("result", &self.result),
            ("from", &self.from),
            ("until", &self.until),
        ];
        for (name, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            query.append_pair(name, text);
        }
        if let Some(position) = before {
            query.append_pair("before", &position.written());
        }
        query.finish()
    }
}

/// A day alone ends with it.
fn end(text: &str) -> Option<DateTime<Utc>> {
    let time = parse_timestamp(text)?;
    let is_day = NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
    if is_day { time.checked_add_signed(TimeDelta::days(1)) } else { Some(time) }
}

fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for action in Action::ALL.map(Action::as_str) {
        let noun = action.split('.').next().unwrap_or(action);
        match groups.iter_mut().find(|group| group.noun == noun) {
            Some(group) => group.actions.push(action),
            None => groups.push(Group { noun, actions: vec![action] }),
        }
    }
    groups
}

/// Where the thing that was acted on can be seen.
fn link(act: &LoggedAct, may_see_certificates: &bool, may_see_tokens: &bool) -> Option<String> {
    if act.action.starts_with("certificate.") && *may_see_certificates {
        let (zone, id) = (act.zone?, CertificateId::parse(&act.subject)?);
        return Some(format!("/zones/{zone}/certificates/{id}"));
    }
    if act.action.starts_with("token.") && act.action != "token.delete" && *may_see_tokens {
        return TokenId::parse(&act.subject).map(|id| format!("/tokens/{id}"));
    }
    if act.action.starts_with("zone.") {
        return act.zone.map(|zone| format!("/zones/{zone}"));
    }
    None
}

fn zone_name(zones: &[Zone], id: &ZoneId) -> String {
    zones.iter().find(|zone| zone.id == *id).map_or_else(|| id.to_string(), |zone| zone.name.clone())
}

fn who_query(name: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("who", name).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_it_and_a_time_where_it_says() {
        let written = |text| end(text).map(crate::domain::text::timestamp);
        assert_eq!(written("2026-12-31").as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(written("2026-12-31T10:00:00Z").as_deref(), Some("2026-12-31T10:00:00Z"));
        assert_eq!(written("tomorrow"), None);
    }

    #[test]
    fn acts_stand_in_groups_of_their_nouns() {
        let groups = groups();
        let tokens = groups.iter().find(|group| group.noun == "token").unwrap();
        assert_eq!(tokens.actions, ["token.create", "token.roll", "token.delete"]);
        assert_eq!(groups.iter().map(|group| group.actions.len()).sum::<usize>(), Action::ALL.len());
    }
}
