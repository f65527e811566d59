//! Questions to a person.

use std::io::{self, IsTerminal, Write};

use console::Term;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::CliError;
use super::escape::escape_lines;

/// Whether there is somebody to ask: in a script there is not.
pub fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret; what is typed is not shown.
pub fn ask_secret(question: &str) -> Result<SecretString, CliError> {
    ask(question)?;
    let answer = Zeroizing::new(Term::stderr().read_secure_line().map_err(CliError::failure)?);
    Ok(SecretString::from(answer.as_str()))
}

/// Asks whether something is meant. Anything but a yes is a no.
pub fn confirm(question: &str) -> Result<bool, CliError> {
    ask(&format!("{question} [y/N]"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(CliError::failure)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn ask(question: &str) -> Result<(), CliError> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} ", escape_lines(question)).and_then(|()| stderr.flush()).map_err(CliError::failure)
}
