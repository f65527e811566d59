//! The certificates of a zone: finding them, and choosing many to revoke.

use actix_web::{HttpRequest, HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::certificate::{Certificate, CertificateFilter, CertificateOrder};
use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::serial::SerialNumber;
use crate::domain::status::Status;
use crate::domain::text::parse_timestamp;
use crate::http::admission::PageTurn;
use crate::http::client_timeout;
use crate::service::access::ReadCertificates;
use crate::service::{Service, ServiceError};
use crate::store::{Page as Found, Window};

use super::certificate::{address, certificate_id};
use super::fault::Fault;
use super::page::{Page, go_to, guarded, show, show_part};
use super::show::{self, Plain};
use super::visitor::{ZonePage, searched};

/// Within how many days an end can be asked for.
const DAYS: [i64; 3] = [7, 30, 90];
const PER_PAGE: i64 = 25;
/// How an order is called in an address, and on the page.
const ORDERS: [(CertificateOrder, &str, &str); 4] = [
    (CertificateOrder::NewestFirst, "", "Newest first"),
    (CertificateOrder::OldestFirst, "oldest", "Oldest first"),
    (CertificateOrder::FirstToEnd, "ending", "First to end"),
    (CertificateOrder::LastToEnd, "lasting", "Last to end"),
];
/// A serial number in hex is longer than any name that only looks like one.
const SERIAL_LENGTH: usize = 30;

#[derive(Template)]
#[template(path = "certificates.html", config = "src/http/console/askama.toml")]
struct CertificatesPage {
    page: Page,
    zone: ZoneId,
    asked: Asked,
    tabs: Vec<Tab>,
    found: Found<Certificate>,
    pages: Pages,
    may_issue: bool,
    may_revoke: bool,
    is_empty: bool,
    now: DateTime<Utc>,
}

/// A row by itself, as the list looks for it.
#[derive(Template)]
#[template(path = "certificate_row.html", config = "src/http/console/askama.toml")]
struct RowPart {
    zone: ZoneId,
    certificate: Certificate,
    may_revoke: bool,
    now: DateTime<Utc>,
}

/// A status to look at, and how many certificates have it.
struct Tab {
    label: &'static str,
    value: &'static str,
    total: i64,
}

struct Pages {
    first: i64,
    last: i64,
    newer: Option<String>,
    older: Option<String>,
}

/// What the address asks for; whatever of it makes no sense is left out.
struct Asked {
    query: String,
    status: Option<Status>,
    /// Days until the end, at most.
    ends_within: Option<i64>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    order: CertificateOrder,
    page: i64,
}

#[get("/zones/{zone_id}/certificates")]
pub async fn list(
    here: ZonePage<ReadCertificates>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let zone = here.permit.issuer().zone.clone();
    let now = service.clock().now();
    let asked = Asked::of(&request);
    let totals = service.totals(&here.permit).await?;
    let total = |status| totals.get(&status).copied().unwrap_or_default();
    let tabs = vec![
        Tab { label: "All", value: "", total: totals.values().sum() },
        Tab { label: "Active", value: Status::Active.as_str(), total: total(Status::Active) },
        Tab {
            label: "Being revoked",
            value: Status::PendingRevocation.as_str(),
            total: total(Status::PendingRevocation),
        },
        Tab { label: "Revoked", value: Status::Revoked.as_str(), total: total(Status::Revoked) },
        Tab {
            label: "Being reactivated",
            value: Status::PendingReactivation.as_str(),
            total: total(Status::PendingReactivation),
        },
    ];
    let is_empty = totals.values().sum::<i64>() == 0;
    let window = Window { offset: (asked.page - 1) * PER_PAGE, length: PER_PAGE };
    // Kept until the page is written.
    let _turn = PageTurn::of(window.length, client_timeout()).await.ok_or_else(too_many_pages)?;
    let found = service.certificates(&here.permit, asked.filter(now), asked.order, window).await?;
    let pages = asked.pages(&found);
    let page = here.visitor.zone_page(&zone, "Certificates", Vec::new()).await?;
    show(&CertificatesPage {
        page,
        zone: zone.id,
        asked,
        tabs,
        found,
        pages,
        may_issue: here.visitor.may(Permission::IssueCertificates, &zone),
        may_revoke: here.visitor.may(Permission::RevokeCertificates, &zone),
        is_empty,
        now,
    })
}

/// A row of the list, which asks for it while what it shows is pending. Nothing as long as that is as it was `shown`, so that
/// nobody's tick or place is lost.
#[get("/zones/{zone_id}/certificates/{certificate_id}/row")]
pub async fn row(here: ZonePage<ReadCertificates>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let request = &here.visitor.request;
    let certificate = service.certificate(&here.permit, certificate_id(request)).await?;
    if !here.visitor.is_script() {
        return Ok(go_to(&address(&certificate), None));
    }
    let shown = url::form_urlencoded::parse(request.query_string().as_bytes()).find(|(key, _)| key == "shown");
    if shown.is_some_and(|(_, status)| status == certificate.status.as_str()) {
        return Ok(guarded(&mut HttpResponse::NoContent()).finish());
    }
    let zone = &here.permit.issuer().zone;
    let may_revoke = here.visitor.may(Permission::RevokeCertificates, zone);
    show_part(&RowPart { zone: zone.id, certificate, may_revoke, now: service.clock().now() })
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        let text = |name: &str| {
            pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        Self {
            query: searched(text("q").unwrap_or_default()),
            status: text("status").and_then(Status::parse),
            ends_within: text("ends").and_then(|days| days.parse().ok()).filter(|days| (1..=3650).contains(days)),
            from: text("from").and_then(parse_timestamp),
            until: text("until").and_then(parse_timestamp),
            order: order(text("order").unwrap_or_default()),
            page: text("page")
                .and_then(|page| page.parse().ok())
                .filter(|page| (1..=1_000_000_000).contains(page))
                .unwrap_or(1),
        }
    }

    /// A search is for a fingerprint or a serial number where it can be nothing else, and for the start of a name.
    fn filter(&self, now: DateTime<Utc>) -> CertificateFilter {
        let plain = self.query.replace([':', ' '], "");
        let is_hex = plain.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut filter = CertificateFilter { status: self.status, ..CertificateFilter::default() };
        let fingerprint = (is_hex && plain.len() == 64).then(|| hex::decode(&plain).ok()).flatten();
        let serial = (is_hex && plain.len() >= SERIAL_LENGTH).then(|| SerialNumber::parse(&plain)).flatten();
        if fingerprint.is_some() {
            filter.fingerprint_sha256 = fingerprint;
        } else if serial.is_some() {
            filter.serial = serial;
        } else if !self.query.is_empty() {
            filter.common_name = Some(self.query.clone());
        }
        filter.expires_after = self.from.and_then(|from| from.checked_sub_signed(TimeDelta::milliseconds(1)));
        filter.expires_before = self.until;
        if let Some(days) = self.ends_within {
            filter.expires_after = Some(now);
            filter.expires_before = Some(now + TimeDelta::days(days));
        }
        filter
    }

    /// The same question about this status, from this page on.
    fn address(&self, status: &str, page: i64) -> String {
        self.address_by(self.order, status, page)
    }

    /// Where a column leads that sorts by it: to its one order, and from there to the other.
    fn sorted(&self, order: CertificateOrder) -> String {
        let order = if self.order == order { order.reversed() } else { order };
        self.address_by(order, self.status_word(), 1)
    }

    /// What a screen reader says of a column that can be sorted by.
    fn sort_word(&self, ascending: CertificateOrder) -> &'static str {
        match self.order {
            order if order == ascending => "ascending",
            order if order == ascending.reversed() => "descending",
            _ => "none",
        }
    }

    fn address_by(&self, order: CertificateOrder, status: &str, page: i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.query.is_empty() {
            query.append_pair("q", &self.query);
        }
        if !status.is_empty() {
            query.append_pair("status", status);
        }
        if let Some(days) = self.ends_within {
            query.append_pair("ends", &days.to_string());
        }
        for (name, time) in [("from", self.from), ("until", self.until)] {
            if let Some(time) = time {
                query.append_pair(name, &crate::domain::text::timestamp(time));
            }
        }
        let word = word_of(order);
        if !word.is_empty() {
            query.append_pair("order", word);
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        format!("?{}", query.finish())
    }

    fn is_by(&self, order: impl Plain<CertificateOrder>) -> bool {
        self.order == order.plain()
    }

    fn is_within(&self, days: impl Plain<i64>) -> bool {
        self.ends_within == Some(days.plain())
    }

    fn status_word(&self) -> &'static str {
        self.status.map_or("", Status::as_str)
    }

    fn pages(&self, found: &Found<Certificate>) -> Pages {
        let count = show::as_i64(found.items.len());
        let skipped = (self.page - 1) * PER_PAGE;
        let has_more = skipped + count < found.total && count > 0;
        let to = |page| self.address(self.status_word(), page);
        Pages {
            first: (skipped + 1).min(found.total),
            last: skipped + count,
            newer: (self.page > 1).then(|| to(self.page - 1)),
            older: has_more.then(|| to(self.page + 1)),
        }
    }
}

