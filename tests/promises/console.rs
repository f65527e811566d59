//! The console over HTTP: what its forms refuse, and what its pages keep to themselves.

use countersign::domain::token::has_token_form;
use countersign::x509::pem;
use reqwest::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::harness::csr;
use crate::identities::key_pem;
use crate::server::{ADMIN, Server};

/// A browser without scripts: a cookie, and the forms of the pages it looks at.
pub struct Browser<'a> {
    server: &'a Server,
    client: reqwest::Client,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn stranger(server: &'a Server) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { server, client: client.build().unwrap(), cookie: String::new() }
    }

    pub async fn signed_in(server: &'a Server, token: &str) -> Self {
        let mut browser = Self::stranger(server);
        let answer = browser.post("/sign-in", &[("token", token)]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"),
            "{cookie}"
        );
        assert!(!cookie.contains("Secure"), "plain HTTP on the machine itself: {cookie}");
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.server.url)).header("accept", "text/html");
        request.header(COOKIE, &self.cookie).send().await.unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// Keeps one more cookie.
    fn keep(&mut self, cookie: &str) {
        self.cookie = format!("{}; {}", self.cookie, cookie.split(';').next().unwrap());
    }

    /// A part of a page, as the script asks for it.
    pub async fn part(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.server.url)).header("hx-request", "true");
        request.header(COOKIE, &self.cookie).send().await.unwrap()
    }

    /// The proof that the forms of a page carry.
    pub async fn proof(&self, path: &str) -> String {
        let page = self.page(path).await;
        let (_, after) = page.split_once("name=\"form\" value=\"").expect("the page has a form");
        after.split('"').next().unwrap().to_owned()
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_from(path, fields, &[("origin", &self.server.url), ("sec-fetch-site", "same-origin")]).await
    }

    async fn post_from(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.client.request(Method::POST, format!("{}{path}", self.server.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.header(COOKIE, &self.cookie).send().await.unwrap()
    }
}

pub async fn zone(server: &Server) -> String {
    server.result("GET", "/client/v4/zones", None).await[0]["id"].as_str().unwrap().to_owned()
}

pub fn location(answer: &Response) -> &str {
    answer.headers()[LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn nobody_sees_a_page_without_a_session_and_the_sign_in_leads_back() {
    let server = Server::start().await;
    let stranger = Browser::stranger(&server);
    let path = format!("/zones/{}/certificates?status=active", zone(&server).await);
    let answer = stranger.get(&path).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let to = location(&answer).to_owned();
    assert!(to.starts_with("/sign-in?to=%2Fzones%2F"), "{to}");
    assert!(stranger.page(&to).await.contains(&format!("value=\"{path}\"")));

    for (token, said) in [("", "Enter a token"), ("short", "not a token"), (&"x".repeat(48)[..], "unknown here")] {
        let refused = stranger.post("/sign-in", &[("token", token), ("to", &path)]).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.headers().get(SET_COOKIE).is_none_or(|cookie| cookie.to_str().unwrap().contains("flash")));
        let page = refused.text().await.unwrap();
        assert!(page.contains(said) && page.contains(&format!("value=\"{path}\"")), "{page}");
        assert!(!has_token_form(token) || !page.contains(token), "what was typed there is a secret");
    }
    let back = stranger.post("/sign-in", &[("token", ADMIN), ("to", &path)]).await;
    assert_eq!(location(&back), path);
    for elsewhere in ["https://example.com/", "//example.com/", "/\\example.com", "/a\r\nb", "javascript:alert(1)"] {
        let answer = stranger.post("/sign-in", &[("token", ADMIN), ("to", elsewhere)]).await;
        assert_eq!(location(&answer), "/", "{elsewhere}");
    }
}

#[tokio::test]
async fn forged_and_repeated_forms_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr("device"), "validity_days": 30}))).await;
    let certificate = format!("{api}/{}", issued["id"].as_str().unwrap());
    let page = format!("/zones/{zone}/certificates/{}", issued["id"].as_str().unwrap());
    let act = format!("{page}/revoke");
    let browser = Browser::signed_in(&server, ADMIN).await;
    let neighbour = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof(&act).await;
    let fields = [("form", proof.as_str()), ("reason", "superseded")];
    let own = ("origin", server.url.as_str());

    let foreign_proof = neighbour.proof(&act).await;
    for (what, sent, headers) in [
        ("no proof", vec![("reason", "superseded")], vec![own]),
        ("another session's", vec![("form", foreign_proof.as_str()), ("reason", "superseded")], vec![own]),
        ("another site", fields.to_vec(), vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]),
        ("a sister site", fields.to_vec(), vec![own, ("sec-fetch-site", "same-site")]),
        ("another port", fields.to_vec(), vec![("origin", "http://127.0.0.1:1")]),
        ("a sandbox", fields.to_vec(), vec![("origin", "null")]),
        ("no word of where it comes from", fields.to_vec(), vec![]),
    ] {
        let answer = browser.post_from(&act, &sent, &headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{what}");
        assert!(answer.text().await.unwrap().contains("The form was refused"), "{what}");
        assert_eq!(server.result("GET", &certificate, None).await["status"], "active", "{what}");
    }
    let stolen = Browser::stranger(&server).post(&act, &fields).await;
    assert!(location(&stolen).starts_with("/sign-in"), "a proof without its cookie is worth nothing");

    let sent = browser.post(&act, &fields).await;
    assert_eq!((sent.status(), location(&sent)), (StatusCode::SEE_OTHER, page.as_str()));
    let again = browser.post(&act, &fields).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert!(again.text().await.unwrap().contains("sent already"));
}

