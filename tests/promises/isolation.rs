//! Promise 6: a zone sees only itself. Every route × permission × zone, generated from the route table that the server
//! publishes.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::csr;
use crate::server::{ADMIN, Server};

const PERMISSIONS: [&str; 12] = [
    "client_certificates:read",
    "client_certificates:issue",
    "client_certificates:revoke",
    "authorities:read",
    "authorities:write",
    "identities:read",
    "identities:write",
    "identities:use",
    "zones:read",
    "zones:write",
    "tokens:write",
    "audit:read",
];

const UNKNOWN: &str = "cccccccccccccccccccccccccccccccc";

struct Route {
    method: String,
    path: String,
    /// What a token needs; `any` token may do what needs nothing, and `all` takes every permission.
    permission: String,
}

struct World {
    server: Server,
    account: String,
    own: String,
    other: String,
    /// Another tenant: its account, its zone, and its administrator's token.
    foreign_account: String,
    foreign_zone: String,
    foreign_token: String,
    routes: Vec<Route>,
}

#[tokio::test]
async fn every_route_asks_for_its_own_permission_in_its_own_zone() {
    let world = World::new().await;
    let zone_routes = world.routes.iter().filter(|route| route.path.contains("{zone_id}")).count();
    assert!(zone_routes >= 11 && world.routes.len() >= 19, "the table has {} routes", world.routes.len());

    for permission in PERMISSIONS {
        let zone_token = world.token(&[permission], Some(&world.own)).await;
        let account_token = world.token(&[permission], None).await;
        for route in &world.routes {
            let granted = route.permission == permission || route.permission == "any";
            if route.path.contains("{zone_id}") {
                world.expect(&zone_token, route, &world.own, &world.account, granted).await;
                world.expect(&zone_token, route, &world.other, &world.account, false).await;
                world.expect(&account_token, route, &world.own, &world.account, granted).await;
                world.expect(&account_token, route, &world.other, &world.account, granted).await;
                world.expect(&account_token, route, &world.foreign_zone, &world.account, false).await;
                world.expect(&account_token, route, UNKNOWN, &world.account, false).await;
            } else {
                // What belongs to the account as a whole is not for a token of some zones; reading lists is, filtered.
                let account_wide = ["tokens:write", "zones:write"].contains(&route.permission.as_str())
                    || route.permission.starts_with("identities:");
                world.expect(&zone_token, route, "", &world.account, granted && !account_wide).await;
                world.expect(&account_token, route, "", &world.account, granted).await;
                if route.path.contains("{account_id}") {
                    world.expect(&account_token, route, "", &world.foreign_account, false).await;
                    world.expect(&account_token, route, "", UNKNOWN, false).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn foreign_and_unknown_are_answered_alike() {
    let world = World::new().await;
    let all = world.token(&PERMISSIONS, Some(&world.own)).await;
    for route in world.routes.iter().filter(|route| route.path.contains("{zone_id}")) {
        let mut answers = BTreeSet::new();
        for zone in [world.other.as_str(), &world.foreign_zone, UNKNOWN] {
            let path = route.path.replace("{zone_id}", zone).replace("/events", "/events?format=json");
            let (status, answer) = world.server.call(&all, &route.method, &path, None).await;
            answers.insert((status.as_u16(), answer.to_string()));
        }
        assert_eq!(answers.len(), 1, "{} {}: {answers:?}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_certificate_of_another_zone_is_unknown_here() {
    let world = World::new().await;
    let body = json!({"csr": csr("device"), "validity_days": 30});
    let path = format!("/client/v4/zones/{}/client_certificates", world.other);
    let id = world.server.result("POST", &path, Some(&body)).await["id"].as_str().unwrap().to_owned();
    for method in ["GET", "PATCH", "DELETE"] {
        let path = |id: &str| format!("/client/v4/zones/{}/client_certificates/{id}", world.own);
        let foreign = world.server.call(ADMIN, method, &path(&id), None).await;
        let unknown = world.server.call(ADMIN, method, &path("0d89c70d-ad9f-4843-b99f-6cc0252067e9"), None).await;
        assert_eq!(foreign, unknown);
        assert_eq!((foreign.0, &foreign.1["errors"][0]["code"]), (StatusCode::NOT_FOUND, &json!(1415)));
    }
    let list = world.server.result("GET", &format!("/client/v4/zones/{}/client_certificates", world.own), None).await;
    assert_eq!(list, json!([]));
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let world = World::new().await;
    let names = |answer: (StatusCode, Value)| {
        let items = answer.1["result"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (token, server) = (&world.foreign_token, &world.server);
    assert_eq!(names(server.call(token, "GET", "/client/v4/zones", None).await), ["default"]);
    assert_eq!(names(server.call(token, "GET", "/client/v4/accounts", None).await), ["Another Org"]);
    assert_eq!(names(server.call(ADMIN, "GET", "/client/v4/zones", None).await), ["default", "other"]);
    for route in &world.routes {
        world
            .expect(token, route, &world.own, &world.account, !names_its_place(route) && route.permission != "all")
            .await;
    }
    for name in ["Another Org", "", "a\nb"] {
        let (status, answer) = server.call(ADMIN, "POST", "/client/v4/accounts", Some(&json!({"name": name}))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name:?}: {answer}");
    }
}

#[tokio::test]
async fn nobody_hands_on_more_than_they_have() {
    let world = World::new().await;
    let path = format!("/client/v4/accounts/{}/tokens", world.account);
    let maker = world.token(&["tokens:write", "client_certificates:read"], None).await;
    for (permissions, zones, expected) in [
        (json!(["client_certificates:read"]), Value::Null, StatusCode::OK),
        (json!(["client_certificates:read"]), json!([world.own]), StatusCode::OK),
        (json!(["client_certificates:issue"]), json!([world.own]), StatusCode::BAD_REQUEST),
        (json!(["client_certificates:read"]), json!([world.foreign_zone]), StatusCode::BAD_REQUEST),
    ] {
        let body = json!({"name": "child", "permissions": permissions, "zones": zones});
        let (status, answer) = world.server.call(&maker, "POST", &path, Some(&body)).await;
        assert_eq!(status, expected, "{body}: {answer}");
    }
}

#[tokio::test]
async fn the_table_leaves_no_route_without_a_stated_permission() {
    let world = World::new().await;
    let document: Value = world.server.call(ADMIN, "GET", "/openapi.json", None).await.1;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object()) {
            let is_bare = path.starts_with("/v1/");
            let is_api = path.starts_with("/client/") || is_bare;
            assert_eq!(operation.get("x-permission").is_some(), is_api, "{method} {path}");
            assert_eq!(operation.get("security").is_some(), is_api, "{method} {path}");
            if is_api {
                let path = path.replace(['{', '}'], "");
                let bare = world
                    .server
                    .client
                    .request(method.to_uppercase().parse().unwrap(), format!("{}{path}", world.server.url));
                let answer = bare.send().await.unwrap();
                let refusal = if is_bare { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
                assert_eq!(answer.status(), refusal, "{method} {path} without credentials");
            }
        }
    }
}

/// Whether the path says whose things are meant; the others are the caller's own.
fn names_its_place(route: &Route) -> bool {
    route.path.contains("{zone_id}") || route.path.contains("{account_id}")
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let zones = server.result("GET", "/client/v4/zones", None).await;
        let account = zones[0]["account"]["id"].as_str().unwrap().to_owned();
        let own = zones[0]["id"].as_str().unwrap().to_owned();
        let other = server.result("POST", "/client/v4/zones", Some(&json!({"name": "other"}))).await;
        let document = server.call(ADMIN, "GET", "/openapi.json", None).await.1;
        let foreign = server.result("POST", "/client/v4/accounts", Some(&json!({"name": "Another Org"}))).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let foreign_token = text(&foreign["token"]);
        let (status, made) =
            server.call(&foreign_token, "POST", "/client/v4/zones", Some(&json!({"name": "default"}))).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        Self {
            account,
            own,
            other: text(&other["id"]),
            foreign_account: text(&foreign["id"]),
            foreign_zone: text(&made["result"]["id"]),
            foreign_token,
            routes: routes(&document),
            server,
        }
    }

    async fn token(&self, permissions: &[&str], zone: Option<&str>) -> String {
        let path = format!("/client/v4/accounts/{}/tokens", self.account);
        let body = json!({"name": "test", "permissions": permissions, "zones": zone.map(|zone| vec![zone])});
        self.server.result("POST", &path, Some(&body)).await["value"].as_str().unwrap().to_owned()
    }

    /// Granted calls get past the authoriser, to whatever their content deserves; others end at 403.
    async fn expect(&self, token: &str, route: &Route, zone: &str, account: &str, granted: bool) {
        let path = route
            .path
            .replace("{zone_id}", zone)
            .replace("{account_id}", account)
            .replace("{client_certificate_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{certificate_authority_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{mtls_certificate_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{check_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{webhook_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            // A stream has no end.
            .replace("/events", "/events?format=json")
            .replace("{id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{job_id}", "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
            .replace("{name}", "somebody")
            .replace("{token_id}", UNKNOWN);
        let (status, answer) = self.server.call(token, &route.method, &path, None).await;
        let what = format!("{} {path} needs {}: {status} {answer}", route.method, route.permission);
        // Verifying a token against another account calls the token itself invalid.
        let denied =
            if route.path.ends_with("/tokens/verify") { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        assert_eq!(status == denied, !granted, "{what}");
        assert!(!status.is_server_error(), "{what}");
    }
}

fn routes(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let Some(permission) = operation.get("x-permission") {
                let permission = permission.as_str().unwrap().to_owned();
                routes.push(Route { method: method.to_uppercase(), path: path.clone(), permission });
            }
        }
    }
    routes
}
