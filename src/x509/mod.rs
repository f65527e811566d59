//! Bytes in, bytes out: requests are read and checked, certificates and CRLs are built, linted and written.
//!
//! The way of a certificate is `Plan → Tbs → LintedTbs → SignedCertificate`: [`tbs::build`] encodes what the policy
//! decided, [`lint::lint`] reads those bytes back and judges them, and only what it let through can be sealed with a
//! signature, which `keys::Signer` alone makes. Skipping a step does not compile.
//!
//! Everything foreign is read by one strict DER reader ([`der`]); rcgen writes, and the parts that must be carried
//! byte for byte are spliced into what it wrote ([`capture`]).
//!
//! Deliberately not here: I/O, clocks, randomness, private keys at rest, and any decision of policy.

pub mod ber;
pub mod certificate;
pub mod chain;
pub mod crl;
pub mod csr;
pub mod der;
pub mod distinguished_name;
pub mod error;
pub mod foreign_certificate;
pub mod jws;
pub mod lint;
pub mod name;
pub mod ocsp;
pub mod oid;
pub mod pem;
pub mod pkcs12;
pub mod pkcs7;
pub mod public_key;
pub mod request_writer;
pub mod signature;
pub mod tbs;
pub mod weak_rsa;

mod algorithm;
mod capture;
mod extension;
mod general_name;
mod parsed;
mod requested_extensions;
mod text;
mod time;

#[cfg(test)]
mod testing;
