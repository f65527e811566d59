//! The file that `crl sync` keeps: replaced whole or not at all, never by an older answer, with the mode and the owner it
//! had.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::contents::Contents;
use crate::cli::error::CliError;
use crate::cli::files::failed;
use crate::cli::output;

/// The longest answer that is taken, in octets: some ten million revoked certificates.
const LONGEST: u64 = 512 * 1024 * 1024;
const UNFINISHED: &str = ".unfinished";

pub struct KeptFile {
    path: PathBuf,
    folder: PathBuf,
    name: String,
    contents: Contents,
    /// What the file was when it was last seen, so that it is noticed when somebody else changes it.
    seen: Option<Seen>,
}

/// A newer content, until it is complete. Dropped before that, it leaves nothing.
pub struct Unfinished {
    file: File,
    path: PathBuf,
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl KeptFile {
    /// Looks at what is there. A file that holds something else than CRLs is not ours to replace.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        // What a link leads to is replaced, not the link.
        let path = if path.exists() {
            fs::canonicalize(path).map_err(|error| failed("find", path, &error))?
        } else {
            path.to_owned()
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| CliError::usage(format_args!("{} names no file", path.display())))?;
        let contents = match File::open(&path) {
            Ok(file) => Contents::read(BufReader::new(file)).and_then(|contents| {
                let is_blank = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
                if contents.is_empty() && !is_blank { Err("there is no CRL in it".into()) } else { Ok(contents) }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contents::default()),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let contents = contents.map_err(|why| {
            CliError::failure(format_args!(
                "{} is not replaced, because it is no file of CRLs ({why}); remove it, or name another",
                path.display()
            ))
        })?;
        let kept = Self { seen: Seen::of(&path), path, folder, name, contents };
        kept.clean_up();
        Ok(kept)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Whether nobody else has touched it since.
    pub fn is_as_it_was_left(&self) -> bool {
        self.seen.is_some() && self.seen == Seen::of(&self.path)
    }

    /// A file in the same folder, so that renaming stays within one file system.
    pub fn begin(&self) -> io::Result<Unfinished> {
        let path = self.folder.join(format!(".{}.{}{UNFINISHED}", self.name, Uuid::now_v7().simple()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Unfinished { file, path, length: 0 })
    }

    /// Takes the new content if it is good. Whether the file has changed by it.
    pub fn take(&mut self, mut new: Unfinished, first_only: bool, is_told: bool) -> Result<bool, String> {
        let unwritten = |error: io::Error| format!("{} cannot be written: {error}", self.path.display());
        let reader = File::open(&new.path).map_err(unwritten)?;
        let mut contents = Contents::read(BufReader::new(reader))?;
        if contents.is_empty() {
            return Err("there is no CRL in it".into());
        }
        if first_only {
            contents = contents.first_only();
            let end = contents.crls().first().map_or(0, |crl| crl.end);
            new.file.set_len(end).map_err(unwritten)?;
        }
        if let Some(older) = contents.is_older_than(&self.contents) {
            return Err(older);
        }
        let is_changed = !has_same_content(&new.path, &self.path);
        if is_changed {
            if is_told {
                self.owe_telling().map_err(unwritten)?;
            }
            self.replace_by(&mut new).map_err(unwritten)?;
        }
        self.contents = contents;
        self.seen = Seen::of(&self.path);
        Ok(is_changed)
    }

    fn replace_by(&self, new: &mut Unfinished) -> io::Result<()> {
        let mode = match fs::metadata(&self.path) {
            Ok(before) => {
                let owner = (before.uid(), before.gid());
                let own = new.file.metadata().map(|own| (own.uid(), own.gid()))?;
                // Only root gives files away; for others it stays their own.
                if owner != own && chown(&new.path, Some(owner.0), Some(owner.1)).is_err() {
                    output::note(format_args!("warning: {} gets another owner than it had", self.path.display()));
                }
                before.mode() & 0o777
            }
            Err(_) => 0o644,
        };
        new.file.set_permissions(Permissions::from_mode(mode))?;
        new.file.sync_all()?;
        fs::rename(&new.path, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Whether the command has not succeeded since the file changed, also before a restart: the servers have an old one.
    pub fn owes_telling(&self) -> bool {
        self.debt().exists()
    }

    fn owe_telling(&self) -> io::Result<()> {
        File::create(self.debt())?.sync_all()
    }

    pub fn told(&self) -> io::Result<()> {
        match fs::remove_file(self.debt()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn debt(&self) -> PathBuf {
        self.folder.join(format!(".{}.untold", self.name))
    }

    /// Removes what a killed process left.
    fn clean_up(&self) {
        let prefix = format!(".{}.", self.name);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix) && name.ends_with(UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Unfinished {
    pub fn write(&mut self, piece: &[u8]) -> Result<(), String> {
        self.length += piece.len() as u64;
        if self.length > LONGEST {
            return Err(format!("it is longer than {} MiB", LONGEST / 1024 / 1024));
        }
        self.file.write_all(piece).map_err(|error| format!("{} cannot be written: {error}", self.path.display()))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed, it is not there any more.
        let _ = fs::remove_file(&self.path);
    }
}

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

fn has_same_content(one: &Path, other: &Path) -> bool {
    let compare = || -> io::Result<bool> {
        if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
            return Ok(false);
        }
        let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
        loop {
            let (left, right) = (one.fill_buf()?, other.fill_buf()?);
            let length = left.len().min(right.len());
            if length == 0 || left.get(..length) != right.get(..length) {
                return Ok(left.is_empty() && right.is_empty());
            }
            one.consume(length);
            other.consume(length);
        }
    };
    compare().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_to_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let long = vec![7; 20_000];
        for (left, right, expected) in
            [(&long[..], &long[..], true), (&long[..19_999], &long[..], false), (b"", b"", true), (b"a", b"b", false)]
        {
            fs::write(&one, left).unwrap();
            fs::write(&other, right).unwrap();
            assert_eq!(has_same_content(&one, &other), expected);
        }
        assert!(!has_same_content(&one, &folder.path().join("none")));
    }

    #[test]
    fn what_is_no_file_of_crls_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nginx.conf");
        fs::write(&path, "events {}\n").unwrap();
        let refused = KeptFile::open(&path).err().unwrap();
        assert!(refused.message().unwrap().contains("is not replaced"), "{refused:?}");
        fs::write(&path, "").unwrap();
        assert!(KeptFile::open(&path).is_ok());
    }

    #[test]
    fn an_answer_that_is_none_leaves_the_file_and_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crl.pem");
        fs::write(folder.path().join(".crl.pem.0.unfinished"), "left by a killed one").unwrap();
        let mut kept = KeptFile::open(&path).unwrap();
        for answer in ["", "<html></html>\n", "-----BEGIN X509 CRL-----\nMAA="] {
            let mut new = kept.begin().unwrap();
            new.write(answer.as_bytes()).unwrap();
            assert!(kept.take(new, false, true).is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!kept.owes_telling());
    }
}