#[tokio::test]
async fn a_session_that_ended_leads_to_the_sign_in_and_back_to_the_page_of_the_form() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let proof = browser.proof("/sessions").await;
    let out = browser.post("/sign-out", &[("form", &proof)]).await;
    assert_eq!(location(&out), "/sign-in");
    assert!(out.headers().get_all(SET_COOKIE).iter().any(|cookie| cookie.to_str().unwrap().contains("Max-Age=0")));
    let referer = format!("{}/sessions?x=1", server.url);
    let late = [("origin", server.url.as_str()), ("referer", &referer)];
    let answer = browser.post_from("/sign-out", &[("form", &proof)], &late).await;
    assert_eq!(location(&answer), "/sign-in?to=%2Fsessions%3Fx%3D1");
    // A part that a script asks for sends the whole page there.
    let part =
        browser.client.get(format!("{}/sessions", server.url)).header("hx-request", "true").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::UNAUTHORIZED);
    assert!(part.headers().contains_key("hx-redirect"));
}

#[tokio::test]
async fn pages_show_what_the_token_may_do_and_no_more() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let account = server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned();
    let body = json!({"name": "reader <b>", "permissions": ["client_certificates:read"], "zones": [zone]});
    let made = server.result("POST", &format!("/client/v4/accounts/{account}/tokens"), Some(&body)).await;
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr("device"), "validity_days": 30}))).await;
    let page = format!("/zones/{zone}/certificates/{}", issued["id"].as_str().unwrap());

    let browser = Browser::signed_in(&server, made["value"].as_str().unwrap()).await;
    let list = browser.page(&format!("/zones/{zone}/certificates")).await;
    assert!(list.contains(&page) && !list.contains("/issue") && !list.contains("Revoke the chosen"), "{list}");
    assert!(list.contains("reader &lt;b&gt;") && !list.contains("<b>"));
    let shown = browser.page(&page).await;
    assert!(!shown.contains("/revoke") && shown.contains("audit:read") && !shown.contains("from <bdi>127."), "{shown}");
    for path in [format!("/zones/{zone}/issue"), format!("{page}/revoke"), format!("/zones/{}", "c".repeat(32))] {
        assert_eq!(browser.get(&path).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let proof = browser.proof("/sessions").await;
    let refused = browser.post(&format!("{page}/revoke"), &[("form", &proof), ("reason", "superseded")]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        server.result("GET", &format!("{api}/{}", issued["id"].as_str().unwrap()), None).await["status"],
        "active"
    );
}

/// Whoever reaches another zone alone can have refusals written there, about any id.
#[tokio::test]
async fn a_history_holds_what_was_done_in_its_zone_and_nothing_that_was_tried_elsewhere() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let other = server.result("POST", "/client/v4/zones", Some(&json!({"name": "other.example"}))).await;
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr("device"), "validity_days": 30}))).await;
    let id = issued["id"].as_str().unwrap();
    let elsewhere = format!("/client/v4/zones/{}/client_certificates/{id}", other["id"].as_str().unwrap());
    assert_eq!(server.call(ADMIN, "DELETE", &elsewhere, None).await.0, StatusCode::NOT_FOUND);
    let written = format!("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.revoke' AND subject = '{id}'");
    assert_eq!(server.database.connect().count(&written), 1, "the log of the other zone tells it");
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = browser.page(&format!("/zones/{zone}/certificates/{id}")).await;
    assert!(page.contains("Issued") && !page.contains("Revocation refused"), "{page}");
}

