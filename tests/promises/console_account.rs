//! The console's pages of tokens, zones, webhooks, the authority and the audit log over HTTP: values shown once, acts asked
//! about first, and files that nobody's words turn into something else.

use countersign::keys::client_key::{ClientKey, ClientKeyKind};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::console::{Browser, location, zone};
use crate::database::Door;
use crate::server::{ADMIN, Server};

async fn account(server: &Server) -> String {
    server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned()
}

/// The text of an element with this id.
fn element<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("id=\"{id}\">")).expect("the page has it");
    after.split('<').next().unwrap()
}

#[tokio::test]
async fn a_token_is_made_shown_once_rolled_and_revoked() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof("/tokens/new").await;
    let typed = [
        ("form", proof.as_str()),
        ("name", "reader <i>"),
        ("permission", "client_certificates:read"),
        ("reach", "zones"),
        ("expires_on", "soon"),
    ];
    let refused = browser.post("/tokens", &typed).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("choose at least one zone") && page.contains("year, month and day"), "{page}");
    assert!(page.contains("value=\"reader &#60;i&#62;\"") && page.contains("value=\"soon\""), "{page}");

    let asked = browser.page("/tokens/new").await;
    let (_, choice) = asked.split_once("id=\"reach-account\"").unwrap();
    assert!(!choice.split_once('>').unwrap().0.contains("checked"), "nothing is chosen by itself");
    for (reach, said) in [("account", "zones are chosen too"), ("", "choose where it may act")] {
        let proof = browser.proof("/tokens/new").await;
        let typed = [
            ("form", proof.as_str()),
            ("name", "reader"),
            ("permission", "client_certificates:read"),
            ("reach", reach),
            ("zone", zone.as_str()),
        ];
        let refused = browser.post("/tokens", &typed).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{reach}");
        assert!(refused.text().await.unwrap().contains(said), "{said}");
    }

    let proof = browser.proof("/tokens/new").await;
    let typed = [
        ("form", proof.as_str()),
        ("name", "reader <i>"),
        ("permission", "client_certificates:read"),
        ("reach", "zones"),
        ("zone", zone.as_str()),
        ("expires_on", "2099-01-01"),
    ];
    let made = browser.post("/tokens", &typed).await;
    assert_eq!((made.status(), made.headers()[CACHE_CONTROL].to_str().unwrap()), (StatusCode::OK, "no-store"));
    let page = made.text().await.unwrap();
    let value = element(&page, "value").to_owned();
    let (status, seen) = server.call(&value, "GET", "/client/v4/user/tokens/verify", None).await;
    assert_eq!((status, &seen["result"]["expires_on"]), (StatusCode::OK, &json!("2099-01-01T00:00:00Z")));
    let id = seen["result"]["id"].as_str().unwrap().to_owned();
    assert_eq!(browser.post("/tokens", &typed).await.status(), StatusCode::CONFLICT, "a reload makes no second one");
    let shown = browser.page(&format!("/tokens/{id}")).await;
    assert!(
        !shown.contains(&value) && shown.contains("client_certificates:read") && shown.contains("reader &lt;i&gt;")
    );

    let proof = browser.proof(&format!("/tokens/{id}/roll")).await;
    let rolled = browser.post(&format!("/tokens/{id}/roll"), &[("form", &proof)]).await.text().await.unwrap();
    let next = element(&rolled, "value").to_owned();
    assert_ne!(next, value);
    assert_eq!(server.call(&value, "GET", "/client/v4/user/tokens/verify", None).await.0, StatusCode::UNAUTHORIZED);
    let (_, seen) = server.call(&next, "GET", "/client/v4/user/tokens/verify", None).await;
    assert_eq!(seen["result"]["id"], json!(id));

    let question = browser.page(&format!("/tokens/{id}/revoke")).await;
    assert!(question.contains("Revoke the token reader &lt;i&gt;"), "{question}");
    assert_eq!(server.call(&next, "GET", "/client/v4/user/tokens/verify", None).await.0, StatusCode::OK, "only asked");
    let proof = browser.proof(&format!("/tokens/{id}/revoke")).await;
    let revoked = browser.post(&format!("/tokens/{id}/revoke"), &[("form", &proof)]).await;
    assert_eq!(location(&revoked), "/tokens");
    assert_eq!(server.call(&next, "GET", "/client/v4/user/tokens/verify", None).await.0, StatusCode::UNAUTHORIZED);
    for action in ["token.create", "token.roll", "token.delete"] {
        let count =
            format!("SELECT COUNT(*) FROM audit_events WHERE action = '{action}' AND subject = '{id}' AND result = 0");
        assert_eq!(server.database.connect().count(&count), 1, "{action}");
    }
}

