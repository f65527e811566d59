//! The first page of the console over HTTP: what it adds up over the zones of an account, where it leads, and what it keeps from
//! a token that reaches some of them only.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::json;

use crate::console::{Browser, zone};
use crate::harness::csr;
use crate::server::{ADMIN, Server};

async fn new_zone(server: &Server, name: &str) -> String {
    let made = server.result("POST", "/client/v4/zones", Some(&json!({"name": name}))).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn issue(server: &Server, zone: &str, days: i64) -> String {
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr("device"), "validity_days": days}))).await;
    issued["id"].as_str().unwrap().to_owned()
}

async fn signed_in_with<'a>(server: &'a Server, permissions: &[&str], zones: Option<&[&str]>) -> Browser<'a> {
    let account = server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned();
    let body = json!({"name": "reader", "permissions": permissions, "zones": zones});
    let made = server.result("POST", &format!("/client/v4/accounts/{account}/tokens"), Some(&body)).await;
    Browser::signed_in(server, made["value"].as_str().unwrap()).await
}

/// The first page, once everything is counted that is counted beside it, and says this.
async fn overview(browser: &Browser<'_>, says: &str) -> String {
    let mut page = String::new();
    for _ in 0..400 {
        page = browser.page("/").await;
        if !page.contains("being counted") && page.contains(says) {
            return page;
        }
        assert!(!page.contains("being counted") || page.contains("Look again"), "without a script, too: {page}");
        countersign::clock::Clock::system().sleep(Duration::from_millis(50)).await;
    }
    panic!("it never says {says:?}: {page}");
}

