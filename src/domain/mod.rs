//! Values and rules: what the words of the trade mean, with no I/O, no clock, no randomness and no library
//! that talks to the outside. Everything above asks these modules instead of deciding by itself.

pub mod account;
pub mod audit;
pub mod authority;
pub mod bulk;
pub mod certificate;
pub mod check;
pub mod choice;
pub mod egress;
pub mod event;
pub mod event_stream;
pub mod expectation;
pub mod host_pattern;
pub mod id;
pub mod identity;
pub mod json;
pub mod key;
pub mod name;
pub mod ocsp;
pub mod pattern;
pub mod permission;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod reason;
pub mod revocation;
pub mod run;
pub mod serial;
pub mod status;
pub mod subject_alternative_name;
pub mod text;
pub mod token;
pub mod transition;
pub mod violation;
pub mod webhook;
pub mod zone;
