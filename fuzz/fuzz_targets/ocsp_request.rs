//! OCSP requests, which strangers send, and answers as they are read back.
#![no_main]

use countersign::x509::ocsp::{reading, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = request::read(bytes);
    let _ = reading::read(bytes);
});
