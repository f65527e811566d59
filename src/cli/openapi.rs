//! `countersign openapi`

use clap::Args;

use super::error::CliError;
use super::output;
use crate::http;

/// Print the OpenAPI document of the API, as the server has it at /openapi.json
///
/// Example:
///
///   countersign openapi > openapi.json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Accepted for uniformity: the document is JSON anyway
    #[arg(long)]
    json: bool,
}

pub fn run(_arguments: &Arguments) -> Result<(), CliError> {
    output::line(http::openapi::document().trim_end())
}
