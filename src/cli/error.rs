//! How a command fails: in words for a person, and in an exit code for a script.

use std::fmt::Display;
use std::io;

use crate::config::Problems;

#[derive(Debug)]
pub enum CliError {
    /// The command was asked for something it cannot mean; exit code 2.
    Usage(String),
    /// It was understood and did not work; exit code 1.
    Failure(String),
    /// Everything has been said already; exit code 1.
    Reported,
    /// The reader of our output has left, as `head` does: no failure of ours.
    OutputClosed,
}

impl CliError {
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub fn failure(message: impl Display) -> Self {
        Self::Failure(message.to_string())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failure(_) | Self::Reported => 1,
            Self::OutputClosed => 0,
        }
    }

    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Usage(message) | Self::Failure(message) => Some(message),
            Self::Reported | Self::OutputClosed => None,
        }
    }
}

/// Only for writing to stdout; failures of files are reported with the file's name instead.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failure(error),
        }
    }
}

/// A wrong setting is a wrong request, wherever it was written.
impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self::usage(problems)
    }
}
