//! Whether libpq takes an address of PostgreSQL apart as it was meant.
//!
//! It ends a password at the first `@`, and looks for none behind a `/`; what is left over it takes for a host, a port or a
//! parameter, and names it in its messages, which end in logs (libpq, "Connection URIs"). So whatever could be part of a
//! password in a wrong place is refused before libpq sees it. No message here repeats any of it.

const ESCAPES: &str =
    "in user, password and values write @ as %40, / as %2F, ? as %3F, & as %26, = as %3D and % as %25";

/// Takes what follows the scheme.
pub(super) fn require_unambiguous(rest: &str) -> Result<(), String> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let hosts = authority.split_once('@').map_or(authority, |(_, hosts)| hosts);
    let fault = if rest.matches('@').count() > authority.matches('@').count().min(1) {
        "an @ in it does not stand between the password and the host"
    } else if !is_escaped(rest) {
        "a % in it is not followed by two hex digits"
    } else if !hosts.split(',').all(is_host) {
        "a host in it is not HOST, HOST:PORT or [IPv6]:PORT"
    } else if !query.split('&').all(|pair| query.is_empty() || is_parameter(pair)) {
        "a parameter in it is not NAME=VALUE"
    } else {
        return Ok(());
    };
    Err(format!("{fault}; {ESCAPES}"))
}

/// Each `%` begins an octet in hex, which is not zero.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits != "00"
    })
}

fn is_host(text: &str) -> bool {
    let port = match text.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, "")) => return !address.is_empty(),
            Some((address, after)) if !address.is_empty() => after.strip_prefix(':'),
            _ => None,
        },
        None => Some(text.split_once(':').map_or("", |(_, port)| port)),
    };
    port.is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

fn is_parameter(pair: &str) -> bool {
    matches!(pair.split_once('='), Some((name, value)) if !name.is_empty() && !value.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_would_take_for_something_else_is_refused_and_not_repeated() {
        for address in [
            "me:hunter@2secret@db/ca",
            "me:hunter2/secret@db/ca",
            "me:hunter2?secret@db/ca",
            "me:hunter2secret/ca",
            "me:hunter2%secret@db/ca",
            "me:hunter2%00secret@db/ca",
            "me@db:hunter2secret/ca",
            "me:hunter2secret@[::1/ca",
            "me:hunter2secret@[]/ca",
            "me:hunter2secret@[::1]5432/ca",
            "db/ca?password=hunter2@secret",
            "db/ca?password=hunter2&secret",
            "db/ca?password=hunter2secret=",
            "db?password=hunter2secret@x/ca",
        ] {
            let said = require_unambiguous(address).expect_err(address);
            assert!(said.contains("%40") && !said.contains("hunter") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn addresses_as_libpq_documents_them_pass() {
        for address in [
            "db/ca",
            "/ca",
            "me@/ca?host=/var/run/postgresql",
            "me:p%40%2f%25:s#!@db:5432/ca?sslmode=verify-full&application_name=a%20b",
            "a:1,b,[::1]:5433,[fe80::1]/ca?target_session_attrs=any",
            "%2Fvar%2Frun/ca?",
        ] {
            assert_eq!(require_unambiguous(address), Ok(()), "{address}");
        }
    }
}
