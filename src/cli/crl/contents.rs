//! What is in a file of CRLs: read line by line, and one CRL at a time, so that its length costs little memory.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::x509::crl;

const BEGIN: &str = "-----BEGIN ";
const BEGIN_CRL: &str = "-----BEGIN X509 CRL-----";
const END_CRL: &str = "-----END X509 CRL-----";
/// PEM has 64 columns (RFC 7468, 2); what has no line ends at all is something else.
const LONGEST_LINE: u64 = 4096;
/// More CRLs than any chain has.
const MAX_CRLS: usize = 1000;

/// The CRLs of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(Vec<Listed>);

/// One CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Issuer and authorityKeyIdentifier in DER: an authority may share its name with an older one.
    issuer: (Vec<u8>, Option<Vec<u8>>),
    pub number: u64,
    pub next_update: DateTime<Utc>,
    /// Where its block ends, in octets from the start of the file.
    pub end: u64,
}

impl Contents {
    /// Reads a file. Every block must be a complete CRL; text around the blocks is passed over, as RFC 7468 allows.
    pub fn read(mut file: impl BufRead) -> Result<Self, String> {
        let mut contents = Self::default();
        let mut block: Option<Vec<u8>> = None;
        let (mut line, mut place) = (Vec::new(), 0);
        loop {
            line.clear();
            let length = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            let length = length.map_err(|error| format!("it cannot be read: {error}"))? as u64;
            if length == 0 {
                break;
            }
            if length == LONGEST_LINE {
                return Err("it is no PEM: a line is too long".into());
            }
            place += length;
            let text = line.trim_ascii();
            match &mut block {
                None if text == BEGIN_CRL.as_bytes() => block = Some(Vec::new()),
                None if text.starts_with(BEGIN.as_bytes()) => return Err("a block in it is no CRL".into()),
                None => {}
                Some(der) if text == END_CRL.as_bytes() => {
                    contents.add(der, place)?;
                    block = None;
                }
                // Each line stands for whole octets, as everybody writes them.
                Some(der) => STANDARD.decode_vec(text, der).map_err(|error| format!("a CRL is not base64: {error}"))?,
            }
        }
        if block.is_some() {
            return Err("it ends within a CRL".into());
        }
        Ok(contents)
    }

    fn add(&mut self, der: &[u8], end: u64) -> Result<(), String> {
        if self.0.len() >= MAX_CRLS {
            return Err(format!("it has more than {MAX_CRLS} CRLs"));
        }
        let facts = crl::read_frame(der).map_err(|error| format!("a CRL in it is malformed: {error}"))?;
        if facts.base.is_some() {
            return Err("a CRL in it is a delta, which says nothing alone".into());
        }
        let issuer = (facts.issuer, facts.aki);
        self.0.push(Listed { issuer, number: facts.number, next_update: facts.next_update, end });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn crls(&self) -> &[Listed] {
        &self.0
    }

    /// Only the first of them.
    pub fn first_only(mut self) -> Self {
        self.0.truncate(1);
        self
    }

    /// Whether it has an older CRL than the other of any issuer that both have; says which.
    pub fn is_older_than(&self, other: &Self) -> Option<String> {
        let known: BTreeMap<_, u64> = other.0.iter().map(|crl| (&crl.issuer, crl.number)).collect();
        self.0.iter().find_map(|crl| {
            let number = known.get(&crl.issuer).filter(|number| **number > crl.number)?;
            Some(format!("it has CRL {} of an authority, and there is CRL {number} in the file already", crl.number))
        })
    }

    /// The first moment at which one of them is no longer current.
    pub fn next_update(&self) -> Option<DateTime<Utc>> {
        self.0.iter().map(|crl| crl.next_update).min()
    }

    /// The numbers in the order of the file, for people.
    pub fn numbers(&self) -> String {
        self.0.iter().map(|crl| crl.number.to_string()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::pem;

    fn read(text: &str) -> Result<Contents, String> {
        Contents::read(text.as_bytes())
    }

    fn listed(issuer: u8, number: u64) -> Listed {
        Listed { issuer: (vec![issuer], None), number, next_update: DateTime::UNIX_EPOCH, end: 0 }
    }

    #[test]
    fn what_is_no_file_of_crls_is_told() {
        for (text, expected) in [
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "no CRL"),
            (format!("{BEGIN_CRL}\nAAAA\n"), "ends within"),
            (format!("{BEGIN_CRL}\nA\n{END_CRL}\n"), "base64"),
            (pem::encode("X509 CRL", &[0x30, 0]), "malformed"),
            ("x".repeat(5000), "too long"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(read("").unwrap().is_empty());
        assert!(read("<html>hello</html>\n").unwrap().is_empty());
    }

    #[test]
    fn numbers_of_one_issuer_never_fall() {
        let before = Contents(vec![listed(1, 7), listed(2, 3)]);
        for newer in [vec![listed(1, 7)], vec![listed(2, 3), listed(1, 8)], vec![listed(3, 1)], Vec::new()] {
            assert_eq!(Contents(newer).is_older_than(&before), None);
        }
        let older = Contents(vec![listed(1, 8), listed(2, 2)]).is_older_than(&before);
        assert!(older.unwrap().contains("CRL 2 of an authority, and there is CRL 3"));
    }
}
