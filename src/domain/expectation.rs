//! What is expected of an answer, and the judgement whether it is so.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::CheckState;

pub const MAX_EXPECTATIONS: usize = 50;
const MAX_TEXT: usize = 2048;
/// So many findings are told, each in so many characters: they name what was expected, and are kept with every run.
const MAX_FINDINGS: usize = 20;
const MAX_FINDING: usize = 200;

/// All must hold. Without a word about the status, a 2xx is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectations {
    /// Status codes, each a number (`204`) or a class (`"2xx"`); one of them must be met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<JsonRule>,
    /// Fewer days than these left to the server's certificate degrade the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_days_left: Option<u32>,
    /// An answer that takes longer, in milliseconds from the start to the last byte, degrades the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StatusRule {
    Code(u16),
    Class(String),
}

/// A header of the answer, by name in any case. Without `equals` and `contains` it must only be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderRule {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// A value of a JSON answer, by path: a JSON Pointer (`/items/0/id`, RFC 6901) or `$.items[0].id`. Without `equals` and
/// `contains` it must only be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonRule {
    pub path: String,
    /// Any JSON value; `null` is one.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// Text that a string holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// An answer, as far as expectations look at it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub status: u16,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    /// The body is longer than what was read.
    pub is_truncated: bool,
    pub certificate_not_after: Option<DateTime<Utc>>,
    pub latency_millis: u64,
    pub now: DateTime<Utc>,
}

/// What came of it, with what was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub state: CheckState,
    pub findings: Vec<String>,
}

impl Expectations {
    /// What is wrong with the expectations themselves; each fault with its JSON pointer below them.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.status.len() + self.headers.len() + self.json.len() > MAX_EXPECTATIONS {
            faults.push((String::new(), format!("there can be at most {MAX_EXPECTATIONS} expectations")));
        }
        for (index, rule) in self.status.iter().enumerate() {
            if !rule.is_sound() {
                let message = "a status is a number from 100 to 599 or a class such as \"2xx\"";
                faults.push((format!("/status/{index}"), message.into()));
            }
        }
        for (index, rule) in self.headers.iter().enumerate() {
            let texts = [Some(&rule.name), rule.equals.as_ref(), rule.contains.as_ref()];
            if rule.name.is_empty() || texts.into_iter().flatten().any(|text| text.len() > MAX_TEXT) {
                let message = format!("a header rule has a name, and texts of at most {MAX_TEXT} bytes");
                faults.push((format!("/headers/{index}"), message));
            }
        }
        for (index, rule) in self.json.iter().enumerate() {
            if pointer(&rule.path).is_none() || rule.path.len() > MAX_TEXT {
                let message = "a path is a JSON Pointer such as /items/0/id, or $.items[0].id";
                faults.push((format!("/json/{index}/path"), message.into()));
            }
            let equals = rule.equals.as_ref().map(|value| value.to_string().len()).unwrap_or_default();
            if equals > MAX_TEXT || rule.contains.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
                faults.push((format!("/json/{index}"), format!("what is expected has at most {MAX_TEXT} bytes")));
            }
        }
        if self.certificate_days_left.is_some_and(|days| days > 3650) {
            faults.push(("/certificate_days_left".into(), "certificate_days_left is at most 3650".into()));
        }
        faults
    }

    /// Whether an answer is as expected.
    pub fn judge(&self, seen: &Observation<'_>) -> Judgement {
        let mut failing = Vec::new();
        failing.extend(self.judge_status(seen.status));
        failing.extend(self.headers.iter().filter_map(|rule| rule.judge(seen.headers)));
        failing.extend(self.judge_json(seen));
        let mut degraded = Vec::new();
        degraded.extend(self.judge_certificate(seen));
        degraded.extend(
            self.latency_ms
                .filter(|most| seen.latency_millis > *most)
                .map(|most| format!("the answer took {} ms, more than the {most} ms expected", seen.latency_millis)),
        );
        let state = match (failing.is_empty(), degraded.is_empty()) {
            (false, _) => CheckState::Failing,
            (true, false) => CheckState::Degraded,
            (true, true) => CheckState::Passing,
        };
        failing.append(&mut degraded);
        Judgement { state, findings: failing.into_iter().take(MAX_FINDINGS).map(shortened).collect() }
    }

    fn judge_status(&self, status: u16) -> Option<String> {
        let is_met = match self.status.as_slice() {
            [] => (200..300).contains(&status),
            rules => rules.iter().any(|rule| rule.is_met_by(status)),
        };
        let words: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        let expected = if words.is_empty() { "2xx".to_owned() } else { words.join(" or ") };
        (!is_met).then(|| format!("the status is {status}, not {expected}"))
    }

    fn judge_json(&self, seen: &Observation<'_>) -> Vec<String> {
        if self.json.is_empty() {
            return Vec::new();
        }
        if seen.is_truncated {
            return vec!["the answer is too long to be read as JSON".into()];
        }
        match serde_json::from_slice::<Value>(seen.body) {
            Ok(document) => self.json.iter().filter_map(|rule| rule.judge(&document)).collect(),
            Err(_) => vec!["the answer is no JSON".into()],
        }
    }

    fn judge_certificate(&self, seen: &Observation<'_>) -> Option<String> {
        let least = self.certificate_days_left?;
        let left = seen.certificate_not_after? - seen.now;
        let too_soon = left < TimeDelta::days(i64::from(least));
        too_soon.then(|| {
            format!("the server's certificate has {} days left, less than the {least} expected", left.num_days())
        })
    }
}

