//! The shape of the code, read from the code: imports go down only, and what must stand in one place does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. A module uses only what stands in a later line; those in one line do not use each other.
const LAYERS: [&[&str]; 8] =
    [&["main"], &["cli"], &["http", "worker"], &["service"], &["egress"], &["store", "keys"], &["x509"], &["domain"]];
/// Used by all; use nothing of ours but `domain`.
const EVERYWHERE: [&str; 4] = ["clock", "config", "error", "telemetry"];

/// What a module must not touch, though its layer would let it.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("domain", &["diesel", "actix_web", "tokio", "rcgen", "aws_lc_rs", "Utc::now", "SystemTime"]),
    ("x509", &["diesel", "actix_web", "tokio", "std::fs", "TcpStream"]),
    ("keys", &["diesel", "actix_web"]),
    ("service", &["diesel", "actix_web"]),
    ("egress", &["diesel", "actix_web", "crate::store", "crate::keys"]),
    ("worker", &["diesel", "actix_web", "crate::x509", "crate::keys"]),
    ("http", &["diesel", "crate::keys", "rcgen"]),
];

#[test]
fn imports_go_down_only() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        for (number, line) in code_lines(&text) {
            for used in modules_named(line) {
                if used != module && !may_use(&module, &used) {
                    faults.push(format!("{}:{number}: {module} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_layer_keeps_away_from_what_is_not_its_business() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        let forbidden = FORBIDDEN.iter().filter(|(name, _)| *name == module).flat_map(|(_, words)| words.iter());
        for word in forbidden {
            for (number, line) in code_lines(&text) {
                if line.contains(word) {
                    faults.push(format!("{}:{number}: {module} must not name {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_is_one_path_to_issuance() {
    let callers = files_with("sign_certificate(");
    assert_eq!(
        callers,
        ["src/keys/signer.rs", "src/service/authorities.rs", "src/service/issuance.rs", "src/service/responders.rs"]
    );
    assert_eq!(files_with("record_issuance("), ["src/service/issuance.rs", "src/store/issuance.rs"]);
}

#[test]
fn only_the_authoriser_makes_permits() {
    assert_eq!(files_with("ZonePermit {"), ["src/service/access.rs"]);
    assert_eq!(files_with("AccountPermit {"), ["src/service/access.rs"]);
}

#[test]
fn possession_is_shown_by_a_signature_and_serves_one_purpose() {
    assert_eq!(files_with("Possession {"), ["src/x509/jws.rs"]);
    assert_eq!(files_with("permit_holder("), ["src/service/access.rs", "src/service/possession.rs"]);
}

#[test]
fn statuses_settle_in_the_transaction_of_their_crl_and_nowhere_else() {
    assert_eq!(files_with("receipt_status.eq("), ["src/store/crls.rs"]);
    let writers = files_with("diesel::update(as_");
    assert_eq!(writers, ["src/store/crls.rs", "src/store/transitions.rs"]);
}

#[test]
fn ocsp_answers_are_signed_in_one_place() {
    assert_eq!(files_with("sign_ocsp("), ["src/keys/signer.rs", "src/service/ocsp/mod.rs"]);
}

/// Each statement about certificates, from the table's name to the end of its chain, names its zone or zones. Those that go by
/// authority are `latest_end` and the status that OCSP tells.
#[test]
fn queries_about_certificates_name_their_zone() {
    let mut without = Vec::new();
    for (path, text) in sources() {
        if !path.starts_with("src/store") {
            continue;
        }
        for chain in text.split("certificates::table").skip(1) {
            let statement = chain.split(';').next().unwrap();
            let is_insert =
                statement.trim_start().starts_with(')') || statement.trim_start_matches('>').starts_with("(connection");
            let names_zones = ["certificates::zone_id.eq(", "certificates::zone_id.eq_any("]
                .iter()
                .any(|words| statement.contains(words));
            if !is_insert && !names_zones {
                without.push(format!("{}: {}", path.display(), statement.split_whitespace().collect::<String>()));
            }
        }
    }
    assert_eq!(without.len(), 2, "{without:#?}");
    assert!(without.iter().all(|statement| statement.contains("certificates::authority_id.eq(")), "{without:#?}");
}

/// Whatever answers POST takes a form that was judged ([`visitor`]); the sign-in, which has no session yet, judges its own.
#[test]
fn the_console_changes_things_by_forms_that_were_judged() {
    let judged =
        ["ZoneForm<", "AccountForm<", "VisitorForm", "ZoneQuestion<", "AccountQuestion<", "Form::of_stranger("];
    let mut handlers = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("src/http/console")) {
        assert!(
            !text.contains("#[put(") && !text.contains("#[delete(") && !text.contains("#[patch("),
            "{}",
            path.display()
        );
        for handler in text.split("#[post(").skip(1) {
            let handler: String = handler.lines().take(12).collect();
            assert!(judged.iter().any(|word| handler.contains(word)), "{}: {handler}", path.display());
            handlers += 1;
        }
    }
    assert!(handlers >= 8, "{handlers}");
}

#[test]
fn templates_hold_nothing_inline_and_trust_no_text() {
    let mut templates = 0;
    for entry in fs::read_dir("src/http/console").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in [" style=", " onclick=", "|safe", "<script>", "<style", "javascript:", "//cdn"] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
        for form in text.split("<form method=\"post\"").skip(1).filter(|_| !path.ends_with("sign_in.html")) {
            let form = form.split("</form>").next().unwrap();
            assert!(
                form.contains("name=\"form\" value=\"{{ page.proof }}\""),
                "{}: a form without proof",
                path.display()
            );
        }
        templates += 1;
    }
    assert!(templates >= 10, "{templates}");
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    assert_eq!(files_with("SystemTime::now("), ["src/clock.rs"]);
    assert_eq!(files_with("Utc::now("), Vec::<String>::new());
}

#[test]
fn files_are_short_enough_to_be_read() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for (path, text) in sources() {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{} has a {word}", path.display());
        }
    }
}

fn may_use(module: &str, used: &str) -> bool {
    if EVERYWHERE.contains(&used) {
        return module != "domain";
    }
    if EVERYWHERE.contains(&module) {
        return used == "domain";
    }
    match (layer(module), layer(used)) {
        (Some(own), Some(other)) => own < other,
        _ => false,
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The top modules that a line names by `crate::…`, also in nested braces of one line.
fn modules_named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let named = line.split("crate::").skip(1);
    named.filter(|rest| !rest.starts_with('{')).map(word).filter(|name| !name.is_empty()).collect()
}

/// Lines without comments; a file's tests at its end may use what they like.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let code = numbered.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn files_with(word: &str) -> Vec<String> {
    let with = |(path, text): (PathBuf, String)| {
        let found = code_lines(&text).any(|(_, line)| line.contains(word));
        found.then(|| path.display().to_string())
    };
    sources().into_iter().filter_map(with).collect()
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
                && path != Path::new("src/lib.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path, text);
            }
        }
    }
    files
}
