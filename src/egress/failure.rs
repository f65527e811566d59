//! Failures in plain words: what the libraries report, put together with what was seen of the handshake.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::time::Duration;

use chrono::DateTime;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use super::observed::Seen;
use super::outcome::{Failure, Stage};

pub(super) fn timed_out(limit: Duration, doing: &str) -> Failure {
    let doing = if doing.is_empty() { "getting ready" } else { doing };
    Failure::new(Stage::Timeout, format!("no complete answer within {limit:?}; the time ran out while {doing}"))
}

/// Of a TLS handshake.
pub(super) fn of_handshake(error: &io::Error, host: &str, seen: &Seen) -> Failure {
    match tls_error(error) {
        Some(Error::InvalidCertificate(reason)) => Failure::new(Stage::Certificate, refused_server(reason, host)),
        Some(Error::AlertReceived(alert)) => of_alert(*alert, seen),
        Some(Error::InvalidMessage(_)) => {
            Failure::new(Stage::Tls, "what came back is not TLS; is this the port of an HTTPS server?")
        }
        Some(Error::PeerIncompatible(_)) => {
            Failure::new(Stage::Tls, "the server agrees to no TLS of ours: version 1.2 or 1.3 with modern ciphers")
        }
        Some(Error::NoCertificatesPresented) => Failure::new(Stage::Certificate, "the server showed no certificate"),
        Some(other) => Failure::new(Stage::Tls, format!("the TLS handshake failed: {other}")),
        None if seen.misses_identity() => missing_identity(seen, "and it closed the connection"),
        None if is_close(error) => {
            Failure::new(Stage::Tls, "the server closed the connection in the middle of the TLS handshake")
        }
        None => Failure::new(Stage::Tls, format!("the TLS handshake broke off: {error}")),
    }
}

/// Of HTTP over a finished handshake. Under TLS 1.3 the server judges the client certificate only after our side is
/// done (RFC 8446, 4.4.2.4), so its refusal comes where the answer should.
pub(super) fn of_exchange(
    error: &hyper::Error,
    ended: Option<&hyper::Error>,
    has_answer: bool,
    seen: &Seen,
) -> Failure {
    let errors = || [Some(error), ended].into_iter().flatten();
    match errors().find_map(|error| tls_error(error)) {
        Some(Error::AlertReceived(alert)) if !has_answer => return of_alert(*alert, seen),
        Some(other) if !has_answer => return Failure::new(Stage::Tls, format!("TLS failed: {other}")),
        _ => {}
    }
    let is_closed = |error: &hyper::Error| {
        error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_close(error)
    };
    let is_gone = errors().any(is_closed);
    // The library has a question for it on the server's side only.
    if errors().any(|error| error.is_parse() && error.to_string().contains("too large")) {
        Failure::new(Stage::Response, "the answer's header has more than 100 fields or 64 KiB")
    } else if errors().any(hyper::Error::is_parse) {
        Failure::new(Stage::Response, "what came back is not an answer of HTTP/1.1")
    } else if is_gone && has_answer {
        Failure::new(Stage::Response, "the connection broke off before the answer was complete")
    } else if is_gone && seen.misses_identity() {
        missing_identity(seen, "and it closed the connection without an answer")
    } else if is_gone && seen.identity_presented() {
        let message = "the server closed the connection without an answer; it asked for a client certificate, and may \
                       have refused the one presented";
        Failure::new(Stage::Response, message)
    } else if is_gone {
        Failure::new(Stage::Response, "the server closed the connection without an answer")
    } else {
        Failure::new(Stage::Response, format!("the answer cannot be read: {error}"))
    }
}