/// The cells of a zone's row, as text.
fn cells(page: &str, zone: &str) -> Vec<String> {
    let (_, rows) = page.split_once("id=\"zones\"").unwrap();
    let row = rows.split("</tr>").find(|row| row.contains(&format!("/zones/{zone}\""))).expect("the zone has a row");
    let text = |cell: &str| {
        let parts = cell.split('<').skip(1).filter_map(|part| part.split_once('>'));
        parts.map(|(_, text)| text).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    row.split("<td").skip(1).map(|cell| text(&format!("<td{cell}"))).collect()
}

fn now() -> DateTime<Utc> {
    countersign::clock::Clock::system().now()
}

/// As it stands in an address.
fn written(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(0).format("%Y-%m-%dT%H%%3A%M%%3A%SZ").to_string()
}

#[tokio::test]
async fn the_account_adds_up_its_zones_and_tells_how_fresh_each_is() {
    let server = Server::start().await;
    let (first, second) = (zone(&server).await, new_zone(&server, "second.example").await);
    issue(&server, &first, 20).await;
    issue(&server, &first, 400).await;
    let revoked = issue(&server, &second, 60).await;
    let path = format!("/client/v4/zones/{second}/client_certificates/{revoked}");
    server.result("DELETE", &path, None).await;

    let browser = Browser::signed_in(&server, ADMIN).await;
    overview(&browser, "revoked 1<").await;
    // What the page read of the totals may be older than what it read of the days: the next one is newer than both.
    let page = overview(&browser, "revoked 1<").await;
    assert!(page.contains("issued 3<") && page.contains("/ending?from="), "{page}");
    assert!(
        page.contains("<span class=\"tile-figure\">2</span> <span class=\"tile-name\">end within 90 days"),
        "{page}"
    );
    let [one, two] = [&first, &second].map(|zone| cells(&page, zone));
    assert_eq!(
        (&one[..3], &two[..3]),
        (&["2", "0", "0"].map(String::from)[..], &["0", "0", "1"].map(String::from)[..])
    );
    assert!(one[3].starts_with("fresh number 1, ") && two[3].starts_with("fresh number 2, "), "{one:?} {two:?}");
    assert!(one[4] == "answers" || one[4] == "not asked yet", "{one:?}");
    assert!(page.contains("As a table"), "behind each plot");
}

#[tokio::test]
async fn a_change_that_waits_is_told_with_its_age_and_so_is_a_crl_that_is_not_signed() {
    let server = Server::start().await;
    let first = zone(&server).await;
    let waiting = issue(&server, &first, 20).await;
    // Nobody publishes any more.
    server.database.connect().refuse("no_publishing", "UPDATE ON publications", "NEW.number > OLD.number");
    server.result("DELETE", &format!("/client/v4/zones/{first}/client_certificates/{waiting}"), None).await;
    let since = (now() - TimeDelta::minutes(190)).timestamp_millis();
    server.database.connect().execute(&format!("UPDATE transitions SET requested_at = {since}"));
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = overview(&browser, "failed</span>").await;
    let row = cells(&page, &first);
    assert_eq!(row[1], "1 oldest 3 hours ago");
    assert!(row[3].contains("failed number 1, "), "{row:?}");
    let health = page.split_once("id=\"health\"").unwrap().1.split("</ul>").next().unwrap();
    let late = "<span class=\"badge revoked\">worker</span> a requested revocation or reactivation has waited for more than a minute";
    assert!(health.contains(late) && health.contains("<span class=\"badge active\">database</span> works"), "{health}");
    assert!(page.contains("hx-trigger=\"every 2s\" hx-select=\"#standing\""), "it looks again by itself");

    server.database.connect().execute("UPDATE publications SET next_update = 1000");
    assert!(cells(&overview(&browser, "run out").await, &first)[3].starts_with("run out number 1, "));
}

#[tokio::test]
async fn a_bar_leads_to_what_ends_zone_by_zone_and_only_to_what_the_token_may_read() {
    let server = Server::start().await;
    let (first, second) = (zone(&server).await, new_zone(&server, "second.example").await);
    for (zone, days) in [(&first, 20), (&first, 21), (&first, 80), (&second, 20), (&second, 300)] {
        issue(&server, zone, days).await;
    }
    let now = now();
    let span = format!("from={}&until={}", written(now + TimeDelta::days(18)), written(now + TimeDelta::days(23)));
    let link = |zone: &str| format!("/zones/{zone}/certificates?{}\"", span.replace('&', "&#38;"));
    let count = |page: &str, zone: &str| {
        let (_, after) = page.split_once(&link(zone))?;
        after.strip_prefix('>')?.split('<').next()?.parse::<i64>().ok()
    };
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = browser.page(&format!("/ending?{span}")).await;
    assert_eq!((count(&page, &first), count(&page, &second)), (Some(2), Some(1)), "{page}");
    let list = browser.page(&format!("/zones/{first}/certificates?{span}")).await;
    assert!(list.contains("1 to 2 of 2"), "the list that it leads to has as many: {list}");
    assert!(browser.page("/ending?from=2090-01-01").await.contains("None of them ends"));
    for senseless in ["from=-262143-01-01&until=x", "from=%2B262142-12-31", "until=2020-01-01", "from=%00"] {
        browser.page(&format!("/ending?{senseless}")).await;
    }

    let reader = signed_in_with(&server, &["client_certificates:read"], Some(&[&second])).await;
    let page = reader.page(&format!("/ending?{span}")).await;
    assert_eq!((count(&page, &first), count(&page, &second)), (None, Some(1)), "{page}");
    let page = overview(&reader, "issued 2<").await;
    assert!(!page.contains(&first) && !page.contains("/ending"), "{page}");
    assert!(page.contains(&format!("/zones/{second}/certificates?from=")), "one zone: straight to its list: {page}");

    let namer = signed_in_with(&server, &["zones:read"], None).await;
    assert_eq!(namer.get(&format!("/ending?{span}")).await.status(), StatusCode::FORBIDDEN);
    let page = namer.page("/").await;
    assert!(page.contains("may not read its certificates") && !page.contains("id=\"activity\""), "{page}");
    assert!(!page.contains("number 1,"), "{page}");
}

#[tokio::test]
async fn with_very_many_zones_the_first_page_shows_the_first_and_says_so() {
    let server = Server::start().await;
    issue(&server, &zone(&server).await, 20).await;
    for number in 1..=20 {
        let one = new_zone(&server, &format!("zone-{number:03}.example")).await;
        if number == 20 {
            issue(&server, &one, 20).await;
        }
    }
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = overview(&browser, "Of the first 20 zones").await;
    assert!(page.contains("issued 1<"), "the 21st shows its own: {page}");
    assert!(page.contains("<span class=\"tile-figure\">2</span> <span class=\"tile-name\">active"), "{page}");
    assert!(browser.page("/ending").await.contains("Of the first 20 of your 21 zones"));
    assert!(!page.contains("The first 100"));

    // Many more, past the services: whoever looks at the list needs no authority of theirs.
    let more = (1..=90).map(|number| {
        format!(
            "INSERT INTO zones (id, account_id, name, created_at) SELECT x'{number:032x}', account_id, 'more-{number}', \
             created_at + 1000000 + {number} FROM zones WHERE name = 'default';"
        )
    });
    server.database.connect().execute(&more.collect::<String>());
    let page = overview(&browser, "The first 100 of 111 zones").await;
    assert_eq!(page.matches("role=\"rowheader\"").count(), 100);
    assert!(page.contains("href=\"/zones\">all zones"), "{page}");
}

#[tokio::test]
async fn a_check_that_fails_leads_to_its_page() {
    let server = Server::start().await;
    let body = json!({"name": "partner", "url": "https://localhost:1/x", "identity": "none"});
    let account = server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned();
    let made = server.result("POST", &format!("/client/v4/accounts/{account}/checks"), Some(&body)).await;
    let check = made["id"].as_str().unwrap();
    server.call(ADMIN, "POST", &format!("/client/v4/accounts/{account}/checks/{check}/run"), None).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = overview(&browser, "Failing").await;
    assert!(page.contains(&format!("<a href=\"/checks/{check}\"><bdi>partner</bdi></a>")), "{page}");
}