/// Nobody takes over a token that may more, or lasts longer, than their own, by giving it another value.
#[tokio::test]
async fn a_token_is_rolled_only_by_one_that_may_and_lasts_as_much() {
    let server = Server::start().await;
    let tokens = format!("/client/v4/accounts/{}/tokens", account(&server).await);
    let maker = json!({"name": "maker", "permissions": ["tokens:write"]});
    let maker = server.result("POST", &tokens, Some(&maker)).await;
    let brief = json!({"name": "brief", "permissions": ["tokens:write"], "expires_on": "2099-01-01T00:00:00Z"});
    let brief = server.result("POST", &tokens, Some(&brief)).await;
    let admin = server.result("GET", &tokens, None).await[0]["id"].as_str().unwrap().to_owned();
    let maker_id = maker["id"].as_str().unwrap().to_owned();
    for (who, whom, said) in [(&maker, &admin, "at least as much"), (&brief, &maker_id, "at least as long")] {
        let browser = Browser::signed_in(&server, who["value"].as_str().unwrap()).await;
        let proof = browser.proof(&format!("/tokens/{whom}/roll")).await;
        let refused = browser.post(&format!("/tokens/{whom}/roll"), &[("form", &proof)]).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text().await.unwrap().contains(said), "{said}");
    }
    for value in [ADMIN, maker["value"].as_str().unwrap()] {
        assert_eq!(server.call(value, "GET", "/client/v4/user/tokens/verify", None).await.0, StatusCode::OK);
    }
    let new = Browser::signed_in(&server, maker["value"].as_str().unwrap()).await.page("/tokens/new").await;
    assert!(new.contains("tokens:write") && !new.contains("client_certificates:issue"), "only what it may hand on");
}

#[tokio::test]
async fn zones_are_made_and_renamed_and_names_stay_apart() {
    let server = Server::start().await;
    let first = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof("/zones/new").await;
    let refused = browser.post("/zones", &[("form", &proof), ("name", "a b"), ("crl_shards", "4")]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("name must be 1 to 253") && page.contains("value=\"a b\"") && page.contains("value=\"4\""));
    let proof = browser.proof("/zones/new").await;
    let fields = [("form", proof.as_str()), ("name", "Devices.Example"), ("key_type", "p384"), ("crl_shards", "4")];
    let made = location(&browser.post("/zones", &fields).await).to_owned();
    let id = made.strip_prefix("/zones/").unwrap();
    let authorities = server.result("GET", &format!("/client/v4/zones/{id}/certificate_authorities"), None).await;
    assert_eq!((&authorities[0]["key_type"], &authorities[0]["crl_shards"]), (&json!("p384"), &json!(4)));

    let form = format!("/zones/{id}/name");
    let proof = browser.proof(&form).await;
    let taken = browser.post(&form, &[("form", &proof), ("name", "default")]).await;
    assert!(taken.text().await.unwrap().contains("already has a zone named"));
    let proof = browser.proof(&form).await;
    let renamed = browser.post(&form, &[("form", &proof), ("name", "Machines")]).await;
    assert_eq!(location(&renamed), "/zones");
    let shown = server.result("GET", &format!("/client/v4/zones/{id}"), None).await;
    assert_eq!(shown["name"], "machines");
    let list = browser.page("/zones").await;
    assert!(list.contains("machines") && !list.contains("devices.example") && list.contains(&first));
    let sql = "SELECT detail FROM audit_events WHERE action = 'zone.rename' AND result = 0";
    assert_eq!(server.database.connect().text(sql), "\"devices.example\" is now \"machines\"");
}

#[tokio::test]
async fn a_webhook_is_made_edited_and_removed_and_its_secret_shown_once() {
    let server = Server::start().await;
    let webhooks = format!("/zones/{}/webhooks", zone(&server).await);
    let browser = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof(&format!("{webhooks}/new")).await;
    let typed = [("form", proof.as_str()), ("name", "ours"), ("url", "http://hooks.example/x"), ("enabled", "yes")];
    let refused = browser.post(&webhooks, &typed).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("https") && page.contains("value=\"http://hooks.example/x\""), "{page}");

    let proof = browser.proof(&format!("{webhooks}/new")).await;
    let typed = [
        ("form", proof.as_str()),
        ("name", "ours"),
        ("url", "https://hooks.example/x"),
        ("kind", "certificate.revoked"),
        ("enabled", "yes"),
    ];
    let made = browser.post(&webhooks, &typed).await.text().await.unwrap();
    let secret = element(&made, "value").to_owned();
    assert!(secret.starts_with("whsec_"), "{made}");
    let api = format!("/client/v4{webhooks}");
    let listed = server.result("GET", &api, None).await;
    assert_eq!(listed[0]["kinds"], json!(["certificate.revoked"]));
    let page = format!("{webhooks}/{}", listed[0]["id"].as_str().unwrap());
    assert!(
        !browser.page(&page).await.contains(&secret) && !browser.page(&format!("{page}/edit")).await.contains(&secret)
    );

    let edit = async |fields: &[(&str, &str)]| {
        let proof = browser.proof(&format!("{page}/edit")).await;
        let fields: Vec<_> = std::iter::once(("form", proof.as_str())).chain(fields.iter().copied()).collect();
        browser.post(&format!("{page}/edit"), &fields).await
    };
    let elsewhere =
        edit(&[("name", "ours"), ("url", "https://other.example/x"), ("kind", "certificate.revoked")]).await;
    assert_eq!(elsewhere.status(), StatusCode::UNPROCESSABLE_ENTITY, "another server needs another secret");
    let saved = edit(&[("name", "theirs"), ("url", "https://hooks.example/x"), ("kind", "certificate.revoked")]).await;
    assert_eq!(location(&saved), page);
    let shown = server.result("GET", &format!("/client/v4{page}"), None).await;
    assert_eq!((&shown["name"], &shown["enabled"]), (&json!("theirs"), &json!(false)));
    assert!(browser.page(&format!("{page}/remove")).await.contains("Remove the webhook theirs"));
    let proof = browser.proof(&format!("{page}/remove")).await;
    assert_eq!(location(&browser.post(&format!("{page}/remove"), &[("form", &proof)]).await), webhooks);
    assert_eq!(server.result("GET", &api, None).await, json!([]));
}

