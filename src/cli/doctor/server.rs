//! Checks of the server as its clients see it.

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use serde_json::Value;

use super::finding::Report;
use crate::cli::Context;
use crate::cli::client::{Call, Client, ClientError};
use crate::cli::objects::{Token, time};
use crate::cli::readiness::Readiness;
use crate::cli::resolve;
use crate::domain::permission::Permission;

/// Beyond this the clocks are told apart. Certificates begin five minutes in the past, so more than that makes new ones
/// invalid for whoever keeps the right time.
const NOTICEABLE_SKEW_SECONDS: i64 = 5;
const HARMFUL_SKEW_SECONDS: i64 = 240;
const TOKEN_WARNING_DAYS: i64 = 30;

/// Whether there is a server to go on with.
pub async fn check(report: &mut Report, client: &Client, context: &Context) -> bool {
    let reply = match client.once(&Call::get("/healthz")).await {
        Ok(reply) if reply.status.is_success() => reply,
        Ok(reply) => {
            let message = format!("{}/healthz answers {}", client.base(), reply.status);
            report.fail("server", message, "is this a Countersign? name another address with --url");
            return false;
        }
        Err(ClientError::Unreachable { url, cause }) => {
            let way_out = "start it with `countersign serve`, or name another address with --url";
            report.fail("server", format!("nothing answers at {url} ({cause})"), way_out);
            return false;
        }
        Err(error) => {
            report.fail("server", error.to_string(), "name the right address with --url");
            return false;
        }
    };
    report.ok("server", format!("answers at {}", client.base()));
    check_clock(report, &reply.headers, context.clock.now());
    check_version(report, &reply.body);
    check_readiness(report, client).await;
    true
}

fn check_clock(report: &mut Report, headers: &HeaderMap, now: DateTime<Utc>) {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let Some(theirs) = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok()) else {
        return report.warn("clock", "the server sends no Date header", "does a proxy remove it?");
    };
    let skew = (theirs.to_utc() - now).num_seconds();
    let message =
        format!("the server's clock is {} s {} this one", skew.abs(), if skew < 0 { "behind" } else { "ahead of" });
    let way_out = "set both clocks by NTP: certificates and CRLs are valid by the clock";
    match skew.abs() {
        0..=NOTICEABLE_SKEW_SECONDS => report.ok("clock", "agrees with this one"),
        ..=HARMFUL_SKEW_SECONDS => report.warn("clock", message, way_out),
        _ => report.fail("clock", message, way_out),
    }
}

/// `{"version": "…"}` of /healthz.
fn check_version(report: &mut Report, body: &[u8]) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let ours = env!("CARGO_PKG_VERSION");
    match body.get("version").and_then(Value::as_str) {
        Some(version) if version == ours => report.ok("version", version),
        Some(version) => {
            let message = format!("the server is {version}, this command is {ours}");
            report.warn("version", message, "use the same version on both sides");
        }
        None => {
            report.warn("version", "/healthz does not tell a version", "is this a Countersign? name another with --url")
        }
    }
}

async fn check_readiness(report: &mut Report, client: &Client) {
    const LOOK: &str = "see the server's log";
    let readiness = match Readiness::ask(client).await {
        Ok(readiness) => readiness,
        Err(error) => return report.fail("readiness", error.to_string(), LOOK),
    };
    for part in &readiness.parts {
        match &part.fault {
            None => report.ok(&part.name, "works"),
            Some(fault) => report.fail(&part.name, fault, LOOK),
        }
    }
    if let Some(why) = readiness.unexplained() {
        report.fail("readiness", why, LOOK);
    }
}

/// Whether the token can be used for further checks.
pub async fn check_token(report: &mut Report, client: &Client, context: &Context) -> bool {
    let way_out = "make a new one with `countersign token create`, or give another with --token";
    let verified = client.call(Call::get("/client/v4/user/tokens/verify")).await;
    let token: Token = match verified.map(|answer| answer.read()) {
        Ok(Ok(token)) => token,
        Ok(Err(error)) => {
            report.fail("token", error.message().unwrap_or_default(), way_out);
            return false;
        }
        Err(error) => {
            report.fail("token", error.to_string(), way_out);
            return false;
        }
    };
    let days_left = token.expires_on.as_deref().and_then(time).map(|end| (end - context.clock.now()).num_days());
    let permissions = permissions(client, &token.id).await;
    match days_left {
        _ if token.status != "active" => {
            report.fail("token", format!("it is {}", token.status), way_out);
            return false;
        }
        Some(days) if days < TOKEN_WARNING_DAYS => {
            report.warn("token", format!("valid, but for {days} more days only; {permissions}"), way_out);
        }
        _ => report.ok("token", format!("valid; {permissions}")),
    }
    true
}

/// A token may look at itself only where it may administer tokens; where it may not, that is no fault.
async fn permissions(client: &Client, token: &str) -> String {
    let found: Result<Token, ()> = async {
        let account = resolve::account(client, None).await.map_err(drop)?;
        let answer =
            client.call(Call::get(format!("/client/v4/accounts/{account}/tokens/{token}"))).await.map_err(drop)?;
        answer.read().map_err(drop)
    }
    .await;
    match found {
        Ok(token) => {
            let reach = token.zones.map_or_else(|| "all zones".to_owned(), |zones| format!("{} zones", zones.len()));
            let may_do_all =
                Permission::ALL.iter().all(|one| token.permissions.iter().any(|held| held == one.as_str()));
            let permissions = if may_do_all { "do everything".to_owned() } else { token.permissions.join(", ") };
            format!("may {permissions} in {reach}")
        }
        Err(()) => "what it may do only an administrator's token can tell".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_apart() {
        let now = time("2026-11-20T12:00:00Z").unwrap();
        for (date, expected) in [
            ("Fri, 20 Nov 2026 12:00:03 GMT", Verdict::Ok),
            ("Fri, 20 Nov 2026 11:59:00 GMT", Verdict::Warn),
            ("Fri, 20 Nov 2026 13:00:00 GMT", Verdict::Fail),
            ("yesterday", Verdict::Warn),
        ] {
            let mut report = Report::default();
            let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
            check_clock(&mut report, &headers, now);
            assert_eq!(report.worst(), expected, "{date}");
        }
    }

    #[test]
    fn another_version_of_the_server_is_noticed() {
        for (body, expected) in [
            (format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION")), Verdict::Ok),
            (r#"{"version":"0.0.1"}"#.to_owned(), Verdict::Warn),
            ("ok".to_owned(), Verdict::Warn),
        ] {
            let mut report = Report::default();
            check_version(&mut report, body.as_bytes());
            assert_eq!(report.worst(), expected, "{body}");
        }
    }
}
