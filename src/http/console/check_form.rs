//! Making a check and changing it. Secret values come in and are never written on a page.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use secrecy::SecretString;

use crate::domain::check::{Check, CheckBody, DEFAULT_TIMEOUT_MILLIS, MAX_HEADERS, Selector, is_secret_by_name};
use crate::domain::expectation::{Expectations, HeaderRule, JsonRule, MAX_EXPECTATIONS, StatusRule};
use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, IdentityFilter};
use crate::domain::violation::Violation;
use crate::service::access::{ReadIdentities, WriteChecks};
use crate::service::checks::{CheckInput, HeaderInput};
use crate::service::{Service, ServiceError};
use crate::store::Window;

use super::check::{check_id, rule};
use super::checks::{address, checks_crumb, seconds_in_words};
use super::fault::Fault;
use super::field_faults::FieldFaults;
use super::page::{Crumb, Flash, Page, go_to, show, show_with};
use super::rules::{self, Rule};
use super::show;
use super::visitor::{AccountForm, AccountPage, Form, Visitor};

const FIELDS: &[&str] = &[
    "name",
    "url",
    "method",
    "identity",
    "trusted_ca",
    "interval_seconds",
    "timeout_ms",
    "headers",
    "body",
    "expect",
    "status",
    "latency_ms",
    "certificate_days_left",
    HeaderRule::FIELD,
    JsonRule::FIELD,
];
/// What of the expectations has a field of its own here.
const EXPECTED: &[&str] = &["status", "latency_ms", "certificate_days_left"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const INTERVALS: [i64; 7] = [30, 60, 300, 900, 3600, 21_600, 86_400];
const PROPOSED_INTERVAL: &str = "300";
/// More than these are chosen by the API.
const CHOICES: Window = Window { offset: 0, length: 500 };

#[derive(Template)]
#[template(path = "check_form.html", config = "src/http/console/askama.toml")]
struct CheckFormPage {
    page: Page,
    /// Where it is sent.
    action: String,
    back: String,
    is_new: bool,
    typed: Typed,
    identities: Vec<Identity>,
    bundles: Vec<Identity>,
    intervals: Vec<i64>,
    faults: FieldFaults,
}

/// What was typed, as far as it may be shown again.
#[derive(Default)]
struct Typed {
    name: String,
    url: String,
    method: String,
    identity: String,
    trusted_ca: String,
    interval_seconds: String,
    timeout_ms: String,
    status: String,
    latency_ms: String,
    certificate_days_left: String,
    /// One rule on each line.
    expect_headers: String,
    expect_json: String,
    /// `Name: value`, one on each line; secret ones without their value.
    headers: String,
    body: String,
    is_body_secret: bool,
    is_off: bool,
}

#[get("/checks/new")]
pub async fn ask(here: AccountPage<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let typed = Typed {
        method: "GET".into(),
        identity: Selector::Auto.to_string(),
        interval_seconds: PROPOSED_INTERVAL.into(),
        timeout_ms: DEFAULT_TIMEOUT_MILLIS.to_string(),
        ..Typed::default()
    };
    show(&page(&here.visitor, &service, None, typed, FieldFaults::default()).await?)
}

#[post("/checks")]
pub async fn create(mut sent: AccountForm<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let (typed, input) = read(&mut sent.form, &[]);
    match service.create_check(&sent.permit, input).await {
        Ok(check) => Ok(go_to(&address(check.id), Some(Flash::CheckMade))),
        Err(ServiceError::Invalid(violations)) => {
            let faults = beside_fields(violations);
            let page = page(&sent.visitor, &service, None, typed, faults).await?;
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(other) => Err(other.into()),
    }
}

#[get("/checks/{check_id}/edit")]
pub async fn ask_edit(here: AccountPage<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let check = shown(&here.visitor, &service).await?;
    let typed = Typed::of(&check);
    show(&page(&here.visitor, &service, Some(&check), typed, FieldFaults::default()).await?)
}

#[post("/checks/{check_id}/edit")]
pub async fn edit(mut sent: AccountForm<WriteChecks>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let check = shown(&sent.visitor, &service).await?;
    let (typed, mut input) = read(&mut sent.form, &sealed_names(&check));
    let is_kept =
        check.definition.body == CheckBody::Secret && matches!(input.body, Some(None)) && typed.is_body_secret;
    if is_kept {
        input.body = None;
    }
    match service.edit_check(&sent.permit, Some(check.id), input).await {
        Ok(check) => Ok(go_to(&address(check.id), Some(Flash::CheckChanged))),
        Err(ServiceError::Invalid(violations)) => {
            let faults = beside_fields(violations);
            let page = page(&sent.visitor, &service, Some(&check), typed, faults).await?;
            show_with(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(other) => Err(other.into()),
    }
}

fn beside_fields(violations: Vec<Violation>) -> FieldFaults {
    let place = |pointer: &str| {
        let own = pointer.strip_prefix("/expect")?;
        EXPECTED.contains(&own.split('/').nth(1)?).then(|| own.to_owned())
    };
    let beside = |violation: Violation| match place(&violation.pointer) {
        Some(pointer) => Violation { pointer, ..violation },
        None => violation,
    };
    FieldFaults::new(violations.into_iter().map(beside).collect(), FIELDS)
}

async fn shown(visitor: &Visitor, service: &Service) -> Result<Check, Fault> {
    let caller = visitor.caller();
    let permit = service.permit_in_account::<ReadIdentities>(caller.clone(), caller.account()).await?;
    Ok(service.check(&permit, check_id(&visitor.request)).await?)
}

async fn page(
    visitor: &Visitor,
    service: &Service,
    check: Option<&Check>,
    typed: Typed,
    faults: FieldFaults,
) -> Result<CheckFormPage, Fault> {
    let caller = visitor.caller();
    let permit = service.permit_in_account::<ReadIdentities>(caller.clone(), caller.account()).await?;
    let filter = |is_ca| IdentityFilter { is_ca: Some(is_ca), ..IdentityFilter::default() };
    let own = check.map(|check| Crumb { label: check.definition.name.clone(), href: address(check.id) });
    let crumbs = std::iter::once(checks_crumb()).chain(own).collect();
    let mut intervals = INTERVALS.to_vec();
    intervals.extend(typed.interval_seconds.parse().ok().filter(|seconds| !INTERVALS.contains(seconds)));
    let back = check.map_or_else(|| "/checks".to_owned(), |check| address(check.id));
    Ok(CheckFormPage {
        page: match check {
            Some(check) => visitor.page("Change", crumbs).await?.about(&check.definition.name),
            None => visitor.page("Make a check", crumbs).await?,
        },
        action: if check.is_some() { format!("{back}/edit") } else { back.clone() },
        back,
        is_new: check.is_none(),
        identities: service.identities(&permit, filter(false), CHOICES).await?.items,
        bundles: service.identities(&permit, filter(true), CHOICES).await?.items,
        intervals,
        typed,
        faults,
    })
}

impl Typed {
    fn is_method(&self, method: impl AsRef<str>) -> bool {
        self.method == method.as_ref()
    }

    fn of(check: &Check) -> Self {
        let definition = &check.definition;
        let expectations = &definition.expectations;
        let header = |name: &str, value: Option<&str>| format!("{name}: {}", value.unwrap_or_default());
        let headers: Vec<String> =
            definition.headers.iter().map(|sent| header(&sent.name, sent.value.as_deref())).collect();
        let number = |number: Option<String>| number.unwrap_or_default();
        Self {
            name: definition.name.clone(),
            url: definition.url.clone(),
            method: definition.method.clone(),
            identity: definition.identity.to_string(),
            trusted_ca: number(definition.trusted_ca.map(|id| id.to_string())),
            interval_seconds: number(definition.interval_seconds.map(|seconds| seconds.to_string())),
            timeout_ms: definition.timeout_millis.to_string(),
            status: expectations.status.iter().map(rule).collect::<Vec<_>>().join(", "),
            latency_ms: number(expectations.latency_ms.map(|millis| millis.to_string())),
            certificate_days_left: number(expectations.certificate_days_left.map(|days| days.to_string())),
            expect_headers: rules::written(&expectations.headers),
            expect_json: rules::written(&expectations.json),
            headers: headers.join("\n"),
            body: if let CheckBody::Shown(body) = &definition.body { body.clone() } else { String::new() },
            is_body_secret: definition.body == CheckBody::Secret,
            is_off: !definition.is_enabled,
        }
    }
}

/// A form as an input, with what may be shown of it again.
fn read(form: &mut Form, sealed: &[String]) -> (Typed, CheckInput) {
    let mut faults = Vec::new();
    let (shown_headers, headers) = read_headers(form.text("headers"), sealed, &mut faults);
    let is_body_secret = form.filled("body_secret").is_some();
    let shown_body = if is_body_secret { String::new() } else { form.text("body").to_owned() };
    let body = form.secret("body");
    let text = |name: &str| form.text(name).trim().to_owned();
    let typed = Typed {
        name: text("name"),
        url: text("url"),
        method: text("method"),
        identity: text("identity"),
        trusted_ca: text("trusted_ca"),
        interval_seconds: text("interval_seconds"),
        timeout_ms: text("timeout_ms"),
        status: text("status"),
        latency_ms: text("latency_ms"),
        certificate_days_left: text("certificate_days_left"),
        expect_headers: form.text(HeaderRule::FIELD).to_owned(),
        expect_json: form.text(JsonRule::FIELD).to_owned(),
        headers: shown_headers,
        body: shown_body,
        is_body_secret,
        is_off: form.filled("off").is_some(),
    };
    let expectations = Expectations {
        status: typed
            .status
            .split([',', ' '])
            .map(str::trim)
            .filter(|word| !word.is_empty())
            // One more than there can be, for the rule to refuse.
            .take(MAX_EXPECTATIONS + 1)
            .map(status_rule)
            .collect(),
        headers: rules::read(&typed.expect_headers, &mut faults),
        json: rules::read(&typed.expect_json, &mut faults),
        latency_ms: number(&typed.latency_ms, "/expect/latency_ms", "the milliseconds", &mut faults),
        certificate_days_left: number(
            &typed.certificate_days_left,
            "/expect/certificate_days_left",
            "the days",
            &mut faults,
        ),
    };
    let identity = match typed.identity.as_str() {
        "auto" => Some(Selector::Auto),
        "none" => Some(Selector::None),
        id => IdentityId::parse(id).map(Selector::Explicit),
    };
    if identity.is_none() {
        faults.push(Violation::new("/identity", "choose one of those that are listed"));
    }
    let input = CheckInput {
        name: Some(typed.name.clone()),
        url: Some(typed.url.clone()),
        method: Some(typed.method.clone()),
        headers: Some(headers),
        body: Some(body),
        is_body_secret: Some(is_body_secret),
        expectations: Some(expectations),
        identity,
        trusted_ca: Some(IdentityId::parse(&typed.trusted_ca)),
        interval_seconds: Some(number(&typed.interval_seconds, "/interval_seconds", "the interval", &mut faults)),
        timeout_millis: number(&typed.timeout_ms, "/timeout_ms", "the time-out", &mut faults),
        is_enabled: Some(!typed.is_off),
        faults,
    };
    (typed, input)
}

/// The headers that are sealed, whether their names ask for it or somebody chose so.
fn sealed_names(check: &Check) -> Vec<String> {
    let sealed = check.definition.headers.iter().filter(|header| header.value.is_none());
    sealed.map(|header| header.name.clone()).collect()
}

/// The headers as they may be shown, and as they are sent. One without a value keeps the secret that it has, and a new value
/// for one that was `sealed` is sealed as the old one was.
fn read_headers(text: &str, sealed: &[String], faults: &mut Vec<Violation>) -> (String, Vec<HeaderInput>) {
    let (mut shown, mut read) = (Vec::new(), Vec::new());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.by_ref().take(MAX_HEADERS) {
        let Some((name, value)) = line.split_once(':') else {
            // It may be a secret that was pasted without its name.
            faults.push(Violation::new("/headers", "write each header as Name: value, on a line of its own"));
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        let was_sealed = sealed.iter().any(|sealed| sealed.eq_ignore_ascii_case(name));
        shown.push(format!("{name}: {}", if was_sealed || is_secret_by_name(name) { "" } else { value }));
        let value = Some(value).filter(|value| !value.is_empty()).map(|value| SecretString::from(value.to_owned()));
        read.push(HeaderInput { name: name.to_owned(), value, is_secret: was_sealed.then_some(true) });
    }
    if lines.next().is_some() {
        let why = format!("there can be at most {MAX_HEADERS} headers; the lines after them were left out");
        faults.push(Violation::new("/headers", why));
    }
    (shown.join("\n"), read)
}

fn status_rule(word: &str) -> StatusRule {
    word.parse().map_or_else(|_| StatusRule::Class(word.to_ascii_lowercase()), StatusRule::Code)
}

/// A number that may be left out.
fn number<T: std::str::FromStr>(text: &str, place: &str, what: &str, faults: &mut Vec<Violation>) -> Option<T> {
    let read = text.parse().ok();
    if read.is_none() && !text.is_empty() {
        faults.push(Violation::new(place, format!("write {what} as a whole number")));
    }
    read
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secret_values_are_read_and_not_shown_again() {
        let mut faults = Vec::new();
        let (shown, read) =
            read_headers("Accept: text/html\r\n authorization: Bearer x:y\nX-Token:\nnothing", &[], &mut faults);
        assert_eq!(shown, "Accept: text/html\nauthorization: \nX-Token: ");
        let values: Vec<_> =
            read.iter().map(|header| header.value.as_ref().map(|value| value.expose_secret().to_owned())).collect();
        assert_eq!(values, [Some("text/html".to_owned()), Some("Bearer x:y".to_owned()), None]);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_header_that_was_sealed_by_choice_stays_sealed_with_a_new_value() {
        let mut faults = Vec::new();
        let (shown, read) = read_headers("x-plant: new\nAccept: text/html", &["X-Plant".to_owned()], &mut faults);
        assert_eq!(shown, "x-plant: \nAccept: text/html");
        assert_eq!(read.iter().map(|header| header.is_secret).collect::<Vec<_>>(), [Some(true), None]);
        assert!(faults.is_empty());
    }

    #[test]
    fn no_more_headers_are_read_than_there_can_be() {
        let mut faults = Vec::new();
        let (shown, read) = read_headers(&"A: b\n".repeat(MAX_HEADERS), &[], &mut faults);
        assert_eq!((shown.lines().count(), read.len(), faults.len()), (MAX_HEADERS, MAX_HEADERS, 0));
        let (_, read) = read_headers(&"nothing\n".repeat(100_000), &[], &mut faults);
        assert_eq!((read.len(), faults.len()), (0, MAX_HEADERS + 1));
    }
}
