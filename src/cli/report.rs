//! What came of a call with an identity, for people; and the answer's body, for whoever wants it.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::envelope::Answer;
use super::error::CliError;
use super::escape::escape_lines;
use super::files::{self, Access};
use super::objects::{self, Outcome};
use super::output;

#[derive(Args, Debug)]
pub struct BodyOption {
    /// Write the body of the answer to this file (`-`: stdout, and everything else to stderr)
    #[arg(long, value_name = "FILE")]
    body_out: Option<PathBuf>,
}

impl BodyOption {
    /// Before anything is called.
    pub fn check(&self, as_json: bool) -> Result<(), CliError> {
        match as_json && self.is_stdout() {
            true => Err(CliError::usage("the JSON on stdout holds the body already; leave out --body-out -")),
            false => Ok(()),
        }
    }

    fn is_stdout(&self) -> bool {
        self.body_out.as_deref() == Some(Path::new("-"))
    }
}

/// Prints it, and hands it back to be judged.
pub fn print(answer: &Answer, option: &BodyOption, as_json: bool) -> Result<Outcome, CliError> {
    let outcome: Outcome = answer.read()?;
    match (as_json, option.is_stdout()) {
        (true, _) => output::json(&answer.result)?,
        (false, true) => output::fields_aside(&fields(&outcome)),
        (false, false) => output::fields(&fields(&outcome))?,
    }
    if let Some(path) = &option.body_out {
        match &outcome.response {
            Some(response) => write_body(response, path, option.is_stdout())?,
            None => output::note("there is no body to write"),
        }
    }
    Ok(outcome)
}

fn write_body(response: &objects::Answer, path: &Path, is_stdout: bool) -> Result<(), CliError> {
    if response.truncated {
        output::note("warning: the body goes on after what is written");
    }
    let decoded = response.body_base64.as_ref().map(|text| STANDARD.decode(text)).transpose();
    let decoded = decoded.map_err(|_| CliError::failure("the server's answer holds no base64 where it should"))?;
    match (&response.body, decoded, is_stdout) {
        (Some(text), _, true) if io::stdout().is_terminal() => output::line(escape_lines(text)),
        (Some(text), _, true) => output::bytes(text.as_bytes()),
        (None, Some(bytes), true) => output::binary(&bytes),
        (Some(text), _, false) => files::replace(path, text.as_bytes(), Access::Private),
        (None, bytes, _) => files::replace(path, &bytes.unwrap_or_default(), Access::Private),
    }
}

fn fields(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let server = outcome.server_certificate.as_ref().map(|certificate| {
        format!("{}, issued by {}, until {}", certificate.subject, certificate.issuer, certificate.expires_on)
    });
    let failure = outcome.failure.as_ref().map(|failure| format!("{}: {}", failure.stage, failure.message));
    let cut = if outcome.response.as_ref().is_some_and(|response| response.truncated) { ", cut" } else { "" };
    let body = outcome.status.map(|_| format!("{} bytes{cut}", outcome.body_length));
    let mut fields = vec![
        ("state", outcome.state.clone().unwrap_or_default()),
        ("identity", identity(outcome)),
        ("presented", presented(outcome).to_owned()),
        ("asked for", asked(outcome).to_owned()),
        ("address", outcome.address.clone().unwrap_or_default()),
        ("TLS", outcome.tls_version.clone().unwrap_or_default()),
        ("server", server.unwrap_or_default()),
        ("time", timings(outcome)),
        ("status", outcome.status.map(|status| status.to_string()).unwrap_or_default()),
        ("body", body.unwrap_or_default()),
        ("failure", failure.clone().unwrap_or_default()),
    ];
    fields.extend(outcome.redirects.iter().map(|url| ("redirected", url.clone())));
    let is_told = |finding: &&String| outcome.failure.as_ref().is_some_and(|failure| failure.message == **finding);
    let findings = outcome.findings.iter().filter(|finding| !is_told(finding));
    fields.extend(findings.map(|finding| ("finding", finding.clone())));
    fields.extend(outcome.notes.iter().map(|note| ("note", note.clone())));
    fields
}

fn identity(outcome: &Outcome) -> String {
    let chosen = &outcome.identity;
    match (&chosen.name, &chosen.id) {
        (Some(name), Some(id)) => format!("{name} ({id}), because {}", chosen.reason),
        _ => format!("none: {}", chosen.reason),
    }
}

fn presented(outcome: &Outcome) -> &'static str {
    if outcome.identity.presented { "yes" } else { "no" }
}

fn asked(outcome: &Outcome) -> &'static str {
    match outcome.identity_requested {
        Some(true) => "yes",
        Some(false) => "no: this server asks for no client certificate",
        None => "",
    }
}

fn timings(outcome: &Outcome) -> String {
    let timings = outcome.timings_ms;
    let stages =
        [("DNS", timings.dns), ("connect", timings.connect), ("TLS", timings.tls), ("first byte", timings.first_byte)];
    let stages: Vec<String> = stages.into_iter().filter_map(|(name, time)| Some(format!("{name} {}", time?))).collect();
    match (timings.total, stages.is_empty()) {
        (Some(total), false) => format!("{total} ms ({})", stages.join(", ")),
        (Some(total), true) => format!("{total} ms"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(outcome: serde_json::Value) -> Vec<(&'static str, String)> {
        let outcome: Outcome = serde_json::from_value(outcome).unwrap();
        fields(&outcome).into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    #[test]
    fn what_was_presented_and_why_comes_first() {
        let fields = told(json!({
            "identity": {"id": "1", "name": "partner", "reason": "its pattern * matches the host", "presented": true},
            "identity_requested": true, "status": 200, "body_length": 5, "tls_version": "TLSv1.3",
            "timings_ms": {"dns": 0.5, "connect": 1.0, "tls": null, "total": 12.25}, "failure": null,
        }));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            fields,
            [
                ("identity", "partner (1), because its pattern * matches the host"),
                ("presented", "yes"),
                ("asked for", "yes"),
                ("TLS", "TLSv1.3"),
                ("time", "12.25 ms (DNS 0.5, connect 1)"),
                ("status", "200"),
                ("body", "5 bytes"),
            ]
        );
    }

    #[test]
    fn a_body_that_was_cut_is_said_to_be() {
        let of = |truncated: bool| {
            told(json!({ "status": 200, "body_length": 9, "response": { "body": "x", "truncated": truncated } }))
        };
        assert!(of(true).contains(&("body", "9 bytes, cut".into())));
        assert!(of(false).contains(&("body", "9 bytes".into())));
    }

    #[test]
    fn a_failure_is_told_once() {
        let fields = told(json!({
            "state": "failing", "identity": {"reason": "no identity is to be presented"},
            "failure": {"stage": "tls", "message": "m"}, "findings": ["m", "other"],
        }));
        let count = |name: &str| fields.iter().filter(|(given, _)| *given == name).count();
        assert_eq!((count("failure"), count("finding")), (1, 1), "{fields:?}");
        assert!(fields.contains(&("failure", "tls: m".into())) && fields.contains(&("finding", "other".into())));
    }
}
