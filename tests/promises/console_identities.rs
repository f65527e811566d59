//! The console's forms of identities and checks over HTTP: having one issued, what a check expects, and removing what others
//! rely on.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::console::{Browser, location, zone};
use crate::server::{ADMIN, Server};

async fn account(server: &Server) -> String {
    server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned()
}

/// A browser that is signed in with a token of these permissions, in the account or in these zones.
async fn with_token<'a>(server: &'a Server, permissions: &[&str], zones: Option<&[&str]>) -> Browser<'a> {
    let mut body = json!({"name": "somebody", "permissions": permissions});
    if let Some(zones) = zones {
        body["zones"] = json!(zones);
    }
    let made =
        server.result("POST", &format!("/client/v4/accounts/{}/tokens", account(server).await), Some(&body)).await;
    Browser::signed_in(server, made["value"].as_str().unwrap()).await
}

async fn identities(server: &Server) -> Value {
    server.result("GET", &format!("/client/v4/accounts/{}/mtls_certificates", account(server).await), None).await
}

const ISSUED: &str = "/identities/new/issued";

#[tokio::test]
async fn an_identity_is_issued_by_a_zone_and_a_refused_form_keeps_what_was_typed() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    assert!(browser.page("/identities").await.contains(ISSUED));
    let proof = browser.proof(ISSUED).await;
    let typed = [
        ("form", proof.as_str()),
        ("zone_id", zone.as_str()),
        ("common_name", "caller <b>"),
        ("hosts", "https://a.example"),
        ("validity_days", "soon"),
        ("grace_hours", "721"),
        ("names", "ip:nowhere"),
        ("key_type", "p384"),
        ("profile", "client"),
    ];
    let refused = browser.post(ISSUED, &typed).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    for (place, said) in [
        ("hosts-fault", "https://a.example"),
        ("days-fault", "whole number of days"),
        ("grace-fault", "from 0 to 720"),
        ("names-fault", "nowhere"),
    ] {
        let (_, beside) = page.split_once(&format!("id=\"{place}\">")).unwrap();
        assert!(beside.split_once("</div>").unwrap().0.contains(said), "{place}: {page}");
    }
    for kept in
        ["value=\"caller &#60;b&#62;\"", "value=\"soon\"", "value=\"721\"", "value=\"p384\" selected", "ip:nowhere"]
    {
        assert!(page.contains(kept), "{kept}: {page}");
    }
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM certificates"), 0);

    // What only the profile refuses stands at its field too.
    let proof = browser.proof(ISSUED).await;
    let long = [
        ("form", proof.as_str()),
        ("zone_id", zone.as_str()),
        ("common_name", "caller"),
        ("profile", "short-lived"),
        ("validity_days", "90"),
    ];
    let page = browser.post(ISSUED, &long).await.text().await.unwrap();
    let (_, beside) = page.split_once("id=\"days-fault\">").unwrap();
    assert!(beside.split_once("</div>").unwrap().0.contains("from 1 to 7"), "{page}");

    let proof = browser.proof(ISSUED).await;
    let good = [
        ("form", proof.as_str()),
        ("zone_id", zone.as_str()),
        ("common_name", "caller"),
        ("organization", "Plant"),
        ("hosts", "a.example\n*.b.example"),
        ("names", "caller.example"),
        ("key_type", "p384"),
        ("profile", "client"),
        ("validity_days", "60"),
        ("grace_hours", "2"),
        ("primary", "yes"),
    ];
    let made = browser.post(ISSUED, &good).await;
    assert_eq!(made.status(), StatusCode::SEE_OTHER, "{}", made.text().await.unwrap());
    let kept = identities(&server).await;
    let [identity] = &kept.as_array().unwrap()[..] else { panic!("one is kept") };
    assert_eq!(location(&made), format!("/identities/{}", identity["id"].as_str().unwrap()));
    assert_eq!((&identity["name"], &identity["primary"]), (&json!("caller"), &json!(true)));
    assert_eq!(identity["hosts"], json!(["a.example", "*.b.example"]));
    let managed = &identity["managed"];
    assert_eq!((&managed["zone_id"], &managed["key_type"]), (&json!(zone), &json!("p384")), "{identity}");
    assert_eq!((&managed["validity_days"], &managed["grace_seconds"]), (&json!(60), &json!(7200)), "{identity}");
    assert!(browser.page(location(&made)).await.contains("renewed"));
    assert_eq!(browser.post(ISSUED, &good).await.status(), StatusCode::CONFLICT, "a reload makes no second one");
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM certificates"), 1);
}

