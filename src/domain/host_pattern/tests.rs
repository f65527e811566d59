use proptest::prelude::*;

use super::{HostName, HostPattern, MAX_PATTERN_BYTES};

fn host(text: &str) -> HostName {
    HostName::parse(text).unwrap_or_else(|why| panic!("{why}"))
}

fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap_or_else(|why| panic!("{why}"))
}

fn refusal(text: &str) -> String {
    HostPattern::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"))
}

/// The table of the wire contract, 4.3, as far as it speaks of what can be a host.
#[test]
fn the_table_of_the_contract_holds() {
    let table: [(&str, &[&str], &[&str]); 33] = [
        ("www.acme.com", &["www.acme.com", "WWW.ACME.COM", "www.acme.com."], &["acme.com", "wwwxacme.com"]),
        ("*.acme.com", &["www.acme.com", "a.b.acme.com", "WWW.ACME.COM"], &["acme.com", "evilacme.com"]),
        ("**.acme.com", &["www.acme.com", "a.b.acme.com"], &["acme.com"]),
        ("*acme.com", &["www.acme.com", "acme.com", "evilacme.com"], &["acme.com.de"]),
        ("*", &["localhost", "a.b.c", "127.0.0.1", "::1"], &[]),
        ("**", &["localhost", "a.b.c", "127.0.0.1"], &[]),
        ("api-?.acme.com", &["api-1.acme.com"], &["api-.acme.com", "api-12.acme.com"]),
        ("?.acme.com", &["a.acme.com"], &["acme.com", "ab.acme.com"]),
        ("{www,api}.acme.com", &["www.acme.com", "api.acme.com"], &["x.acme.com"]),
        ("{a,{b,c}}.d", &["a.d", "b.d", "c.d"], &["d.d"]),
        ("a{,b}.d", &["a.d", "ab.d"], &["b.d"]),
        ("n{1..3}.d", &["n1.d", "n2.d", "n3.d"], &["n4.d", "n01.d", "n0.d"]),
        ("n{01..03}.d", &["n01.d", "n03.d"], &["n1.d", "n04.d"]),
        ("n{3..1}.d", &["n1.d", "n2.d", "n3.d"], &["n4.d"]),
        ("n{1..9..4}.d", &["n1.d", "n5.d", "n9.d"], &["n2.d"]),
        ("n{8..12}.d", &["n8.d", "n10.d"], &["n08.d"]),
        ("n{-1..1}.d", &["n-1.d", "n0.d", "n1.d"], &["n2.d"]),
        ("n{a..e..2}.d", &["na.d", "nc.d", "ne.d"], &["nb.d"]),
        ("{a}.acme.com", &[], &["a.acme.com"]),
        ("[ab].acme.com", &["a.acme.com", "b.acme.com", "A.acme.com"], &["d.acme.com"]),
        ("[a-c].acme.com", &["b.acme.com"], &["d.acme.com"]),
        ("[A-C].acme.com", &["b.acme.com"], &["d.acme.com"]),
        ("[!ab].acme.com", &["c.acme.com"], &["a.acme.com"]),
        ("[^A-B].acme.com", &["c.acme.com"], &["a.acme.com"]),
        ("[[:alpha:]].d", &["a.d"], &["1.d", "-.d"]),
        ("api-[[:digit:]].d", &["api-7.d"], &["api-a.d"]),
        ("[ab.acme.com", &[], &["a.acme.com"]),
        ("{ab.acme.com", &[], &["ab.acme.com"]),
        ("+(a|b).d", &["a.d", "ab.d", "bba.d"], &["c.d", "abc.d"]),
        ("@(a|b).d", &["a.d", "b.d"], &["ab.d"]),
        ("x?(a|b).d", &["x.d", "xa.d"], &["xab.d"]),
        ("x*(a|b).d", &["x.d", "xa.d", "xabba.d"], &["xc.d"]),
        ("\\*.acme.com", &[], &["www.acme.com"]),
    ];
    for (text, matching, others) in table {
        for name in matching {
            assert!(pattern(text).matches(&host(name)), "{text} does not match {name}");
        }
        for name in others {
            assert!(!pattern(text).matches(&host(name)), "{text} matches {name}");
        }
    }
}

