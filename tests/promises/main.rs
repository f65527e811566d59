//! The promises, each kept by tests that name it. `service` tests run the services in this process with a clock that
//! the test sets; `server` tests start the real binary. All run on SQLite, and on PostgreSQL where the environment says so
//! (`database`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod database;
mod harness;
mod identities;
mod postgres;
mod server;

mod agreement;
mod audit;
mod audit_log;
mod bulk;
mod checks;
mod compromise;
mod console;
mod console_account;
mod crls;
mod events;
mod faults;
mod idempotency;
mod isolation;
mod lists;
mod managed_identities;
mod ocsp;
mod overview;
mod possession;
mod publication;
mod requests;
mod sessions;
mod tokens;
mod webhooks;
