//! JSON objects of strangers, read strictly: a member that stands twice, one that nobody asked for and anything after the
//! end are faults. What is signed must mean the same to whoever signs it and to whoever reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// The members of an object, taken out one by one.
pub struct Members(BTreeMap<String, Value>);

impl Members {
    /// Reads one object and nothing after it. The error says what is wrong, in words for the caller. The caller has
    /// bounded the length; the depth is bounded by the parser.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// A member that must be there and be a text.
    pub fn text(&mut self, name: &str) -> Result<String, String> {
        self.optional_text(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// A member that may be missing or null, and else is a text.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} must be a string")),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Ends the reading: what has not been taken out is a fault.
    pub fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("{:?} is not known here", name.chars().take(40).collect::<String>())),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_taken_out_and_none_may_be_left() {
        let mut members = Members::read(br#" {"a": "x", "b": null, "c": 1} "#).unwrap();
        assert_eq!(members.text("a"), Ok("x".into()));
        assert_eq!(members.optional_text("b"), Ok(None));
        assert_eq!(members.text("b"), Err("b is missing".into()));
        assert!(members.has("c"));
        assert_eq!(members.text("c"), Err("c must be a string".into()));
        assert_eq!(members.finish(), Ok(()));
        assert_eq!(Members::read(br#"{"d": 1}"#).unwrap().finish(), Err("\"d\" is not known here".into()));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for wrong in [
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"a": 1} {}"#,
            r#"{"a": 1}x"#,
            "[]",
            "1",
            "",
            "{",
            r#"{"a": 1,}"#,
            "{\"a\": \"\u{1}\"}",
        ] {
            assert!(Members::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Members::read(&[b"{\"a\":".as_slice(), &[b'['; 10_000]].concat()).is_err());
        assert!(Members::read(b"{\"a\": \"\xff\"}").is_err());
    }
}
