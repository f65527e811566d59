//! Configuration: flags over environment over `countersign.toml` over defaults, read once and checked as a whole.
//!
//! All problems are reported at once, each by the names of its setting. What the values mean for the running server
//! (whether a file can be read, a key opened) is not checked here but where it is used, and by `countersign doctor`. Only
//! files that hold the text of a setting are read here, because that text is checked like any other.
//! Logging is not configured here, because it must work while this fails: see [`crate::telemetry`].

mod local;
mod postgres_address;
mod problems;
mod settings;
mod sources;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::egress::EgressPolicy;
use crate::domain::key::AuthorityKeyType;

pub use local::{LocalServer, local_url};
pub use problems::{Problem, Problems};
pub use settings::{Kind, SETTINGS, Setting, table};
pub use sources::{Environment, Flags};
pub use values::{database_url, duration};

use settings::{FROM_FILES, names};
use sources::{Origin, Value, Values};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8080));
/// The file in the data folder that holds the first token.
pub const TOKEN_FILE: &str = "admin.token";

const DEFAULT_DATA_DIR: &str = "data";
const DEFAULT_CRL_VALIDITY: Duration = Duration::from_secs(7 * 86_400);
pub const DEFAULT_CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_OCSP_VALIDITY: Duration = Duration::from_secs(5 * 60);
/// Used when no other is named and it is there, which it is in a checkout and in the container.
const DEFAULT_PROFILES_DIR: &str = "ca/profiles";

/// A checked configuration of the server. Printing it (`Debug`) shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Serve HTTPS with these; without them the address is loopback or a proxy stands in front.
    pub tls: Option<TlsFiles>,
    pub behind_proxy: bool,
    /// From a second to ten minutes.
    pub client_timeout: Duration,
    /// From nothing to ten minutes.
    pub drain: Duration,
    pub database: DatabaseUrl,
    pub data_dir: PathBuf,
    /// Without a slash at the end. `None`: to be derived from the address that the server really listens on.
    pub public_url: Option<String>,
    pub master_key: MasterKeySource,
    /// The value of the token that the first start makes; has the form of a token.
    pub bootstrap_token: Option<SecretString>,
    /// As it was set; [`Config::profiles_folder`] applies the default.
    pub profiles_dir: Option<PathBuf>,
    pub blocked_keys_file: Option<PathBuf>,
    /// Which addresses outgoing calls may reach beside public ones.
    pub egress_allow: EgressPolicy,
    /// From 10 seconds to 365 days.
    pub crl_validity: Duration,
    /// From a minute to a day.
    pub ocsp_validity: Duration,
    pub root_key_type: AuthorityKeyType,
    pub issuing_key_type: AuthorityKeyType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    /// As libpq reads it. It may hold a password.
    Postgres(SecretString),
}

#[derive(Clone, Debug)]
pub enum MasterKeySource {
    File(PathBuf),
    Value(SecretString),
}

impl Config {
    /// Reads and checks everything. Relative paths of the configuration file are taken from `folder`, the working folder.
    pub fn load(flags: &Flags, environment: &Environment, folder: &Path) -> Result<Self, Problems> {
        let (values, problems) = sources::collect(flags, environment, folder);
        let mut reader = Reader { values, problems };
        let config = reader.config();
        if reader.problems.is_empty() { Ok(config) } else { Err(Problems(reader.problems)) }
    }

    /// The folder to read profiles from; `None` means the embedded ones.
    pub fn profiles_folder(&self) -> Option<PathBuf> {
        let standard = || Some(PathBuf::from(DEFAULT_PROFILES_DIR)).filter(|folder| folder.is_dir());
        self.profiles_dir.clone().or_else(standard)
    }
}

/// Turns texts into values, keeping every problem on the way.
struct Reader {
    values: Values,
    problems: Vec<Problem>,
}

