//! Reading what is sent about checks and calls.

use secrecy::SecretString;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::check::{MAX_HEADERS, Selector};
use crate::domain::expectation::Expectations;
use crate::domain::id::IdentityId;
use crate::service::checks::{CheckInput, HeaderInput};
use crate::service::outgoing::CallInput;

use crate::http::body::{Fields, integer, string};

/// What a check does.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct DefineCheck {
    name: String,
    /// An https address.
    #[schema(example = "https://api.partner.example/health")]
    url: String,
    /// `GET` if left out.
    #[schema(nullable = false, required = false)]
    method: Option<String>,
    #[schema(nullable = false, required = false, max_items = 50)]
    headers: Option<Vec<SentHeader>>,
    #[schema(required = false)]
    body: Option<String>,
    /// Seal the body and never show it.
    #[schema(nullable = false, required = false)]
    secret_body: Option<bool>,
    /// What is expected of the answer; a 2xx if left out.
    #[schema(nullable = false, required = false)]
    expect: Option<SentExpectations>,
    /// `auto` (by host, else the primary), `none`, or an identity's id; `auto` if left out.
    #[schema(nullable = false, required = false, example = "auto")]
    identity: Option<String>,
    /// The id of a CA bundle to verify the server by, where the identity has no CAs of its own.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    /// From 30 to 86400; without it, the check is run by hand.
    #[schema(required = false, minimum = 30, maximum = 86_400)]
    interval_seconds: Option<i64>,
    /// For everything together, from 100 to 60000; 10000 if left out.
    #[schema(nullable = false, required = false, minimum = 100, maximum = 60_000)]
    timeout_ms: Option<i64>,
    #[schema(nullable = false, required = false)]
    enabled: Option<bool>,
}

/// What to change of a check. What is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct EditCheck {
    #[schema(nullable = false, required = false)]
    name: Option<String>,
    /// An https address. On another server, secret values must be sent anew.
    #[schema(nullable = false, required = false)]
    url: Option<String>,
    #[schema(nullable = false, required = false)]
    method: Option<String>,
    #[schema(nullable = false, required = false, max_items = 50)]
    headers: Option<Vec<SentHeader>>,
    #[schema(required = false)]
    body: Option<String>,
    /// Seal the body and never show it.
    #[schema(nullable = false, required = false)]
    secret_body: Option<bool>,
    /// What is expected of the answer.
    #[schema(nullable = false, required = false)]
    expect: Option<SentExpectations>,
    /// `auto` (by host, else the primary), `none`, or an identity's id.
    #[schema(nullable = false, required = false, example = "auto")]
    identity: Option<String>,
    /// The id of a CA bundle to verify the server by, where the identity has no CAs of its own.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    /// From 30 to 86400; null for a check that is run by hand.
    #[schema(required = false, minimum = 30, maximum = 86_400)]
    interval_seconds: Option<i64>,
    /// For everything together, from 100 to 60000.
    #[schema(nullable = false, required = false, minimum = 100, maximum = 60_000)]
    timeout_ms: Option<i64>,
    #[schema(nullable = false, required = false)]
    enabled: Option<bool>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct SentHeader {
    name: String,
    /// In a PATCH, a secret header without a value keeps the one it has.
    #[schema(required = false)]
    value: Option<String>,
    /// Seal the value and never show it. Without a word, names such as Authorization, Cookie or X-Api-Key are secret.
    #[schema(nullable = false, required = false)]
    secret: Option<bool>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what serde reads")]
pub struct SentExpectations {
    /// Codes and classes, one of which must be met.
    #[schema(nullable = false, required = false, value_type = Vec<Object>, example = json!([200, "3xx"]))]
    status: Option<Vec<Value>>,
    /// Each with `name`, and `equals` or `contains`, or neither if it must only be there.
    #[schema(nullable = false, required = false, value_type = Vec<Object>, example = json!([{"name": "content-type", "contains": "json"}]))]
    headers: Option<Vec<Value>>,
    /// Each with `path` (a JSON Pointer, or `$.a[0].b`), and `equals` or `contains`, or neither if it must only be there.
    #[schema(nullable = false, required = false, value_type = Vec<Object>, example = json!([{"path": "/status", "equals": "ok"}]))]
    json: Option<Vec<Value>>,
    /// Fewer days left to the server's certificate degrade the check.
    #[schema(nullable = false, required = false, maximum = 3650)]
    certificate_days_left: Option<u32>,
    /// A slower answer degrades the check.
    #[schema(nullable = false, required = false)]
    latency_ms: Option<u64>,
}

/// A call to make once.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct RequestWithMtlsCertificate {
    /// An https address.
    #[schema(example = "https://api.partner.example/")]
    url: String,
    #[schema(nullable = false, required = false)]
    method: Option<String>,
    #[schema(nullable = false, required = false, max_items = 50)]
    headers: Option<Vec<SentHeader>>,
    #[schema(required = false)]
    body: Option<String>,
    /// `auto`, `none`, or an identity's id.
    #[schema(nullable = false, required = false)]
    identity: Option<String>,
    /// The id of a CA bundle to verify the server by, where the identity has no CAs of its own.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    #[schema(nullable = false, required = false, minimum = 100, maximum = 60_000)]
    timeout_ms: Option<i64>,
}

