//! Checks of the authorities, their CRLs and their responders as relying parties see them.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::finding::Report;
use super::{chain, deliveries, ocsp};
use crate::cli::client::Client;
use crate::cli::envelope::read;
use crate::cli::error::CliError;
use crate::cli::objects::{Authority, Crl, Zone, time};
use crate::cli::{Context, authority, resolve};
use crate::domain::id::ZoneId;

/// CRLs and responders are replaced at half of their validity; one that has less than this share left was not.
const FRESH_SHARE_PERCENT: i64 = 40;
const EXPIRY_WARNING_DAYS: i64 = 365;

/// Looks at the named zone, or at every zone that the token reaches.
pub async fn check(report: &mut Report, client: &Client, zone: Option<&str>, context: &Context) {
    let zones = match zones(client, zone).await {
        Ok(zones) => zones,
        Err(error) => return unreadable(report, "zones", &error),
    };
    let mut seen = Vec::new();
    for zone in zones {
        let authorities = match authority::all(client, zone).await {
            Ok(authorities) => authorities,
            Err(error) => return unreadable(report, "authorities", &error),
        };
        if !authorities.iter().any(Authority::is_active_issuer) {
            report.fail(
                "authorities",
                format!("no authority signs for the zone {zone}"),
                "see `countersign authority list`",
            );
        }
        for authority in &authorities {
            // The root is every zone's.
            if !seen.contains(&authority.id) {
                check_one(report, client, authority, &authorities, context).await;
                seen.push(authority.id.clone());
            }
        }
        deliveries::check(report, client, zone, context.clock.now()).await;
    }
}

async fn zones(client: &Client, named: Option<&str>) -> Result<Vec<ZoneId>, CliError> {
    if let Some(named) = named {
        return Ok(vec![resolve::zone(client, named).await?]);
    }
    let zones: Vec<Zone> = read(&Value::Array(client.items("/client/v4/zones").await?))?;
    Ok(zones.iter().filter_map(|zone| ZoneId::parse(&zone.id)).collect())
}

fn unreadable(report: &mut Report, check: &str, error: &CliError) {
    let way_out = "use a token with zones:read and authorities:read, such as admin.token";
    report.warn(check, error.message().unwrap_or_default(), way_out);
}

async fn check_one(
    report: &mut Report,
    client: &Client,
    authority: &Authority,
    others: &[Authority],
    context: &Context,
) {
    let (check, now) = (label(authority), context.clock.now());
    check_expiry(report, &check, authority, now);
    // Nobody relies any more on what a former authority signed once it has ended itself.
    if authority.state == "disabled" || is_former(authority) && time(&authority.expires_on).is_some_and(|end| end < now)
    {
        return;
    }
    chain::check(report, &check, authority, others, now);
    match &authority.crl {
        Some(crl) => {
            check_freshness(report, &check, crl, now);
            check_address(report, client, &check, crl).await;
            chain::check_address(report, client, &check, authority, crl).await;
            ocsp::check(report, client, &check, authority, &crl.url, now).await;
        }
        None => {
            report.fail(&check, "it has published no CRL", "is the worker running? see /readyz and the server's log")
        }
    }
}

/// The id tells authorities apart whose names are alike.
fn label(authority: &Authority) -> String {
    let state = if is_former(authority) { format!(", {}", authority.state) } else { String::new() };
    format!("{} authority {} ({}{state})", authority.kind, authority.name, authority.id)
}

fn is_former(authority: &Authority) -> bool {
    matches!(authority.state.as_str(), "retired" | "disabled")
}

fn check_expiry(report: &mut Report, check: &str, authority: &Authority, now: DateTime<Utc>) {
    let Some(end) = time(&authority.expires_on) else {
        return report.warn(check, "its end cannot be read", "use the same version of countersign on both sides");
    };
    let days = (end - now).num_days();
    match days {
        _ if is_former(authority) => report.ok(check, format!("signs no more; its end is {}", authority.expires_on)),
        ..0 => report.fail(check, format!("it expired on {}", authority.expires_on), "make a new authority"),
        0..EXPIRY_WARNING_DAYS => {
            let message = format!("it expires in {days} days, and no certificate can outlive it");
            report.warn(check, message, "plan its successor");
        }
        _ => report.ok(check, format!("valid until {}", authority.expires_on)),
    }
}