impl StatusRule {
    fn is_sound(&self) -> bool {
        match self {
            Self::Code(code) => (100..600).contains(code),
            Self::Class(_) => self.class().is_some(),
        }
    }

    fn class(&self) -> Option<u16> {
        match self {
            Self::Class(word) => match word.as_bytes() {
                [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(u16::from(digit - b'0')),
                _ => None,
            },
            Self::Code(_) => None,
        }
    }

    fn is_met_by(&self, status: u16) -> bool {
        match self {
            Self::Code(code) => *code == status,
            Self::Class(_) => self.class() == Some(status / 100),
        }
    }
}

impl fmt::Display for StatusRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "{code}"),
            Self::Class(word) => formatter.write_str(word),
        }
    }
}

impl HeaderRule {
    fn judge(&self, headers: &[(String, String)]) -> Option<String> {
        let values: Vec<&str> = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(&self.name))
            .map(|(_, value)| value.as_str())
            .collect();
        let name = &self.name;
        if values.is_empty() {
            return Some(format!("the header {name} is missing"));
        }
        let is_right = |value: &&str| {
            self.equals.as_ref().is_none_or(|text| text == value)
                && self.contains.as_ref().is_none_or(|text| value.contains(text.as_str()))
        };
        (!values.iter().any(is_right)).then(|| format!("the header {name} is not as expected"))
    }
}

impl JsonRule {
    fn judge(&self, document: &Value) -> Option<String> {
        let path = &self.path;
        let Some(value) = pointer(path).and_then(|pointer| document.pointer(&pointer)) else {
            return Some(format!("the answer has nothing at {path}"));
        };
        let is_right = self.equals.as_ref().is_none_or(|expected| same(expected, value))
            && self
                .contains
                .as_ref()
                .is_none_or(|text| value.as_str().is_some_and(|held| held.contains(text.as_str())));
        (!is_right).then(|| format!("the value at {path} is not as expected"))
    }
}

fn shortened(finding: String) -> String {
    match finding.char_indices().nth(MAX_FINDING) {
        Some((end, _)) => format!("{}…", finding.split_at(end).0),
        None => finding,
    }
}

/// `1` and `1.0` are one number (JSON Schema draft 2020-12, 4.2.3).
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one_number), Some(other_number)) if one.as_i64().is_none() || other.as_i64().is_none() => {
            one_number == other_number
        }
        _ => one == other,
    }
}

