//! The API under `/client/v4`, and `/v1` for its clients: one file for each noun, with its wire types and OpenAPI notes beside the handlers.

pub mod accounts;
pub mod authorities;
pub mod certificates;
mod check_body;
pub mod checks;
pub mod client_certificates_v1;
pub mod hostname_associations;
pub mod identities;
mod identity_body;
pub mod identity_calls;
pub mod identity_uses;
pub mod tokens;
mod wire_certificate;
mod wire_check;
mod wire_identity;
pub mod zones;
