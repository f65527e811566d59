//! The API under `/client/v4`: one file for each noun, with its wire types and OpenAPI notes beside the handlers.

pub mod accounts;
pub mod authorities;
pub mod certificates;
pub mod hostname_associations;
pub mod tokens;
mod wire_certificate;
pub mod zones;
