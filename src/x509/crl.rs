//! Certificate revocation lists (RFC 5280, 5), written and read: complete ones, deltas, and the shards of large ones.

mod entries;
mod extensions;
mod list;
#[cfg(test)]
mod tests;
mod verification;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod};

use crate::domain::key::AuthorityKeyType;
use crate::domain::revocation::Changes;
use crate::domain::serial::SerialNumber;

use super::capture::{self, Field};
use super::der::{self, DerError, EXPLICIT_0, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, write};
use super::error::X509Error;
use super::extension::{self, Extension};
use super::signature::Signed;
use super::{algorithm, oid, parsed, time};

pub use crate::domain::revocation::RevokedEntry;
pub use list::{EntryList, EntryListBuilder};
pub use verification::verify;

/// All that a CRL shall say beside its entries. Times are cut to whole seconds.
#[derive(Clone, Debug)]
pub struct CrlPlan {
    /// The authority's subject in DER.
    pub issuer_subject: Vec<u8>,
    /// The authority's SKI: the CRL's authorityKeyIdentifier.
    pub issuer_ski: Vec<u8>,
    pub key_type: AuthorityKeyType,
    /// From 1, strictly growing per authority.
    pub number: u64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    pub kind: CrlKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlKind {
    /// Everything the authority revoked; with the address of the delta that goes with it (5.2.6).
    Complete { freshest: Option<String> },
    /// What changed since the complete CRL with this number (5.2.4).
    Delta { base: u64 },
    /// One part of everything, named by the address it is published at (5.2.5).
    Shard { distribution_point: String },
}

/// An encoded TBSCertList, ready to be signed: what stands before the entries, the entries, what stands after them.
pub struct CrlTbs {
    head: Vec<u8>,
    entries: EntryList,
    tail: Vec<u8>,
    key_type: AuthorityKeyType,
    number: u64,
    this_update: DateTime<Utc>,
    next_update: DateTime<Utc>,
}

/// A signed CRL. Only [`CrlTbs::seal`] makes one.
#[derive(Clone, Debug)]
pub struct SignedCrl {
    head: Vec<u8>,
    entries: EntryList,
    tail: Vec<u8>,
    number: u64,
    this_update: DateTime<Utc>,
    next_update: DateTime<Utc>,
}

/// Encodes the plan over these entries. The issuer is carried byte for byte.
pub fn build(plan: CrlPlan, entries: EntryList) -> Result<CrlTbs, X509Error> {
    if plan.number == 0 {
        return Err(X509Error::Content("CRL numbers start at 1".into()));
    }
    let CrlPlan { issuer_subject, issuer_ski, key_type, number, this_update, next_update, kind } = plan;
    let params = CertificateRevocationListParams {
        this_update: time::for_encoder(this_update)?,
        next_update: time::for_encoder(next_update)?,
        crl_number: number.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        // The encoder takes the CRL's key identifier from here, not from the issuer.
        key_identifier_method: KeyIdMethod::PreSpecified(issuer_ski.clone()),
    };
    let encoded = capture::crl(&params, &issuer_ski, key_type)?;
    let (fields, tail) = splice(&encoded, &issuer_subject, &extensions::of(&kind)?)?;
    // revokedCertificates is absent when it would be empty (5.1.2.6).
    let list = if entries.count() == 0 { Vec::new() } else { write::header(SEQUENCE, entries.length()) };
    let length = fields.len() + list.len() + entries.length() + tail.len();
    let head = [write::header(SEQUENCE, length), fields, list].concat();
    let (this_update, next_update) = (time::truncated(this_update), time::truncated(next_update));
    Ok(CrlTbs { head, entries, tail, key_type, number, this_update, next_update })
}

/// The entries of a delta CRL: the changes since its base, those that left the list as removeFromCRL (5.3.1).
pub fn delta_entries(changes: &Changes, date: DateTime<Utc>) -> Result<EntryList, X509Error> {
    let mut list = EntryListBuilder::default();
    for (serial, change) in changes {
        match change {
            Some(entry) => list.push(entry)?,
            None => list.push_removed(serial, date)?,
        }
    }
    Ok(list.finish())
}

impl CrlTbs {
    /// The bytes to sign, in pieces: a list with a million entries is not copied to be signed.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        pieces(&self.head, &self.entries, &self.tail)
    }

    /// How many octets are to be signed.
    pub fn length(&self) -> usize {
        self.head.len() + self.entries.length() + self.tail.len()
    }

    pub fn key_type(&self) -> AuthorityKeyType {
        self.key_type
    }

    /// Puts the signature under the bytes. Only `keys::Signer` calls it, with the signature that the issuer's key made
    /// over exactly [`CrlTbs::pieces`].
    pub(crate) fn seal(self, signature: &[u8]) -> Result<SignedCrl, X509Error> {
        let algorithm = algorithm::identifier(self.key_type)?;
        let signature = write::bit_string(signature);
        let outer = write::header(SEQUENCE, self.length() + algorithm.len() + signature.len());
        Ok(SignedCrl {
            head: [outer, self.head].concat(),
            entries: self.entries,
            tail: [self.tail, algorithm, signature].concat(),
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
        })
    }
}

