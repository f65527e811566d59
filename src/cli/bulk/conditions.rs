//! `--where`: what the certificates have in common.

use serde_json::{Map, Value};

use crate::cli::list;
use crate::domain::bulk::parse_key;
use crate::domain::id::AuthorityId;
use crate::domain::status::Status;

/// One condition, as the API's filter writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    name: &'static str,
    value: Value,
}

const KNOWN: &str =
    "common-name=PREFIX, issued-before=TIME, issued-after=TIME, authority=ID, key=HEX, status=STATUS, or all";

impl Condition {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self { name: "all", value: Value::Bool(true) });
        }
        let (key, value) = text.split_once('=').ok_or_else(|| format!("write {KNOWN}"))?;
        let (name, value) = match key {
            "common-name" if value.is_empty() => {
                return Err("what is the beginning? For every certificate write all".into());
            }
            "common-name" => ("common_name", value.to_owned()),
            "issued-before" => ("issued_before", list::time(value)?),
            "issued-after" => ("issued_after", list::time(value)?),
            "authority" => {
                let id = AuthorityId::parse(value);
                let advice = "an authority's id is a UUID; `countersign authority list` shows it";
                ("authority", id.ok_or(advice)?.to_string())
            }
            "key" => {
                let advice = "a key is named by the SHA-256 of its SubjectPublicKeyInfo, 64 hex digits: \
                              openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform der | sha256sum";
                ("spki_sha256", hex::encode(parse_key(value).ok_or(advice)?))
            }
            "status" => {
                let words = Status::ALL.map(Status::as_str).join(", ");
                let status = Status::parse(value).ok_or_else(|| format!("a status is one of {words}"))?;
                ("status", status.as_str().to_owned())
            }
            _ => return Err(format!("there is no condition {key:?}; write {KNOWN}")),
        };
        Ok(Self { name, value: value.into() })
    }
}

/// The API's filter; the error says which condition was given twice.
pub fn filter(conditions: &[Condition]) -> Result<Value, String> {
    let mut filter = Map::new();
    for condition in conditions {
        if filter.insert(condition.name.to_owned(), condition.value.clone()).is_some() {
            let name = as_written(condition.name);
            return Err(format!("--where {name} is given twice; certificates meet all conditions together"));
        }
    }
    Ok(Value::Object(filter))
}

/// The API's filter as `--where` writes it.
pub fn in_words(filter: &Value) -> String {
    let written = filter.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::Bool(true) => name.clone(),
        Value::String(text) => format!("{}={text}", as_written(name)),
        other => format!("{}={other}", as_written(name)),
    });
    written.collect::<Vec<_>>().join(", ")
}

fn as_written(name: &str) -> String {
    name.replace('_', "-").replace("spki-sha256", "key")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_become_the_filter() {
        let key = "AB".repeat(32);
        let written =
            ["common-name=a=b", "issued-before=2027-01-31", "status=ACTIVE", &format!("key={key}")].map(String::from);
        let conditions: Vec<_> = written.iter().map(|text| Condition::parse(text).unwrap()).collect();
        let expected = json!({"common_name": "a=b", "issued_before": "2027-01-31T00:00:00Z", "status": "active",
            "spki_sha256": key.to_lowercase()});
        assert_eq!(filter(&conditions), Ok(expected.clone()));
        let words = in_words(&expected);
        let words: Vec<_> = words.split(", ").collect();
        assert_eq!(words.len(), 4, "{words:?}");
        for written in ["common-name=a=b", "issued-before=2027-01-31T00:00:00Z", "status=active"] {
            assert!(words.contains(&written), "{words:?}");
        }
        assert_eq!(in_words(&json!({"all": true})), "all");
        assert_eq!(filter(&[Condition::parse("all").unwrap()]), Ok(json!({"all": true})));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for wrong in [
            "",
            "device-",
            "common-name=",
            "name=x",
            "issued-before=soon",
            "key=ab",
            "status=lost",
            "authority=x",
            "all=x",
        ] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
        let twice = [Condition::parse("status=active").unwrap(), Condition::parse("status=revoked").unwrap()];
        assert!(filter(&twice).unwrap_err().contains("--where status is given twice"));
    }
}