#[tokio::test]
async fn whoever_may_not_issue_has_no_identity_issued() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let writer = with_token(&server, &["identities:read", "identities:write"], None).await;
    assert!(!writer.page("/identities").await.contains(ISSUED));
    assert_eq!(writer.get(ISSUED).await.status(), StatusCode::FORBIDDEN);
    let proof = writer.proof("/sessions").await;
    let fields = [("form", proof.as_str()), ("zone_id", zone.as_str()), ("common_name", "caller")];
    assert_eq!(writer.post(ISSUED, &fields).await.status(), StatusCode::FORBIDDEN);
    let issuer = with_token(&server, &["client_certificates:issue", "identities:write"], Some(&[&zone])).await;
    assert_eq!(issuer.get(ISSUED).await.status(), StatusCode::FORBIDDEN, "identities belong to the whole account");

    // Whoever may, and may not list zones, names one; a foreign one is as unknown as any.
    let both = with_token(&server, &["client_certificates:issue", "identities:write"], None).await;
    assert!(both.page(ISSUED).await.contains("zones:read"));
    for wrong in ["", "default", &"c".repeat(32)] {
        let proof = both.proof(ISSUED).await;
        let fields = [("form", proof.as_str()), ("zone_id", wrong), ("common_name", "caller"), ("grace_hours", "x")];
        let refused = both.post(ISSUED, &fields).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        let page = refused.text().await.unwrap();
        assert!(page.contains("choose a zone") && page.contains("whole number of hours"), "{page}");
    }
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM identities"), 0);
    let proof = both.proof(ISSUED).await;
    let made = both.post(ISSUED, &[("form", &proof), ("zone_id", &zone), ("common_name", "caller")]).await;
    assert_eq!(made.status(), StatusCode::SEE_OTHER);

    let new = server.result("POST", "/client/v4/accounts", Some(&json!({"name": "empty"}))).await;
    let newcomer = Browser::signed_in(&server, new["token"].as_str().unwrap()).await;
    let page = newcomer.page(ISSUED).await;
    assert!(page.contains("No zone yet") && page.contains("/zones/new"), "{page}");
}

/// What stands in a text area of a page.
fn area(page: &str, name: &str) -> String {
    let (_, after) = page.split_once(&format!("<textarea id=\"{name}\"")).expect("the page has the field");
    let text = after.split_once('>').unwrap().1.split_once("</textarea>").unwrap().0;
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (written, plain)| text.replace(written, plain))
}

fn beside<'a>(page: &'a str, place: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("id=\"{place}\">")).expect("the page has the place");
    after.split_once("</div>").unwrap().0
}