/// A path as a JSON Pointer; `None` when it is neither of the two forms.
fn pointer(path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') {
        return Some(path.to_owned());
    }
    let mut rest = path.strip_prefix('$')?;
    let mut pointer = String::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(['.', '[']).unwrap_or(named.len());
            named.split_at(end)
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            (index.trim_matches(['\'', '"']), after)
        };
        if step.is_empty() {
            return None;
        }
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    Some(pointer)
}

/// Tells a missing key from an explicit null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(expectations: Value, status: u16, body: &str) -> Judgement {
        let expectations: Expectations = serde_json::from_value(expectations).unwrap();
        assert_eq!(expectations.faults(), []);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        expectations.judge(&Observation {
            status,
            headers: &[("Content-Type".into(), "application/json".into())],
            body: body.as_bytes(),
            is_truncated: false,
            certificate_not_after: Some(now + TimeDelta::days(10)),
            latency_millis: 250,
            now,
        })
    }

    #[test]
    fn answers_are_judged_by_every_rule() {
        use CheckState::{Degraded, Failing, Passing};
        let body = r#"{"status":"ok","items":[{"id":7,"a/b":null}]}"#;
        for (expectations, status, state) in [
            (json!({}), 204, Passing),
            (json!({}), 301, Failing),
            (json!({"status": [404, "3xx"]}), 301, Passing),
            (json!({"status": [404, "3xx"]}), 200, Failing),
            (json!({"headers": [{"name": "content-type", "contains": "json"}]}), 200, Passing),
            (json!({"headers": [{"name": "content-type", "equals": "text/html"}]}), 200, Failing),
            (json!({"headers": [{"name": "x-other"}]}), 200, Failing),
            (json!({"json": [{"path": "/items/0/id", "equals": 7.0}]}), 200, Passing),
            (json!({"json": [{"path": "$.items[0].id", "equals": 8}]}), 200, Failing),
            (json!({"json": [{"path": "$.items[0]['a/b']", "equals": null}]}), 200, Passing),
            (json!({"json": [{"path": "$.status", "contains": "o"}]}), 200, Passing),
            (json!({"json": [{"path": "$.missing"}]}), 200, Failing),
            (json!({"certificate_days_left": 10}), 200, Passing),
            (json!({"certificate_days_left": 11}), 200, Degraded),
            (json!({"latency_ms": 250}), 200, Passing),
            (json!({"latency_ms": 249}), 200, Degraded),
            (json!({"latency_ms": 1, "status": [500]}), 200, Failing),
        ] {
            let judgement = judged(expectations.clone(), status, body);
            assert_eq!(judgement.state, state, "{expectations}: {judgement:?}");
            assert_eq!(judgement.findings.is_empty(), state == Passing);
        }
        assert_eq!(judged(json!({"json": [{"path": "/a"}]}), 200, "<html>").findings, ["the answer is no JSON"]);
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for wrong in [
            json!({"statuses": [200]}),
            json!({"headers": [{"value": "x"}]}),
            json!({"json": [{"path": "/a", "is": 1}]}),
            json!({"latency_ms": -1}),
        ] {
            assert!(serde_json::from_value::<Expectations>(wrong.clone()).is_err(), "{wrong}");
        }
        for wrong in [
            json!({"status": [99]}),
            json!({"status": ["6xx"]}),
            json!({"headers": [{"name": ""}]}),
            json!({"json": [{"path": "a"}]}),
            json!({"json": [{"path": "$.a[0"}]}),
            json!({"json": [{"path": "$..a"}]}),
            json!({"status": vec![200; 51]}),
            json!({"certificate_days_left": 4000}),
        ] {
            let expectations: Expectations = serde_json::from_value(wrong.clone()).unwrap();
            assert_eq!(expectations.faults().len(), 1, "{wrong}");
        }
    }

    #[test]
    fn they_are_stored_as_they_were_sent() {
        let sent = json!({"status": [200, "3xx"], "json": [{"path": "/a", "equals": null}]});
        let read: Expectations = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), sent);
    }
}