#[tokio::test]
async fn an_address_that_makes_no_sense_finds_less_and_breaks_nothing() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr("device"), "validity_days": 30}))).await;
    let link = format!("{zone}/certificates/{}", issued["id"].as_str().unwrap());
    let browser = Browser::signed_in(&server, ADMIN).await;
    let list = format!("/zones/{zone}/certificates");
    for times in ["from=-262143-01-01", "from=%2B262142-12-31", "until=-262143-01-01", "until=%2B262142-12-31"] {
        assert!(browser.page(&format!("{list}?{times}")).await.contains(&link), "{times}");
        browser.page(&format!("/audit?{times}")).await;
    }
    // No text that is kept has a NUL, which PostgreSQL does not even take.
    assert!(browser.page(&format!("{list}?q=dev%00ice")).await.contains("value=\"device\""));
    for field in ["who", "what", "subject"] {
        browser.page(&format!("/audit?{field}=a%00.b")).await;
        browser.page(&format!("/zones/{zone}/audit?{field}=%00")).await;
    }
    // Hexadecimal, and longer than any serial number.
    let nothing = browser.page(&format!("{list}?q={}", "f".repeat(50))).await;
    assert!(!nothing.contains(&link), "{nothing}");
}

#[tokio::test]
async fn what_strangers_wrote_is_text_and_the_headers_allow_no_script_of_theirs() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let name = "<script>alert('x')</script>";
    let api = format!("/client/v4/zones/{zone}/client_certificates");
    let issued = server.result("POST", &api, Some(&json!({"csr": csr(name), "validity_days": 30}))).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let page = format!("/zones/{zone}/certificates/{}", issued["id"].as_str().unwrap());
    for path in [page.clone(), format!("{page}/revoke"), format!("/zones/{zone}/certificates")] {
        let answer = browser.get(&path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        let text = answer.text().await.unwrap();
        assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)") && !text.contains("<script>"), "{path}");
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
    }
    let file = browser.get(&format!("{page}/download/pem")).await;
    assert_eq!(file.headers()["content-disposition"], "attachment; filename=\"scriptalertxscript.pem\"");
}

#[tokio::test]
async fn a_preview_signs_nothing_and_a_refused_form_keeps_what_was_typed() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let browser = Browser::signed_in(&server, ADMIN).await;
    let form = format!("/zones/{zone}/issue");
    let proof = browser.proof(&form).await;
    let request = csr("device-7");
    let fields = |days: &'static str, csr: &str| {
        vec![
            ("form", proof.clone()),
            ("csr", csr.to_owned()),
            ("profile", "client".into()),
            ("validity_days", days.into()),
        ]
    };
    let post = async |path: &str, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post(path, &fields).await
    };
    for _ in 0..2 {
        let seen = post(&format!("{form}/preview"), fields("30", &request)).await;
        assert_eq!(seen.status(), StatusCode::OK, "a question may be asked twice");
        let seen = seen.text().await.unwrap();
        assert!(seen.contains("device-7") && seen.contains("It keeps to the profile"), "{seen}");
    }
    let letters = "x".repeat(64 * 1024);
    for (days, csr, said) in [
        ("99999", &request, "validity_days must be"),
        ("many", &request, "whole number of days"),
        ("30", &letters, "PEM"),
    ] {
        let refused = post(&format!("{form}/preview"), fields(days, csr)).await.text().await.unwrap();
        assert!(
            refused.contains(said) && refused.contains(days) && refused.contains(csr.lines().next().unwrap()),
            "{days}"
        );
    }
    let count = "SELECT COUNT(*) FROM certificates";
    assert_eq!(server.database.connect().count(count), 0);
    assert_eq!(
        server.database.connect().count("SELECT COUNT(*) FROM audit_events WHERE action = 'certificate.issue'"),
        0
    );

    let refused = post(&form, fields("0", &request)).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("from 1 to") && page.contains("BEGIN CERTIFICATE REQUEST"), "{page}");
    let (_, after) = page.split_once("name=\"form\" value=\"").unwrap();
    let next = after.split('"').next().unwrap().to_owned();
    let mut again = fields("30", &request);
    again[0].1 = next;
    let issued = post(&form, again).await;
    assert_eq!(issued.status(), StatusCode::SEE_OTHER);
    assert_eq!(server.database.connect().count(count), 1);
}

