//! Host patterns against the original: npm's minimatch judges thousands of generated patterns, and we agree, except where
//! we differ on purpose. `tests/run` installs minimatch; without it this test says that it is left out, and fails on CI.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign::domain::host_pattern::{HostName, HostPattern};
use serde_json::{Value, json};

const PATTERNS: usize = 12_000;
/// Any other gives other patterns; this one is fixed so that a failure can be repeated.
const SEED: u64 = 0x5eed;

/// What we refuse and minimatch takes: a word of our message, and whether the pattern is of the kind.
type IsOfTheKind = fn(&str) -> bool;
const REFUSED_ON_PURPOSE: [(&str, IsOfTheKind); 10] = [
    ("negates", |text| text.contains('!')),
    ("is a comment", |text| text.starts_with('#')),
    ("missing", str::is_empty),
    ("colon", |text| text.contains(':')),
    ("user information", |text| text.contains('@')),
    ("'#'", |text| text.contains('#')),
    ("a * is shorter", |text| text.contains('{')),
    ("digits", |text| text.contains("..")),
    // What braces expand to is bounded in what it costs to match.
    ("steps", |text| text.contains('{')),
    // Without any magic it is a host name, and held to what host names are.
    ("", |text| !text.contains(['*', '?', '[', ']', '{', '}', '!', '(', ')', '\\'])),
];

/// Where both take a pattern, and mean something else.
fn differs_on_purpose(text: &str) -> bool {
    // `[!a[:graph:]]` of minimatch leaves out only the `a`. Here no negated class matches what it names.
    let negated = text.contains("[!") || text.contains("[^");
    let named_whole = negated && (text.contains("[:graph:]") || text.contains("[:print:]"));
    // `[\^a]` of minimatch is everything but `a`: it writes a regular expression, and forgets to escape the `^`. Letters
    // from `Z` to `a` have a `[` and a `^` among them.
    let mut carets = text.match_indices('^').map(|(position, _)| text[..position].ends_with('['));
    let caret_that_is_no_negation = carets.any(|negates| !negates || text.contains("Z..a"));
    named_whole || caret_that_is_no_negation
}

#[test]
fn we_agree_with_minimatch() {
    let Some(node_modules) = node_modules() else { return };
    let mut faults = Vec::new();
    let mut taken = Vec::new();
    for case in cases() {
        match HostPattern::parse(&case.pattern) {
            Ok(pattern) => taken.push((pattern, case)),
            Err(why) if is_refused_on_purpose(&case.pattern, &why) => {}
            Err(why) => faults.push(format!("{} is refused: {why}", case.pattern)),
        }
    }
    let answers = ask_minimatch(&node_modules, taken.iter().map(|(_, case)| case));
    assert_eq!(answers.len(), taken.len());
    let (mut compared, mut matched) = (0, 0);
    for ((pattern, Case { hosts, .. }), answer) in taken.iter().zip(&answers) {
        let Some(matching) = answer.as_array() else {
            faults.push(format!("{pattern} is taken, and minimatch throws"));
            continue;
        };
        for host in hosts {
            let expected = matching.iter().any(|one| one == host.as_str());
            compared += 1;
            matched += usize::from(expected);
            if pattern.matches(host) != expected && !differs_on_purpose(pattern.as_str()) {
                faults.push(format!("{pattern} {host}: minimatch says {expected}"));
            }
        }
    }
    say(&format!("minimatch: {} of {PATTERNS} patterns taken, {compared} judgements, {matched} matches", taken.len()));
    assert!(faults.is_empty(), "{} faults, such as\n{}", faults.len(), faults[..faults.len().min(30)].join("\n"));
    assert!(2 * taken.len() > PATTERNS && matched > compared / 20, "the cases say too little");
}

fn is_refused_on_purpose(text: &str, why: &str) -> bool {
    REFUSED_ON_PURPOSE.iter().any(|(word, is_of_the_kind)| why.contains(word) && is_of_the_kind(text))
}

struct Case {
    pattern: String,
    hosts: Vec<HostName>,
}

fn cases() -> Vec<Case> {
    let mut dice = Dice(SEED);
    let case = |number: usize| {
        // Patterns that make sense, with hosts that are made for them; then any signs upon each other.
        let is_sensible = number.is_multiple_of(2);
        let (pattern, made) = if is_sensible { sensible(&mut dice) } else { (soup(&mut dice), Vec::new()) };
        let mut hosts = made;
        hosts.extend((0..10).map(|_| if is_sensible { name(&mut dice) } else { short_name(&mut dice) }));
        let hosts = hosts.iter().filter_map(|host| HostName::parse(host).ok()).collect();
        Case { pattern: pattern.trim().to_owned(), hosts }
    };
    (0..PATTERNS).map(case).collect()
}

/// A pattern of pieces that people use, and names that it may match.
fn sensible(dice: &mut Dice) -> (String, Vec<String>) {
    let pieces: Vec<_> = (0..1 + dice.below(4)).map(|_| piece(dice, 0)).collect();
    let end = dice.of(&[".acme.com", ".d", "acme.com", ".*", "", ".acme.{com,org}", ".b."]);
    let pattern = pieces.iter().map(|(text, _)| text.as_str()).collect::<String>() + end;
    let end = end.replace('*', "ab").replace("{com,org}", "org");
    let mut made = Vec::new();
    for _ in 0..4 {
        let mut host: String = pieces.iter().map(|(_, samples)| samples[dice.below(samples.len())].as_str()).collect();
        host.push_str(&end);
        // Now and then one character too few.
        if dice.below(3) == 0 && !host.is_empty() {
            host.remove(dice.below(host.len()));
        }
        made.push(host);
    }
    (pattern, made)
}