#[test]
fn quirks_of_brackets_are_those_of_minimatch() {
    for (text, name, expected) in [
        ("[]a].d", "a.d", true),
        ("[b-a].d", "a.d", false),
        ("[a-[:alpha:]].d", "a.d", false),
        ("[a\\]b].d", "b.d", true),
        ("[\\!a].d", "b.d", false),
        ("[a-].d", "-.d", true),
        ("[a\\-c].d", "b.d", false),
        ("[!-a].d", "b.d", true),
        ("{a},b}", "b", true),
        ("{},a}b", "ab", false),
        ("x{},a}b", "xab", true),
        ("{{a,b}}", "a", false),
        ("{{1,2}..3}x", "2x", true),
        ("{a\\,b,c}", "c", true),
        ("{1..3..0}x", "2x", true),
        ("{b..a}", "a", true),
        ("a{1..2}{x,y}", "a2y", true),
        ("@(a|@(b|+(c)))d", "cccd", true),
        ("*(*(a))b", "aaab", true),
        ("@()a", "a", true),
        ("a|b", "a", false),
        ("+(a|b", "a", false),
        ("*(a|+(b).c", "b.c", false),
    ] {
        // A name that ends in a star or a bar is a host name to nobody: some of these are plain, and are refused instead.
        let matches = HostPattern::parse(text).is_ok_and(|pattern| pattern.matches(&host(name)));
        assert_eq!(matches, expected, "{text} {name}");
    }
}

#[test]
fn a_dot_at_the_end_counts_for_nothing() {
    for text in ["acme.com.", "*.acme.com.", "{x,*.acme.com.}", "+(www|acme.com|.)."] {
        let name = if text == "acme.com." { "acme.com" } else { "www.acme.com" };
        assert!(pattern(text).matches(&host(name)), "{text}");
        assert!(pattern(text).matches(&host(&format!("{name}."))), "{text}");
        assert_eq!(pattern(text).as_str(), text);
    }
}

#[test]
fn names_beyond_ascii_are_compared_in_their_a_labels() {
    for (text, name) in [
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.DE", "münchen.de"),
        ("xn--mnchen-3ya.de", "München.de"),
        ("*.münchen.de", "www.münchen.de"),
        ("*.MÜNCHEN.de", "www.münchen.de"),
        ("{münchen,köln}.de", "köln.de"),
        ("m{ünchen,ainz}.de", "münchen.de"),
        ("*.例。example", "a.例.example"),
    ] {
        assert!(pattern(text).matches(&host(name)), "{text} {name}");
    }
    for text in ["mün*.de", "[ü].de", "@(münchen|köln).de", "*.＊.de", "*.ü\\*.de"] {
        assert!(refusal(text).contains("xn--"), "{text}: {}", refusal(text));
    }
}

#[test]
fn addresses_are_full_host_names() {
    for (text, name) in
        [("192.0.2.1", "192.0.2.1"), ("::1", "[0:0::1]"), ("[::1]", "::1"), ("[2001:DB8::1]", "2001:db8:0::1")]
    {
        assert!(pattern(text).is_full_host_name(), "{text}");
        assert!(pattern(text).matches(&host(name)), "{text} {name}");
        assert_eq!(pattern(text).warning(), None);
    }
    assert!(pattern("10.0.0.*").matches(&host("10.0.0.7")));
}

