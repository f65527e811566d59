//! The identities of an account: which there are, what ends, who relies on them, and which one a host would be shown.

use actix_web::{HttpRequest, HttpResponse, get, web};
use askama::Template;
use askama::filters::Safe;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, IdentityFilter, Use};
use crate::domain::permission::Permission;
use crate::service::access::ReadIdentities;
use crate::service::choices::Match;
use crate::service::{Service, ServiceError};
use crate::store::Window;

use super::fault::Fault;
use super::page::{Crumb, Page, show};
use super::show::{self, Html, Plain};
use super::visitor::{AccountPage, Visitor};

const PER_PAGE: i64 = 25;
/// Further ones that could be presented to a host.
const RUNNERS_UP_SHOWN: usize = 5;
/// What ends within so many days is told apart.
const SOON_DAYS: i64 = 30;

#[derive(Template)]
#[template(path = "identities.html", config = "src/http/console/askama.toml")]
struct IdentitiesPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    is_empty: bool,
    shown: Kind,
    newer: Option<String>,
    older: Option<String>,
    first: i64,
    total: i64,
    host: String,
    answer: Option<Answer>,
    may_write: bool,
    may_have_issued: bool,
    now: DateTime<Utc>,
}

struct Row {
    identity: Identity,
    uses: Vec<Use>,
}

struct Tab {
    label: &'static str,
    kind: Kind,
    total: i64,
}

/// Which certificate would be used for a host.
enum Answer {
    Match(Match),
    NoHost(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Identities,
    Ending,
    Bundles,
}

#[get("/identities")]
pub async fn list(here: AccountPage<ReadIdentities>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let now = service.clock().now();
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(here.visitor.request.query_string().as_bytes()).into_owned().collect();
    let text =
        |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).unwrap_or_default();
    let shown = Kind::parse(text("kind"));
    let number: i64 = text("page").parse().ok().filter(|page| (1..=100_000).contains(page)).unwrap_or(1);
    let host = text("host").to_owned();
    let answer = match host.is_empty() {
        true => None,
        false => Some(answer(&here, &service, &host).await?),
    };
    let mut tabs = Vec::new();
    for kind in [Kind::Identities, Kind::Ending, Kind::Bundles] {
        let nothing = Window { offset: 0, length: 0 };
        let total = service.identities(&here.permit, kind.filter(now), nothing).await?.total;
        tabs.push(Tab { label: kind.label(), kind, total });
    }
    let window = Window { offset: (number - 1) * PER_PAGE, length: PER_PAGE };
    let found = service.identities(&here.permit, shown.filter(now), window).await?;
    let mut rows = Vec::new();
    for identity in found.items {
        // One that was removed meanwhile is used by nobody.
        let uses = service.identity_uses(&here.permit, Some(identity.id)).await.unwrap_or_default();
        rows.push(Row { identity, uses });
    }
    let has_more = number * PER_PAGE < found.total && !rows.is_empty();
    let to = |page: i64| format!("?kind={}&page={page}", shown.word());
    show(&IdentitiesPage {
        page: here.visitor.page("Identities", Vec::new()).await?,
        is_empty: tabs.iter().all(|tab| tab.total == 0),
        tabs,
        shown,
        newer: (number > 1).then(|| to(number - 1)),
        older: has_more.then(|| to(number + 1)),
        first: window.offset + 1,
        total: found.total,
        rows,
        host,
        answer,
        may_write: here.visitor.may_in_account(Permission::WriteIdentities),
        may_have_issued: may_have_issued(&here.visitor),
        now,
    })
}

async fn answer(here: &AccountPage<ReadIdentities>, service: &Service, host: &str) -> Result<Answer, Fault> {
    // People copy addresses.
    let bare = url::Url::parse(host).ok().and_then(|url| url.host_str().map(str::to_owned));
    match service.match_host(&here.permit, bare.as_deref().unwrap_or(host)).await {
        Ok(mut found) => {
            found.runners_up.truncate(RUNNERS_UP_SHOWN);
            Ok(Answer::Match(found))
        }
        Err(ServiceError::Invalid(violations)) => {
            Ok(Answer::NoHost(violations.into_iter().map(|violation| violation.message).collect()))
        }
        Err(other) => Err(other.into()),
    }
}

impl Kind {
    fn parse(word: &str) -> Self {
        match word {
            "ending" => Self::Ending,
            "bundles" => Self::Bundles,
            _ => Self::Identities,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Identities => "",
            Self::Ending => "ending",
            Self::Bundles => "bundles",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Identities => "Identities",
            Self::Ending => "Ending soon",
            Self::Bundles => "CA bundles",
        }
    }

    fn filter(self, now: DateTime<Utc>) -> IdentityFilter {
        IdentityFilter {
            is_ca: Some(self == Self::Bundles),
            expires_before: (self == Self::Ending).then(|| now + TimeDelta::days(SOON_DAYS)),
            ..IdentityFilter::default()
        }
    }
}

impl Row {
    fn uses_count(&self) -> i64 {
        show::as_i64(self.uses.len())
    }
}

/// Whether somebody may have a zone issue an identity: whoever may write identities may in every zone what they may in one.
pub fn may_have_issued(visitor: &Visitor) -> bool {
    visitor.may_in_account(Permission::WriteIdentities) && visitor.may_in_account(Permission::IssueCertificates)
}

/// An id of another shape is simply unknown.
pub fn identity_id(request: &HttpRequest) -> Option<IdentityId> {
    IdentityId::parse(request.match_info().query("identity_id"))
}

pub fn address(id: IdentityId) -> String {
    format!("/identities/{id}")
}

pub fn identities_crumb() -> Crumb {
    Crumb { label: "Identities".into(), href: "/identities".into() }
}

pub fn crumb(identity: &Identity) -> Crumb {
    Crumb { label: identity.name.clone(), href: address(identity.id) }
}

/// Where to see who uses an identity: of what is kept here, its page. Others say where they are.
pub fn use_link(using: &Use) -> String {
    let segments: Vec<&str> = using.link.split(['/', '?']).collect();
    match (using.kind.as_str(), segments.as_slice()) {
        ("check", ["", "client", "v4", "accounts", _, "checks", id]) => format!("/checks/{id}"),
        ("zone", ["", "client", "v4", "zones", id, ..]) => format!("/zones/{id}"),
        _ => using.link.clone(),
    }
}

/// How an identity stands with time: a shape and a word.
pub fn state(identity: &Identity, now: impl Plain<DateTime<Utc>>) -> Html {
    let left = identity.facts.not_after - now.plain();
    let (class, word) = match left {
        left if left <= TimeDelta::zero() => ("expired", "Expired"),
        left if left <= TimeDelta::days(SOON_DAYS) => ("pending still", "Ends soon"),
        _ => ("active", "Valid"),
    };
    Safe(format!("<span class=\"badge {class}\">{word}</span>"))
}
