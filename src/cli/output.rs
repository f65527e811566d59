//! What commands print: results to stdout, everything else to stderr.
//!
//! `println!` panics when the reader has left; these report it instead, and the command ends quietly.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::error::CliError;
use super::escape::escape;

/// One line of a result. The caller has escaped what is foreign in it.
pub fn line(text: impl Display) -> Result<(), CliError> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Bytes as they are: PEM, DER.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// DER is noise on a terminal, and can reprogram some.
pub fn binary(content: &[u8]) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        return Err(CliError::usage("this form is binary; add --out FILE, or send the output elsewhere"));
    }
    bytes(content)
}

/// A value for scripts, indented.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(serde_json::to_string_pretty(value).map_err(CliError::failure)?)
}

/// A value for scripts on one line.
pub fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    line(serde_json::to_string(value).map_err(CliError::failure)?)
}

/// A remark on stderr. Nothing can be done when that fails, and the result matters more.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A table without borders, so that it can be cut with the tools of a shell. Cells are escaped here.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), CliError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(cell).into_owned()));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 1 }, 1));
    }
    line(table.trim_fmt())
}

/// Names and values, one pair a line, the values aligned and escaped; pairs without a value are left out.
pub fn fields(pairs: &[(&str, String)]) -> Result<(), CliError> {
    aligned(pairs).iter().try_for_each(line)
}

/// The lines of [`fields`], on stderr: where stdout is for something else.
pub fn fields_aside(pairs: &[(&str, String)]) {
    aligned(pairs).iter().for_each(note);
}

fn aligned(pairs: &[(&str, String)]) -> Vec<String> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| format!("{name:width$}  {}", escape(value))).collect()
}