#[tokio::test]
async fn the_log_is_exported_whole_and_no_cell_is_a_formula() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let tokens = format!("/client/v4/accounts/{}/tokens", account(&server).await);
    let name = "=HYPERLINK(\"https://evil.example\"),x";
    let body = json!({"name": name, "permissions": ["zones:read", "audit:read"], "zones": [zone]});
    let made = server.result("POST", &tokens, Some(&body)).await;
    let value = made["value"].as_str().unwrap();
    // It signs in, which the log says under its name.
    let stranger = Browser::signed_in(&server, value).await;
    let browser = Browser::signed_in(&server, ADMIN).await;

    let page = browser.page("/audit").await;
    assert!(
        page.contains("session.start") && page.contains("=HYPERLINK(&quot;https://evil.example&quot;),x"),
        "{page}"
    );
    let csv = browser.get("/audit/export/csv?what=session").await;
    assert!(csv.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(csv.headers()["content-disposition"], "attachment; filename=\"audit.csv\"");
    let csv = csv.text().await.unwrap();
    assert!(csv.contains("\"'=HYPERLINK(\"\"https://evil.example\"\"),x\""), "{csv}");
    assert_eq!(csv.lines().count(), 3, "a head and two events: {csv}");

    let lines = browser.get("/audit/export/jsonl").await.text().await.unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = server.database.connect().count("SELECT COUNT(*) FROM audit_events");
    assert_eq!(i64::try_from(events.len()).unwrap(), count);
    assert!(events.iter().any(|event| event["actor"] == name && event["action"] == "session.start"));

    assert_eq!(stranger.get("/audit").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(stranger.get("/audit/export/csv").await.status(), StatusCode::FORBIDDEN);
    let own = stranger.get(&format!("/zones/{zone}/audit/export/jsonl")).await.text().await.unwrap();
    let events: Vec<Value> = own.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty() && events.iter().all(|event| event["zone_id"] == json!(zone)), "{own}");
    let foreign = format!("/zones/{}/audit/export/jsonl", "c".repeat(32));
    assert_eq!(stranger.get(&foreign).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn exports_wait_for_their_turn_and_one_that_gets_none_is_told_so() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let export = || browser.get("/audit/export/jsonl");
    let whole = async |file: Response| {
        assert_eq!(file.status(), StatusCode::OK);
        let lines = file.text().await.unwrap();
        assert!(lines.ends_with('\n') && lines.contains("session.start"), "{lines}");
    };
    // One at a time, and each gets all of the log.
    for file in join_all((0..12).map(|_| export())).await {
        whole(file).await;
    }
    let mut door = server.database.connect();
    let Door::Postgres(_) = &door else { return }; // No reading of SQLite can be held up.
    door.execute("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE");
    let mut both = FuturesUnordered::from_iter([export(), export()]);
    let refused = both.next().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER));
    door.execute("ROLLBACK");
    whole(both.next().await.unwrap()).await;
    whole(export().await).await;
}

