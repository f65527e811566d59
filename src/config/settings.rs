//! The one table of settings: the loader, the flags of `serve --help` and README's table are all made from it.

/// One setting, with its names everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in `countersign.toml`; flag and variable are the same word in their own spelling.
    pub key: &'static str,
    /// The flag with its dashes, where there is one.
    pub flag: Option<&'static str>,
    pub kind: Kind,
    /// The default, in words for people.
    pub default: &'static str,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// Has no flag, because every user of a machine can read the flags of its processes.
    Secret,
    /// Not of the server's configuration: read elsewhere, and never from the file.
    Elsewhere,
}

const fn setting(
    key: &'static str,
    flag: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { key, flag, kind, default, meaning }
}

pub const SETTINGS: [Setting; 29] = [
    setting(
        "config",
        Some("--config"),
        Kind::Elsewhere,
        "`countersign.toml`, if it is there",
        "the configuration file",
    ),
    setting("listen", Some("--listen"), Kind::Text, "`127.0.0.1:8080`", "address and port to listen on"),
    setting(
        "tls_cert",
        Some("--tls-cert"),
        Kind::Text,
        "",
        "PEM file with the server's certificate chain; makes the server speak HTTPS",
    ),
    setting("tls_key", Some("--tls-key"), Kind::Text, "", "PEM file with the private key of `tls_cert`"),
    setting(
        "behind_proxy",
        Some("--behind-proxy"),
        Kind::Switch,
        "`false`",
        "allows plain HTTP on other addresses than loopback, because a proxy in front of it speaks TLS; the console's cookies then go over TLS only",
    ),
    setting(
        "client_timeout",
        Some("--client-timeout"),
        Kind::Text,
        "`30s`",
        "how long a client may let the server wait, for a request or for taking an answer, from `1s` to `10m`",
    ),
    setting(
        "drain",
        Some("--drain"),
        Kind::Text,
        "`0s`",
        "how long a server told to stop goes on serving while `/readyz` answers 503, so that proxies leave it first",
    ),
    setting(
        "data_dir",
        Some("--data-dir"),
        Kind::Text,
        "`data`",
        "folder of the database, `master.key` and `admin.token`",
    ),
    setting(
        "database_url",
        Some("--database-url"),
        Kind::Text,
        "`sqlite:DATA_DIR/countersign.db`",
        "the database: `sqlite:PATH`, or `postgres://USER@HOST/DATABASE`, which any number of replicas share",
    ),
    setting(
        "database_url_file",
        Some("--database-url-file"),
        Kind::Text,
        "",
        "file that holds `database_url`, for one with a password",
    ),
    setting(
        "public_url",
        Some("--public-url"),
        Kind::Text,
        "from the listen address",
        "the address under which relying parties reach this server; it stands in every certificate (CRL, OCSP, CA certificate)",
    ),
    setting(
        "master_key_file",
        Some("--master-key-file"),
        Kind::Text,
        "`DATA_DIR/master.key`",
        "file with the key that seals all private keys; the default one is made at the first start",
    ),
    setting("master_key", None, Kind::Secret, "", "the master key itself, instead of a file"),
    setting(
        "bootstrap_token",
        None,
        Kind::Secret,
        "a random one",
        "the first token, 40 to 80 characters of `0-9 A-Z a-z _ -`; used at the first start only",
    ),
    setting(
        "bootstrap_token_file",
        Some("--bootstrap-token-file"),
        Kind::Text,
        "",
        "file that holds `bootstrap_token`",
    ),
    setting(
        "profiles_dir",
        Some("--profiles-dir"),
        Kind::Text,
        "`ca/profiles` if it is there, else the built-in ones",
        "folder of the profiles, by which certificates are issued",
    ),
    setting(
        "blocked_keys_file",
        Some("--blocked-keys-file"),
        Kind::Text,
        "",
        "file of refused public keys: one SHA-256 of an SPKI a line, in hex",
    ),
    setting(
        "egress_allow",
        Some("--egress-allow"),
        Kind::Text,
        "",
        "addresses and networks that checks and webhooks may call although they are not public, such as `10.1.0.0/16, 127.0.0.1`",
    ),
    setting(
        "crl_validity",
        Some("--crl-validity"),
        Kind::Text,
        "`7d`",
        "how long a CRL is valid, from `10s` to `365d`; it is signed anew at half of it",
    ),
    setting(
        "ocsp_validity",
        Some("--ocsp-validity"),
        Kind::Text,
        "`5m`",
        "how long an OCSP answer is valid, from `60s` to `24h`; a remembered one is signed anew at half of it",
    ),
    setting(
        "root_key_type",
        Some("--root-key-type"),
        Kind::Text,
        "`p384`",
        "key of new root authorities: `p256`, `p384`, `rsa2048`, `rsa3072`, `rsa4096` or `ed25519`",
    ),
    setting(
        "issuing_key_type",
        Some("--issuing-key-type"),
        Kind::Text,
        "`p256`",
        "key of new issuing authorities; the same words",
    ),
    setting(
        "log",
        None,
        Kind::Elsewhere,
        "`info`",
        "what is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,countersign=debug`",
    ),
    setting(
        "log_format",
        None,
        Kind::Elsewhere,
        "`pretty` on a terminal, else `json`",
        "how it is logged: `pretty` or `json`",
    ),
    setting("url", Some("--url"), Kind::Elsewhere, "the local server's", "commands: the server to talk to"),
    setting("token", Some("--token"), Kind::Elsewhere, "from `DATA_DIR/admin.token`", "commands: the API token"),
    setting("zone", Some("--zone"), Kind::Elsewhere, "`default`", "commands: the zone, by name or id"),
    setting(
        "ca_file",
        Some("--ca-file"),
        Kind::Elsewhere,
        "",
        "commands: PEM file with the CA that signed the server's TLS certificate, instead of those that the system knows",
    ),
    setting(
        "passphrase",
        None,
        Kind::Elsewhere,
        "asked for on a terminal",
        "commands: the passphrase of the key or the PKCS#12 file of an identity, or of the key that revokes its own certificate",
    ),
];

