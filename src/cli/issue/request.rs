//! The request to issue, and what is told about its answer.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Arguments;
use crate::cli::client::{Call, Client, ClientError};
use crate::cli::envelope::{Answer, read};
use crate::cli::error::CliError;
use crate::cli::objects::Certificate;
use crate::cli::output;
use crate::domain::id::ZoneId;
use crate::domain::subject_alternative_name::SubjectAlternativeName;

/// An issued certificate, as it was answered and as it is read.
pub struct Issued {
    pub value: Value,
    pub certificate: Certificate,
}

#[derive(Serialize)]
struct Body<'a> {
    csr: &'a str,
    validity_days: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subject_alternative_names: Vec<TypedName>,
}

#[derive(Serialize)]
struct TypedName {
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

impl From<&SubjectAlternativeName> for TypedName {
    fn from(name: &SubjectAlternativeName) -> Self {
        Self { kind: name.kind().as_str(), value: name.value() }
    }
}

/// Sends the request. It carries an Idempotency-Key, so that repeating it never makes a second certificate.
pub async fn send(
    client: &Client,
    zone: ZoneId,
    csr: &str,
    sans: &[SubjectAlternativeName],
    arguments: &Arguments,
) -> Result<Answer, ClientError> {
    let body = Body {
        csr,
        validity_days: arguments.days,
        profile: arguments.profile.as_deref(),
        subject_alternative_names: sans.iter().map(TypedName::from).collect(),
    };
    let key = arguments.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let path = format!("/client/v4/zones/{zone}/client_certificates");
    client.call(Call::post(path, json!(body)).idempotency_key(key)).await
}

/// Reads the answer, and passes on what the server remarks: what was asked for and left out.
pub fn open(answer: Answer) -> Result<Issued, CliError> {
    for message in &answer.messages {
        output::note(format_args!("note: {}", message.text()));
    }
    let certificate = read(&answer.result)?;
    Ok(Issued { value: answer.result, certificate })
}
