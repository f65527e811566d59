//! PEM (RFC 7468): written strictly, and read in every form in which callers of the API send requests.

pub mod bundle;
mod pieces;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use pieces::{encode_pieces, encoded_length};

/// More than any request within our other bounds needs (1000 names of ordinary length).
pub const MAX_REQUEST_LENGTH: usize = 64 * 1024;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const REQUEST_LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// 64 columns, LF, and a newline at the end.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut pem = String::with_capacity(der.len() * 3 / 2 + 2 * label.len() + 40);
    pem.extend([BEGIN, label, DASHES, "\n"]);
    // 48 octets make one line.
    for octets in der.chunks(48) {
        STANDARD.encode_string(octets, &mut pem);
        pem.push('\n');
    }
    pem.extend([END, label, DASHES, "\n"]);
    pem
}

/// Every block with this label, in order; text around the blocks is passed over, as RFC 7468 allows.
pub fn decode_all(label: &str, text: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("{BEGIN}{label}{DASHES}"), format!("-----END {label}{DASHES}"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after.split_once(&end).ok_or_else(|| format!("the line {end} is missing"))?;
        blocks.push(decode_body(body)?);
        rest = after;
    }
    Ok(blocks)
}

/// A request as it is stored and echoed, and its DER.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestPem {
    /// What was sent, with LF line ends, without white space around the lines, with one newline at the end.
    pub text: String,
    pub der: Vec<u8>,
}

/// Reads a request in all the forms of the wire contract, section 1.3. The error says what would be right.
pub fn read_request(sent: &str) -> Result<RequestPem, String> {
    if sent.len() > MAX_REQUEST_LENGTH {
        return Err(format!("the CSR is longer than {} KiB", MAX_REQUEST_LENGTH / 1024));
    }
    let text = with_newlines(sent);
    let text = text.trim_start_matches('\u{feff}').trim();
    let (before, after) = text.split_once(BEGIN).ok_or_else(not_a_request)?;
    let (label, after) = after.split_once(DASHES).ok_or_else(not_a_request)?;
    check_label(label)?;
    if !before.is_empty() {
        return Err("there is text before the PEM block; send the block alone".into());
    }
    let end = format!("-----END {label}{DASHES}");
    let (body, after) = after.split_once(&end).ok_or_else(|| format!("the line {end} is missing"))?;
    match after.trim() {
        "" => {}
        more if more.contains(BEGIN) => return Err("there is more than one PEM block; send one CSR alone".into()),
        _ => return Err("there is text after the PEM block; send the block alone".into()),
    }
    let der = decode_body(body)?;
    let mut text = String::with_capacity(body.len() + 2 * label.len() + 40);
    text.extend([BEGIN, label, DASHES, "\n"]);
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text.extend([line, "\n"]);
    }
    text.extend([&end, "\n"]);
    Ok(RequestPem { text, der })
}

/// Callers that follow the samples of the published API send a backslash and an `n` where a newline belongs. Neither
/// can be part of base64, so nothing is lost by reading them so.
fn with_newlines(sent: &str) -> Cow<'_, str> {
    if !sent.bytes().any(|octet| matches!(octet, b'\\' | b'\r')) {
        return Cow::Borrowed(sent);
    }
    Cow::Owned(sent.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n").replace('\r', "\n"))
}

fn check_label(label: &str) -> Result<(), String> {
    if REQUEST_LABELS.contains(&label) {
        return Ok(());
    }
    Err(if label.ends_with("PRIVATE KEY") {
        "this is a private key, not a certificate signing request; a key that was sent to anyone must no longer be used"
            .into()
    } else if matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") {
        "this is a certificate, not a certificate signing request".into()
    } else {
        let shown: String = label.chars().filter(|character| !character.is_control()).take(40).collect();
        format!("the PEM block is a {shown}, not a CERTIFICATE REQUEST")
    })
}

fn not_a_request() -> String {
    "this is no certificate signing request in PEM; it starts with -----BEGIN CERTIFICATE REQUEST-----".into()
}

