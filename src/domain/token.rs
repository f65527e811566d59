//! API tokens. Only the SHA-256 of a token's value is kept; the value is shown once.

use chrono::{DateTime, Utc};

use super::id::TokenId;
use super::permission::Grants;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub grants: Grants,
    pub created_on: DateTime<Utc>,
    pub not_before: Option<DateTime<Utc>>,
    pub expires_on: Option<DateTime<Utc>>,
}

/// In the words of the wire contract, section 2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    Active,
    /// Its time has not come yet.
    Disabled,
    Expired,
}

impl TokenStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

impl Token {
    pub fn status(&self, now: DateTime<Utc>) -> TokenStatus {
        if self.expires_on.is_some_and(|end| end <= now) {
            return TokenStatus::Expired;
        }
        if self.not_before.is_some_and(|start| now < start) {
            return TokenStatus::Disabled;
        }
        TokenStatus::Active
    }
}

/// Whether a string has the form of a token: 40 to 80 characters of `[0-9A-Za-z_-]`, the form that Terraform's
/// provider checks before any call (wire contract, 1.10).
pub fn has_token_form(value: &str) -> bool {
    (40..=80).contains(&value.len()) && value.bytes().all(is_token_byte)
}

pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}
