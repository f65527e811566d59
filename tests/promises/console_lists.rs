//! The console's list of certificates over HTTP: its orders and pages, and the rows that look again by themselves.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use serde_json::json;

use crate::console::{Browser, location, zone};
use crate::harness::csr;
use crate::server::{ADMIN, Server};

/// The ids of the certificates on a page, in their order.
fn listed(page: &str) -> Vec<String> {
    let rows = page.split("<th scope=\"row\" role=\"rowheader\"><a href=\"").skip(1);
    rows.map(|row| row.split('"').next().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

async fn issue(server: &Server, zone: &str, name: &str, days: i64) -> String {
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr(name), "validity_days": days}))).await;
    issued["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_list_is_sorted_by_issue_and_by_end_in_both_directions_on_every_page() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let mut issued = Vec::new();
    for number in 0..30 {
        let days = 1 + number * 7 % 5;
        issued.push((days, issue(&server, &zone, &format!("device-{number}"), days).await));
    }
    let browser = Browser::signed_in(&server, ADMIN).await;
    let list = format!("/zones/{zone}/certificates");
    let mut by_issue: Vec<String> = issued.iter().map(|(_, id)| id.clone()).collect();
    by_issue.sort();
    issued.sort();
    let by_end: Vec<String> = issued.into_iter().map(|(_, id)| id).collect();
    let turned = |ids: &[String]| ids.iter().rev().cloned().collect::<Vec<_>>();
    for (order, expected) in [
        ("", turned(&by_issue)),
        ("oldest", by_issue.clone()),
        ("ending", by_end.clone()),
        ("lasting", turned(&by_end)),
        ("sideways", turned(&by_issue)),
    ] {
        for status in ["", "active"] {
            let address = format!("{list}?status={status}&order={order}");
            let first = browser.page(&address).await;
            let second = browser.page(&format!("{address}&page=2")).await;
            assert_eq!([listed(&first), listed(&second)].concat(), expected, "{order} {status}");
            assert_eq!(listed(&second).len(), 5);
            assert!(listed(&browser.page(&format!("{address}&page=3")).await).is_empty());
        }
    }
    let page = browser.page(&format!("{list}?status=active&order=ending&q=device")).await;
    assert!(page.contains("aria-sort=\"ascending\"") && page.contains("value=\"ending\" selected"), "{page}");
    // Every link of the page keeps the rest of the question.
    for link in
        ["q=device&#38;status=active&#38;order=lasting\"", "q=device&#38;status=active&#38;order=ending&#38;page=2\""]
    {
        assert!(page.contains(link), "{link}: {page}");
    }
}

#[tokio::test]
async fn a_pending_row_looks_again_until_it_is_settled() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let id = issue(&server, &zone, "pump", 30).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let list = format!("/zones/{zone}/certificates");
    let row = format!("{list}/{id}/row");
    assert!(!browser.page(&list).await.contains(&row), "what is settled asks nothing");

    // Nothing settles before its receipt is there.
    server.database.connect().refuse("no_receipt", "UPDATE ON certificates", "NEW.receipt_published_at IS NOT NULL");
    let api = format!("/client/v4/zones/{zone}/client_certificates/{id}");
    server.result("DELETE", &api, None).await;
    let page = browser.page(&list).await;
    assert!(page.contains(&format!("hx-get=\"{row}?shown=pending_revocation\"")), "{page}");
    let still = browser.part(&format!("{row}?shown=pending_revocation")).await;
    assert_eq!(still.status(), StatusCode::NO_CONTENT, "nothing is to be shown anew");
    let changed = browser.part(&format!("{row}?shown=active")).await;
    assert!(!changed.headers().contains_key(SET_COOKIE), "what is to be told on the next page stays");
    assert!(changed.headers().contains_key(CONTENT_SECURITY_POLICY));
    let changed = changed.text().await.unwrap();
    assert!(changed.trim_start().starts_with("<tr") && changed.contains("Being revoked") && changed.contains("hx-get"));

    server.database.connect().allow_again("no_receipt");
    let mut settled = String::new();
    for _ in 0..1200 {
        let answer = browser.part(&format!("{row}?shown=pending_revocation")).await;
        settled = answer.text().await.unwrap();
        if !settled.is_empty() {
            break;
        }
        countersign::clock::Clock::system().sleep(Duration::from_millis(50)).await;
    }
    assert!(settled.contains("Revoked") && !settled.contains("hx-get"), "{settled}");
    assert!(settled.contains(&format!("name=\"id\" value=\"{id}\"")), "{settled}");

    // Somebody without scripts who comes there gets the certificate.
    assert_eq!(location(&browser.get(&row).await), format!("{list}/{id}"));
    let other = server.result("POST", "/client/v4/zones", Some(&json!({"name": "other.example"}))).await;
    let elsewhere = format!("/zones/{}/certificates/{id}/row", other["id"].as_str().unwrap());
    assert_eq!(browser.part(&elsewhere).await.status(), StatusCode::NOT_FOUND);
}
