//! Patterns of host names that callers send, and the hosts that are matched against them.
#![no_main]

use countersign::domain::host_pattern::{HostName, HostPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (pattern, host) = text.split_once('\n').unwrap_or((text, "www.acme.com"));
    let host = HostName::parse(host);
    if let Ok(pattern) = HostPattern::parse(pattern) {
        let _ = pattern.warning();
        let _ = host.map(|host| pattern.matches(&host));
    }
});
