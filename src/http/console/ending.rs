//! What ends within a span of time, zone by zone: where the bars of the account's plot lead.

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::ZoneId;
use crate::domain::text::parse_timestamp;
use crate::service::{Service, ServiceError};

use super::fault::Fault;
use super::overview::readable;
use super::page::{Page, show};
use super::plot::span_query;
use super::show;
use super::visitor::Visitor;

/// Without an end of its own, a span ends after so many days.
const DAYS_AHEAD: TimeDelta = TimeDelta::days(90);

#[derive(Template)]
#[template(path = "ending.html", config = "src/http/console/askama.toml")]
struct EndingPage {
    page: Page,
    zones: Vec<Row>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    query: String,
    sum: i64,
    /// How many zones were looked at, and how many there are.
    counted: usize,
    readable: usize,
}

struct Row {
    id: ZoneId,
    name: String,
    count: i64,
}

#[get("/ending")]
pub async fn list(visitor: Visitor, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let (from, until) = span(visitor.request.query_string(), service.clock().now());
    let zones = visitor.zones().await?;
    let readable = readable(&visitor, &service, &zones).await?;
    if readable.permits.is_empty() {
        return Err(ServiceError::Forbidden.into());
    }
    let counts = service.ends_of(&readable.permits, from, until).await?;
    let rows = zones
        .iter()
        .filter_map(|zone| Some(Row { id: zone.id, name: zone.name.clone(), count: counts.get(&zone.id).copied()? }));
    show(&EndingPage {
        page: visitor.page("Certificates that end", Vec::new()).await?,
        zones: rows.collect(),
        from,
        until,
        query: span_query(from, until),
        sum: counts.values().sum(),
        counted: readable.permits.len(),
        readable: readable.total,
    })
}

/// What of it makes no sense is left out: the span then begins now, and is as long as the overview looks ahead.
fn span(query: &str, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let asked = |name| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        found.and_then(|(_, value)| parse_timestamp(value.trim()))
    };
    let from = asked("from").unwrap_or(now);
    let ahead = || from.checked_add_signed(DAYS_AHEAD).unwrap_or(DateTime::<Utc>::MAX_UTC);
    (from, asked("until").unwrap_or_else(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_what_is_asked_for_or_the_next_90_days() {
        let now = DateTime::UNIX_EPOCH;
        let day = |days| now + TimeDelta::days(days);
        assert_eq!(span("from=1970-01-02&until=1970-01-05", now), (day(1), day(4)));
        assert_eq!(span("until=soon", now), (day(0), day(90)));
        assert_eq!(span("from=1970-01-03T00:00:00Z", now), (day(2), day(92)));
        // The last year there is.
        let _ = span("from=%2B262142-12-31", now);
    }
}