impl Setting {
    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("COUNTERSIGN_{}", self.key.to_ascii_uppercase())
    }

    /// Whether the loader reads it, from the file too.
    pub fn is_loaded(&self) -> bool {
        self.kind != Kind::Elsewhere
    }

    /// All its names, for messages: `listen (--listen, COUNTERSIGN_LISTEN)`.
    pub fn names(&self) -> String {
        match self.flag {
            Some(flag) => format!("{} ({flag}, {})", self.key, self.variable()),
            None => format!("{} ({})", self.key, self.variable()),
        }
    }
}

/// Settings whose text may stand in a file of its own, which the second names: secrets that a container or a service
/// manager hands over as files.
pub const FROM_FILES: [(&str, &str); 2] =
    [("database_url", "database_url_file"), ("bootstrap_token", "bootstrap_token_file")];

/// The names of the setting with this key.
pub fn names(key: &str) -> String {
    SETTINGS.iter().find(|setting| setting.key == key).map_or_else(|| key.to_owned(), Setting::names)
}

/// The table for README, in Markdown.
pub fn table() -> String {
    let rows = SETTINGS.iter().map(|setting| {
        let flag = setting.flag.map_or_else(String::new, |flag| format!("`{flag}`"));
        let key = if setting.is_loaded() { format!("`{}`", setting.key) } else { String::new() };
        format!("| `{}` | {flag} | {key} | {} | {} |\n", setting.variable(), setting.default, setting.meaning)
    });
    let head = "| variable | flag | key in the file | default | what |\n|---|---|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = std::fs::read_to_string(path).unwrap_or_default();
        let table = table();
        let missing: Vec<&str> = table.lines().filter(|row| !readme.contains(row)).collect();
        assert!(missing.is_empty(), "README.md lacks these rows of the configuration table:\n{}", missing.join("\n"));
    }

    #[test]
    fn names_are_unique_and_secrets_have_no_flag() {
        let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SETTINGS.len());
        for setting in SETTINGS {
            assert_eq!(setting.kind == Kind::Secret, setting.flag.is_none() && setting.is_loaded(), "{}", setting.key);
            let flag = format!("--{}", setting.key.replace('_', "-"));
            assert!(setting.flag.is_none_or(|given| given == flag), "{}", setting.key);
        }
    }

    #[test]
    fn a_setting_is_named_by_all_its_names() {
        assert_eq!(names("data_dir"), "data_dir (--data-dir, COUNTERSIGN_DATA_DIR)");
        assert_eq!(names("master_key"), "master_key (COUNTERSIGN_MASTER_KEY)");
    }
}
