//! Rules about the headers and the JSON of an answer, one on each line, written as on the command line: `NAME` or `PATH` alone
//! where any value will do, `NAME: TEXT` where the text stands somewhere in it, `NAME=VALUE` where it is all of it.
//!
//! What cannot be written so, such as a name with a line break, is written as the API takes it: every rule has a line that
//! reads back as the same rule, and none is lost by opening a form and saving it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::expectation::{Expectations, HeaderRule, JsonRule, MAX_EXPECTATIONS};
use crate::domain::violation::Violation;

/// So much of a line is repeated beside it.
const MAX_QUOTED: usize = 60;

/// A rule that stands on a line.
pub trait Rule: Clone + Serialize + DeserializeOwned + PartialEq {
    /// The field that it stands in.
    const FIELD: &'static str;

    fn read(line: &str) -> Result<Self, String>;

    /// As short as it can be; it may read back as another rule.
    fn short(&self) -> String;

    fn alone(self) -> Expectations;
}

/// Rules as lines.
pub fn written<R: Rule>(rules: &[R]) -> String {
    rules.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Lines as rules. A line that is none is a fault of its field, and left out.
pub fn read<R: Rule>(text: &str, faults: &mut Vec<Violation>) -> Vec<R> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // One more than there can be, for the rule about all of them to refuse.
    let read = lines.take(MAX_EXPECTATIONS + 1).enumerate().filter_map(|(index, line)| match read_line(line) {
        Ok(rule) => Some(rule),
        Err(why) => {
            let quoted: String = line.chars().take(MAX_QUOTED).collect();
            faults.push(Violation::new(format!("/{}/{index}", R::FIELD), format!("{quoted:?}: {why}")));
            None
        }
    });
    read.collect()
}

fn line<R: Rule>(rule: &R) -> String {
    let short = rule.short();
    // A browser takes line breaks of every kind for its own.
    let is_plain = !short.chars().any(char::is_control) && short.trim() == short;
    let reads_back = is_plain && parsed::<R>(&short).is_ok_and(|read| read == *rule);
    if reads_back { short } else { serde_json::to_string(rule).unwrap_or(short) }
}

fn read_line<R: Rule>(line: &str) -> Result<R, String> {
    let rule: R = parsed(line)?;
    // Judged alone, so that what is wrong with it stands beside its own line.
    match rule.clone().alone().faults().into_iter().next() {
        Some((_, why)) => Err(why),
        None => Ok(rule),
    }
}

fn parsed<R: Rule>(line: &str) -> Result<R, String> {
    if line.starts_with('{') { serde_json::from_str(line).map_err(unreadable) } else { R::read(line) }
}

fn unreadable(error: serde_json::Error) -> String {
    format!("it is not understood: {error}")
}

impl Rule for HeaderRule {
    const FIELD: &'static str = "expect_headers";

    /// Neither sign can stand in a name (RFC 9110, 5.6.2).
    fn read(line: &str) -> Result<Self, String> {
        let end = line.find([':', '=']).unwrap_or(line.len());
        let (name, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        let name = name.trim().to_owned();
        if name.is_empty() {
            return Err("write NAME, NAME: TEXT or NAME=TEXT".into());
        }
        let text = |sign: char| rest.strip_prefix(sign).map(|text| text.trim().to_owned());
        Ok(Self { name, equals: text('='), contains: text(':') })
    }

    fn short(&self) -> String {
        match (&self.equals, &self.contains) {
            (Some(text), _) => format!("{}={text}", self.name),
            (None, Some(text)) => format!("{}: {text}", self.name),
            (None, None) => self.name.clone(),
        }
    }

    fn alone(self) -> Expectations {
        Expectations { headers: vec![self], ..Expectations::default() }
    }
}

impl Rule for JsonRule {
    const FIELD: &'static str = "expect_json";

    /// A value is read as JSON, and taken for a text where it is none.
    fn read(line: &str) -> Result<Self, String> {
        let contains = line.split_once(": ");
        let equals =
            line.split_once('=').filter(|(path, _)| contains.is_none_or(|(other, _)| path.len() < other.len()));
        let (path, equals, contains) = match (equals, contains) {
            (Some((path, value)), _) => {
                let value = value.trim();
                let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                (path, Some(value), None)
            }
            (None, Some((path, text))) => (path, None, Some(text.trim().to_owned())),
            (None, None) => (line, None, None),
        };
        let path = path.trim();
        if !path.starts_with(['/', '$']) {
            return Err("a path is a JSON Pointer such as /items/0/id, or $.items[0].id".into());
        }
        Ok(Self { path: path.to_owned(), equals, contains })
    }

