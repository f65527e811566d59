//! Subject alternative names of the four types that certificates of ours may carry (RFC 5280, 4.2.1.6).

use std::fmt;
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubjectAlternativeName {
    Dns(String),
    Email(String),
    Uri(String),
    Ip(IpAddr),
}

/// The type of a name, in the words of the API and of profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectAlternativeNameType {
    Dns,
    Email,
    Uri,
    Ip,
}

impl SubjectAlternativeNameType {
    pub const ALL: [Self; 4] = [Self::Dns, Self::Email, Self::Uri, Self::Ip];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Ip => "ip",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

impl SubjectAlternativeName {
    /// Reads a name of the given type strictly; the error says what would be right.
    pub fn parse(kind: SubjectAlternativeNameType, value: &str) -> Result<Self, String> {
        let name = match kind {
            SubjectAlternativeNameType::Dns => Self::Dns(value.to_owned()),
            SubjectAlternativeNameType::Email => Self::Email(value.to_owned()),
            SubjectAlternativeNameType::Uri => Self::Uri(value.to_owned()),
            SubjectAlternativeNameType::Ip => {
                Self::Ip(value.parse().map_err(|_| format!("{value:?} is not an IPv4 or IPv6 address"))?)
            }
        };
        name.check()?;
        Ok(name)
    }

    pub fn kind(&self) -> SubjectAlternativeNameType {
        match self {
            Self::Dns(_) => SubjectAlternativeNameType::Dns,
            Self::Email(_) => SubjectAlternativeNameType::Email,
            Self::Uri(_) => SubjectAlternativeNameType::Uri,
            Self::Ip(_) => SubjectAlternativeNameType::Ip,
        }
    }

    pub fn value(&self) -> String {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => text.clone(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// Checks the form that RFC 5280, 4.2.1.6 prescribes for the type.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Dns(name) => check_dns(name),
            Self::Email(address) => check_email(address),
            Self::Uri(uri) => check_uri(uri),
            Self::Ip(_) => Ok(()),
        }
    }
}

impl fmt::Display for SubjectAlternativeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind().as_str(), self.value())
    }
}

/// RFC 1034 preferred name syntax as RFC 5280 asks, with a leading `*.` and underscores let through.
fn check_dns(name: &str) -> Result<(), String> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.is_empty() || name.len() > 253 {
        return Err(format!("{name:?} is not a DNS name: it has 1 to 253 characters"));
    }
    let label_is_right = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(label_is_right) {
        return Err(format!("{name:?} is not a DNS name: labels are 1 to 63 letters, digits and inner hyphens"));
    }
    if host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("{name:?} is not a DNS name: it ends in a number, as IP addresses do"));
    }
    Ok(())
}

/// A Mailbox of RFC 5321, 4.1.2 with a dot-string local part.
fn check_email(address: &str) -> Result<(), String> {
    let wrong = || format!("{address:?} is not an e-mail address of the form local@domain");
    let (local, domain) = address.rsplit_once('@').ok_or_else(wrong)?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let local_is_right = local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    if !local_is_right || domain.starts_with("*.") || check_dns(domain).is_err() {
        return Err(wrong());
    }
    Ok(())
}

/// An absolute URI (RFC 3986): a scheme, then something, in printable ASCII.
fn check_uri(uri: &str) -> Result<(), String> {
    let wrong = |why: &str| format!("{uri:?} is not an absolute URI: {why}");
    if uri.len() > 2048 {
        return Err("a URI has at most 2048 characters".into());
    }
    let (scheme, rest) = uri.split_once(':').ok_or_else(|| wrong("a scheme is missing"))?;
    let scheme_is_right = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_is_right {
        return Err(wrong("the scheme is not one of RFC 3986"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    if rest.is_empty() || !rest.bytes().all(allowed) {
        return Err(wrong("it holds characters that must be percent-encoded"));
    }
    let escape_is_right =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !rest.split('%').skip(1).all(escape_is_right) {
        return Err(wrong("a % stands before two hex digits"));
    }
    match rest.strip_prefix("//") {
        Some(hierarchical) => check_authority(hierarchical).map_err(|why| wrong(&why)),
        None => Ok(()),
    }
}

/// RFC 5280: where there is an authority part, it has a host.
fn check_authority(hierarchical: &str) -> Result<(), String> {
    let authority = hierarchical.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("it has no host".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_its_own_form() {
        use SubjectAlternativeNameType::{Dns, Email, Ip, Uri};
        for (kind, value) in [
            (Dns, "device-1.example.com"),
            (Dns, "*.example.com"),
            (Dns, "localhost"),
            (Email, "first.last+tag@example.com"),
            (Uri, "spiffe://example.org/ns/default/sa/web"),
            (Uri, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            (Ip, "10.0.0.1"),
            (Ip, "2001:db8::1"),
        ] {
            assert!(SubjectAlternativeName::parse(kind, value).is_ok(), "{value}");
        }
    }

    #[test]
    fn foreign_forms_are_refused() {
        use SubjectAlternativeNameType::{Dns, Email, Ip, Uri};
        for (kind, value) in [
            (Dns, ""),
            (Dns, "a..b"),
            (Dns, "-a.example"),
            (Dns, "nul\0.example"),
            (Dns, "bücher.example"),
            (Dns, "a b"),
            (Email, "nobody"),
            (Email, "@example.com"),
            (Email, "a@b@c d"),
            (Email, "a..b@example.com"),
            (Uri, "no-scheme"),
            (Uri, "http://"),
            (Uri, "http:///path"),
            (Uri, "http://a b/"),
            (Uri, "http://a/%zz"),
            (Uri, "http://a/%2"),
            (Dns, "10.0.0.1"),
            (Dns, "example.123"),
            (Ip, "300.1.1.1"),
            (Ip, "10.0.0.0/8"),
        ] {
            assert!(SubjectAlternativeName::parse(kind, value).is_err(), "{value:?}");
        }
    }
}
