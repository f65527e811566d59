//! Request bodies: read by what the route expects, not by their label, since wrangler posts JSON as `text/plain` and
//! the Python SDK labels an empty DELETE as JSON.

use actix_web::web::{self, BytesMut};
use futures_util::StreamExt;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::domain::violation::Violation;

use super::error::ApiError;
use super::{MAX_BODY, admission, client_timeout};

/// A body past the limit is still drained up to this, so that its sender reads the answer instead of a broken pipe.
const MAX_DRAINED: usize = 16 * MAX_BODY;

/// Reads the whole body, at most [`MAX_BODY`] bytes.
pub async fn read(payload: web::Payload) -> Result<Vec<u8>, ApiError> {
    read_at_most(payload, MAX_BODY).await
}

/// Reads the whole body, at most this many bytes.
pub async fn read_at_most(payload: web::Payload, max: usize) -> Result<Vec<u8>, ApiError> {
    let read = tokio::time::timeout(client_timeout(), read_within(payload, max)).await;
    read.unwrap_or_else(|_| Err(ApiError::body_too_slow()))
}

/// Reads the whole body as a JSON object.
pub async fn fields(payload: web::Payload) -> Result<Fields, ApiError> {
    Fields::parse(&read(payload).await?)
}

async fn read_within(mut payload: web::Payload, max: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::undecodable_body(&error.to_string()))?;
        length += chunk.len();
        if length <= max {
            if !admission::hold(chunk.len()) {
                return Err(ApiError::overloaded());
            }
            body.extend_from_slice(&chunk);
        } else if length > MAX_DRAINED {
            break;
        }
    }
    if length > max {
        return Err(ApiError::body_too_large(max));
    }
    Ok(body.to_vec())
}

/// The fields of a JSON object, taken out one by one; each fault is kept, and none ends the reading.
pub struct Fields {
    fields: Map<String, Value>,
    faults: Vec<Violation>,
}

impl Fields {
    /// Reads a JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self { fields, faults: Vec::new() }),
            Ok(_) => Err(ApiError::undecodable_body("it must be a JSON object")),
            Err(error) => Err(ApiError::undecodable_body(&error.to_string())),
        }
    }

    /// Reads a JSON object; no body at all is an empty one.
    pub fn parse_optional(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self { fields: Map::new(), faults: Vec::new() });
        }
        Self::parse(body)
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn into_faults(self) -> Vec<Violation> {
        self.faults
    }

    /// Ends the reading: any fault is an answer.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.faults)) }
    }

    pub fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(Violation::new(pointer, message));
    }

    /// A field that must be there; `what` says what it holds.
    pub fn required<T>(&mut self, name: &str, what: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        if self.fields.get(name).is_none_or(Value::is_null) {
            self.fault(&format!("/{name}"), format!("{name} is required: {what}"));
            return None;
        }
        self.optional(name, what, read)
    }

    /// A field that may be missing or null.
    pub fn optional<T>(&mut self, name: &str, what: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        let read = read(&value);
        if read.is_none() {
            self.fault(&format!("/{name}"), format!("{name} must be {what}, not {}", describe(&value)));
        }
        read
    }
}

impl Fields {
    /// A secret text that may be missing or null: moved out, not copied, and never repeated in a fault.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        match self.fields.remove(name)? {
            Value::Null => None,
            Value::String(text) => Some(SecretString::from(text)),
            _ => {
                self.fault(&format!("/{name}"), format!("{name} must be a string"));
                None
            }
        }
    }

    /// Whether a field was sent, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether a fault was found until now.
    pub fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Refuses what is left, where a misspelt field must not be passed over; `known` says what there is.
    pub fn refuse_others(&mut self, known: &str) {
        for (name, _) in std::mem::take(&mut self.fields) {
            let shown: String = name.chars().take(60).collect();
            self.fault("", format!("there is no field {shown:?} here; there is {known}"));
        }
    }

    /// The fields of an object that is itself a field. Its faults are told with those of the whole.
    pub fn object(&mut self, name: &str) -> Option<Self> {
        let fields = self.optional(name, "an object", |value| value.as_object().cloned())?;
        Some(Self { fields, faults: Vec::new() })
    }

    /// Takes over the faults of an inner object, below its own place.
    pub fn adopt(&mut self, place: &str, inner: Self) {
        let moved = inner.faults.into_iter();
        self.faults.extend(moved.map(|fault| Violation::new(format!("/{place}{}", fault.pointer), fault.message)));
    }
}

pub fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A whole number; `365.0` is one too (JSON Schema draft 2020-12, 4.2.3).
pub fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().and_then(whole_number))
}

/// A float that stands for a whole number, exactly where floats are exact and at the ends of the range beyond that.
pub fn whole_number(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole; `as` stops at the ends of the range")]
    (number.is_finite() && number.fract() == 0.0).then_some(number as i64)
}

pub fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(string).collect()
}

/// An RFC 3339 time.
pub fn time(value: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    let time = chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(time.to_utc())
}

/// A value in few words: what a stranger sent is not repeated at length.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() <= 40 => format!("the string {text:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}
