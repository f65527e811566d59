//! What is wrong with a request, and where.

use std::fmt;

/// One fault of a request. A refusal carries all of them, so that a caller mends everything in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) into the request body, such as `/csr`; empty when it is about no single field.
    pub pointer: String,
    /// What is wrong and what would be right, in words for the caller.
    pub message: String,
}

impl Violation {
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }

    /// A fault of the CSR itself.
    pub fn csr(message: impl Into<String>) -> Self {
        Self::new("/csr", message)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "{}: {}", self.pointer, self.message)
    }
}
