//! CRLs, as the command line reads them.
#![no_main]

use countersign::x509::crl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = crl::read(bytes);
});
