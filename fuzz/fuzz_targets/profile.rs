//! Profiles and the small languages of requests: serial numbers, names, patterns.
#![no_main]

use countersign::domain::pattern::Pattern;
use countersign::domain::profile::Profile;
use countersign::domain::serial::SerialNumber;
use countersign::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Profile::parse("fuzz", "fuzz.toml", text);
    let _ = SerialNumber::parse(text);
    for kind in SubjectAlternativeNameType::ALL {
        let _ = SubjectAlternativeName::parse(kind, text);
    }
    if let Some((pattern, text)) = text.split_once('\n') {
        let _ = Pattern::new(pattern).matches(text);
    }
});