fn check_freshness(report: &mut Report, check: &str, crl: &Crl, now: DateTime<Utc>) {
    let (Some(this_update), Some(next_update)) = (time(&crl.this_update), time(&crl.next_update)) else {
        return report.warn(
            check,
            "the times of its CRL cannot be read",
            "use the same version of countersign on both sides",
        );
    };
    let way_out = "is the worker running? see /readyz and the server's log";
    let message = format!("CRL {} is valid until {}", crl.number, crl.next_update);
    if next_update <= now {
        report.fail(check, format!("{message}, which is over: relying parties refuse every certificate"), way_out);
    } else if is_overdue(this_update, next_update, now) {
        report.warn(check, format!("{message}, and should have been signed anew by now"), way_out);
    } else {
        report.ok(check, message);
    }
}

/// Whether what is replaced at half of its validity should have been by now.
pub(super) fn is_overdue(begin: DateTime<Utc>, end: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let validity = (end - begin).num_milliseconds().max(1);
    (end - now).num_milliseconds().saturating_mul(100) / validity < FRESH_SHARE_PERCENT
}

/// Fetches the CRL as a relying party does, without a token.
async fn check_address(report: &mut Report, client: &Client, check: &str, crl: &Crl) {
    let way_out = "COUNTERSIGN_PUBLIC_URL must be the address under which relying parties reach the server";
    match client.fetch_anonymously(&crl.url).await {
        // From behind a proxy or a firewall the public address may rightly be out of reach for this machine.
        Err(_) => report.warn(check, format!("its CRL cannot be fetched from here at {}", crl.url), way_out),
        Ok(reply) if !reply.status.is_success() => {
            report.fail(check, format!("{} answers {}", crl.url, reply.status), way_out);
        }
        // A CRL is a SEQUENCE.
        Ok(reply) if reply.body.first() == Some(&0x30) => report.ok(check, format!("CRL at {}", crl.url)),
        Ok(_) => report.fail(check, format!("what is at {} is no CRL", crl.url), way_out),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn worst(check: impl FnOnce(&mut Report)) -> Verdict {
        let mut report = Report::default();
        check(&mut report);
        report.worst()
    }

    #[test]
    fn a_crl_that_was_not_signed_anew_in_time_is_noticed() {
        let crl = Crl {
            number: 3,
            this_update: "2026-11-01T00:00:00Z".into(),
            next_update: "2026-11-11T00:00:00Z".into(),
            ..Crl::default()
        };
        for (now, expected) in [
            ("2026-11-05T12:00:00Z", Verdict::Ok),
            ("2026-11-08T00:00:00Z", Verdict::Warn),
            ("2026-11-11T00:00:00Z", Verdict::Fail),
        ] {
            assert_eq!(worst(|report| check_freshness(report, "x", &crl, time(now).unwrap())), expected, "{now}");
        }
    }

    #[test]
    fn authorities_of_one_name_are_told_apart_and_former_ones_may_end() {
        let active = Authority { id: "1".into(), kind: "issuing".into(), name: "CA".into(), ..Authority::default() };
        let expires_on = "2020-01-01T00:00:00Z".into();
        let retired = Authority { id: "2".into(), state: "retired".into(), expires_on, ..active.clone() };
        assert_eq!(label(&active), "issuing authority CA (1)");
        assert_eq!(label(&retired), "issuing authority CA (2, retired)");
        let now = time("2026-11-20T12:00:00Z").unwrap();
        assert_eq!(worst(|report| check_expiry(report, "x", &retired, now)), Verdict::Ok);
    }

    #[test]
    fn an_authority_that_ends_within_a_year_is_noticed() {
        let authority = Authority { expires_on: "2030-01-01T00:00:00Z".into(), ..Authority::default() };
        for (now, expected) in [
            ("2028-12-01T00:00:00Z", Verdict::Ok),
            ("2029-02-01T00:00:00Z", Verdict::Warn),
            ("2030-01-03T00:00:00Z", Verdict::Fail),
        ] {
            assert_eq!(worst(|report| check_expiry(report, "x", &authority, time(now).unwrap())), expected, "{now}");
        }
    }
}
