//! Messages by which strangers show that they hold a certificate's key.
#![no_main]

use countersign::domain::json::Members;
use countersign::keys::challenge::Challenge;
use countersign::x509::jws::SignedMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Members::read(bytes);
    if let Ok(message) = SignedMessage::read(bytes) {
        let _ = Challenge::parse(message.nonce());
        let _ = message.verify(None);
    }
});
