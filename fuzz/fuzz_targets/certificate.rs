//! Certificates that others issued.
#![no_main]

use countersign::x509::{certificate, public_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = certificate::read(bytes);
    let _ = public_key::check(bytes);
});
