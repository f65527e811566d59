//! Keys the operator refuses, from a file: one SHA-256 of a SubjectPublicKeyInfo in hex on each line.
//!
//! The account's own list (compromised keys) is in the store and asked in the transaction that issues.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::StartError;

#[derive(Default)]
pub(super) struct BlockedKeys(HashSet<[u8; 32]>);

impl BlockedKeys {
    /// Reads the file; blank lines and lines that start with `#` are passed over.
    pub(super) fn load(path: &Path) -> Result<Self, StartError> {
        let text = fs::read_to_string(path)
            .map_err(|error| StartError::BlockedKeys(format!("{} cannot be read: {error}", path.display())))?;
        Self::parse(&text).map_err(|line| {
            StartError::BlockedKeys(format!(
                "{}, line {line}: expected the SHA-256 of a SubjectPublicKeyInfo as 64 hex digits",
                path.display()
            ))
        })
    }

    pub(super) fn contain(&self, spki_sha256: &[u8; 32]) -> bool {
        self.0.contains(spki_sha256)
    }

    /// The error is the number of the line that is wrong.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut keys = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut key = [0; 32];
            hex::decode_to_slice(line, &mut key).map_err(|_| index + 1)?;
            keys.insert(key);
        }
        Ok(Self(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::BlockedKeys;

    #[test]
    fn a_wrong_line_is_named() {
        let good = format!("# weak\n\n{}\n", "ab".repeat(32));
        assert!(BlockedKeys::parse(&good).is_ok_and(|keys| keys.contain(&[0xab; 32])));
        assert_eq!(BlockedKeys::parse(&format!("{good}abc\n")).err(), Some(4));
    }
}