#[tokio::test]
async fn a_form_that_could_not_be_done_just_now_is_sent_again_once_it_can() {
    let server = Server::start().await;
    let zone = zone(&server).await;
    let mut browser = Browser::signed_in(&server, ADMIN).await;
    let form = format!("/zones/{zone}/issue");
    let proof = browser.proof(&form).await;
    let request = csr("device-7");
    let fields = [("form", proof.as_str()), ("csr", request.as_str()), ("profile", "client"), ("validity_days", "30")];
    let issued = "SELECT COUNT(*) FROM certificates";
    server.database.connect().refuse("no_issuance", "INSERT ON certificates", "TRUE");
    let refused = browser.post(&form, &fields).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let cookie = refused.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains(&form), "{cookie}");
    assert!(refused.headers().contains_key(CONTENT_SECURITY_POLICY));
    let page = refused.text().await.unwrap();
    assert!(page.contains("Not just now") && !page.contains("CERTIFICATE REQUEST"), "nothing typed comes back: {page}");

    // Without what came with that answer, it was sent already.
    let again = browser.post(&form, &fields).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let session = browser.cookie.clone();
    browser.keep(&cookie);
    let again = browser.post(&form, &fields).await;
    assert_eq!(again.status(), StatusCode::SERVICE_UNAVAILABLE, "it is tried anew");
    assert_eq!(browser.post(&form, &fields).await.status(), StatusCode::CONFLICT, "and not by the same voucher");
    browser.cookie = session;
    browser.keep(again.headers()[SET_COOKIE].to_str().unwrap());
    server.database.connect().allow_again("no_issuance");
    let other_proof = browser.proof(&form).await;
    assert_eq!(browser.post(&form, &fields).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(server.database.connect().count(issued), 1);
    assert_eq!(browser.post(&form, &fields).await.status(), StatusCode::CONFLICT, "a reload does nothing");

    // What was told before its form was taken needs no voucher.
    server.database.connect().refuse("no_forms", "INSERT ON spent_forms", "TRUE");
    let mut other = fields;
    other[0].1 = &other_proof;
    let refused = browser.post(&form, &other).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!refused.headers().contains_key(SET_COOKIE));
    server.database.connect().allow_again("no_forms");
    let second = csr("device-8");
    other[1].1 = &second;
    assert_eq!(browser.post(&form, &other).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(server.database.connect().count(issued), 2);
}

#[tokio::test]
async fn where_people_come_over_tls_the_cookie_goes_over_nothing_else() {
    let public = [("COUNTERSIGN_PUBLIC_URL", "https://pki.test")];
    // CRLs are fetched over plain HTTP, while people come through a proxy that speaks TLS.
    let proxied = [("COUNTERSIGN_PUBLIC_URL", "http://pki.test"), ("COUNTERSIGN_BEHIND_PROXY", "true")];
    for settings in [&public[..], &proxied[..]] {
        let server = Server::start_with(settings).await;
        let answer = Browser::stranger(&server).post("/sign-in", &[("token", ADMIN)]).await;
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("__Host-countersign=") && cookie.contains("Secure"), "{cookie}");
        let page = Browser::stranger(&server).get("/sign-in").await;
        assert!(page.headers().contains_key(STRICT_TRANSPORT_SECURITY), "{settings:?}");
    }
    let server = Server::start().await;
    let page = Browser::stranger(&server).get("/sign-in").await;
    assert!(!page.headers().contains_key(STRICT_TRANSPORT_SECURITY), "plain HTTP on the machine itself");
}

