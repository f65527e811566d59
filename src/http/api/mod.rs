//! The API under `/client/v4`: one file for each noun, with its wire types and OpenAPI notes beside the handlers.

pub mod accounts;
pub mod authorities;
pub mod certificates;
pub mod hostname_associations;
pub mod tokens;
mod wire_certificate;
pub mod zones;

use chrono::{DateTime, Utc};

/// RFC 3339 in UTC with whole seconds: the contract's form of every time.
fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
