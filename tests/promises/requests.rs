//! Promise 8 and 9 at the edge: refused requests leave their audit event, made-up input leaves nothing behind.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::csr;
use crate::server::{ADMIN, Server};

fn count(server: &Server, condition: &str) -> i64 {
    server.database.connect().count(&format!("SELECT COUNT(*) FROM audit_events WHERE {condition}"))
}

async fn zone(server: &Server) -> String {
    let zones = server.result("GET", "/client/v4/zones", None).await;
    zones[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_refused_act_leaves_its_audit_event() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let account = server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned();
    let certificates = format!("/client/v4/zones/{zone}/client_certificates");
    let unknown = "0d89c70d-ad9f-4843-b99f-6cc0252067e9";
    for (method, path, body, action) in [
        ("POST", certificates.clone(), "no JSON".to_owned(), "certificate.issue"),
        ("POST", certificates.clone(), "[]".into(), "certificate.issue"),
        ("POST", certificates.clone(), "x".repeat(1_100_000), "certificate.issue"),
        ("POST", certificates.clone(), json!({"csr": "x", "validity_days": 1}).to_string(), "certificate.issue"),
        ("DELETE", format!("{certificates}/{unknown}"), String::new(), "certificate.revoke"),
        ("DELETE", format!("{certificates}/{unknown}?reason=whim"), String::new(), "certificate.revoke"),
        ("PATCH", format!("{certificates}/{unknown}"), "{}".into(), "certificate.reactivate"),
        ("PATCH", format!("{certificates}/{unknown}"), r#"{"reactivate": "yes"}"#.into(), "certificate.reactivate"),
        ("POST", "/client/v4/zones".into(), r#"{"name": "-"}"#.into(), "zone.create"),
        ("POST", "/client/v4/zones".into(), r#"{"name": 7}"#.into(), "zone.create"),
        ("POST", "/client/v4/accounts".into(), r#"{"name": ""}"#.into(), "account.create"),
        ("POST", "/client/v4/accounts".into(), "{}".into(), "account.create"),
        (
            "POST",
            format!("/client/v4/accounts/{account}/tokens"),
            r#"{"name": "x", "permissions": ["all"]}"#.into(),
            "token.create",
        ),
        (
            "POST",
            format!("/client/v4/accounts/{account}/tokens"),
            r#"{"name": "", "permissions": []}"#.into(),
            "token.create",
        ),
        ("DELETE", format!("/client/v4/accounts/{account}/tokens/{}", "0".repeat(32)), String::new(), "token.delete"),
        ("PUT", format!("/client/v4/accounts/{account}/tokens/{}/value", "0".repeat(32)), "{}".into(), "token.roll"),
        ("PATCH", format!("/client/v4/zones/{zone}"), "{}".into(), "zone.rename"),
        ("PATCH", format!("/client/v4/zones/{zone}"), r#"{"name": "x", "paused": true}"#.into(), "zone.rename"),
        ("PATCH", format!("/client/v4/zones/{zone}"), r#"{"name": "-"}"#.into(), "zone.rename"),
        (
            "PUT",
            format!("/client/v4/zones/{zone}/certificate_authorities/hostname_associations"),
            r#"{"hostnames": ["a b"]}"#.into(),
            "hostnames.associate",
        ),
    ] {
        let condition = format!("action = '{action}' AND result = 1");
        let before = count(&server, &condition);
        let request = server.client.request(method.parse().unwrap(), format!("{}{path}", server.url));
        let answer = request.bearer_auth(ADMIN).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{method} {path}: {}", answer.status());
        assert_eq!(count(&server, &condition), before + 1, "{method} {path}");
    }
}

#[tokio::test]
async fn made_up_methods_and_paths_add_nothing_to_the_metrics() {
    let server = Server::start().await;
    for number in 0..50 {
        let method = Method::from_bytes(format!("METHOD{number}").as_bytes()).unwrap();
        server.client.request(method, format!("{}/made-up-{number}", server.url)).send().await.unwrap();
    }
    let metrics = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("METHOD") && !metrics.contains("made-up"), "{metrics}");
}

#[tokio::test]
async fn the_address_in_the_audit_log_is_the_one_that_our_proxy_added() {
    let server = Server::start_with(&[("COUNTERSIGN_BEHIND_PROXY", "true")]).await;
    let zone = zone(&server).await;
    for (forwarded, expected) in [
        ("6.6.6.6, 192.0.2.9", "192.0.2.9"),
        ("192.0.2.10", "192.0.2.10"),
        ("admin console (trusted)", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let condition = format!("action = 'certificate.issue' AND result = 0 AND source = '{expected}'");
        let before = count(&server, &condition);
        let answer = server
            .client
            .post(format!("{}/client/v4/zones/{zone}/client_certificates", server.url))
            .bearer_auth(ADMIN)
            .header("forwarded", "for=7.7.7.7")
            .header("x-forwarded-for", forwarded)
            .json(&json!({"csr": csr("device"), "validity_days": 30}))
            .send();
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        assert_eq!(count(&server, &condition), before + 1, "{forwarded}");
    }
}

#[tokio::test]
async fn names_that_are_too_long_together_are_refused() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let long =
        |number: usize| json!({"type": "uri", "value": format!("https://example.com/{number}/{}", "x".repeat(900))});
    let names: Vec<_> = (0..100).map(long).collect();
    let body = json!({"csr": csr("device"), "validity_days": 30, "subject_alternative_names": names});
    let path = format!("/client/v4/zones/{zone}/client_certificates");
    let (status, answer) = server.call(ADMIN, "POST", &path, Some(&body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["errors"][0]["source"]["pointer"], "/subject_alternative_names");
}

#[tokio::test]
async fn all_faults_of_a_query_are_told_at_once() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let path = format!(
        "/client/v4/zones/{zone}/client_certificates?page=0&per_page=x&limit=-1&status=zzz&serial_number=!&expires_before=soon"
    );
    let (status, answer) = server.call(ADMIN, "GET", &path, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for name in ["page", "per_page", "limit", "status", "serial_number", "expires_before"] {
        let named =
            |error: &serde_json::Value| error["message"].as_str().unwrap().contains(&format!("parameter {name} "));
        assert_eq!(
            answer["errors"].as_array().unwrap().iter().filter(|error| named(error)).count(),
            1,
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn public_addresses_of_nothing_are_not_found() {
    let server = Server::start().await;
    for id in ["x", "0d89c70d-ad9f-4843-b99f-6cc0252067e9", "..%2f..", "%00", &"a".repeat(5000)] {
        for file in ["ca.cer", "ca.pem", "bundle.pem", "bundle.p7b", "crl", "crl.pem", "master.key"] {
            let answer = server.client.get(format!("{}/pki/{id}/{file}", server.url)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{id} {file}");
        }
    }
}
