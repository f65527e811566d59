//! What a check does, as it is written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::expectations::Expectations;
use crate::cli::client::Call;
use crate::cli::error::CliError;
use crate::cli::in_account::{Opened, seconds};
use crate::cli::objects::Check;
use crate::cli::outgoing::{Header, Request, RequestOptions, body, header};

#[derive(Args, Debug)]
pub struct Definition {
    /// Run it at this interval, from 30s to 1d [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = seconds, conflicts_with = "manual")]
    pub every: Option<Duration>,

    /// Run it only by `check run`
    #[arg(long)]
    pub manual: bool,

    #[command(flatten)]
    request: RequestOptions,

    /// A header whose value is sealed and never shown; --header does so too for names such as Authorization
    #[arg(long = "secret-header", value_name = "NAME: VALUE", value_parser = header, help_heading = "Request")]
    secret_headers: Vec<Header>,

    /// Send the text in this file as the body, sealed and never shown
    #[arg(long, value_name = "FILE", conflicts_with = "body", help_heading = "Request")]
    secret_body: Option<PathBuf>,

    #[command(flatten)]
    expectations: Expectations,
}

/// What an edit takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Headers,
    Body,
    Expectations,
    TrustedCa,
}

/// What is sent. What is `None` is left out.
#[derive(Serialize)]
pub struct Sending {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(flatten)]
    pub request: Request,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_body: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Value>,
    /// `Some(None)`: by hand only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<Option<u64>>,
}

impl Definition {
    /// Reads the files and finds what is named. `before` is the path of the check that is changed.
    pub async fn read(self, opened: &Opened, before: Option<&str>, cleared: &[Part]) -> Result<Sending, CliError> {
        let is_cleared = |part: Part| cleared.contains(&part);
        let expected = match before {
            Some(path) if !self.expectations.is_empty() && !is_cleared(Part::Expectations) => {
                opened.client.call(Call::get(path)).await?.read::<Check>()?.expect
            }
            _ => json!({}),
        };
        let speaks_of_expectations = !self.expectations.is_empty() || is_cleared(Part::Expectations);
        let mut request = self.request.read(opened).await?;
        for header in self.secret_headers {
            request.headers.get_or_insert_default().push(header.read(Some(true))?);
        }
        let mut secret_body = request.body.is_some().then_some(false);
        if let Some(path) = &self.secret_body {
            (request.body, secret_body) = (Some(Some(body(path)?)), Some(true));
        }
        if is_cleared(Part::Headers) {
            request.headers.get_or_insert_default();
        }
        if is_cleared(Part::Body) {
            request.body.get_or_insert(None);
        }
        if is_cleared(Part::TrustedCa) {
            request.trusted_ca.get_or_insert(None);
        }
        let interval_seconds = match (self.manual, self.every) {
            (true, _) => Some(None),
            (false, every) => every.map(|time| Some(time.as_secs())),
        };
        let expect = speaks_of_expectations.then(|| self.expectations.over(expected));
        Ok(Sending { name: None, request, secret_body, expect, interval_seconds })
    }
}