/// A TLS alert is a refusal of the client certificate only from a server that asked for one: `handshake_failure` alone
/// means many things.
fn of_alert(alert: AlertDescription, seen: &Seen) -> Failure {
    match refusal(alert) {
        Some(words) if seen.identity_presented() => {
            Failure::new(Stage::ClientCertificate, format!("the server refused the client certificate: {words}"))
        }
        Some(_) if seen.misses_identity() => missing_identity(seen, &format!("(TLS alert {})", alert_name(alert))),
        _ => Failure::new(Stage::Tls, format!("the server ended TLS with the alert {}", in_words(alert))),
    }
}

fn missing_identity(seen: &Seen, how: &str) -> Failure {
    let why = if seen.identity_does_not_fit {
        "the identity's key fits none of the signature algorithms that it takes"
    } else {
        "none was presented"
    };
    Failure::new(Stage::ClientCertificate, format!("the server wants a client certificate, and {why} {how}"))
}

/// What an alert says about a client certificate (RFC 8446, 6.2); none for alerts about something else.
fn refusal(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::BadCertificate => Some("bad certificate"),
        AlertDescription::UnsupportedCertificate => Some("unsupported type of certificate"),
        AlertDescription::CertificateRevoked => Some("the certificate is revoked"),
        AlertDescription::CertificateExpired => Some("the certificate is expired"),
        AlertDescription::CertificateUnknown => {
            Some("the certificate is not accepted, for a reason that it does not name")
        }
        AlertDescription::UnknownCA => Some("unknown CA"),
        AlertDescription::AccessDenied => Some("access denied"),
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Some("a certificate is required"),
        AlertDescription::DecryptError => Some("its signature does not verify"),
        AlertDescription::HandshakeFailure => Some("handshake failure"),
        _ => None,
    }
}

fn in_words(alert: AlertDescription) -> String {
    let hint = match alert {
        AlertDescription::ProtocolVersion => ": it speaks neither TLS 1.2 nor 1.3",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            ": it shares no cipher or key exchange with us"
        }
        AlertDescription::UnrecognisedName => ": it knows no site of this name",
        AlertDescription::NoApplicationProtocol => ": it does not speak HTTP/1.1",
        _ => "",
    };
    format!("{}{hint}", alert_name(alert))
}

/// The name as in RFC 8446: `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => return "unknown_ca".into(),
        AlertDescription::UnknownPSKIdentity => return "unknown_psk_identity".into(),
        AlertDescription::UnrecognisedName => return "unrecognized_name".into(),
        AlertDescription::Unknown(number) => return format!("number {number}"),
        _ => {}
    }
    let mut name = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn refused_server(reason: &CertificateError, host: &str) -> String {
    match reason {
        CertificateError::Expired => "the server's certificate is expired".into(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate, or a CA's in its chain, is expired since {}", date(*not_after))
        }
        CertificateError::NotValidYet => "the server's certificate is not valid yet".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate, or a CA's in its chain, is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is of an unknown CA, or an intermediate certificate is missing from its chain"
                .into()
        }
        CertificateError::NotValidForName => format!("the server's certificate is not valid for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("the server's certificate is not valid for {host}: it has no alternative names")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(MAXIMUM_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if presented.len() > MAXIMUM_NAMES { ", …" } else { "" };
            format!("the server's certificate is not valid for {host}, but for {names}{more}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: its extended key usage leaves serverAuth out".into()
        }
        CertificateError::BadSignature => "a signature in the server's chain does not verify".into(),
        CertificateError::BadEncoding => "the server's certificate cannot be read as X.509".into(),
        CertificateError::Revoked => "the server's certificate is revoked".into(),
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

fn date(time: UnixTime) -> String {
    let moment = i64::try_from(time.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(|| "a time out of range".into(), |moment| moment.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn is_close(error: &(dyn StdError + 'static)) -> bool {
    let closes = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    };
    causes(error).filter_map(|cause| cause.downcast_ref()).any(closes)
}

fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and what is inside it. An I/O error hides what it wraps from `source`.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| inside(error))
}

fn inside<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

const MAXIMUM_NAMES: usize = 5;
