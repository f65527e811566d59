//! PEM of what is too long to be held twice: encoded while it is handed over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{BEGIN, DASHES};

/// What one line of 64 columns holds, in octets.
const LINE: usize = 48;
/// How much is encoded at a time, in lines.
const LINES: usize = 1024;

/// How long [`super::encode`] makes so many octets of DER.
pub fn encoded_length(label: &str, length: usize) -> usize {
    let frame = BEGIN.len() + "-----END ".len() + 2 * (label.len() + DASHES.len() + 1);
    frame + length.div_ceil(3) * 4 + length.div_ceil(LINE)
}

/// What [`super::encode`] makes of the DER in these pieces, in pieces.
pub fn encode_pieces(label: &str, der: impl Iterator<Item = Bytes>) -> impl Iterator<Item = Bytes> {
    let begin = Bytes::from(format!("{BEGIN}{label}{DASHES}\n"));
    let end = Bytes::from(format!("-----END {label}{DASHES}\n"));
    let body = Lines { der, waiting: Vec::new(), is_over: false };
    std::iter::once(begin).chain(body).chain(std::iter::once(end))
}

struct Lines<I> {
    der: I,
    /// Octets that do not fill a line yet, and those of the next lines.
    waiting: Vec<u8>,
    is_over: bool,
}

impl<I: Iterator<Item = Bytes>> Iterator for Lines<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while !self.is_over && self.waiting.len() < LINES * LINE {
            match self.der.next() {
                Some(piece) => self.waiting.extend_from_slice(&piece),
                None => self.is_over = true,
            }
        }
        let whole = if self.is_over { self.waiting.len() } else { self.waiting.len() / LINE * LINE };
        if whole == 0 {
            return None;
        }
        let mut text = String::with_capacity(whole.div_ceil(3) * 4 + whole.div_ceil(LINE));
        for line in self.waiting.drain(..whole).as_slice().chunks(LINE) {
            STANDARD.encode_string(line, &mut text);
            text.push('\n');
        }
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn pieces_are_what_would_be_made_at_once() {
        for length in [0, 1, 47, 48, 49, 96, 1000, LINES * LINE - 1, LINES * LINE, 3 * LINES * LINE + 5] {
            let der: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
            for size in [1, 48, 7001] {
                let pieces = der.chunks(size).map(Bytes::copy_from_slice);
                let text: Vec<u8> = encode_pieces("X509 CRL", pieces).flat_map(|piece| piece.to_vec()).collect();
                assert_eq!(text.len(), encoded_length("X509 CRL", length), "{length}");
                assert_eq!(String::from_utf8(text).unwrap(), encode("X509 CRL", &der), "{length} in pieces of {size}");
            }
        }
    }
}
