//! Tokens: what they may hand on, and that nobody is locked out. Zones: what another name changes.

use countersign::service::access::{RenameZone, ZonePermit};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::Installation;
use crate::server::{ADMIN, Server};

struct Account {
    server: Server,
    tokens: String,
}

impl Account {
    async fn new() -> Self {
        let server = Server::start().await;
        let accounts = server.result("GET", "/client/v4/accounts", None).await;
        let tokens = format!("/client/v4/accounts/{}/tokens", accounts[0]["id"].as_str().unwrap());
        Self { server, tokens }
    }

    async fn make(&self, maker: &str, body: Value) -> (StatusCode, Value) {
        self.server.call(maker, "POST", &self.tokens, Some(&body)).await
    }

    async fn made(&self, body: Value) -> (String, String) {
        let (status, answer) = self.make(ADMIN, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let text = |key: &str| answer["result"][key].as_str().unwrap().to_owned();
        (text("id"), text("value"))
    }
}

#[tokio::test]
async fn a_token_does_not_live_on_in_the_ones_it_made() {
    let account = Account::new().await;
    let end = "2099-01-01T00:00:00Z";
    let (_, value) = account.made(json!({"name": "a", "permissions": ["tokens:write"], "expires_on": end})).await;
    for (asked, expected) in [
        (Value::Null, StatusCode::BAD_REQUEST),
        (json!("2099-01-01T00:00:01Z"), StatusCode::BAD_REQUEST),
        (json!(end), StatusCode::OK),
    ] {
        let body = json!({"name": "b", "permissions": ["tokens:write"], "expires_on": asked});
        let (status, answer) = account.make(&value, body).await;
        assert_eq!(status, expected, "{asked}: {answer}");
        if status != StatusCode::OK {
            assert_eq!(answer["errors"][0]["source"]["pointer"], "/expires_on");
        }
    }
}

#[tokio::test]
async fn nobody_deletes_what_may_do_more_and_nobody_is_locked_out() {
    let account = Account::new().await;
    let admin = account.server.result("GET", &account.tokens, None).await[0]["id"].as_str().unwrap().to_owned();
    let (id, value) = account.made(json!({"name": "keeper", "permissions": ["tokens:write"]})).await;
    let delete = |token: String, id: String| {
        let path = format!("{}/{id}", account.tokens);
        let server = &account.server;
        async move { server.call(&token, "DELETE", &path, None).await.0 }
    };
    assert_eq!(delete(value.clone(), admin.clone()).await, StatusCode::BAD_REQUEST);
    assert_eq!(delete(value.clone(), id.clone()).await, StatusCode::OK, "itself");
    assert_eq!(delete(value, id).await, StatusCode::FORBIDDEN, "it stopped at once");
    assert_eq!(delete(ADMIN.into(), "0".repeat(32)).await, StatusCode::NOT_FOUND);
    let all: Vec<_> =
        account.server.result("GET", &account.tokens, None).await[0]["permissions"].as_array().unwrap().clone();
    account.made(json!({"name": "too little", "permissions": ["tokens:write"]})).await;
    account.made(json!({"name": "too late", "permissions": all, "not_before": "2099-01-01T00:00:00Z"})).await;
    account.made(json!({"name": "too short", "permissions": all, "expires_on": "2099-01-01T00:00:00Z"})).await;
    assert_eq!(delete(ADMIN.into(), admin.clone()).await, StatusCode::BAD_REQUEST, "the last of its kind");
    account.made(json!({"name": "heir", "permissions": all})).await;
    assert_eq!(delete(ADMIN.into(), admin).await, StatusCode::OK);
}

#[tokio::test]
async fn a_token_gets_another_value_from_one_that_may_and_lasts_as_much() {
    let account = Account::new().await;
    let all: Vec<_> =
        account.server.result("GET", &account.tokens, None).await[0]["permissions"].as_array().unwrap().clone();
    let (id, value) = account.made(json!({"name": "reader", "permissions": ["zones:read"]})).await;
    let (_, lesser) = account.made(json!({"name": "lesser", "permissions": ["tokens:write"]})).await;
    let ends = json!({"name": "shorter", "permissions": all, "expires_on": "2099-01-01T00:00:00Z"});
    let (_, shorter) = account.made(ends).await;
    let roll = async |token: &str, id: &str| {
        account.server.call(token, "PUT", &format!("{}/{id}/value", account.tokens), Some(&json!({}))).await
    };
    let zones = async |token: &str| account.server.call(token, "GET", "/client/v4/zones", None).await.0;
    for (token, why) in [(&lesser, "at least as much"), (&shorter, "at least as long")] {
        let (status, answer) = roll(token, &id).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(why), "{answer}");
    }
    assert_eq!(roll(&value, &id).await.0, StatusCode::FORBIDDEN, "it may not even roll itself");
    assert_eq!(roll(ADMIN, &"0".repeat(32)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(zones(&value).await, StatusCode::OK, "nothing has happened yet");

    let (status, answer) = roll(ADMIN, &id).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let next = answer["result"].as_str().unwrap();
    assert_eq!((zones(&value).await, zones(next).await), (StatusCode::FORBIDDEN, StatusCode::OK));
    let shown = account.server.result("GET", &format!("{}/{id}", account.tokens), None).await;
    assert_eq!((&shown["name"], &shown["permissions"]), (&json!("reader"), &json!(["zones:read"])));
    let sql =
        |result: i64| format!("SELECT COUNT(*) FROM audit_events WHERE action = 'token.roll' AND result = {result}");
    let mut door = account.server.database.connect();
    assert_eq!((door.count(&sql(0)), door.count(&sql(1))), (1, 4), "what was done, and each that was refused");
    assert!(!account.server.database.holds(next.as_bytes()));
}

#[tokio::test]
async fn a_zone_gets_another_name_and_keeps_everything_else() {
    let server = Server::start().await;
    let make = async |name: &str| server.result("POST", "/client/v4/zones", Some(&json!({"name": name}))).await;
    let (first, _) = (make("devices").await, make("taken").await);
    let path = format!("/client/v4/zones/{}", first["id"].as_str().unwrap());
    let rename = async |body: Value| server.call(ADMIN, "PATCH", &path, Some(&body)).await;
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({"name": 7}), "/name"),
        (json!({"name": "-"}), "/name"),
        (json!({"name": "TAKEN"}), "/name"),
    ] {
        let (status, answer) = rename(body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        assert_eq!(answer["errors"][0]["source"]["pointer"], pointer, "{body}: {answer}");
    }
    let (status, answer) = rename(json!({"name": "machines", "paused": true})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");

    let (status, answer) = rename(json!({"name": "Machines"})).await;
    assert_eq!((status, &answer["result"]["name"]), (StatusCode::OK, &json!("machines")));
    let mut expected = first.clone();
    expected["name"] = json!("machines");
    assert_eq!(answer["result"], expected);
    assert_eq!(server.result("GET", &path, None).await, expected);
    assert_eq!(server.result("GET", "/client/v4/zones?name=devices", None).await, json!([]));
    let detail = "SELECT detail FROM audit_events WHERE action = 'zone.rename' AND result = 0";
    assert_eq!(server.database.connect().text(detail), "\"devices\" is now \"machines\"");
    make("devices").await;
}

#[tokio::test]
async fn long_lists_of_permissions_are_refused_in_few_words() {
    let account = Account::new().await;
    let (status, answer) = account.make(ADMIN, json!({"name": "x", "permissions": vec![""; 100_000]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.to_string().len() < 1000);
}

#[tokio::test]
async fn a_zone_gets_its_old_name_back_also_from_a_process_that_remembers_it() {
    let installation = Installation::new().await;
    let second = installation.second_service().await;
    let caller = installation.caller().await;
    let remembering: ZonePermit<RenameZone> = second.permit_in_zone(caller, installation.zone).await.unwrap();
    let old = remembering.issuer().zone.name.clone();
    let permit = installation.permit::<RenameZone>().await;
    installation.service.rename_zone(&permit, "machines").await.unwrap();
    second.rename_zone(&remembering, &old).await.unwrap();
    assert_eq!(installation.text("SELECT name FROM zones"), old);
}
