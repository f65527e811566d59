//! What the commands share that work in one account.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Context;
use super::client::Client;
use super::connection::{AccountChoice, Connection};
use super::envelope::Answer;
use super::error::CliError;
use super::output;
use crate::config;
use crate::domain::id::AccountId;

#[derive(Args, Clone, Debug)]
pub struct InAccount {
    #[command(flatten)]
    account: AccountChoice,

    #[command(flatten)]
    connection: Connection,
}

/// The connection, with the account that was chosen.
pub struct Opened {
    pub client: Client,
    pub account: AccountId,
    /// Whether JSON is to be printed.
    pub json: bool,
}

impl InAccount {
    pub async fn open(&self, context: &Context) -> Result<Opened, CliError> {
        let client = self.connection.open(context)?;
        let account = self.account.resolve(&client).await?;
        Ok(Opened { client, account, json: self.connection.json })
    }

    pub fn json(&self) -> bool {
        self.connection.json
    }
}

impl Opened {
    /// The path of something of the account's.
    pub fn path(&self, below: &str) -> String {
        format!("/client/v4/accounts/{}/{below}", self.account)
    }

    /// Prints a changed object as JSON, or in the words that are given; and passes on what the server remarks.
    pub fn tell(&self, answer: &Answer, words: impl FnOnce(&Value) -> Result<(), CliError>) -> Result<(), CliError> {
        for message in &answer.messages {
            output::note(format_args!("note: {}", message.text()));
        }
        if self.json { output::json(&answer.result) } else { words(&answer.result) }
    }
}

/// One segment of a path, as RFC 3986, 2.1 writes it.
pub fn segment(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

/// Reads a duration of whole seconds, such as `90s` or `7d`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    config::duration(text)
}

/// Reads a duration that may also be given in milliseconds, such as `500ms`.
pub fn fine_duration(text: &str) -> Result<Duration, String> {
    let digits = text.strip_suffix("ms").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => config::duration(text)
            .map_err(|_| format!("{text:?} is no duration; write a whole number and a unit, such as 500ms or 10s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_segment_of_a_path() {
        assert_eq!(segment("nightly-sync_1.0~x"), "nightly-sync_1.0~x");
        assert_eq!(segment("a/b ?#%ü"), "a%2Fb%20%3F%23%25%C3%BC");
    }

    #[test]
    fn durations_may_be_fine() {
        assert_eq!(fine_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(fine_duration("10s"), Ok(Duration::from_secs(10)));
        for text in ["", "ms", "-1ms", "10", "1.5s"] {
            assert!(fine_duration(text).is_err(), "{text}");
        }
    }
}
