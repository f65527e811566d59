//! What is sent in a request.

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::ClientError;

#[derive(Clone, Debug)]
pub enum Body {
    Plain(Value),
    /// JSON with secrets in it: it is not printed, and overwritten when it goes.
    Secret(SecretString),
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self::Plain(value)
    }
}

impl From<SecretString> for Body {
    fn from(json: SecretString) -> Self {
        Self::Secret(json)
    }
}

/// A secret on its way into a [`secret_body`]: the only form of one that can be written.
#[derive(Clone, Debug)]
pub struct Sent(pub SecretString);

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// The JSON of something that holds secrets.
pub fn secret_body(content: &impl Serialize) -> Result<SecretString, ClientError> {
    // The error of a serialiser may quote what it was given.
    let json =
        serde_json::to_string(content).map_err(|_| ClientError::Setup("the request cannot be written".into()))?;
    Ok(SecretString::from(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Call;

    #[test]
    fn secrets_are_sent_and_never_printed() {
        #[derive(Serialize)]
        struct Content {
            passphrase: Sent,
        }
        let body = secret_body(&Content { passphrase: Sent("hunter2".into()) }).unwrap();
        assert_eq!(body.expose_secret(), r#"{"passphrase":"hunter2"}"#);
        assert!(!format!("{:?}", Call::post("/x", body)).contains("hunter2"));
    }
}