#[tokio::test]
async fn a_private_key_among_a_webhooks_cas_is_refused_and_told_to_nobody() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let webhooks = format!("/zones/{zone}/webhooks");
    let api = format!("/client/v4{webhooks}");
    let key = ClientKey::generate(ClientKeyKind::P256).unwrap().to_pkcs8_pem().unwrap();
    let secret = key.lines().nth(1).unwrap();
    let authority = server.result("GET", &format!("/client/v4/zones/{zone}/certificate_authorities"), None).await;
    // With a CA before it, as it comes when the wrong file is taken.
    let pem = format!("{}{}", authority[0]["certificate"].as_str().unwrap(), key.as_str());
    let receiver = "https://hooks.example.com/";

    let body = json!({"name": "theirs", "url": receiver, "trusted_ca": pem});
    let (status, answer) = server.call(ADMIN, "POST", &api, Some(&body)).await;
    assert_eq!((status, &answer["errors"][0]["source"]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/trusted_ca")));
    let said = answer["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("private key") && !answer.to_string().contains(secret), "{answer}");
    let made = server.result("POST", &api, Some(&json!({"name": "ours", "url": receiver}))).await;
    let own = format!("{api}/{}", made["id"].as_str().unwrap());
    let (status, answer) = server.call(ADMIN, "PATCH", &own, Some(&json!({"trusted_ca": pem}))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!answer.to_string().contains(secret), "{answer}");

    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = format!("{webhooks}/{}", made["id"].as_str().unwrap());
    for (form, to) in [(format!("{webhooks}/new"), webhooks.clone()), (format!("{page}/edit"), format!("{page}/edit"))]
    {
        let proof = browser.proof(&form).await;
        let typed = [("form", proof.as_str()), ("name", "typed"), ("url", receiver), ("trusted_ca", pem.as_str())];
        let refused = browser.post(&to, &typed).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{to}");
        let refused = refused.text().await.unwrap();
        assert!(refused.contains("private key") && refused.contains("value=\"typed\""), "{refused}");
        assert!(!refused.contains(secret) && !refused.contains("BEGIN CERTIFICATE"), "{refused}");
    }
    let listed = server.result("GET", &api, None).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["trusted_ca"]), (1, &Value::Null));
    assert!(!server.database.holds(secret.as_bytes()));
}

#[tokio::test]
async fn what_a_token_may_not_do_is_neither_shown_nor_done() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let tokens = format!("/client/v4/accounts/{}/tokens", account(&server).await);
    let body = json!({"name": "reader", "permissions": ["zones:read", "client_certificates:read"], "zones": [zone]});
    let made = server.result("POST", &tokens, Some(&body)).await;
    let browser = Browser::signed_in(&server, made["value"].as_str().unwrap()).await;
    let page = browser.page(&format!("/zones/{zone}/webhooks")).await;
    assert!(
        page.contains("may not make one") && !page.contains("/webhooks/new") && !page.contains("/tokens"),
        "{page}"
    );
    assert!(!page.contains(&format!("/zones/{zone}/authority")) && !page.contains("/audit"), "{page}");
    let list = browser.page("/zones").await;
    assert!(list.contains(&zone) && !list.contains("/name") && !list.contains("/zones/new"), "{list}");
    for path in ["tokens", "tokens/new", "audit", "zones/new"] {
        assert_eq!(browser.get(&format!("/{path}")).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["authority", "authority/bundle/pem", "audit", "name", "webhooks/new"] {
        assert_eq!(browser.get(&format!("/zones/{zone}/{path}")).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let proof = browser.proof("/sessions").await;
    for path in
        ["/tokens".to_owned(), "/zones".into(), format!("/zones/{zone}/name"), format!("/zones/{zone}/webhooks")]
    {
        let refused = browser.post(&path, &[("form", &proof), ("name", "x")]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn the_page_of_the_authority_names_the_addresses_that_certificates_name() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let authorities = server.result("GET", &format!("/client/v4/zones/{zone}/certificate_authorities"), None).await;
    let page = browser.page(&format!("/zones/{zone}/authority")).await;
    for authority in authorities.as_array().unwrap() {
        assert!(page.contains(authority["crl"]["url"].as_str().unwrap()), "{page}");
        assert!(page.contains(authority["fingerprint_sha256"].as_str().unwrap()), "to copy");
        assert!(page.contains(&format!("number {}", authority["crl"]["number"])), "{page}");
    }
    let issuing = authorities[0]["id"].as_str().unwrap();
    assert!(page.contains(&format!("/pki/{issuing}/bundle.pem &gt; /etc/nginx/clients-ca.pem")), "{page}");
    let pem = browser.get(&format!("/zones/{zone}/authority/bundle/pem")).await.text().await.unwrap();
    let whole: String =
        authorities.as_array().unwrap().iter().map(|one| one["certificate"].as_str().unwrap()).collect();
    assert_eq!(pem, whole);
    for form in ["der", "pkcs7"] {
        let file = browser.get(&format!("/zones/{zone}/authority/bundle/{form}")).await;
        assert_eq!(file.status(), StatusCode::OK);
        assert!(file.bytes().await.unwrap().len() > 800);
    }
    assert_eq!(browser.get(&format!("/zones/{zone}/authority/bundle/xml")).await.status(), StatusCode::NOT_FOUND);
}