fn too_many_pages() -> Fault {
    ServiceError::Unavailable("too many pages of certificates are being read".into()).into()
}

fn order(word: &str) -> CertificateOrder {
    ORDERS.iter().find(|(_, known, _)| *known == word).map_or(CertificateOrder::NewestFirst, |(order, ..)| *order)
}

fn word_of(order: CertificateOrder) -> &'static str {
    ORDERS.iter().find(|(known, ..)| *known == order).map_or("", |(_, word, _)| word)
}

/// Enough of a serial number to tell it from others by eye.
fn serial_start(certificate: &Certificate) -> String {
    certificate.serial.to_hex().chars().take(12).chain(['…']).collect()
}

/// What to call a certificate that may name nobody.
pub fn label(certificate: &Certificate) -> String {
    let first_name = certificate.subject_alternative_names.first().map(|name| name.value());
    let own = Some(certificate.subject.common_name.clone()).filter(|name| !name.is_empty());
    own.or(first_name).unwrap_or_else(|| format!("Serial number {}", certificate.serial.to_hex()))
}

/// What changes without anybody's doing.
pub fn is_pending(certificate: &Certificate) -> bool {
    matches!(certificate.status, Status::PendingRevocation | Status::PendingReactivation)
}

pub fn is_expired(certificate: &Certificate, now: impl Plain<DateTime<Utc>>) -> bool {
    certificate.not_after < now.plain()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_always_searches() {
        let now = DateTime::UNIX_EPOCH;
        let filter = |query: &str| {
            let asked = Asked {
                query: query.into(),
                status: None,
                ends_within: None,
                from: None,
                until: None,
                order: CertificateOrder::NewestFirst,
                page: 1,
            };
            asked.filter(now)
        };
        assert!(filter(&"ab:".repeat(32)).fingerprint_sha256.is_some());
        assert!(filter(&"ab ".repeat(16)).serial.is_some());
        // Hexadecimal and long, and no serial number: nothing, or more than one can have.
        for name in ["0".repeat(30), "f".repeat(50), "a".repeat(100)] {
            assert_eq!(filter(&name).common_name.as_ref(), Some(&name));
        }
        assert_eq!(filter("device-1").common_name.as_deref(), Some("device-1"));
        assert!(filter("").common_name.is_none());
    }
    #[test]
    fn an_order_has_its_word_in_the_address_and_a_column_leads_there_and_back() {
        let mut asked = Asked {
            query: "a b".into(),
            status: Some(Status::Active),
            ends_within: Some(30),
            from: None,
            until: None,
            order: CertificateOrder::NewestFirst,
            page: 3,
        };
        assert_eq!(asked.address("active", 3), "?q=a+b&status=active&ends=30&page=3");
        assert_eq!(asked.sorted(CertificateOrder::FirstToEnd), "?q=a+b&status=active&ends=30&order=ending");
        for (known, word, _) in ORDERS {
            assert_eq!(order(word), known);
        }
        asked.order = CertificateOrder::FirstToEnd;
        assert!(asked.sorted(CertificateOrder::FirstToEnd).ends_with("&order=lasting"));
        assert_eq!(asked.sort_word(CertificateOrder::FirstToEnd), "ascending");
        assert_eq!(asked.sort_word(CertificateOrder::OldestFirst), "none");
        assert_eq!(order("sideways"), CertificateOrder::NewestFirst);
    }
}
