//! PEM files as people keep them: several blocks in any order, with text around them, keys among them.
//!
//! Every copy is overwritten when it goes, for it may be a key in the clear; and no error repeats what it read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{BEGIN, DASHES};

/// More than a hundred certificates of ordinary size.
pub const MAX_LENGTH: usize = 256 * 1024;
pub const MAX_BLOCKS: usize = 200;

const MAX_LABEL: usize = 64;

/// Names and values.
type Headers = Vec<(String, String)>;

/// One block between its BEGIN and END lines.
pub struct Block {
    /// What stands in the BEGIN line, such as `CERTIFICATE`.
    pub label: String,
    /// The fields before the body, which only OpenSSL's old encrypted keys have (RFC 1421, 4.6).
    pub headers: Headers,
    pub der: Zeroizing<Vec<u8>>,
}

impl Block {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
    }
}

/// Every block in order. Passed over is the text around them (what `openssl pkcs12` and `openssl x509 -text` print);
/// read alike are all line ends, indented lines, a backslash and an `n` for a newline, and no newlines at all.
pub fn read(text: &str) -> Result<Vec<Block>, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the text is longer than {} KiB", MAX_LENGTH / 1024));
    }
    let text = with_newlines(text);
    let mut rest = text.as_str();
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        if blocks.len() >= MAX_BLOCKS {
            return Err(format!("there are more than {MAX_BLOCKS} PEM blocks"));
        }
        let (block, after) = read_block(after).map_err(|fault| format!("PEM block {}: {fault}", blocks.len() + 1))?;
        blocks.push(block);
        rest = after;
    }
    Ok(blocks)
}

fn read_block(text: &str) -> Result<(Block, &str), String> {
    let label = text.split_once(DASHES).map(|(label, _)| label).filter(|label| is_label(label));
    let label = label.ok_or("its BEGIN line is broken; it reads like -----BEGIN CERTIFICATE-----")?;
    let after = text.strip_prefix(label).and_then(|after| after.strip_prefix(DASHES)).unwrap_or_default();
    let end = format!("-----END {label}{DASHES}");
    let missing = || format!("the line {end} is missing");
    let (body, after) = after.split_once(&end).ok_or_else(missing)?;
    if body.contains(BEGIN) {
        return Err(missing());
    }
    let (headers, der) = read_body(body).map_err(|fault| format!("the {label} {fault}"))?;
    Ok((Block { label: label.to_owned(), headers, der }, after))
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #.".contains(&byte))
}

/// Headers are told by their colon, which base64 does not have; so they are found even where the line ends are lost.
fn read_body(body: &str) -> Result<(Headers, Zeroizing<Vec<u8>>), String> {
    let mut headers = Vec::new();
    let mut words = body.split_ascii_whitespace().peekable();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once(':')) {
        words.next();
        let value = if value.is_empty() { words.next().unwrap_or_default() } else { value };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    words.for_each(|word| base64.push_str(word));
    if base64.is_empty() {
        return Err("is empty".into());
    }
    let der = STANDARD.decode(base64.as_bytes()).map_err(|_| "is not base64; was it cut or changed?")?;
    Ok((headers, Zeroizing::new(der)))
}

/// As for requests: a backslash and an `n` stand for a newline; a carriage return and a byte order mark are as good as
/// one, for blank lines mean nothing.
fn with_newlines(sent: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(sent.len()));
    let mut rest = sent;
    while let Some(position) = rest.find(['\\', '\r', '\u{feff}']) {
        let (before, after) = rest.split_at_checked(position).unwrap_or((rest, ""));
        text.push_str(before);
        rest = if let Some(after) = after.strip_prefix("\\n") {
            text.push('\n');
            after
        } else if let Some(after) = after.strip_prefix("\\r") {
            after
        } else {
            let mut characters = after.chars();
            text.push(if characters.next() == Some('\\') { '\\' } else { '\n' });
            characters.as_str()
        };
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode;
    use super::*;

    fn fault(text: &str) -> String {
        read(text).err().unwrap()
    }

    #[test]
    fn blocks_are_read_in_whatever_they_are_wrapped() {
        let der: Vec<u8> = (0..=255).collect();
        let (key, certificate) = (encode("PRIVATE KEY", &der), encode("CERTIFICATE", b"abc"));
        let proper = format!("{key}{certificate}");
        for text in [
            proper.clone(),
            proper.replace('\n', "\r\n"),
            proper.replace('\n', "\r"),
            proper.replace('\n', "\\n"),
            proper.replace('\n', "\\r\\n"),
            proper.replace('\n', "\n\t    "),
            proper.replace('\n', " "),
            proper.replace('\n', ""),
            format!("\u{feff}Bag Attributes\n    friendlyName: C:\\x\n{key}subject=CN = x\n{certificate}-----\n"),
        ] {
            let blocks = read(&text).unwrap();
            let read: Vec<_> = blocks.iter().map(|block| (block.label.as_str(), block.der.as_slice())).collect();
            assert_eq!(read, [("PRIVATE KEY", der.as_slice()), ("CERTIFICATE", b"abc")], "{text}");
        }
    }

    #[test]
    fn headers_stand_before_the_body() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00FF\n\nYWJj\n-----END RSA PRIVATE KEY-----\n";
        for text in [pem.to_owned(), pem.replace('\n', " "), pem.replace('\n', "\r\n  "), pem.replace(": ", ":")] {
            let block = read(&text).unwrap().remove(0);
            assert_eq!(block.header("Proc-Type"), Some("4,ENCRYPTED"));
            assert_eq!(block.header("dek-info"), Some("AES-256-CBC,00FF"));
            assert_eq!(block.der.as_slice(), b"abc");
        }
    }

    #[test]
    fn broken_blocks_are_told_without_what_stands_in_them() {
        let proper = encode("PRIVATE KEY", b"abc");
        assert!(fault(&proper.replace("END PRIVATE", "END")).contains("-----END PRIVATE KEY----- is missing"));
        assert!(fault(&format!("-----BEGIN PRIVATE KEY-----\nYWJj\n{proper}")).contains("is missing"));
        let not_base64 = fault(&proper.replace("YWJj", "YWJj!secret"));
        assert!(not_base64.contains("PEM block 1: the PRIVATE KEY is not base64"), "{not_base64}");
        assert!(!not_base64.contains("secret"));
        assert!(fault(&proper.replace("YWJj", "")).contains("is empty"));
        assert!(fault("-----BEGIN \n-----").contains("BEGIN line is broken"));
        assert!(fault(&"x".repeat(MAX_LENGTH + 1)).contains("256 KiB"));
        assert!(fault(&proper.repeat(MAX_BLOCKS + 1)).contains("more than 200"));
        assert!(read("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text in "\\PC{0,200}", label in "[A-Z ]{0,12}") {
            let _ = read(&text);
            let _ = read(&format!("-----BEGIN {label}-----{text}-----END {label}-----{text}"));
        }
    }
}