#[tokio::test]
async fn rules_about_headers_and_json_are_edited_and_none_is_lost_by_saving() {
    let server = Server::start().await;
    let checks = format!("/client/v4/accounts/{}/checks", account(&server).await);
    let expect = json!({
        "status": [200],
        "headers": [
            {"name": "content-type", "contains": "json"}, {"name": "x-mode", "equals": "a: <b>"}, {"name": "etag"},
            {"name": "x", "equals": "one\ntwo"}, {"name": "x", "equals": "a", "contains": "a"}
        ],
        "json": [{"path": "/items/0/id", "equals": 7}, {"path": "$.s", "equals": "7"}, {"path": "/a=b", "contains": "c"}],
        "latency_ms": 500
    });
    let body = json!({"name": "health", "url": "https://api.partner.example/", "expect": expect});
    let made = server.result("POST", &checks, Some(&body)).await;
    let id = made["id"].as_str().unwrap();
    let kept = async || server.result("GET", &format!("{checks}/{id}"), None).await["expect"].clone();
    let browser = Browser::signed_in(&server, ADMIN).await;
    let form = format!("/checks/{id}/edit");
    let save = async |headers: &str, json: &str| {
        let proof = browser.proof(&form).await;
        let fields = [
            ("form", proof.as_str()),
            ("name", "health"),
            ("url", "https://api.partner.example/"),
            ("method", "GET"),
            ("identity", "auto"),
            ("timeout_ms", "10000"),
            ("status", "200"),
            ("latency_ms", "500"),
            ("expect_headers", headers),
            ("expect_json", json),
        ];
        let answer = browser.post(&form, &fields).await;
        (answer.status(), answer.text().await.unwrap())
    };
    let page = browser.page(&form).await;
    let (headers, values) = (area(&page, "expect_headers"), area(&page, "expect_json"));
    assert!(headers.starts_with("content-type: json\nx-mode=a: <b>\netag\n{\"name\":\"x\""), "{headers}");
    assert!(values.starts_with("/items/0/id=7\n$.s=\"7\"\n{"), "{values}");
    assert_eq!(save(&headers.replace('\n', "\r\n"), &values).await.0, StatusCode::SEE_OTHER);
    assert_eq!(kept().await, expect, "saved as it was");

    let (status, page) = save("content-type: json\n: nameless", "/ok\nnowhere=1\n{\"path\": \"/a\", \"is\": 1}").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(beside(&page, "expect-headers-fault").contains(": nameless"), "{page}");
    let said = beside(&page, "expect-json-fault");
    assert!(said.contains("nowhere=1") && said.contains("JSON Pointer") && said.contains("unknown field"), "{said}");
    assert!(beside(&page, "expect-fault").is_empty(), "{page}");
    assert_eq!(area(&page, "expect_headers"), "content-type: json\n: nameless");
    assert_eq!(area(&page, "expect_json"), "/ok\nnowhere=1\n{\"path\": \"/a\", \"is\": 1}");
    let (status, page) = save(&"etag\n".repeat(30), &"/a\n".repeat(30)).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && beside(&page, "expect-fault").contains("at most 50"),
        "{page}"
    );
    assert_eq!(kept().await, expect, "what is refused changes nothing");

    assert_eq!(save("", "$.status=ok").await.0, StatusCode::SEE_OTHER);
    let changed = json!({"status": [200], "json": [{"path": "$.status", "equals": "ok"}], "latency_ms": 500});
    assert_eq!(kept().await, changed);
    assert!(browser.page(&format!("/checks/{id}")).await.contains("$.status"));
}

/// The value of a hidden field of a page.
fn hidden(page: &str, name: &str) -> String {
    let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).expect("the page has the field");
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_removal_overrules_nobody_whom_the_page_did_not_show() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof(ISSUED).await;
    let made = browser.post(ISSUED, &[("form", &proof), ("zone_id", &zone), ("common_name", "caller")]).await;
    let identity = location(&made).to_owned();
    let id = identity.trim_start_matches("/identities/");
    let api = format!("/client/v4/accounts/{}/mtls_certificates/{id}/associations", account(&server).await);
    let removal = format!("{identity}/remove");
    let kept = "SELECT COUNT(*) FROM identities";

    // Nobody is named, and then somebody is there.
    let asked = browser.page(&removal).await;
    assert!(asked.contains("Nobody has said so"));
    server.result("PUT", &format!("{api}/billing"), None).await;
    let fields = [("form", hidden(&asked, "form")), ("seen", hidden(&asked, "seen"))];
    let post = async |fields: &[(&str, String)]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = browser.post(&removal, &fields).await;
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, asked) = post(&fields).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(asked.contains("since you looked") && asked.contains("billing") && asked.contains(">New<"), "{asked}");

    // Somebody more, while the name is being typed; what was typed stays.
    server.result("PUT", &format!("{api}/shipping"), None).await;
    let fields = |page: &str, name: &str| {
        [("form", hidden(page, "form")), ("seen", hidden(page, "seen")), ("name", name.to_owned())]
    };
    let (status, asked) = post(&fields(&asked, "caller")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(asked.matches(">New<").count(), 1, "{asked}");
    assert!(asked.find("shipping").unwrap() < asked.find("billing").unwrap(), "who is new comes first: {asked}");
    assert!(asked.contains("value=\"caller\""), "{asked}");
    assert_eq!(server.database.connect().count(kept), 1);

    // Who has changed what they said is somebody else; who has gone holds up nothing.
    let link = json!({"link": "https://shipping.example/"});
    server.result("PUT", &format!("{api}/shipping"), Some(&link)).await;
    let (status, asked) = post(&fields(&asked, "caller")).await;
    assert!(status == StatusCode::CONFLICT && asked.contains("https://shipping.example/"), "{asked}");
    let (status, asked) = post(&fields(&asked, "call")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(asked.matches(">New<").count(), 0, "{asked}");
    server.result("DELETE", &format!("{api}/billing"), None).await;
    assert_eq!(post(&fields(&asked, "caller")).await.0, StatusCode::SEE_OTHER);
    assert_eq!(server.database.connect().count(kept), 0);
}