/// A piece of a pattern, and texts for it, of which some match.
fn piece(dice: &mut Dice, depth: usize) -> (String, Vec<String>) {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    match dice.below(if depth < 3 { 9 } else { 6 }) {
        0 | 1 => {
            let text = dice.of(&["www", "API", "a", "b-", ".x", "-", "1", "a.b"]);
            (text.into(), own(&[text]))
        }
        2 => (dice.of(&["*", "**", "***"]).into(), own(&["", "a", "ab.c"])),
        3 => ("?".into(), own(&["a", "1", ".", ""])),
        4 => {
            let class = dice.of(&[
                "[ab]",
                "[a-c]",
                "[!ab]",
                "[^a-b]",
                "[A-C]",
                "[[:alpha:]]",
                "[![:digit:]]",
                "[[:alnum:]_]",
                "[]a]",
                "[a-]",
                "[b-a]",
                "[[:upper:]]",
                "[[:punct:]]",
                "[\\a-c]",
                "[[:word:]-]",
                "[c-a1]",
                "[[:xdigit:]]",
                "[![:graph:]]",
                "[.]",
                "[^[:upper:]]",
                "[A-z]",
                "[a[:nothing:]]",
            ]);
            (class.into(), own(&["a", "b", "c", "1", "-", "_", "]", "."]))
        }
        5 => {
            let range = dice.of(&[
                "{1..3}",
                "{01..12}",
                "{3..1}",
                "{a..e..2}",
                "{-2..2}",
                "{1..10..03}",
                "{8..12}",
                "{1..150}",
                "{-05..3}",
                "{C..A}",
                "{001..150}",
                "{Z..a}",
                "{1..3..0}",
                "{9..1..-4}",
                "{1..2..3..4}",
                "{a..3}",
            ]);
            (range.into(), own(&["1", "01", "3", "a", "c", "-2", "007", "010", "10", "b", "-05", "12"]))
        }
        6 | 7 => {
            let (sign, separator, end) =
                [("{", ",", "}"), ("@(", "|", ")"), ("+(", "|", ")"), ("*(", "|", ")"), ("?(", "|", ")")]
                    [dice.below(5)];
            let inside: Vec<_> = (0..1 + dice.below(3)).map(|_| piece(dice, depth + 1)).collect();
            let texts: Vec<_> = inside.iter().map(|(text, _)| text.as_str()).collect();
            let mut samples: Vec<String> = inside.iter().flat_map(|(_, samples)| samples.clone()).collect();
            samples.push(samples.iter().take(2).cloned().collect());
            samples.push(String::new());
            (format!("{sign}{}{end}", texts.join(separator)), samples)
        }
        _ => {
            let odd = dice
                .of(&["{a}", "{", "}", "[", "(", ")", "|", ",", "\\a", "\\*", "{,}", "{}", "+", "{a,,b}", "\\.", "!"]);
            (odd.into(), own(&["a", "", "b", "ab", "."]))
        }
    }
}

/// Any signs upon each other.
fn soup(dice: &mut Dice) -> String {
    let signs = [
        "a",
        "b",
        "1",
        ".",
        "-",
        "*",
        "?",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "|",
        ",",
        "!",
        "^",
        "+",
        "@",
        "\\",
        "..",
        "a",
        "b",
        "*",
        "{a,",
        "[a",
        "@(",
        "+(",
        "*(",
        "?(",
        "[:alpha:]",
        "{1..2}",
        "a,b",
        "a|b",
        ":",
        "#",
        "B",
    ];
    (0..1 + dice.below(12)).map(|_| dice.of(&signs)).collect()
}

fn short_name(dice: &mut Dice) -> String {
    (0..1 + dice.below(4)).map(|_| dice.of(&["a", "b", "1", "-", ".", "a", "b", "ab"])).collect()
}

fn name(dice: &mut Dice) -> String {
    let labels = ["www", "api", "a", "ab", "x1", "b-", "1", "n01", "acme"];
    let end = dice.of(&["acme.com", "d", "acme.org", "evilacme.com", "192.0.2.1"]);
    (0..dice.below(3)).map(|_| format!("{}.", dice.of(&labels))).collect::<String>() + end
}

/// xorshift64*: the same patterns on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % bound
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }
}

fn ask_minimatch<'a>(node_modules: &Path, cases: impl Iterator<Item = &'a Case>) -> Vec<Value> {
    let mut questions = String::new();
    for Case { pattern, hosts } in cases {
        let hosts: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
        questions += &format!("{}\n", json!({ "pattern": pattern, "hosts": hosts }));
    }
    let mut node = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/node/minimatch.mjs"))
        .env("NODE_PATH", node_modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(questions.as_bytes()).unwrap());
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "minimatch.mjs failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where `tests/run` installs them; none if they, or node itself, are missing.
fn node_modules() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.venv/node/node_modules"));
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if has_node && folder.join("minimatch").is_dir() {
        return Some(folder);
    }
    let why = "node or npm's minimatch is not installed (tests/run installs it)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "host patterns are not compared with minimatch: {why}");
    say(&format!("LEFT OUT: the comparison of host patterns with minimatch: {why}"));
    None
}

/// Past the capture of test output.
fn say(text: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{text}").unwrap();
}
