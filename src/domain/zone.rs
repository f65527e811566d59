//! Zones: namespaces of certificates.

use chrono::{DateTime, Utc};

use super::account::Account;
use super::id::ZoneId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub id: ZoneId,
    pub account: Account,
    pub name: String,
    pub created_on: DateTime<Utc>,
}

/// Checks and folds a zone's name: letters are lower-cased; 1 to 253 of `a-z 0-9 . - _`, starting and ending with a
/// letter or digit. The error says so.
pub fn normalise_name(name: &str) -> Result<String, String> {
    let folded = name.trim().to_ascii_lowercase();
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = folded.as_bytes();
    if bytes.len() > 253 || !edge(bytes.first()) || !edge(bytes.last()) || !bytes.iter().copied().all(inner) {
        return Err("name must be 1 to 253 letters, digits, dots, hyphens or underscores, and start and end with a letter or digit".into());
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::normalise_name;

    #[test]
    fn names_are_folded_and_bounded() {
        assert_eq!(normalise_name(" Example.COM ").unwrap(), "example.com");
        assert_eq!(normalise_name("a").unwrap(), "a");
        for wrong in ["", "-a", "a-", "a b", "ä", "a/b", &"a".repeat(254)] {
            assert!(normalise_name(wrong).is_err(), "{wrong}");
        }
    }
}
