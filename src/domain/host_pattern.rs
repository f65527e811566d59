//! Patterns of host names, which say to which hosts an identity is presented. The language is that of minimatch, which
//! such services use: `*` for any run of characters, dots included, `?`, classes, braces and extended globs.
//!
//! What differs from minimatch 11 on purpose: letters match in any case, one dot at the end counts for nothing on
//! either side, and names beyond ASCII are compared in their A-label form. Negation and comments are refused: `!x` would
//! present an identity to every other host. So is what no host name has, such as a scheme or a port.
//!
//! A pattern comes from a stranger and is matched for every request, so nothing here goes back over the host: the work is
//! bounded by the length of the pattern times that of the host, and braces are bounded before they are expanded.

mod braces;
mod character_class;
mod glob;
mod host_name;
mod matcher;
mod symbols;
mod warning;

#[cfg(test)]
mod tests;

use std::fmt;

use self::glob::Item;
pub use self::host_name::HostName;
use self::matcher::Matcher;

/// The longest pattern, in bytes. The longest host name has 253 characters.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// What one pattern may cost, in [`HostPattern::cost`].
pub const MAX_PATTERN_COST: usize = 4096;

/// A pattern of host names, compiled.
#[derive(Clone)]
pub struct HostPattern {
    text: String,
    is_full_host_name: bool,
    matchers: Vec<Matcher>,
}

impl HostPattern {
    /// Reads a pattern; blanks around it do not count. The error says to its sender what was wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        refuse_what_is_no_pattern(text)?;
        let is_full_host_name = is_full_host_name(text);
        let matchers = compile(text, is_full_host_name)?;
        let cost: usize = matchers.iter().map(Matcher::cost).sum();
        if cost > MAX_PATTERN_COST {
            return Err(format!(
                "{text:?} stands for so many alternatives that it has {cost} steps, and a pattern may have {MAX_PATTERN_COST}; \
                 write it as several simpler ones"
            ));
        }
        Ok(Self { text: text.to_owned(), is_full_host_name, matchers })
    }

    /// As it was sent, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names one host, and so beats every pattern: it has none of `* ? [ ] { } ! ( ) \` (wire contract,
    /// section 8), or is an IPv6 address in brackets.
    pub fn is_full_host_name(&self) -> bool {
        self.is_full_host_name
    }

    pub fn matches(&self, host: &HostName) -> bool {
        self.matchers.iter().any(|matcher| matcher.matches(host.as_str()))
    }

    /// How many steps it takes at most for each character of a host: 1 for a name, more for each alternative.
    pub fn cost(&self) -> usize {
        self.matchers.iter().map(Matcher::cost).sum()
    }

    /// What its owner should know: that it matches hosts of strangers, such as `*acme.com`, or no host at all.
    pub fn warning(&self) -> Option<String> {
        if self.is_full_host_name {
            return None;
        }
        warning::warning(self, &read(&self.text).ok()?)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HostPattern({:?})", self.text)
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for HostPattern {}

fn is_full_host_name(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '!', '(', ')', '\\']) || host_name::address(text).is_some()
}

/// Names alone, and a star before a name, are nearly all patterns there are: they take a short way.
fn compile(text: &str, is_full_host_name: bool) -> Result<Vec<Matcher>, String> {
    if is_full_host_name {
        return Ok(vec![Matcher::Exact(HostName::parse(text)?.into())]);
    }
    if let Some(end) = text.strip_prefix('*').filter(|end| end.bytes().all(host_name::is_name_byte)) {
        let end = end.strip_suffix('.').unwrap_or(end);
        return Ok(vec![Matcher::End(end.to_ascii_lowercase())]);
    }
    Ok(read(text)?.into_iter().filter_map(Matcher::new).collect())
}

fn refuse_what_is_no_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(
            "a host pattern is missing: give a host name such as www.acme.com, or a pattern such as *.acme.com".into(),
        );
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(format!("a host pattern has at most {MAX_PATTERN_BYTES} bytes, and this one has {}", text.len()));
    }
    host_name::refuse_secrets(text)?;
    if text.starts_with('#') {
        return Err(format!("{text:?} is a comment and matches no host; leave out the #"));
    }
    if text.starts_with('!') {
        return Err(negation(text));
    }
    host_name::refuse_parts_of_a_url(text)?;
    let foreign = |character: &char| character.is_ascii() && !is_pattern_character(*character);
    match text.chars().find(foreign) {
        Some(character) => Err(format!("{text:?} has a {character:?}, which no host name and no pattern has")),
        None => Ok(()),
    }
}

fn negation(text: &str) -> String {
    format!("{text:?} negates, and would match nearly every host; name the hosts that are meant")
}

fn is_pattern_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._*?[]{}()|,!^:+@\\".contains(character)
}

/// The alternatives of a pattern, one of which must match: what its braces expand to.
fn read(text: &str) -> Result<Vec<Vec<Item>>, String> {
    let alternatives = braces::expand(symbols::read(text)).map_err(|why| format!("{text:?} {why}"))?;
    let items = |symbols| glob::read(symbols::to_a_labels(symbols)?);
    alternatives.into_iter().map(|symbols| items(symbols).map_err(|why| why.describe(text))).collect()
}
