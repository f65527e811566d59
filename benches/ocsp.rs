//! OCSP.
fn main() {}
