//! How the text of a setting becomes a value. Each error says what would be right, and none repeats a secret.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use crate::domain::key::AuthorityKeyType;
use crate::domain::token::has_token_form;

use super::{DatabaseUrl, postgres_address};

const SHORTEST_CRL_VALIDITY: Duration = Duration::from_secs(10);
const LONGEST_CRL_VALIDITY: Duration = Duration::from_secs(365 * 86_400);
const SHORTEST_OCSP_VALIDITY: Duration = Duration::from_secs(60);
const LONGEST_OCSP_VALIDITY: Duration = Duration::from_secs(86_400);

const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The units that durations are written with, the longest first, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("it is empty; write a path".into());
    }
    Ok(PathBuf::from(text))
}

pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

pub fn listen(text: &str) -> Result<SocketAddr, String> {
    // No other name is resolved: what a name means can change between a check and its use.
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric
        .parse()
        .map_err(|_| format!("{text:?} is no address; write ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080"))
}

/// The address without a slash at the end, so that paths can be joined to it.
pub fn public_url(text: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("{text:?} {why}; write an address such as https://ca.example.com");
    let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("is neither http nor https"));
    }
    if !matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) {
        return Err(wrong("has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password, and would put them into every certificate".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `sqlite:PATH` or `postgres://…`. Schemes are spelt out, so that a mistyped one never makes an empty database file.
pub fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        postgres_address::require_unambiguous(rest)?;
        let place = rest.split('?').next().unwrap_or_default();
        let name = place.split_once('/').map(|(_, name)| name).unwrap_or_default();
        if name.is_empty() {
            return Err("it names no database; write postgres://USER@HOST/DATABASE".into());
        }
        return Ok(DatabaseUrl::Postgres(SecretString::from(text)));
    }
    let Some(path) = text.strip_prefix("sqlite:") else {
        return Err("it does not begin with a known scheme; write sqlite:PATH or postgres://USER@HOST/DATABASE".into());
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        return Err("it names no file; write sqlite:PATH, such as sqlite:data/countersign.db".into());
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

pub fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text))
}

pub fn bootstrap_token(text: &str) -> Result<SecretString, String> {
    if !has_token_form(text) {
        return Err("a token has 40 to 80 characters of 0-9, A-Z, a-z, _ and -; \
                    `openssl rand -hex 32` makes one"
            .into());
    }
    Ok(SecretString::from(text))
}

pub fn key_type(text: &str) -> Result<AuthorityKeyType, String> {
    AuthorityKeyType::parse(text).ok_or_else(|| {
        let words: Vec<&str> = AuthorityKeyType::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("{text:?} is no key type; write one of {}", words.join(", "))
    })
}

pub fn crl_validity(text: &str) -> Result<Duration, String> {
    let validity = duration(text)?;
    if !(SHORTEST_CRL_VALIDITY..=LONGEST_CRL_VALIDITY).contains(&validity) {
        return Err(format!("{text:?} is out of range; write a duration from 10s to 365d"));
    }
    Ok(validity)
}

pub fn ocsp_validity(text: &str) -> Result<Duration, String> {
    let validity = duration(text)?;
    if !(SHORTEST_OCSP_VALIDITY..=LONGEST_OCSP_VALIDITY).contains(&validity) {
        return Err(format!("{text:?} is out of range; write a duration from 60s to 24h"));
    }
    Ok(validity)
}

pub fn client_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if !(Duration::from_secs(1)..=LONGEST_WAIT).contains(&timeout) {
        return Err(format!("{text:?} is out of range; write a duration from 1s to 10m"));
    }
    Ok(timeout)
}

pub fn drain(text: &str) -> Result<Duration, String> {
    let drain = duration(text)?;
    if drain > LONGEST_WAIT {
        return Err(format!("{text:?} is out of range; write a duration from 0s to 10m"));
    }
    Ok(drain)
}

/// A whole number and a unit: `90s`, `15m`, `12h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write a whole number and a unit, such as 90s, 15m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(*seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "7",
            "d",
            "1.5d",
            "-1d",
            "+1d",
            "7 d",
            "7D",
            "1w",
            "7ü",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_crl_is_valid_from_ten_seconds_to_a_year() {
        assert!(crl_validity("10s").is_ok() && crl_validity("365d").is_ok());
        assert!(crl_validity("9s").is_err() && crl_validity("366d").is_err());
    }

    #[test]
    fn an_ocsp_answer_is_valid_from_a_minute_to_a_day() {
        assert!(ocsp_validity("60s").is_ok() && ocsp_validity("24h").is_ok() && ocsp_validity("1d").is_ok());
        assert!(ocsp_validity("59s").is_err() && ocsp_validity("25h").is_err());
    }

    #[test]
    fn waiting_has_its_bounds() {
        assert!(client_timeout("1s").is_ok() && client_timeout("10m").is_ok() && drain("0s").is_ok());
        assert!(client_timeout("0s").is_err() && client_timeout("601s").is_err() && drain("11m").is_err());
    }

    #[test]
    fn listen_addresses_are_numeric_or_localhost() {
        assert_eq!(listen("localhost:81").unwrap().to_string(), "127.0.0.1:81");
        assert_eq!(listen("[::1]:0").unwrap().to_string(), "[::1]:0");
        for text in ["8080", ":8080", "ca.example.com:443", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn public_urls_lose_the_slash_at_the_end() {
        assert_eq!(public_url("https://ca.example.com/").unwrap(), "https://ca.example.com");
        assert_eq!(public_url("http://10.0.0.1:8080/ca/").unwrap(), "http://10.0.0.1:8080/ca");
        for text in ["ca.example.com", "ftp://a.b", "https://", "https://u:p@a.b", "https://a.b?x=1", "https://a.b#x"] {
            assert!(public_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn databases_are_named_by_scheme() {
        let file = |text| match database_url(text) {
            Ok(DatabaseUrl::Sqlite(path)) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(file("sqlite:a/b.db"), PathBuf::from("a/b.db"));
        assert_eq!(file("sqlite:///var/b.db"), PathBuf::from("/var/b.db"));
        for text in ["", "a.db", "sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "postgre://x", "mysql://x"] {
            assert!(database_url(text).is_err(), "{text}");
        }
        for text in ["postgres://user:hunter2@db:5432/ca?sslmode=verify-full", "postgresql://a,b/ca"] {
            let url = database_url(text);
            assert!(matches!(url, Ok(DatabaseUrl::Postgres(_))), "{text}");
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        let refused = database_url("postgres://user:hunter2@db").unwrap_err();
        assert!(refused.contains("names no database") && !refused.contains("hunter2"), "{refused}");
        let refused = database_url("postgres://user:hunt@er2@db/ca").unwrap_err();
        assert!(refused.contains("@ as %40") && !refused.contains("hunt") && !refused.contains("er2"), "{refused}");
    }
}
