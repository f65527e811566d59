//! Files that commands read and write. Every failure names the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::CliError;

/// More than any file that a person means to send.
const LARGEST_INPUT: u64 = 1024 * 1024;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Mode 0600, whatever the umask.
    Private,
    /// As the umask says.
    Public,
}

/// Reads a text file, or stdin for `-`.
pub fn read_text(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(LARGEST_INPUT + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST_INPUT + 1).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 > LARGEST_INPUT => {
            Err(CliError::failure(format_args!("{} is larger than 1 MiB", path.display())))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Reads a file that may hold secrets as it is, or stdin for `-`.
pub fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let most = usize::try_from(LARGEST_INPUT).unwrap_or_default() + 1;
    // As large as it can get from the start: growing would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(most + 1));
    let read = if path == Path::new("-") {
        io::stdin().take(LARGEST_INPUT + 1).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST_INPUT + 1).read_to_end(&mut content))
    };
    match read {
        Ok(length) if length >= most => Err(CliError::failure(format_args!("{} is larger than 1 MiB", path.display()))),
        Ok(_) => Ok(content),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Reads a password: the first line, without its end.
pub fn read_password(path: &Path) -> Result<SecretString, CliError> {
    read_first_line(path, "password")
}

/// Reads the first line, without its end, of a file that holds one secret; `what` it is, for the message.
pub fn read_first_line(path: &Path, what: &str) -> Result<SecretString, CliError> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed("read", path, &error))?);
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line)),
        _ => Err(CliError::failure(format_args!("{} holds no {what}: its first line is empty", path.display()))),
    }
}

/// Writes a file that must not be there yet, durably.
pub fn create(path: &Path, content: &[u8], access: Access) -> Result<(), CliError> {
    write_new(path, content, access).map_err(|error| failed("create", path, &error))
}

/// Writes a file so that whoever reads it finds the old content or the new, never a part: nginx may reload meanwhile.
pub fn replace(path: &Path, content: &[u8], access: Access) -> Result<(), CliError> {
    let beside = beside(path);
    let written = write_new(&beside, content, access).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed("write", path, &error)
    })
}

fn write_new(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A name in the same folder, so that renaming stays within one file system.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", Uuid::now_v7().simple()))
}

pub fn failed(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::failure(format_args!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_files_are_for_their_owner_only_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        create(&path, b"one", Access::Private).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = create(&path, b"two", Access::Private).unwrap_err();
        assert!(error.message().unwrap().contains("a.key"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn replacing_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crl.pem");
        replace(&path, b"one", Access::Public).unwrap();
        replace(&path, b"two", Access::Public).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none/x"), b"", Access::Public).is_err());
    }

    #[test]
    fn a_password_is_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "pass word\r\nsecond\n").unwrap();
        assert_eq!(read_password(&path).unwrap().expose_secret(), "pass word");
        fs::write(&path, "\n").unwrap();
        assert!(read_password(&path).is_err());
    }

    #[test]
    fn an_endless_input_is_refused() {
        assert!(read_text(Path::new("/dev/zero")).is_err());
        assert!(read_bytes(Path::new("/dev/zero")).is_err());
    }
}