#[tokio::test]
async fn assets_are_kept_for_good_under_names_that_change_with_them() {
    let server = Server::start().await;
    let page = Browser::stranger(&server).page("/sign-in").await;
    let (_, after) = page.split_once("/assets/console-").expect("the page has a style");
    let style = format!("/assets/console-{}", after.split('"').next().unwrap());
    let answer = Browser::stranger(&server).get(&style).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let other = style.replace("console-", "console-0");
    assert_eq!(Browser::stranger(&server).get(&other).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn identities_are_brought_by_who_may_and_a_refused_form_keeps_no_key() {
    let server = Server::start().await;
    let account = server.result("GET", "/client/v4/accounts", None).await[0]["id"].as_str().unwrap().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "caller");
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let certificate = pem::encode("CERTIFICATE", params.self_signed(&key).unwrap().der());
    let key = key_pem(&key);
    let secret: String = key.lines().nth(1).unwrap().chars().skip(8).take(40).collect();
    let both = format!("{certificate}{key}");

    let browser = Browser::signed_in(&server, ADMIN).await;
    assert!(browser.page("/identities").await.contains("Bring the first one"));
    let proof = browser.proof("/identities/new").await;
    let mut fields = [
        ("form", proof.as_str()),
        ("certificates", both.as_str()),
        ("passphrase", "open sesame"),
        ("hosts", "https://a.example"),
    ];
    let seen = browser.post("/identities/new/preview", &fields).await.text().await.unwrap();
    assert!(
        seen.contains("CN=caller") && seen.contains("https://a.example") && !seen.contains("It can be kept"),
        "{seen}"
    );
    let refused = browser.post("/identities", &fields).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("https://a.example") && page.contains("are not sent back"), "{page}");
    for text in [&seen, &page] {
        assert!(!text.contains(&secret) && !text.contains("open sesame"), "{text}");
    }
    let proof = browser.proof("/identities/new").await;
    fields[0].1 = &proof;
    fields[3].1 = "a.example";
    let seen = browser.post("/identities/new/preview", &fields).await.text().await.unwrap();
    assert!(seen.contains("It can be kept"), "{seen}");
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM identities"), 0, "a question keeps nothing");
    let kept = browser.post("/identities", &fields).await;
    assert_eq!(kept.status(), StatusCode::SEE_OTHER);
    let identity = location(&kept).to_owned();

    let using =
        format!("/client/v4/accounts/{account}/mtls_certificates{}", identity.trim_start_matches("/identities"));
    server.result("PUT", &format!("{using}/associations/billing"), None).await;
    let page = browser.page(&format!("{identity}/remove")).await;
    let field =
        |name: &str| page.split_once(&format!("name=\"{name}\" value=\"")).unwrap().1.split('"').next().unwrap();
    let fields = [("form", field("form")), ("seen", field("seen")), ("name", "call")];
    let refused = browser.post(&format!("{identity}/remove"), &fields).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM identities"), 1);

    let body = json!({"name": "reader", "permissions": ["identities:read"]});
    let made = server.result("POST", &format!("/client/v4/accounts/{account}/tokens"), Some(&body)).await;
    let reader = Browser::signed_in(&server, made["value"].as_str().unwrap()).await;
    let list = reader.page("/identities").await;
    assert!(list.contains(&identity) && !list.contains("/identities/new") && !list.contains("/edit"), "{list}");
    let shown = reader.page(&identity).await;
    assert!(!shown.contains("/remove") && !shown.contains("/replace") && !shown.contains("/uses"), "{shown}");
    assert!(!reader.page("/checks").await.contains("/checks/new"));
    let acts = ["edit", "replace", "remove"].map(|act| format!("{identity}/{act}"));
    for path in acts.iter().map(String::as_str).chain(["/identities/new", "/checks/new"]) {
        assert_eq!(reader.get(path).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let proof = reader.proof("/sessions").await;
    for path in acts.iter().map(String::as_str).chain(["/identities", "/checks"]) {
        let refused = reader.post(path, &[("form", &proof), ("name", "caller")]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(server.database.connect().count("SELECT COUNT(*) FROM identities"), 1);
}