    fn short(&self) -> String {
        match (&self.equals, &self.contains) {
            // Without quotes where it is a text all the same.
            (Some(Value::String(text)), _) if serde_json::from_str::<Value>(text).is_err() => {
                format!("{}={text}", self.path)
            }
            (Some(value), _) => format!("{}={value}", self.path),
            (None, Some(text)) => format!("{}: {text}", self.path),
            (None, None) => self.path.clone(),
        }
    }

    fn alone(self) -> Expectations {
        Expectations { json: vec![self], ..Expectations::default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(text: &str) -> (Vec<HeaderRule>, usize) {
        let mut faults = Vec::new();
        let rules = read(text, &mut faults);
        (rules, faults.len())
    }

    #[test]
    fn lines_are_read_as_on_the_command_line() {
        let (rules, faults) = headers("ETag\r\n\r\n Content-Type: json \nX-Mode=a:b\n: x\n{\"name\": \"a b\"}\n{");
        let expected = json!([
            {"name": "ETag"}, {"name": "Content-Type", "contains": "json"}, {"name": "X-Mode", "equals": "a:b"}, {"name": "a b"}
        ]);
        assert_eq!((serde_json::to_value(rules).unwrap(), faults), (expected, 2));
        let mut faults = Vec::new();
        let rules: Vec<JsonRule> =
            read("/n=1\n$.s=ok\n/q=\"1\"\n/n\n/t: a=b\n/u=a: b\n/z=null\nname=x\n$..a", &mut faults);
        let expected = json!([
            {"path": "/n", "equals": 1}, {"path": "$.s", "equals": "ok"}, {"path": "/q", "equals": "1"}, {"path": "/n"},
            {"path": "/t", "contains": "a=b"}, {"path": "/u", "equals": "a: b"}, {"path": "/z", "equals": null}
        ]);
        assert_eq!(serde_json::to_value(rules).unwrap(), expected);
        assert_eq!(faults.len(), 2);
        assert!(faults[0].pointer == "/expect_json/7" && faults[0].message.starts_with("\"name=x\": "), "{faults:?}");
    }

    #[test]
    fn every_rule_has_a_line_that_reads_back_as_itself() {
        let headers: Vec<HeaderRule> = serde_json::from_value(json!([
            {"name": "etag"}, {"name": "a", "contains": "b=c"}, {"name": "a", "equals": "b: c"}, {"name": "a:b"}, {"name": "{"},
            {"name": "a", "equals": "b", "contains": "b"}, {"name": "a", "contains": "b\r\nc"}, {"name": "a", "equals": " b "},
            {"name": "a", "equals": ""}, {"name": "a", "contains": ""}, {"name": " a "}
        ]))
        .unwrap();
        let json: Vec<JsonRule> = serde_json::from_value(json!([
            {"path": "/a", "equals": 7}, {"path": "/a", "equals": "7"}, {"path": "/a", "equals": "seven"}, {"path": "/a", "equals": null},
            {"path": "/a", "equals": {"b": ["c: d"]}}, {"path": "/a=b", "equals": 1}, {"path": "/a: b"}, {"path": "", "equals": []},
            {"path": "/a", "contains": "b"}, {"path": "/a", "contains": "b\nc"}, {"path": "/a", "equals": "", "contains": ""},
            {"path": "$['a=b'].c", "contains": "="}, {"path": "/a:b", "equals": ""}, {"path": "/a ", "equals": " x"}
        ]))
        .unwrap();
        let mut faults = Vec::new();
        assert_eq!(read::<HeaderRule>(&written(&headers), &mut faults), headers);
        assert_eq!(read::<JsonRule>(&written(&json), &mut faults), json);
        assert_eq!(faults, []);
        assert_eq!(written(&headers[..3]), "etag\na: b=c\na=b: c");
        assert_eq!(written(&json[..4]), "/a=7\n/a=\"7\"\n/a=seven\n/a=null");
    }

    #[test]
    fn no_more_lines_are_read_than_there_can_be() {
        assert_eq!(headers(&"a\n".repeat(100_000)).0.len(), MAX_EXPECTATIONS + 1);
        assert_eq!(headers(&":\n".repeat(100_000)).1, MAX_EXPECTATIONS + 1);
    }
}