impl Reader {
    fn config(&mut self) -> Config {
        self.read_files();
        let data_dir = self.or("data_dir", values::path, || PathBuf::from(DEFAULT_DATA_DIR));
        let listen = self.or("listen", values::listen, || DEFAULT_LISTEN);
        let behind_proxy = self.or("behind_proxy", values::switch, || false);
        let tls = self.tls();
        self.check_exposure(listen, behind_proxy);
        Config {
            listen,
            tls,
            behind_proxy,
            client_timeout: self.or("client_timeout", values::client_timeout, || DEFAULT_CLIENT_TIMEOUT),
            drain: self.or("drain", values::drain, || Duration::ZERO),
            database: self
                .or("database_url", values::database_url, || DatabaseUrl::Sqlite(data_dir.join("countersign.db"))),
            public_url: self.optional("public_url", values::public_url),
            master_key: self.master_key(&data_dir),
            bootstrap_token: self.optional("bootstrap_token", values::bootstrap_token),
            profiles_dir: self.optional("profiles_dir", values::path),
            blocked_keys_file: self.optional("blocked_keys_file", values::path),
            egress_allow: self.or("egress_allow", EgressPolicy::parse, EgressPolicy::default),
            ocsp_validity: self.or("ocsp_validity", values::ocsp_validity, || DEFAULT_OCSP_VALIDITY),
            crl_validity: self.or("crl_validity", values::crl_validity, || DEFAULT_CRL_VALIDITY),
            root_key_type: self.or("root_key_type", values::key_type, || AuthorityKeyType::P384),
            issuing_key_type: self.or("issuing_key_type", values::key_type, || AuthorityKeyType::P256),
            data_dir,
        }
    }

    /// Puts the texts that stand in files of their own in the place of their settings.
    fn read_files(&mut self) {
        for (key, file_key) in FROM_FILES {
            let Some(path) = self.optional(file_key, values::path) else { continue };
            if self.is_set(key) {
                self.report(key, &format!("it is set, and so is {}: keep one", names(file_key)));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let value = Value { text: text.trim().to_owned(), origin: Origin::Contents(path) };
                    self.values.insert(key, value);
                }
                Err(error) => self.report(file_key, &format!("cannot read {}: {error}", path.display())),
            }
        }
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let certificate = self.optional("tls_cert", values::path);
        let key = self.optional("tls_key", values::path);
        match (self.is_set("tls_cert"), self.is_set("tls_key")) {
            (true, false) => self.report("tls_key", "it is missing, and tls_cert is set: TLS needs both"),
            (false, true) => self.report("tls_cert", "it is missing, and tls_key is set: TLS needs both"),
            _ => {}
        }
        Some(TlsFiles { certificate: certificate?, key: key? })
    }

    /// Tokens must not travel in clear over a network.
    fn check_exposure(&mut self, listen: SocketAddr, behind_proxy: bool) {
        let speaks_tls = self.is_set("tls_cert") || self.is_set("tls_key");
        if listen.ip().is_loopback() || speaks_tls || behind_proxy {
            return;
        }
        let way_out = format!(
            "{listen} is not a loopback address, and tokens would travel over it in clear; \
             set tls_cert and tls_key (COUNTERSIGN_TLS_CERT, COUNTERSIGN_TLS_KEY), \
             or behind_proxy (COUNTERSIGN_BEHIND_PROXY=true) if a proxy in front of it speaks TLS"
        );
        self.report("listen", &way_out);
    }

    fn master_key(&mut self, data_dir: &Path) -> MasterKeySource {
        let file = self.optional("master_key_file", values::path);
        let value = self.optional("master_key", values::secret);
        if file.is_some() && value.is_some() {
            self.report("master_key", "it is set, and so is master_key_file (COUNTERSIGN_MASTER_KEY_FILE): keep one");
        }
        match value {
            Some(value) => MasterKeySource::Value(value),
            None => MasterKeySource::File(file.unwrap_or_else(|| data_dir.join("master.key"))),
        }
    }

    fn or<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>, default: impl FnOnce() -> T) -> T {
        self.optional(key, parse).unwrap_or_else(default)
    }

    fn optional<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.values.get(key)?;
        match parse(&value.text) {
            Ok(parsed) => Some(parsed),
            Err(message) => {
                let message = format!("{message} (it stands in {})", value.origin);
                self.report(key, &message);
                None
            }
        }
    }

    fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn report(&mut self, key: &str, message: &str) {
        self.problems.push(Problem::new(names(key), message));
    }
}

#[cfg(test)]
mod tests;
