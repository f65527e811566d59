//! The profiles in force: from a folder, or the two that are built in.
//!
//! A folder is followed: the worker looks at it twice a second, so that every process that sees it is current within a
//! second. All of it is taken, or nothing: a fault in one file leaves the former profiles in force, and is told in the log
//! and by `countersign_profiles_faulty`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::domain::profile::{self, Profile};

use super::{Service, StartError};

const EMBEDDED: [(&str, &str); 2] = [
    ("client", include_str!("../../ca/profiles/client.toml")),
    ("short-lived", include_str!("../../ca/profiles/short-lived.toml")),
];

type ByName = BTreeMap<String, Arc<Profile>>;

pub(super) struct Profiles {
    folder: Option<PathBuf>,
    in_force: RwLock<Arc<ByName>>,
    /// What the folder looked like when it was last read.
    seen: Mutex<Vec<Look>>,
}

/// What tells a changed file without reading it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    path: PathBuf,
    length: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified_at: (i64, i64),
    changed_at: (i64, i64),
}

impl Profiles {
    /// Reads every `*.toml` of the folder; without one, the embedded profiles. One profile must be called `client`.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, StartError> {
        // Before reading: what changes while it is read is read again.
        let seen = folder.map(look).transpose().map_err(StartError::Profile)?.unwrap_or_default();
        let in_force = read(folder).map_err(StartError::Profile)?;
        metrics::gauge!("countersign_profiles_faulty").set(0.0);
        let (in_force, seen) = (RwLock::new(Arc::new(in_force)), Mutex::new(seen));
        Ok(Self { folder: folder.map(Path::to_owned), in_force, seen })
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Profile>> {
        self.in_force().get(name).cloned()
    }

    /// All of them, for whoever named none of them.
    pub(super) fn described(&self) -> String {
        let in_force = self.in_force();
        let described = in_force.values().map(|profile| format!("{} ({})", profile.name, profile.description));
        described.collect::<Vec<_>>().join(", ")
    }

    fn in_force(&self) -> Arc<ByName> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what has changed in the folder. Each change is judged once.
    fn refresh(&self) {
        let Some(folder) = &self.folder else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that cannot be looked at looks like an empty one.
        let (now, unreadable) = look(folder).map_or_else(|fault| (Vec::new(), Some(fault)), |now| (now, None));
        if now == *seen {
            return;
        }
        *seen = now;
        match unreadable.map_or_else(|| read(Some(folder)), Err) {
            Ok(profiles) => {
                let names = profiles.keys().cloned().collect::<Vec<_>>().join(", ");
                *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(profiles);
                metrics::gauge!("countersign_profiles_faulty").set(0.0);
                tracing::info!(folder = %folder.display(), profiles = names, "the profiles have changed and are in force");
            }
            Err(fault) => {
                metrics::gauge!("countersign_profiles_faulty").set(1.0);
                tracing::error!(%fault, "the profiles have changed and hold a fault; the former ones stay in force");
            }
        }
    }
}

impl Service {
    /// Whether what was issued under a profile can be put on hold; what was issued under one that is gone can.
    pub fn allows_hold(&self, profile: &str) -> bool {
        self.profiles.find(profile).is_none_or(|profile| profile.allow_hold)
    }

    /// The profiles in force, by name.
    pub fn known_profiles(&self) -> Vec<Arc<Profile>> {
        self.profiles.in_force().values().cloned().collect()
    }

    /// Takes over profiles whose files have changed.
    pub async fn refresh_profiles(self: &Arc<Self>) {
        let service = Arc::clone(self);
        // Fails when the process stops.
        let _ = tokio::task::spawn_blocking(move || service.profiles.refresh()).await;
    }
}

/// What is wrong with a folder of profiles; for `countersign doctor`.
pub fn fault_in(folder: &Path) -> Option<String> {
    read(Some(folder)).err()
}

/// The text names file, line and key.
fn read(folder: Option<&Path>) -> Result<ByName, String> {
    let profiles = match folder {
        Some(folder) => read_folder(folder)?,
        None => EMBEDDED
            .iter()
            .map(|(name, text)| Profile::parse(name, &format!("ca/profiles/{name}.toml"), text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?,
    };
    let by_name: ByName = profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect();
    if !by_name.contains_key(profile::DEFAULT) {
        let folder = folder.map(|folder| folder.display().to_string()).unwrap_or_default();
        return Err(format!("{folder} holds no {0}.toml: requests that name no profile need one", profile::DEFAULT));
    }
    Ok(by_name)
}

fn read_folder(folder: &Path) -> Result<Vec<Profile>, String> {
    let mut profiles = Vec::new();
    for path in files(folder)? {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let profile = Profile::parse(name, &path.display().to_string(), &text);
        profiles.push(profile.map_err(|error| error.to_string())?);
    }
    Ok(profiles)
}

/// Follows links, as those are by which Kubernetes swaps a mounted folder.
fn look(folder: &Path) -> Result<Vec<Look>, String> {
    let mut looks = Vec::new();
    for path in files(folder)? {
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        looks.push(Look {
            length: metadata.len(),
            inode: metadata.ino(),
            modified_at: (metadata.mtime(), metadata.mtime_nsec()),
            changed_at: (metadata.ctime(), metadata.ctime_nsec()),
            path,
        });
    }
    looks.sort_unstable();
    Ok(looks)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> String {
        EMBEDDED[0].1.to_owned() + text
    }

    #[test]
    fn a_changed_folder_is_taken_over_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("client.toml", &client(""));
        let profiles = Profiles::load(Some(folder.path())).unwrap();
        assert!(profiles.find("other").is_none());

        write("other.toml", &client("\nmisspelt = 1\n"));
        write("third.toml", &client(""));
        profiles.refresh();
        assert!(profiles.find("third").is_none(), "a fault beside it keeps it out");
        let fault = fault_in(folder.path()).unwrap();
        assert!(fault.contains("other.toml") && fault.contains("misspelt"), "{fault}");

        write("other.toml", &client(""));
        profiles.refresh();
        assert!(profiles.find("other").is_some() && profiles.find("third").is_some());

        fs::remove_file(folder.path().join("client.toml")).unwrap();
        profiles.refresh();
        assert!(profiles.find("client").is_some(), "requests that name no profile need one");
        fs::remove_dir_all(folder.path()).unwrap();
        profiles.refresh();
        assert!(profiles.find("third").is_some());
    }
}