impl SignedCrl {
    /// The whole CRL, copied together.
    pub fn der(&self) -> Vec<u8> {
        pieces(&self.head, &self.entries, &self.tail).collect::<Vec<_>>().concat()
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn this_update(&self) -> DateTime<Utc> {
        self.this_update
    }

    pub fn next_update(&self) -> DateTime<Utc> {
        self.next_update
    }

    /// What stands before the entries, and after them.
    pub fn into_frame(self) -> (Vec<u8>, Vec<u8>) {
        (self.head, self.tail)
    }
}

fn pieces(head: &[u8], entries: &EntryList, tail: &[u8]) -> impl Iterator<Item = Bytes> {
    let (head, tail) = (Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail));
    std::iter::once(head).chain(entries.pieces()).chain(std::iter::once(tail))
}

/// What stands in a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlFacts {
    /// The issuer in DER.
    pub issuer: Vec<u8>,
    pub aki: Option<Vec<u8>>,
    pub number: u64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    /// In the order of the CRL; an entry without a reason is `unspecified`.
    pub entries: Vec<RevokedEntry>,
    /// On a delta: what has left the list since its base.
    pub removed: Vec<SerialNumber>,
    /// On a delta: the number of its base.
    pub base: Option<u64>,
    /// The address in the issuingDistributionPoint.
    pub distribution_point: Option<String>,
    /// The address of the delta.
    pub freshest: Option<String>,
}

/// Reads a CRL. The signature is not verified: [`super::signature::verify_document`] does that.
pub fn read(der: &[u8]) -> Result<CrlFacts, X509Error> {
    read_with(der, entries::read)
}

/// The same, but the entries are passed over: for whoever wants to know which CRL it is, however long it may be.
pub fn read_frame(der: &[u8]) -> Result<CrlFacts, X509Error> {
    read_with(der, |entries| entries::pass_over(entries).map(|()| (Vec::new(), Vec::new())))
}

fn read_with<'a>(
    der: &'a [u8],
    read_entries: impl FnOnce(der::Reader<'a>) -> Result<(Vec<RevokedEntry>, Vec<SerialNumber>), DerError>,
) -> Result<CrlFacts, X509Error> {
    let signed = Signed::read(der)?;
    let mut fields = signed.content.contents();
    if fields.expect(INTEGER, "the version")?.small_unsigned("the version")? != 1 {
        return Err(X509Error::Content("the CRL's version is not 2".into()));
    }
    if fields.expect(SEQUENCE, "signature")?.whole != signed.algorithm.whole {
        return Err(X509Error::Signature("the algorithms inside and outside of the CRL differ".into()));
    }
    let issuer = fields.expect(SEQUENCE, "issuer")?.whole.to_vec();
    let this_update = time::read(&fields.read()?, "thisUpdate")?;
    let next_update = time::read(&fields.read()?, "nextUpdate")?;
    let (entries, removed) = match fields.optional(SEQUENCE)? {
        Some(list) => read_entries(list.contents())?,
        None => (Vec::new(), Vec::new()),
    };
    let extensions = fields.expect(EXPLICIT_0, "crlExtensions")?;
    fields.finish("crlExtensions")?;
    let extensions = extension::read_all(&der::single(extensions.value, SEQUENCE, "crlExtensions")?)?;
    let number = find(&extensions, oid::CRL_NUMBER).ok_or(DerError::Missing { what: "cRLNumber" })?;
    Ok(CrlFacts {
        issuer,
        aki: parsed::authority_key_identifier(&extensions)?.map(<[u8]>::to_vec),
        number: extensions::number(number, "cRLNumber")?,
        this_update,
        next_update,
        entries,
        removed,
        base: extensions::base(&extensions)?,
        distribution_point: extensions::distribution_point(&extensions)?,
        freshest: extensions::freshest(&extensions)?,
    })
}

/// The encoder writes a CRL without entries: its fields up to them with the issuer put in, and its extensions with more of
/// them put after.
fn splice(encoded: &[u8], issuer: &[u8], more: &[u8]) -> Result<(Vec<u8>, Vec<u8>), X509Error> {
    const TIME: &[u8] = &[UTC_TIME, GENERALIZED_TIME];
    let spliced = capture::splice(
        encoded,
        &[
            Field::Kept("version", &[INTEGER]),
            Field::Kept("signature", &[SEQUENCE]),
            Field::Replaced("issuer", issuer),
            Field::Kept("thisUpdate", TIME),
            Field::Kept("nextUpdate", TIME),
            Field::Kept("crlExtensions", &[EXPLICIT_0]),
        ],
    )?;
    let fields = der::single(&spliced, SEQUENCE, "tbsCertList")?.value;
    let mut reader = der::Reader::new(fields);
    let mut before = Vec::with_capacity(fields.len());
    loop {
        let field = reader.read()?;
        if field.tag == EXPLICIT_0 {
            let list = der::single(field.value, SEQUENCE, "crlExtensions")?;
            return Ok((before, write::element(EXPLICIT_0, &write::sequence(&[list.value, more]))));
        }
        before.extend_from_slice(field.whole);
    }
}

fn find<'e, 'a>(extensions: &'e [Extension<'a>], oid: &str) -> Option<&'e Extension<'a>> {
    extensions.iter().find(|extension| extension.oid == oid)
}
