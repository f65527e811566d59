//! Private keys: made, sealed for the store, used for signing, handed out encrypted.
//!
//! No type in here that holds a secret can be printed or serialised, and every copy is overwritten when it goes.
//! Signing takes only what was linted: [`signer::Signer`] has no function that signs plain bytes.
//!
//! Deliberately not here: SQL, HTTP, files.

pub mod challenge;
pub mod client_key;
pub mod error;
pub mod pkcs8;
pub mod private_key;
pub mod proof;
pub mod sealing;
pub mod signer;
mod turns;
pub mod upload;
pub mod webhook_signature;