pub fn definition(mut fields: Fields) -> CheckInput {
    CheckInput {
        name: fields.optional("name", "a string", string),
        url: fields.optional("url", "a string", string),
        method: fields.optional("method", "a string", string),
        headers: headers(&mut fields),
        body: fields.has("body").then(|| fields.secret("body")),
        is_body_secret: fields.optional("secret_body", "true or false", Value::as_bool),
        expectations: expectations(&mut fields),
        identity: selector(&mut fields),
        trusted_ca: fields.has("trusted_ca").then(|| trusted_ca(&mut fields)),
        interval_seconds: fields
            .has("interval_seconds")
            .then(|| fields.optional("interval_seconds", "a whole number of seconds, or null", integer)),
        timeout_millis: fields.optional("timeout_ms", "a whole number of milliseconds", integer),
        is_enabled: fields.optional("enabled", "true or false", Value::as_bool),
        faults: fields.into_faults(),
    }
}

pub fn call(mut fields: Fields) -> CallInput {
    let mut headers_with_values = Vec::new();
    for (index, header) in headers(&mut fields).unwrap_or_default().into_iter().enumerate() {
        match header.value {
            Some(value) => headers_with_values.push((header.name, value)),
            None => fields.fault(&format!("/headers/{index}/value"), "value is required: a string"),
        }
    }
    CallInput {
        url: fields.optional("url", "a string", string),
        method: fields.optional("method", "a string", string),
        headers: headers_with_values,
        body: fields.secret("body"),
        timeout_millis: fields.optional("timeout_ms", "a whole number of milliseconds", integer),
        identity: selector(&mut fields),
        trusted_ca: trusted_ca(&mut fields),
        faults: fields.into_faults(),
    }
}

fn headers(fields: &mut Fields) -> Option<Vec<HeaderInput>> {
    let sent =
        fields.optional("headers", "an array of objects with name and value", |value| value.as_array().cloned())?;
    if sent.len() > MAX_HEADERS {
        fields.fault("/headers", format!("there can be at most {MAX_HEADERS} headers"));
        return None;
    }
    let mut read = Vec::new();
    for (index, header) in sent.into_iter().enumerate() {
        match read_header(header) {
            Some(header) => read.push(header),
            None => fields.fault(
                &format!("/headers/{index}"),
                "a header is an object with the strings name and value, and secret: true or false if you like",
            ),
        }
    }
    Some(read)
}

fn read_header(header: Value) -> Option<HeaderInput> {
    let Value::Object(mut header) = header else { return None };
    let name = header.get("name")?.as_str()?.to_owned();
    let value = match header.remove("value") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(SecretString::from(text)),
        Some(_) => return None,
    };
    let is_secret = match header.get("secret") {
        None | Some(Value::Null) => None,
        Some(word) => Some(word.as_bool()?),
    };
    Some(HeaderInput { name, value, is_secret })
}

fn expectations(fields: &mut Fields) -> Option<Expectations> {
    let sent = fields.optional("expect", "an object", |value| value.is_object().then(|| value.clone()))?;
    match serde_json::from_value(sent) {
        Ok(expectations) => Some(expectations),
        Err(error) => {
            fields.fault("/expect", format!("expect is not understood: {error}"));
            None
        }
    }
}

fn selector(fields: &mut Fields) -> Option<Selector> {
    fields.optional("identity", "auto, none, or an identity's id", |value| match value.as_str()? {
        "auto" => Some(Selector::Auto),
        "none" => Some(Selector::None),
        id => IdentityId::parse(id).map(Selector::Explicit),
    })
}

fn trusted_ca(fields: &mut Fields) -> Option<IdentityId> {
    fields.optional("trusted_ca", "the id of a CA bundle", |value| IdentityId::parse(value.as_str()?))
}
