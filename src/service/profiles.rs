//! The profiles in force, read once at the start: from a folder, or the two that are built in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::domain::profile::{self, Profile};

use super::StartError;

const EMBEDDED: [(&str, &str); 2] = [
    ("client", include_str!("../../ca/profiles/client.toml")),
    ("short-lived", include_str!("../../ca/profiles/short-lived.toml")),
];

pub(super) struct Profiles(BTreeMap<String, Arc<Profile>>);

impl Profiles {
    /// Reads every `*.toml` of the folder; without one, the embedded profiles. One profile must be called `client`.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, StartError> {
        let profiles = match folder {
            Some(folder) => read_folder(folder)?,
            None => EMBEDDED
                .iter()
                .map(|(name, text)| Profile::parse(name, &format!("ca/profiles/{name}.toml"), text))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| StartError::Profile(error.to_string()))?,
        };
        let by_name: BTreeMap<_, _> =
            profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect();
        if !by_name.contains_key(profile::DEFAULT) {
            let folder = folder.map(|folder| folder.display().to_string()).unwrap_or_default();
            return Err(StartError::Profile(format!(
                "{folder} holds no {0}.toml: requests that name no profile need one",
                profile::DEFAULT
            )));
        }
        Ok(Self(by_name))
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Profile>> {
        self.0.get(name).cloned()
    }

    /// All of them, for whoever named none of them.
    pub(super) fn described(&self) -> String {
        let described = self.0.values().map(|profile| format!("{} ({})", profile.name, profile.description));
        described.collect::<Vec<_>>().join(", ")
    }
}

fn read_folder(folder: &Path) -> Result<Vec<Profile>, StartError> {
    let unreadable =
        |path: &Path, error: std::io::Error| StartError::Profile(format!("{} cannot be read: {error}", path.display()));
    let mut profiles = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let profile = Profile::parse(name, &path.display().to_string(), &text);
        profiles.push(profile.map_err(|error| StartError::Profile(error.to_string()))?);
    }
    Ok(profiles)
}
