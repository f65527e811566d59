//! What is expected of an answer, as it is written on the command line.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::in_account::fine_duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "What is expected")]
pub struct Expectations {
    /// Status codes, or classes such as 2xx, one of which the answer must have [default: 2xx]
    #[arg(long, value_name = "200,3xx", value_delimiter = ',', value_parser = status)]
    status: Vec<Value>,

    /// A header that the answer must have: `NAME` with any value, `NAME: TEXT` with this text somewhere in it, `NAME=TEXT`
    /// with exactly this value; repeat for more
    #[arg(long = "expect-header", value_name = "NAME: TEXT", value_parser = header)]
    expected_headers: Vec<Value>,

    /// A value that a JSON answer must have at a path such as /items/0/id or $.items[0].id; PATH alone where any value
    /// will do; repeat for more
    #[arg(long = "expect-json", value_name = "PATH=VALUE", value_parser = at_path)]
    expected_json: Vec<Value>,

    /// The check is degraded when the server's certificate ends in fewer days than these
    #[arg(long, value_name = "NUMBER")]
    certificate_days: Option<u32>,

    /// The check is degraded when the answer takes longer than this, such as 500ms
    #[arg(long, value_name = "DURATION", value_parser = fine_duration)]
    latency: Option<Duration>,
}

impl Expectations {
    pub fn is_empty(&self) -> bool {
        self.status.is_empty()
            && self.expected_headers.is_empty()
            && self.expected_json.is_empty()
            && self.certificate_days.is_none()
            && self.latency.is_none()
    }

    /// Each kind that is given takes the place of what was expected of that kind before; the others stay.
    pub fn over(self, before: Value) -> Value {
        let mut all = match before {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        for (name, rules) in [("status", self.status), ("headers", self.expected_headers), ("json", self.expected_json)]
        {
            if !rules.is_empty() {
                all.insert(name.to_owned(), Value::Array(rules));
            }
        }
        if let Some(days) = self.certificate_days {
            all.insert("certificate_days_left".to_owned(), json!(days));
        }
        if let Some(latency) = self.latency {
            all.insert("latency_ms".to_owned(), json!(latency.as_millis()));
        }
        Value::Object(all)
    }
}

fn status(text: &str) -> Result<Value, String> {
    let text = text.trim();
    match text.parse::<u16>() {
        Ok(code) => Ok(json!(code)),
        Err(_) if text.len() == 3 => Ok(json!(text.to_ascii_lowercase())),
        Err(_) => Err("write a code such as 204 or a class such as 2xx, with commas between several".into()),
    }
}

/// Neither sign can stand in a name (RFC 9110, 5.6.2).
fn header(text: &str) -> Result<Value, String> {
    let position = text.find([':', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(position).unwrap_or((text, ""));
    let name = name.trim();
    if name.is_empty() {
        return Err("write NAME, NAME: TEXT or NAME=TEXT".into());
    }
    Ok(match (rest.strip_prefix(':'), rest.strip_prefix('=')) {
        (Some(text), _) => json!({ "name": name, "contains": text.trim() }),
        (_, Some(text)) => json!({ "name": name, "equals": text }),
        _ => json!({ "name": name }),
    })
}

/// A value is read as JSON, and taken for a text where it is none.
fn at_path(text: &str) -> Result<Value, String> {
    let (path, value) = match text.split_once('=') {
        Some((path, value)) => (path, Some(value)),
        None => (text, None),
    };
    if !path.starts_with(['/', '$']) {
        return Err("a path is a JSON Pointer such as /items/0/id, or $.items[0].id".into());
    }
    Ok(match value {
        Some(value) => {
            let equals = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            json!({ "path": path, "equals": equals })
        }
        None => json!({ "path": path }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Expectations {
        let (status, expected_headers, expected_json) = (Vec::new(), Vec::new(), Vec::new());
        Expectations { status, expected_headers, expected_json, certificate_days: None, latency: None }
    }

    #[test]
    fn expectations_are_read_as_the_api_takes_them() {
        assert_eq!(status("200"), Ok(json!(200)));
        assert_eq!(status(" 3XX"), Ok(json!("3xx")));
        assert!(status("ok then").is_err());
        assert_eq!(header("Content-Type: json"), Ok(json!({ "name": "Content-Type", "contains": "json" })));
        assert_eq!(header("X-Mode=a:b"), Ok(json!({ "name": "X-Mode", "equals": "a:b" })));
        assert_eq!(header("ETag"), Ok(json!({ "name": "ETag" })));
        assert!(header(": x").is_err());
        assert_eq!(at_path("/n=1"), Ok(json!({ "path": "/n", "equals": 1 })));
        assert_eq!(at_path("$.status=ok"), Ok(json!({ "path": "$.status", "equals": "ok" })));
        assert_eq!(at_path("/n=\"1\""), Ok(json!({ "path": "/n", "equals": "1" })));
        assert_eq!(at_path("/n"), Ok(json!({ "path": "/n" })));
        assert!(at_path("status=ok").is_err());
    }

    #[test]
    fn what_is_not_spoken_of_stays_as_it_was() {
        let before = json!({ "status": [200], "latency_ms": 100 });
        let given = Expectations { latency: Some(Duration::from_secs(2)), ..none() };
        assert_eq!(given.over(before.clone()), json!({ "status": [200], "latency_ms": 2000 }));
        assert_eq!(none().over(before.clone()), before);
        assert_eq!(none().over(Value::Null), json!({}));
    }
}
