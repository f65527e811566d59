//! The files that issuing with a local key leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::cli::files::{self, Access};

/// Longer names are cut: file systems stop at 255 bytes, and the endings need their share.
const LONGEST_NAME: usize = 100;

pub struct Artifacts {
    pub key: PathBuf,
    /// The leaf.
    pub certificate: PathBuf,
    /// The leaf, its issuing authority and the root.
    pub chain: PathBuf,
    pub pkcs12: Option<PathBuf>,
}

impl Artifacts {
    pub fn plan(common_name: Option<&str>, prefix: Option<&Path>, pkcs12: Option<&Path>) -> Self {
        let prefix = prefix.map_or_else(|| PathBuf::from(file_name(common_name.unwrap_or_default())), Path::to_owned);
        Self {
            key: with_ending(&prefix, ".key"),
            certificate: with_ending(&prefix, ".pem"),
            chain: with_ending(&prefix, ".chain.pem"),
            pkcs12: pkcs12.map(Path::to_owned),
        }
    }

    /// Before anything is made: nothing is overwritten without being told.
    pub fn check_free(&self, force: bool) -> Result<(), CliError> {
        let all = [Some(&self.key), Some(&self.certificate), Some(&self.chain), self.pkcs12.as_ref()];
        let taken: Vec<String> =
            all.into_iter().flatten().filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
        if force || taken.is_empty() {
            return Ok(());
        }
        Err(CliError::failure(format_args!(
            "{} {} there already; choose another prefix with --out, or add --force to overwrite",
            taken.join(", "),
            if taken.len() == 1 { "is" } else { "are" }
        )))
    }

    /// Where the key is until its certificate has come.
    pub fn pending_key(&self, force: bool) -> PathBuf {
        if force { with_ending(&self.key, ".new") } else { self.key.clone() }
    }

    pub fn write_key(&self, pem: &str, force: bool) -> Result<(), CliError> {
        let path = self.pending_key(force);
        if force {
            // Left over from a run that was broken off; whoever forces means to overwrite.
            let _ = fs::remove_file(&path);
        }
        files::create(&path, pem.as_bytes(), Access::Private)
    }

    /// Best effort: a key without a certificate is worth nothing to anyone.
    pub fn remove_key(&self, force: bool) {
        let _ = fs::remove_file(self.pending_key(force));
    }

    /// Writes the certificate and puts the key into its final place.
    pub fn write_certificate(&self, pem: &[u8], force: bool) -> Result<(), CliError> {
        files::replace(&self.certificate, pem, Access::Public)?;
        let pending = self.pending_key(force);
        if pending == self.key {
            return Ok(());
        }
        fs::rename(&pending, &self.key).map_err(|error| files::failed("write", &self.key, &error))
    }

    pub fn write_chain(&self, pem: &str) -> Result<(), CliError> {
        files::replace(&self.chain, pem.as_bytes(), Access::Public)
    }

    pub fn write_private(&self, path: &Path, content: &[u8]) -> Result<(), CliError> {
        files::replace(path, content, Access::Private)
    }
}

/// Appends, because the prefix may have dots of its own.
fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

/// A common name as a file name that no shell, file system or option parser stumbles over.
pub fn file_name(common_name: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || matches!(character, '.' | '-' | '_' | '@');
    let plain: String =
        common_name.trim().chars().map(|character| if is_plain(character) { character } else { '_' }).collect();
    let mut name = plain.trim_start_matches(['.', '-']).to_owned();
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    if name.is_empty() { "client".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_become_harmless_file_names() {
        for (name, expected) in [
            ("device-0001", "device-0001"),
            ("ada@example.com", "ada@example.com"),
            ("Ada Lovelace", "Ada_Lovelace"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("-rf", "rf"),
            (".bashrc", "bashrc"),
            ("a\u{202e}b\n\0", "a_b__"),
            ("Müller", "Müller"),
            ("", "client"),
            ("...", "client"),
        ] {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
        assert_eq!(file_name(&"ü".repeat(90)).len(), 100);
    }

    #[test]
    fn files_share_the_prefix_even_with_dots() {
        let artifacts = Artifacts::plan(Some("x"), Some(Path::new("out/device.v1")), None);
        assert_eq!(artifacts.key, Path::new("out/device.v1.key"));
        assert_eq!(artifacts.chain, Path::new("out/device.v1.chain.pem"));
        assert_eq!(Artifacts::plan(Some("a b"), None, None).certificate, Path::new("a_b.pem"));
    }

    #[test]
    fn nothing_is_overwritten_without_force_and_a_refusal_keeps_the_old_key() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::plan(None, Some(&folder.path().join("d")), None);
        artifacts.check_free(false).unwrap();
        artifacts.write_key("old", false).unwrap();
        assert!(artifacts.check_free(false).unwrap_err().message().unwrap().contains("d.key is there already"));

        artifacts.check_free(true).unwrap();
        artifacts.write_key("refused", true).unwrap();
        artifacts.remove_key(true);
        assert_eq!(fs::read_to_string(&artifacts.key).unwrap(), "old");

        artifacts.write_key("new", true).unwrap();
        artifacts.write_certificate(b"certificate", true).unwrap();
        assert_eq!(fs::read_to_string(&artifacts.key).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
