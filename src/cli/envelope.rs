//! The envelope that every answer of the API comes in (wire contract, 1.6).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CliError;
use super::escape::escape;

#[derive(Debug, Deserialize)]
pub struct Envelope {
    pub success: bool,
    #[serde(default)]
    pub errors: Vec<Message>,
    #[serde(default)]
    pub messages: Vec<Message>,
    #[serde(default)]
    pub result: Value,
    pub result_info: Option<ResultInfo>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Message {
    pub code: u32,
    pub message: String,
    pub source: Option<Source>,
    #[serde(default)]
    pub error_chain: Vec<Self>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Source {
    /// A JSON pointer into the body that was sent.
    pub pointer: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ResultInfo {
    #[serde(default)]
    pub total_pages: u64,
}

impl Message {
    /// The words alone, for remarks that are no errors; safe for a terminal.
    pub fn text(&self) -> Cow<'_, str> {
        escape(&self.message)
    }
}

impl fmt::Display for Message {
    /// `/csr: the key is too short (code 1400)`, safe for a terminal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pointer) = self.source.as_ref().and_then(|source| source.pointer.as_deref()) {
            write!(formatter, "{}: ", escape(pointer))?;
        }
        write!(formatter, "{} (code {})", escape(&self.message), self.code)?;
        self.error_chain.iter().try_for_each(|cause| write!(formatter, "; {cause}"))
    }
}

/// What a successful call brought.
#[derive(Debug)]
pub struct Answer {
    pub result: Value,
    pub messages: Vec<Message>,
    pub result_info: Option<ResultInfo>,
}

impl Answer {
    /// The result as one of ours.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        read(&self.result)
    }

    /// The items of a list.
    pub fn items(&self) -> &[Value] {
        self.result.as_array().map_or(&[], Vec::as_slice)
    }
}

pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    T::deserialize(value).map_err(|error| {
        CliError::failure(format_args!("the server's answer is not what this version of countersign expects: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_printed_with_its_pointer_and_its_causes() {
        let body = r#"{"success":false,"errors":[
            {"code":1400,"message":"too\u001b[2J short","source":{"pointer":"/csr"}},
            {"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format"}]}
        ],"messages":[],"result":null}"#;
        let envelope: Envelope = serde_json::from_str(body).unwrap();
        let lines: Vec<String> = envelope.errors.iter().map(Message::to_string).collect();
        assert_eq!(
            lines,
            [
                "/csr: too\\u{1b}[2J short (code 1400)",
                "Invalid request headers (code 6003); Invalid format (code 6111)"
            ]
        );
    }
}
