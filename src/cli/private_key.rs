//! Private keys that stay here: read from a file in every form that the server reads too, used, and forgotten.

use std::path::Path;

use secrecy::SecretString;

use super::error::CliError;
use super::{Context, files, terminal};
use crate::domain::violation::Violation;
use crate::keys::private_key::PrivateKey;
use crate::keys::upload;

/// Where the passphrase is taken from when no file is named.
const PASSPHRASE_VARIABLE: &str = "COUNTERSIGN_PASSPHRASE";

/// Reads the private key in a PEM file. A passphrase is asked for only if there is need of one.
pub fn read(path: &Path, passphrase_file: Option<&Path>, context: &Context) -> Result<PrivateKey, CliError> {
    let content = files::read_bytes(path)?;
    let text = std::str::from_utf8(&content).map_err(|_| {
        CliError::failure(format_args!(
            "{} is no PEM; openssl pkey -inform DER makes it of a key in DER",
            path.display()
        ))
    })?;
    let refused = |faults: Vec<Violation>| {
        let faults: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
        CliError::failure(format_args!("{}: {}", path.display(), faults.join("; ")))
    };
    let is_locked = |faults: &[Violation]| faults.iter().any(|fault| fault.pointer == upload::PASSPHRASE);
    match upload::read_private_key(text, None) {
        Err(faults) if is_locked(&faults) => {
            let passphrase = passphrase_file.map_or_else(|| passphrase(context), files::read_password)?;
            upload::read_private_key(text, Some(&passphrase)).map_err(refused)
        }
        read => read.map_err(refused),
    }
}

/// The passphrase of a key, from the environment or from whoever sits there.
pub fn passphrase(context: &Context) -> Result<SecretString, CliError> {
    if let Some(passphrase) = context.environment.get(PASSPHRASE_VARIABLE) {
        return Ok(SecretString::from(passphrase));
    }
    if terminal::is_attended() {
        return terminal::ask_secret("passphrase:");
    }
    Err(CliError::failure(format_args!(
        "the key is encrypted: give its passphrase with --passphrase-file FILE or {PASSPHRASE_VARIABLE}"
    )))
}