fn decode_body(body: &str) -> Result<Vec<u8>, String> {
    let base64: Vec<u8> = body.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    if base64.is_empty() {
        return Err("the PEM block is empty".into());
    }
    STANDARD.decode(base64).map_err(|error| format!("the PEM block is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABEL: &str = "CERTIFICATE REQUEST";

    #[test]
    fn all_forms_that_callers_send_are_read_alike() {
        let der: Vec<u8> = (0..=255).collect();
        let proper = encode(LABEL, &der);
        let expected = RequestPem { text: proper.clone(), der };
        for sent in [
            proper.clone(),
            proper.replace('\n', "\\n"),
            proper.replace('\n', "\\r\\n"),
            proper.replace('\n', "\r\n"),
            proper.trim_end().to_owned(),
            format!("{proper}\n\n\n"),
            format!("\n  \t{}", proper.replace('\n', "\n      ")),
            proper.replace("-----\n", "-----").replace("\n-----", "-----"),
            format!("\u{feff}{proper}"),
        ] {
            assert_eq!(read_request(&sent).as_ref(), Ok(&expected), "{sent}");
        }
        let new_label = proper.replace(LABEL, "NEW CERTIFICATE REQUEST");
        assert_eq!(read_request(&new_label).unwrap().text, new_label);
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        let proper = encode(LABEL, b"abc");
        for (sent, words) in [
            (String::new(), "no certificate signing request"),
            ("garbage".into(), "no certificate signing request"),
            (encode("CERTIFICATE", b"abc"), "this is a certificate, not a certificate signing request"),
            (encode("EC PRIVATE KEY", b"abc"), "private key"),
            (encode("X509 CRL", b"abc"), "X509 CRL"),
            (format!("x\n{proper}"), "text before"),
            (format!("{proper}x"), "text after"),
            (format!("{proper}{proper}"), "more than one"),
            (proper.replace("END CERTIFICATE", "END"), "is missing"),
            (proper.replace("YWJj", "YW=j"), "not base64"),
            (proper.replace("YWJj", "YWJ"), "not base64"),
            (proper.replace("YWJj", "YWJj!"), "not base64"),
            (proper.replace("YWJj\n", ""), "empty"),
            ("x".repeat(MAX_REQUEST_LENGTH + 1), "64 KiB"),
        ] {
            let message = read_request(&sent).unwrap_err();
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    #[test]
    fn blocks_of_a_bundle_are_read_in_order() {
        let bundle = format!("a\n{}b\n{}", encode("CERTIFICATE", b"1"), encode("CERTIFICATE", b"2"));
        assert_eq!(decode_all("CERTIFICATE", &bundle).unwrap(), [b"1", b"2"]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back_however_it_is_broken_up(
            der in proptest::collection::vec(any::<u8>(), 1..2000),
            indent in "[ \t]{0,8}",
            line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\\n"), Just("\\r\\n"), Just("\n\n")],
            tail in "[ \n\r\t]{0,5}",
        ) {
            let proper = encode(LABEL, &der);
            let sent = format!("{indent}{}{tail}", proper.replace('\n', &format!("{line_end}{indent}")));
            prop_assert_eq!(read_request(&sent), Ok(RequestPem { text: proper, der }));
        }

        #[test]
        fn no_text_brings_the_reader_down(text in "\\PC{0,300}") {
            let _ = read_request(&text);
            let framed = format!("-----BEGIN {LABEL}-----{text}-----END {LABEL}-----");
            let _ = read_request(&framed);
        }

        #[test]
        fn the_stored_form_reads_as_itself(der in proptest::collection::vec(any::<u8>(), 1..500)) {
            let once = read_request(&encode(LABEL, &der).replace('\n', "\r\n")).unwrap();
            prop_assert_eq!(read_request(&once.text), Ok(RequestPem { text: once.text.clone(), der: once.der.clone() }));
        }
    }
}
