use super::*;

use secrecy::ExposeSecret;

const TOKEN: &str = "0123456789012345678901234567890123456789";

fn load<const N: usize>(environment: [(&str, &str); N]) -> Result<Config, Problems> {
    Config::load(&Flags::default(), &Environment::from(environment), Path::new("/nonexistent"))
}

fn problems<const N: usize>(environment: [(&str, &str); N]) -> String {
    load(environment).unwrap_err().to_string()
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let config = load([]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(matches!(config.database, DatabaseUrl::Sqlite(path) if path == Path::new("data/countersign.db")));
    assert!(matches!(config.master_key, MasterKeySource::File(path) if path == Path::new("data/master.key")));
    assert_eq!(config.crl_validity, Duration::from_secs(604_800));
    assert_eq!((config.root_key_type, config.issuing_key_type), (AuthorityKeyType::P384, AuthorityKeyType::P256));
    assert!(config.tls.is_none() && config.public_url.is_none() && config.bootstrap_token.is_none());
}

#[test]
fn flags_go_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = "data_dir = \"from-file\"\nlisten = \"127.0.0.1:1\"\ncrl_validity = \"1d\"\nbehind_proxy = true\n";
    std::fs::write(folder.path().join("countersign.toml"), file).unwrap();
    let environment = Environment::from([("COUNTERSIGN_LISTEN", "127.0.0.1:2"), ("COUNTERSIGN_CRL_VALIDITY", "2d")]);
    let flags = Flags::from([("crl_validity", "3d")]);
    let config = Config::load(&flags, &environment, folder.path()).unwrap();
    assert_eq!(config.data_dir, Path::new("from-file"));
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.crl_validity, Duration::from_secs(3 * 86_400));
    assert!(config.behind_proxy);
    assert_eq!(config.issuing_key_type, AuthorityKeyType::P256);
}

#[test]
fn the_data_folder_carries_the_database_and_the_master_key() {
    let config = load([("COUNTERSIGN_DATA_DIR", "/srv/cs")]).unwrap();
    assert!(matches!(config.database, DatabaseUrl::Sqlite(path) if path == Path::new("/srv/cs/countersign.db")));
    assert!(matches!(config.master_key, MasterKeySource::File(path) if path == Path::new("/srv/cs/master.key")));
}

#[test]
fn an_empty_variable_counts_as_none() {
    assert_eq!(load([("COUNTERSIGN_LISTEN", "")]).unwrap().listen, DEFAULT_LISTEN);
}

