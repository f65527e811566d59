//! Which stored identity is presented to a host: the rules of the wire contract, 4.2.

use std::cmp::Reverse;
use std::fmt;

use super::host_pattern::{HostName, HostPattern};

/// An identity that may be presented.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a, I> {
    pub id: I,
    pub patterns: &'a [HostPattern],
    /// The one that is presented where no pattern matches.
    pub is_primary: bool,
}

/// Why an identity is presented. The patterns are in the words in which they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The caller named it.
    Explicit,
    HostName {
        pattern: String,
    },
    HostPattern {
        pattern: String,
    },
    Primary,
}

impl Reason {
    /// One word, for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::HostName { .. } => "host_name",
            Self::HostPattern { .. } => "host_pattern",
            Self::Primary => "primary",
        }
    }

    /// The pattern that matched, if one decided.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::HostName { pattern } | Self::HostPattern { pattern } => Some(pattern),
            Self::Explicit | Self::Primary => None,
        }
    }
}

impl fmt::Display for Reason {
    /// For people: `its pattern *.acme.com matches the host`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit => formatter.write_str("it was asked for by its id"),
            Self::HostName { pattern } => write!(formatter, "it is for exactly this host, {pattern}"),
            Self::HostPattern { pattern } => write!(formatter, "its pattern {pattern} matches the host"),
            Self::Primary => formatter.write_str("it is the primary identity, for hosts that no other is for"),
        }
    }
}

/// The choice first, then the runners-up in the order in which they would follow; empty if none may be presented.
///
/// The candidates come oldest first. One with the full host name beats those with a pattern, inside a class the most
/// recently added wins, and the primary one comes last, unless it matches by itself.
pub fn rank<'a, I: 'a>(candidates: impl IntoIterator<Item = Candidate<'a, I>>, host: &HostName) -> Vec<(I, Reason)> {
    let mut ranked: Vec<(I, Reason)> = candidates
        .into_iter()
        .filter_map(|candidate| reason(&candidate, host).map(|reason| (candidate.id, reason)))
        .collect();
    ranked.reverse();
    // A stable sort: inside a class the newest stays first.
    ranked.sort_by_key(|(_, reason)| Reverse(strength(reason)));
    ranked
}

/// The strongest reason that one candidate has; among several patterns of a class the one that was given first.
fn reason<I>(candidate: &Candidate<'_, I>, host: &HostName) -> Option<Reason> {
    let matching = |full: bool| {
        let mut patterns = candidate.patterns.iter();
        patterns
            .find(|pattern| pattern.is_full_host_name() == full && pattern.matches(host))
            .map(|p| p.as_str().to_owned())
    };
    if let Some(pattern) = matching(true) {
        return Some(Reason::HostName { pattern });
    }
    if let Some(pattern) = matching(false) {
        return Some(Reason::HostPattern { pattern });
    }
    candidate.is_primary.then_some(Reason::Primary)
}

fn strength(reason: &Reason) -> u8 {
    match reason {
        Reason::Explicit => 3,
        Reason::HostName { .. } => 2,
        Reason::HostPattern { .. } => 1,
        Reason::Primary => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks identities 0, 1, 2, … with these patterns, the oldest first; the primary has a `+` in front.
    fn ranked(identities: &[&[&str]], host: &str) -> Vec<(usize, String)> {
        let parse = |text: &&str| HostPattern::parse(text).unwrap();
        let texts = |patterns: &[&str]| patterns.iter().filter(|text| **text != "+").map(parse).collect::<Vec<_>>();
        let patterns: Vec<_> = identities.iter().map(|patterns| texts(patterns)).collect();
        let candidates = patterns.iter().enumerate().map(|(id, own)| Candidate {
            id,
            patterns: own,
            is_primary: identities[id].contains(&"+"),
        });
        let host = HostName::parse(host).unwrap();
        let words =
            |reason: Reason| [reason.as_str(), reason.pattern().unwrap_or_default()].join(" ").trim().to_owned();
        rank(candidates, &host).into_iter().map(|(id, reason)| (id, words(reason))).collect()
    }

    #[test]
    fn the_full_host_name_beats_a_newer_pattern() {
        let identities: [&[&str]; 3] = [&["www.acme.com"], &["*.acme.com"], &["www.other.com"]];
        let expected = [(0, "host_name www.acme.com".to_owned()), (1, "host_pattern *.acme.com".to_owned())];
        assert_eq!(ranked(&identities, "www.acme.com"), expected);
        assert_eq!(ranked(&identities, "api.acme.com"), expected[1..]);
    }

    #[test]
    fn inside_a_class_the_most_recently_added_wins() {
        let names = ranked(&[&["a.com"], &["b.com"], &["A.com."]], "a.com");
        assert_eq!(names, [(2, "host_name A.com.".into()), (0, "host_name a.com".into())]);
        let patterns = ranked(&[&["*.a.com"], &["*"], &["w*.a.com"], &["x*"]], "www.a.com");
        assert_eq!(patterns.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1, 0]);
    }

    /// minimatch's own `hasMagic` would call this a full host name, and let it beat the exact one.
    #[test]
    fn braces_are_no_full_host_name() {
        let order = ranked(&[&["www.acme.com"], &["{www,api}.acme.com"]], "www.acme.com");
        assert_eq!(order.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_primary_is_the_last_resort_and_stands_once() {
        let identities: [&[&str]; 3] = [&["+", "db.acme.com"], &["*.acme.com"], &[]];
        let of = |host| ranked(&identities, host);
        assert_eq!(of("other.com"), [(0, "primary".into())]);
        assert_eq!(of("www.acme.com"), [(1, "host_pattern *.acme.com".into()), (0, "primary".into())]);
        assert_eq!(of("db.acme.com"), [(0, "host_name db.acme.com".into()), (1, "host_pattern *.acme.com".into())]);
    }

    #[test]
    fn without_a_match_and_a_primary_none_is_presented() {
        assert_eq!(ranked(&[&["a.com"], &[]], "b.com"), []);
        assert_eq!(ranked(&[], "b.com"), []);
    }

    #[test]
    fn an_identity_gives_its_strongest_reason() {
        let order = ranked(&[&["*", "*.acme.com", "www.acme.com"]], "www.acme.com");
        assert_eq!(order, [(0, "host_name www.acme.com".into())]);
        let order = ranked(&[&["*.acme.com", "*"]], "www.acme.com");
        assert_eq!(order, [(0, "host_pattern *.acme.com".into())]);
    }

    #[test]
    fn reasons_are_said_in_words() {
        let said = Reason::HostPattern { pattern: "*.acme.com".into() }.to_string();
        assert_eq!(said, "its pattern *.acme.com matches the host");
    }
}