#[test]
fn a_full_host_name_has_no_magic() {
    assert!(pattern(" www.acme.com\n").is_full_host_name());
    assert_eq!(pattern(" www.acme.com\n").as_str(), "www.acme.com");
    for text in ["*.a", "a?", "[a].acme.com", "{www,api}.acme.com", "@(a).b", "\\a.b", "[ab", "{ab"] {
        assert!(!pattern(text).is_full_host_name(), "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_told_why() {
    for (text, word) in [
        ("", "missing"),
        ("   ", "missing"),
        ("!www.acme.com", "negates"),
        ("!!www.acme.com", "negates"),
        ("!(www).acme.com", "negates"),
        ("x.!(www).acme.com", "negates"),
        ("{!,x}(www).acme.com", "negates"),
        ("@(a|!(b)).acme.com", "negates"),
        ("#acme.com", "comment"),
        ("https://*.acme.com", "https://"),
        ("https://acme.com", "https://"),
        ("*.acme.com:8443", "port"),
        ("acme.com:8443", "port"),
        ("{a,b:1}.com", "port"),
        ("fe80::*", "IPv6"),
        ("[::1]:443", "port"),
        ("*.acme.com/path", "path"),
        ("*/*", "path"),
        ("me@*.acme.com", "user information"),
        ("me@acme.com", "user information"),
        ("https://me:secret@*.acme.com:8443/x", "user information"),
        ("[@].acme.com", "user information"),
        ("*.acme.com *.acme.org", "white space"),
        ("*.acme$.com", "'$'"),
        ("*.acme\0.com", "'\\0'"),
        (".acme.com", "*.acme.com"),
        ("a..b", "between two dots"),
    ] {
        assert!(refusal(text).contains(word), "{text}: {}", refusal(text));
    }
}

#[test]
fn a_pasted_password_is_not_repeated() {
    for text in ["https://me:secret@acme.com", "me:secret@*.acme.com:1", "me:secret@acme.com/x", "m e:secret@acme.com"]
    {
        assert!(!refusal(text).contains("secret"), "{text}: {}", refusal(text));
        assert!(!HostName::parse(text).unwrap_err().contains("secret"), "{text}");
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let deep_braces = format!("{}a,b{}", "{".repeat(20), "}".repeat(20));
    let deep_groups = format!("{}a{}", "@(".repeat(300), ")".repeat(300));
    for (text, word) in [
        ("*(?|??|?|?|?|??)*(?|??|?){100..999}?".into(), "4096"),
        ("{a,b}".repeat(40), "1000 patterns"),
        ("{1..1000000}".into(), "1000 patterns"),
        ("{1..999999999}".into(), "1000 patterns"),
        ("{1..99999999999999999999}".into(), "9 digits"),
        (format!("{{1..500}}{}", "a".repeat(500)), "32768 characters"),
        (format!("{{{}1..500}}", "0".repeat(9)), "digits"),
        ("{{1..900},{1..900}}".into(), "1000 patterns"),
        (deep_braces, "16 deep"),
        (deep_groups, "16 deep"),
        ("(".repeat(10_000), "1024 bytes"),
        ("@(".repeat(10_000), "1024 bytes"),
        ("a".repeat(MAX_PATTERN_BYTES + 1), "1024 bytes"),
    ] {
        assert!(refusal(&text).contains(word), "{text}: {}", refusal(&text));
    }
    assert!(pattern("node-{001..999}.prod.acme.com").matches(&host("node-500.prod.acme.com")));
}

/// With a matcher that goes back, these do not end.
#[test]
fn stars_and_groups_upon_each_other_end() {
    let long = host(&format!("{}a", format!("{}.", "a".repeat(63)).repeat(3)));
    for text in [
        "*a*a*a*a*b".to_owned(),
        format!("{}b", "*a".repeat(400)),
        format!("*{}b*", "a".repeat(60)),
        format!("{}[b]", "+(a|".repeat(10) + &"a)".repeat(10)),
        "*(*(*(*(a))))[b]".to_owned(),
        format!("{}[b]", "*(a|aa)".repeat(100)),
        format!("{}[b]", "*(*|?|[a.])".repeat(80)),
        format!("{{x,{}}}b", "*a".repeat(300)),
        format!("{{a,b,c,d}}{{a,b,c,d}}{{a,b,c,d}}{}[b]", "*(a|?)".repeat(4)),
        format!("{}[b]", "[a-z]*".repeat(150)),
        format!("{}b", "@(".repeat(300)),
        format!("{}b", "[".repeat(900)),
        format!("{}b", "{".repeat(900)),
        format!("{}b", "{a}".repeat(300)),
        format!("{{a}}{},z}}", "}".repeat(900)),
    ] {
        assert!(!pattern(&text).matches(&long), "{text}");
    }
}

#[test]
fn patterns_that_reach_strangers_come_with_a_warning() {
    for (text, word) in [
        ("*", "every host"),
        ("**", "every host"),
        ("?*", "every host"),
        ("{*,www.acme.com}", "every host"),
        ("*acme.com", "evilacme.com"),
        ("*acme.com", "*.acme.com"),
        ("api*acme.com", "apievilacme.com"),
        ("*?acme.com", "does not fix the end"),
        ("+([a-z])acme.com", "evilacme.com"),
        ("www.acme.*", "www.acme.evil.example"),
        ("*.*", "any.evil.example"),
        ("10.0.0.*", "10.0.0.evil.example"),
        ("*.com", "under .com"),
        ("*.@(com|org)", "under a top-level domain"),
        ("{www.acme.com,*acme.com}", "evilacme.com"),
        ("{a}.acme.com", "no host name"),
        ("[ab.acme.com", "no host name"),
        ("\\*.acme.com", "no host name"),
        ("*..acme.com", "no host name"),
        ("*.acme.com,*.acme.org", "no host name"),
        ("[b-a].acme.com", "no host name"),
    ] {
        let warning = pattern(text).warning().unwrap_or_else(|| panic!("{text} has no warning"));
        assert!(warning.contains(word), "{text}: {warning}");
    }
    for text in ["www.acme.com", "*.acme.com", "api-*-prod.acme.com", "api-?.acme.com", "{a,b}.com", "+(a|b).acme.com"]
    {
        assert_eq!(pattern(text).warning(), None, "{text}");
    }
}

/// What a pattern is made of, for a reference that knows nothing of how patterns are read and matched.
#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Star,
    Any,
    Class(bool, &'static str),
    Group(char, Vec<Vec<Piece>>),
    Braces(Vec<Vec<Piece>>),
}

fn text_of(pieces: &[Piece]) -> String {
    let joined = |alternatives: &[Vec<Piece>], by| alternatives.iter().map(|p| text_of(p)).collect::<Vec<_>>().join(by);
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Star => "*".into(),
        Piece::Any => "?".into(),
        Piece::Class(negated, members) => format!("[{}{members}]", if *negated { "!" } else { "" }),
        Piece::Group(sign, alternatives) => format!("{sign}({})", joined(alternatives, "|")),
        Piece::Braces(alternatives) => format!("{{{}}}", joined(alternatives, ",")),
    };
    pieces.iter().map(text).collect()
}

/// Where a match that starts at one place may end: the definition, without regard to time.
fn ends(pieces: &[Piece], host: &[u8], start: usize) -> Vec<usize> {
    let Some((piece, rest)) = pieces.split_first() else { return vec![start] };
    let mut all: Vec<usize> =
        ends_of_one(piece, host, start).into_iter().flat_map(|end| ends(rest, host, end)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn ends_of_one(piece: &Piece, host: &[u8], start: usize) -> Vec<usize> {
    let next = host.get(start).copied();
    let one = |is_right: bool| if is_right { vec![start + 1] } else { vec![] };
    let any_of =
        |alternatives: &[Vec<Piece>], at| alternatives.iter().flat_map(|p| ends(p, host, at)).collect::<Vec<_>>();
    match piece {
        Piece::Text(text) if host[start..].starts_with(text.as_bytes()) => vec![start + text.len()],
        Piece::Text(_) => vec![],
        Piece::Star => (start..=host.len()).collect(),
        Piece::Any => one(next.is_some()),
        Piece::Class(negated, members) => one(next.is_some_and(|byte| members.contains(char::from(byte)) != *negated)),
        Piece::Braces(alternatives) | Piece::Group('@', alternatives) => any_of(alternatives, start),
        Piece::Group(sign, alternatives) => {
            let mut reached = any_of(alternatives, start);
            let mut seen = 0;
            while *sign != '?' && seen < reached.len() {
                let more = any_of(alternatives, reached[seen]);
                let new: Vec<usize> = more.into_iter().filter(|end| !reached.contains(end)).collect();
                reached.extend(new);
                seen += 1;
            }
            if *sign != '+' {
                reached.push(start);
            }
            reached
        }
    }
}

fn simple_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ab", "-a", ".a", ".b"]).prop_map(Piece::Text),
        2 => Just(Piece::Star),
        1 => Just(Piece::Any),
        1 => (any::<bool>(), prop::sample::select(vec!["a", "ab", "b.", "b-"])).prop_map(|(n, m)| Piece::Class(n, m)),
    ]
}

fn group(inside: impl Strategy<Value = Piece>) -> impl Strategy<Value = Piece> {
    let alternatives = prop::collection::vec(prop::collection::vec(inside, 0..3), 1..4);
    (prop::sample::select(vec!['@', '?', '+', '*']), alternatives).prop_map(|(sign, all)| Piece::Group(sign, all))
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let shallow = prop_oneof![3 => simple_piece(), 1 => group(simple_piece())].boxed();
    let deep = prop_oneof![3 => shallow.clone(), 1 => group(shallow)].boxed();
    let alternatives = prop::collection::vec(prop::collection::vec(deep.clone(), 0..3), 2..4);
    let braces = alternatives.prop_map(Piece::Braces).boxed();
    let nested =
        prop::collection::vec(prop::collection::vec(prop_oneof![3 => deep.clone(), 1 => braces.clone()], 0..3), 2..3);
    let nested = nested.prop_map(Piece::Braces);
    prop::collection::vec(prop_oneof![6 => deep, 1 => braces, 1 => nested], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_fast_way_agrees_with_the_definition(
        pieces in pieces(),
        names in prop::collection::vec("[ab]([ab.-]{0,9}[ab])?", 1..12),
    ) {
        let text = text_of(&pieces);
        if let Ok(pattern) = HostPattern::parse(&text) {
            for name in names.iter().filter_map(|name| HostName::parse(name).ok()) {
                let expected = ends(&pieces, name.as_str().as_bytes(), 0).contains(&name.as_str().len());
                prop_assert_eq!(pattern.matches(&name), expected, "{} {}", text, name);
            }
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[ab1.,:!#@+*?|(){}\\[\\]\\\\^ü-]{0,40}", name in "[a-c1.-]{1,20}") {
        if let Ok(pattern) = HostPattern::parse(&text) {
            let _ = pattern.warning();
            if let Ok(host) = HostName::parse(&name) {
                let _ = pattern.matches(&host);
            }
        }
    }

    #[test]
    fn any_text_is_a_host_name_or_refused(text in "\\PC{0,40}") {
        if let Ok(host) = HostName::parse(&text) {
            prop_assert_eq!(HostName::parse(host.as_str()), Ok(host.clone()));
            prop_assert!(pattern(host.as_str()).matches(&host));
        }
        let _ = HostPattern::parse(&text);
    }
}