#[test]
fn all_problems_are_reported_at_once_by_all_their_names() {
    let message = problems([
        ("COUNTERSIGN_LISTEN", "everywhere"),
        ("COUNTERSIGN_DATABASE_URL", "mysql://db/countersign"),
        ("COUNTERSIGN_BOOTSTRAP_TOKEN", "hunter2"),
        ("COUNTERSIGN_CRL_VALIDITY", "soon"),
        ("COUNTERSIGN_ROOT_KEY_TYPE", "dsa"),
        ("COUNTERSIGN_TLS_KEY", "key.pem"),
    ]);
    for part in [
        "6 problems",
        "listen (--listen, COUNTERSIGN_LISTEN): \"everywhere\" is no address",
        "database_url (--database-url, COUNTERSIGN_DATABASE_URL): it does not begin with a known scheme",
        "bootstrap_token (COUNTERSIGN_BOOTSTRAP_TOKEN): a token has 40 to 80",
        "crl_validity (--crl-validity, COUNTERSIGN_CRL_VALIDITY): \"soon\" is no duration",
        "root_key_type (--root-key-type, COUNTERSIGN_ROOT_KEY_TYPE): \"dsa\" is no key type",
        "tls_cert (--tls-cert, COUNTERSIGN_TLS_CERT): it is missing, and tls_key is set",
    ] {
        assert!(message.contains(part), "{part}\n---\n{message}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_network_address_needs_tls_or_a_proxy() {
    let message = problems([("COUNTERSIGN_LISTEN", "0.0.0.0:8080")]);
    assert!(message.contains("COUNTERSIGN_TLS_CERT") && message.contains("COUNTERSIGN_BEHIND_PROXY"), "{message}");
    assert!(load([("COUNTERSIGN_LISTEN", "0.0.0.0:8080"), ("COUNTERSIGN_BEHIND_PROXY", "true")]).is_ok());
    assert!(load([("COUNTERSIGN_LISTEN", "[::1]:8080")]).is_ok());
    let tls = [("COUNTERSIGN_LISTEN", "0.0.0.0:8080"), ("COUNTERSIGN_TLS_CERT", "c"), ("COUNTERSIGN_TLS_KEY", "k")];
    assert_eq!(load(tls).unwrap().tls, Some(TlsFiles { certificate: "c".into(), key: "k".into() }));
}

#[test]
fn a_tls_certificate_needs_its_key() {
    let message = problems([("COUNTERSIGN_TLS_CERT", "c.pem")]);
    assert!(message.contains("tls_key (--tls-key, COUNTERSIGN_TLS_KEY): it is missing"), "{message}");
}

#[test]
fn the_master_key_comes_from_one_place() {
    let message = problems([("COUNTERSIGN_MASTER_KEY", "s3cret"), ("COUNTERSIGN_MASTER_KEY_FILE", "f")]);
    assert!(message.contains("keep one") && !message.contains("s3cret"), "{message}");
}

#[test]
fn secrets_may_stand_in_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (token, database) = (folder.path().join("token"), folder.path().join("database"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::write(&database, "sqlite:elsewhere.db\n").unwrap();
    let variables = [
        ("COUNTERSIGN_BOOTSTRAP_TOKEN_FILE", token.to_str().unwrap()),
        ("COUNTERSIGN_DATABASE_URL_FILE", database.to_str().unwrap()),
    ];
    let config = load(variables).unwrap();
    assert_eq!(config.bootstrap_token.unwrap().expose_secret(), TOKEN);
    assert!(matches!(config.database, DatabaseUrl::Sqlite(path) if path == Path::new("elsewhere.db")));

    std::fs::write(&token, "hunter2").unwrap();
    std::fs::remove_file(&database).unwrap();
    let message = problems(variables);
    let stands_in = format!(
        "a token has 40 to 80 characters of 0-9, A-Z, a-z, _ and -; `openssl rand -hex 32` makes one (it stands in {})",
        token.display()
    );
    assert!(message.contains(&stands_in) && !message.contains("hunter2"), "{message}");
    let cannot_read = format!("COUNTERSIGN_DATABASE_URL_FILE): cannot read {}", database.display());
    assert!(message.contains(&cannot_read), "{message}");
}

#[test]
fn a_secret_comes_from_one_place() {
    let message = problems([("COUNTERSIGN_BOOTSTRAP_TOKEN", TOKEN), ("COUNTERSIGN_BOOTSTRAP_TOKEN_FILE", "f")]);
    assert!(message.contains("COUNTERSIGN_BOOTSTRAP_TOKEN_FILE): keep one") && !message.contains(TOKEN), "{message}");
}

#[test]
fn faults_of_the_file_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(
        &path,
        "listen = \"127.0.0.1:1\"\nlissten = \"x\"\ncrl_validity = 7\ntoken = \"x\"\nlog = \"info\"\n",
    )
    .unwrap();
    let flags = Flags::from([("config", "other.toml")]);
    let message = Config::load(&flags, &Environment::default(), folder.path()).unwrap_err().to_string();
    for part in [
        "other.toml, line 2: \"lissten\" is no setting",
        "other.toml, line 3: crl_validity must be a text",
        "other.toml, line 4: token cannot stand in the file; set COUNTERSIGN_TOKEN",
        "other.toml, line 5: log cannot stand in the file; set COUNTERSIGN_LOG",
    ] {
        assert!(message.contains(part), "{part}\n---\n{message}");
    }
    std::fs::write(&path, "listen = \n").unwrap();
    let message = Config::load(&flags, &Environment::default(), folder.path()).unwrap_err().to_string();
    assert!(message.contains("other.toml, line 1"), "{message}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let message = problems([("COUNTERSIGN_CONFIG", "nowhere.toml")]);
    assert!(message.contains("config (--config, COUNTERSIGN_CONFIG): cannot read"), "{message}");
}

#[test]
fn secrets_are_not_printed() {
    let config = load([("COUNTERSIGN_BOOTSTRAP_TOKEN", TOKEN), ("COUNTERSIGN_MASTER_KEY", "s3cret")]).unwrap();
    let printed = format!("{config:?}");
    assert!(!printed.contains(TOKEN) && !printed.contains("s3cret"), "{printed}");
    assert_eq!(config.bootstrap_token.unwrap().expose_secret(), TOKEN);
}

#[test]
fn mistyped_variables_are_noticed() {
    let environment = Environment::from([
        ("COUNTERSIGN_LISTEN", "x"),
        ("COUNTERSIGN_LISTENS", "x"),
        ("COUNTERSIGN_SERVICE_HOST", "10.0.0.1"),
        ("COUNTERSIGN_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ]);
    assert_eq!(environment.unknown().collect::<Vec<_>>(), ["COUNTERSIGN_LISTENS"]);
}
