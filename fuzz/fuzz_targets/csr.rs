//! The parser that strangers reach: a CSR as PEM text, and the same bytes as DER in a right armour.
#![no_main]

use countersign::x509::{csr, pem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = csr::parse(text);
    }
    let _ = csr::parse(&pem::encode("CERTIFICATE REQUEST", bytes));
});
