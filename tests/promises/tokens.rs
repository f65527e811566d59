//! Tokens: what they may hand on, and that nobody is locked out.

use reqwest::StatusCode;
use serde_json::{Value, json};

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
async fn long_lists_of_permissions_are_refused_in_few_words() {
    let account = Account::new().await;
    let (status, answer) = account.make(ADMIN, json!({"name": "x", "permissions": vec![""; 100_000]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.to_string().len() < 1000);
}
