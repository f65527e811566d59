//! Host names in the one form in which they are compared.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name in characters of its A-label form (RFC 1035, 2.3.4, without the length bytes).
const MAX_LENGTH: usize = 253;
/// The longest label (RFC 1035, 2.3.4).
const MAX_LABEL_LENGTH: usize = 63;
/// The longest text that is looked at: names beyond ASCII shrink or grow on the way to their A-labels.
const MAX_TEXT_BYTES: usize = 1024;

/// A host name as patterns are matched against: lower case, without a dot at the end, in A-labels; or an IP address in its
/// canonical text (RFC 5952 for IPv6), without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// Reads a host name or an IP address, IPv6 with or without brackets. Names are taken as they are met in the field:
    /// underscores and hyphens may stand anywhere.
    pub fn parse(text: &str) -> Result<Self, String> {
        refuse_secrets(text)?;
        if text.is_empty() {
            return Err("a host name is missing".into());
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(too_long());
        }
        if let Some(address) = address(text) {
            return Ok(Self(address.to_string()));
        }
        refuse_what_is_no_name(text)?;
        let name = to_ascii(text).ok_or_else(|| format!("{text:?} is not a valid internationalised host name"))?;
        let name = name.strip_suffix('.').unwrap_or(&name);
        check_labels(text, name)?;
        Ok(Self(name.to_owned()))
    }

    /// The host of an address; `None` when it has none.
    pub fn of_url(url: &str) -> Option<Self> {
        Self::parse(url::Url::parse(url).ok()?.host_str()?).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

/// The address, if the text is one. Only the usual forms are: what some libraries take for `127.0.0.1`, such as `0177.1`,
/// would be compared as something else than what is connected to.
pub fn address(text: &str) -> Option<IpAddr> {
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    // Most names do not end in a digit: they are spared the attempt.
    if !text.ends_with(|last: char| last.is_ascii_digit() || last == '.') {
        return None;
    }
    text.strip_suffix('.').unwrap_or(text).parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// What people paste who have a URL at hand, for host names and patterns alike.
pub fn refuse_parts_of_a_url(text: &str) -> Result<(), String> {
    // Before all else, and without the text: a password may stand there. `@(` starts an extended glob.
    if text.split('@').skip(1).any(|after| !after.starts_with('(')) {
        return Err("there is an @, before which user information stands; give the host name alone".into());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!(
            "{text:?} has a scheme; leave out {:?} and give the host name alone",
            format!("{scheme}://")
        ));
    }
    if text.contains('/') {
        return Err(format!("{text:?} has a path; give the host name alone"));
    }
    if text.contains(char::is_whitespace) {
        return Err(format!("{text:?} has white space inside; give one host name"));
    }
    Ok(())
}

/// Bytes of a host name that is no IPv6 address, in any case.
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// A key that was pasted into the wrong field is not quoted back, nor written to a log: what begins like PEM, or has a run
/// of letters of both cases that is longer than any label.
pub fn refuse_secrets(text: &str) -> Result<(), String> {
    let is_base64 = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=');
    let is_key = |run: &str| {
        run.len() > MAX_LABEL_LENGTH
            && run.bytes().any(|byte| byte.is_ascii_uppercase())
            && run.bytes().any(|byte| byte.is_ascii_lowercase())
    };
    if text.contains("-----") || text.split(|character| !is_base64(character)).any(is_key) {
        return Err("this is no host name but looks like a key, which belongs into another field".into());
    }
    Ok(())
}

/// Lower case and A-labels, by the rules with which browsers and HTTP clients read URLs (UTS #46).
pub fn to_ascii(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if lower.is_ascii() && !lower.contains("xn--") {
        return Some(lower);
    }
    match url::Host::parse(&lower) {
        Ok(url::Host::Domain(name)) if name.bytes().all(is_name_byte) => Some(name),
        _ => None,
    }
}

fn refuse_what_is_no_name(text: &str) -> Result<(), String> {
    refuse_parts_of_a_url(text)?;
    if has_port(text) {
        return Err(format!("{text:?} has a port; give the host name alone"));
    }
    let Some(character) = text.chars().find(|c| c.is_ascii() && !is_name_byte(*c as u8)) else { return Ok(()) };
    Err(match character {
        '?' => format!("{text:?} has a ?; a host name has neither a query nor a wildcard"),
        '#' => format!("{text:?} has a fragment; give the host name alone"),
        ':' | '[' | ']' if text.contains(':') => format!("{text:?} is neither a host name nor an IPv6 address"),
        '*' | '[' | ']' | '{' | '}' | '(' | ')' | '!' => {
            format!("{text:?} is a pattern; a host name without wildcards is needed")
        }
        ',' => format!("{text:?} has a comma; give one host name"),
        other => format!("{text:?} has a {other:?}, which no host name has"),
    })
}

/// `name:443`, and `[address]:443`.
fn has_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = !host.contains(':') || address(host).is_some();
    is_host && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_labels(text: &str, name: &str) -> Result<(), String> {
    if name.len() > MAX_LENGTH {
        return Err(too_long());
    }
    let below = text.trim_start_matches('.');
    if text.starts_with('.') && !below.is_empty() {
        return Err(format!("{text:?} starts with a dot; for the hosts below {below} the pattern is *.{below}"));
    }
    if name.split('.').any(str::is_empty) {
        return Err(format!("{text:?} has nothing between two dots; a host name is labels with one dot between them"));
    }
    if name.split('.').any(|label| label.len() > MAX_LABEL_LENGTH) {
        return Err(format!("{text:?} has a label of more than {MAX_LABEL_LENGTH} characters"));
    }
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err(format!("{text:?} ends in a number and is no IPv4 address, which has four: 192.0.2.1"));
    }
    Ok(())
}

