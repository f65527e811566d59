//! The Online Certificate Status Protocol (RFC 6960, in the lightweight profile of RFC 9919): requests of strangers are
//! read, answers are encoded for signing.
//!
//! The way of an answer is `OcspPlan → OcspTbs → SignedOcsp`; only `keys::Signer` takes the last step.
//!
//! Deliberately not here: which status a certificate has, how long an answer may be kept, signed requests (their
//! signatures are passed over, since everybody may ask), and answers by name of the responder.

pub mod asking;
pub mod issuer;
pub mod reading;
pub mod request;
pub mod response;
