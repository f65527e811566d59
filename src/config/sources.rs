//! Where values come from: flags over environment over file. Nothing is interpreted here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::problems::Problem;
use super::settings::{self, SETTINGS, Setting};

const DEFAULT_FILE: &str = "countersign.toml";

/// The environment variables of ours. An argument everywhere, so that tests are exact.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn of_process() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("COUNTERSIGN_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self(ours.collect())
    }

    /// An empty value counts as none: compose files and unit files often pass variables on without one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Variables that look like ours but name no setting: probably mistyped.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let is_known = |name: &str| SETTINGS.iter().any(|setting| setting.variable() == name);
        // Kubernetes tells every container about a service named countersign, in variables of these names.
        let is_of_kubernetes =
            |name: &str| name.starts_with("COUNTERSIGN_SERVICE_") || name.starts_with("COUNTERSIGN_PORT");
        self.0.keys().map(String::as_str).filter(move |name| !is_known(name) && !is_of_kubernetes(name))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

/// What was given on the command line: setting keys and their values, and `config`.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    pub fn set(&mut self, key: &'static str, value: String) {
        self.0.insert(key, value);
    }
}

impl<const N: usize> From<[(&'static str, &str); N]> for Flags {
    fn from(pairs: [(&'static str, &str); N]) -> Self {
        Self(pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect())
    }
}

/// One value and where it stood.
pub struct Value {
    pub text: String,
    pub origin: Origin,
}

pub enum Origin {
    Flag(String),
    Variable(String),
    File {
        path: PathBuf,
        line: usize,
    },
    /// The whole of a file that another setting named.
    Contents(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => formatter.write_str(name),
            Self::File { path, line } => write!(formatter, "{}, line {line}", path.display()),
            Self::Contents(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Every given value of every setting, the strongest source's only.
pub type Values = BTreeMap<&'static str, Value>;

/// Collects the values; a relative path of the file is taken from `folder`.
pub fn collect(flags: &Flags, environment: &Environment, folder: &Path) -> (Values, Vec<Problem>) {
    let (mut values, problems) = match file(flags, environment, folder) {
        Ok(None) => (Values::new(), Vec::new()),
        Ok(Some((path, text))) => parse(&path, &text),
        Err(problem) => (Values::new(), vec![problem]),
    };
    for setting in SETTINGS.iter().filter(|setting| setting.is_loaded()) {
        if let Some(value) = given(setting, flags, environment) {
            values.insert(setting.key, value);
        }
    }
    (values, problems)
}

fn given(setting: &Setting, flags: &Flags, environment: &Environment) -> Option<Value> {
    if let Some(text) = flags.0.get(setting.key) {
        let origin = Origin::Flag(setting.flag.unwrap_or_default().to_owned());
        return Some(Value { text: text.clone(), origin });
    }
    let variable = setting.variable();
    let text = environment.get(&variable)?.to_owned();
    Some(Value { text, origin: Origin::Variable(variable) })
}

/// The file that was named, which must be there, or the default one, which need not.
fn file(flags: &Flags, environment: &Environment, folder: &Path) -> Result<Option<(PathBuf, String)>, Problem> {
    let named = flags.0.get("config").map(String::as_str).or_else(|| environment.get("COUNTERSIGN_CONFIG"));
    let path = folder.join(named.unwrap_or(DEFAULT_FILE));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(Problem::new(settings::names("config"), format!("cannot read {}: {error}", path.display()))),
    }
}

fn parse(path: &Path, text: &str) -> (Values, Vec<Problem>) {
    let mut values = Values::new();
    let mut problems = Vec::new();
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, &span));
            problems.push(Problem::new(format!("{}, line {line}", path.display()), error.message().to_owned()));
            return (values, problems);
        }
    };
    for (key, value) in document.get_ref() {
        let line = line_of(text, &key.span());
        let origin = Origin::File { path: path.to_owned(), line };
        match read(key.get_ref(), value.get_ref()) {
            Ok((key, text)) => {
                values.insert(key, Value { text, origin });
            }
            Err(message) => problems.push(Problem::new(origin.to_string(), message)),
        }
    }
    (values, problems)
}

fn read(key: &str, value: &DeValue<'_>) -> Result<(&'static str, String), String> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key && setting.is_loaded()) else {
        return Err(unknown_key(key));
    };
    match value {
        DeValue::String(text) => Ok((setting.key, text.clone().into_owned())),
        DeValue::Boolean(switch) => Ok((setting.key, switch.to_string())),
        _ => Err(format!("{key} must be a text in quotes, or true or false")),
    }
}

fn unknown_key(key: &str) -> String {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
        return format!("{key} cannot stand in the file; set {} instead", setting.variable());
    }
    let known: Vec<&str> = SETTINGS.iter().filter(|setting| setting.is_loaded()).map(|setting| setting.key).collect();
    format!("{key:?} is no setting; the settings are {}", known.join(", "))
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    1 + before.matches('\n').count()
}