/// A last label for which URL parsers try to read the whole as an IPv4 address.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

fn too_long() -> String {
    format!("a host name has at most {MAX_LENGTH} characters, counted in its A-label form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_have_one_form() {
        for (text, expected) in [
            ("www.acme.com", "www.acme.com"),
            ("WWW.Acme.COM.", "www.acme.com"),
            ("localhost", "localhost"),
            ("_srv._tcp.acme.com", "_srv._tcp.acme.com"),
            ("a--b-.acme.com", "a--b-.acme.com"),
            ("München.de", "xn--mnchen-3ya.de"),
            ("XN--MNCHEN-3YA.DE", "xn--mnchen-3ya.de"),
            ("例。example", "xn--fsq.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1.", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(HostName::parse(text).as_ref().map(HostName::as_str), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused_and_told_why() {
        for (text, word) in [
            ("", "missing"),
            ("https://acme.com", "scheme"),
            ("acme.com:8443", "port"),
            ("[::1]:8443", "port"),
            ("acme.com/x", "path"),
            ("acme.com?x=1", "query"),
            ("acme.com#x", "fragment"),
            ("me@acme.com", "user information"),
            (" acme.com", "white space"),
            ("acme .com", "white space"),
            ("*.acme.com", "pattern"),
            ("{a,b}.acme.com", "pattern"),
            ("[ab].acme.com", "pattern"),
            ("a.com,b.com", "comma"),
            ("acme%2ecom", "'%'"),
            ("acme\0.com", "'\\0'"),
            (".acme.com", "*.acme.com"),
            ("a..b", "between two dots"),
            (".", "between two dots"),
            ("..", "between two dots"),
            ("1.2.3", "IPv4"),
            ("0177.0.0.1", "IPv4"),
            ("0x7f.1", "IPv4"),
            ("acme.0xff", "IPv4"),
            ("[1.2.3.4]", "pattern"),
            ("[::1", "IPv6"),
            ("fe80::1%eth0", "IPv6"),
            ("1::2::3", "IPv6"),
            ("xn--a.de", "internationalised"),
            ("＊.de", "internationalised"),
            ("\u{ad}", "internationalised"),
        ] {
            let told = HostName::parse(text).unwrap_err();
            assert!(told.contains(word), "{text}: {told}");
        }
        for key in ["-----BEGIN PRIVATE KEY-----", &format!("{}aB", "x".repeat(62))] {
            assert!(!HostName::parse(key).unwrap_err().contains(key), "{key}");
        }
        let label = "a".repeat(64);
        assert!(HostName::parse(&label).unwrap_err().contains("63"));
        for long in ["a.".repeat(128), "ü".repeat(2000), "a".repeat(1 << 20)] {
            assert!(HostName::parse(&long).unwrap_err().contains("253"));
        }
        assert!(HostName::parse(&format!("{}a", "a.".repeat(126))).is_ok());
    }
}
