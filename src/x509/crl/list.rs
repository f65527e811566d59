//! The encoded entries of a long CRL, kept so that one more costs little: in chunks by serial number, of which a change
//! makes only the touched one anew. Copies share the chunks, so whoever is still sending the list before keeps it whole.
//!
//! An entry takes about 50 octets; a list of a million, 50 MB, once, however many CRLs and clients share it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::revocation::{Changes, RevokedEntry};
use crate::domain::serial::SerialNumber;

use super::super::der::{INTEGER, Reader, SEQUENCE};
use super::super::error::X509Error;
use super::entries;

/// How many entries a chunk holds when it is full; a change copies one of them.
const CHUNK: usize = 512;

/// The entries of a CRL in the order of their serial numbers, in DER.
#[derive(Clone, Debug, Default)]
pub struct EntryList {
    chunks: Vec<Chunk>,
    length: usize,
    count: usize,
}

#[derive(Clone, Debug)]
struct Chunk {
    first: SerialNumber,
    count: usize,
    der: Bytes,
}

impl EntryList {
    /// The list after these changes.
    pub fn changed(&self, changes: &Changes) -> Result<Self, X509Error> {
        let mut chunks = Vec::with_capacity(self.chunks.len() + 1);
        let mut left = changes.iter().peekable();
        for (index, chunk) in self.chunks.iter().enumerate() {
            let end = self.chunks.get(index + 1).map(|next| &next.first);
            let mut own = BTreeMap::new();
            while let Some((serial, change)) = left.next_if(|(serial, _)| end.is_none_or(|end| *serial < end)) {
                own.insert(serial, change.as_ref());
            }
            if own.is_empty() {
                chunks.push(chunk.clone());
            } else {
                merge(chunk, own, &mut chunks)?;
            }
        }
        // Only an empty list leaves any.
        let mut builder = EntryListBuilder::default();
        for (_, change) in left {
            if let Some(entry) = change {
                builder.push(entry)?;
            }
        }
        chunks.extend(builder.finish().chunks);
        Ok(Self::of(chunks))
    }

    /// The entry of a serial number.
    pub fn find(&self, serial: &SerialNumber) -> Result<Option<RevokedEntry>, X509Error> {
        let after = self.chunks.partition_point(|chunk| chunk.first <= *serial);
        let Some(chunk) = after.checked_sub(1).and_then(|index| self.chunks.get(index)) else { return Ok(None) };
        let mut reader = Reader::new(&chunk.der);
        while !reader.is_empty() {
            let element = reader.expect(SEQUENCE, "a revoked certificate")?;
            if serial_of(element.value)? == serial.as_bytes() {
                return Ok(entries::read(Reader::new(element.whole))?.0.pop());
            }
        }
        Ok(None)
    }

    /// The length of all entries together, in octets.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The entries one after the other, in pieces that share the memory of the list.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        self.chunks.iter().map(|chunk| chunk.der.clone())
    }

    fn of(chunks: Vec<Chunk>) -> Self {
        let length = chunks.iter().map(|chunk| chunk.der.len()).sum();
        let count = chunks.iter().map(|chunk| chunk.count).sum();
        Self { chunks, length, count }
    }
}

impl FromIterator<Self> for EntryList {
    /// One list after the other.
    fn from_iter<I: IntoIterator<Item = Self>>(lists: I) -> Self {
        Self::of(lists.into_iter().flat_map(|list| list.chunks).collect())
    }
}

/// Makes a list of entries that come in the order of their serial numbers.
#[derive(Default)]
pub struct EntryListBuilder {
    chunks: Vec<Chunk>,
    first: Option<SerialNumber>,
    count: usize,
    der: Vec<u8>,
    writer: entries::Writer,
}

impl EntryListBuilder {
    pub fn push(&mut self, entry: &RevokedEntry) -> Result<(), X509Error> {
        if self.first.is_none() {
            self.first = Some(entry.serial.clone());
        }
        self.writer.push(&mut self.der, entry)?;
        self.count += 1;
        if self.count == CHUNK {
            self.close();
        }
        Ok(())
    }

    /// On a delta: word of an entry that has left the list.
    pub fn push_removed(&mut self, serial: &SerialNumber, date: DateTime<Utc>) -> Result<(), X509Error> {
        let mut der = Vec::new();
        self.writer.push_removed(&mut der, serial, date)?;
        self.push_encoded(serial.as_bytes(), &der);
        Ok(())
    }

    pub fn finish(mut self) -> EntryList {
        self.close();
        EntryList::of(self.chunks)
    }

    /// An entry that is encoded already.
    fn push_encoded(&mut self, serial: &[u8], der: &[u8]) {
        if self.first.is_none() {
            self.first = SerialNumber::from_be_bytes(serial);
        }
        self.der.extend_from_slice(der);
        self.count += 1;
        if self.count == CHUNK {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some(first) = self.first.take() {
            // Copied to its exact length: what a growing buffer has in reserve would add up.
            let der = Bytes::copy_from_slice(&self.der);
            self.der.clear();
            self.chunks.push(Chunk { first, count: self.count, der });
        }
        self.count = 0;
    }
}

/// The chunk with its changes, as one or more chunks, or none if nothing is left of it.
fn merge(
    chunk: &Chunk,
    mut changes: BTreeMap<&SerialNumber, Option<&RevokedEntry>>,
    chunks: &mut Vec<Chunk>,
) -> Result<(), X509Error> {
    // A full chunk that grows becomes two halves, so that the next changes find room.
    let mut builder = EntryListBuilder::default();
    let mut merged = 0;
    let half = (chunk.count + changes.len()).div_ceil(2);
    let must_split = chunk.count + changes.len() > CHUNK;
    let mut reader = Reader::new(&chunk.der);
    while !reader.is_empty() {
        let element = reader.expect(SEQUENCE, "a revoked certificate")?;
        let serial = serial_of(element.value)?;
        while let Some(first) = changes.first_entry().filter(|first| first.key().as_bytes() < serial) {
            if let Some(entry) = first.remove() {
                builder.push(entry)?;
                merged += 1;
            }
        }
        let own = changes.first_entry().filter(|first| first.key().as_bytes() == serial);
        match own.map(|own| own.remove()) {
            Some(Some(entry)) => builder.push(entry)?,
            Some(None) => continue,
            None => builder.push_encoded(serial, element.whole),
        }
        merged += 1;
        if must_split && merged == half {
            builder.close();
        }
    }
    for entry in changes.into_values().flatten() {
        builder.push(entry)?;
    }
    chunks.extend(builder.finish().chunks);
    Ok(())
}

/// The userCertificate of an entry, from the contents of its SEQUENCE.
fn serial_of(contents: &[u8]) -> Result<&[u8], X509Error> {
    Ok(Reader::new(contents).expect(INTEGER, "userCertificate")?.unsigned_integer("userCertificate")?)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use crate::domain::reason::RevocationReason;

    use super::super::super::testing;
    use super::*;

    fn serial(number: u32) -> SerialNumber {
        // All of one length: in memory as in the database, serial numbers are compared octet by octet.
        SerialNumber::from_be_bytes(&[&[1][..], &number.to_be_bytes()].concat()).unwrap()
    }

    fn entry(number: u32, age: u32) -> RevokedEntry {
        RevokedEntry {
            serial: serial(number),
            revoked_on: testing::noon() - TimeDelta::seconds(age.into()),
            reason: if age.is_multiple_of(2) {
                RevocationReason::CertificateHold
            } else {
                RevocationReason::Unspecified
            },
            invalidity_date: None,
        }
    }

    fn bytes(list: &EntryList) -> Vec<u8> {
        list.pieces().flat_map(|piece| piece.to_vec()).collect()
    }

    fn written(entries: &BTreeMap<SerialNumber, RevokedEntry>) -> Vec<u8> {
        let mut list = EntryListBuilder::default();
        entries.values().for_each(|entry| list.push(entry).unwrap());
        bytes(&list.finish())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever is added, changed and taken away, in whatever batches: the octets are those of a list made at once.
        #[test]
        fn a_changed_list_is_the_list_of_the_changed_entries(
            batches in proptest::collection::vec(
                proptest::collection::btree_map(0_u32..3000, proptest::option::weighted(0.8, 0_u32..50), 0..700), 0..12),
        ) {
            let mut list = EntryList::default();
            let mut model = BTreeMap::new();
            for batch in batches {
                let changes: Changes =
                    batch.iter().map(|(number, age)| (serial(*number), age.map(|age| entry(*number, age)))).collect();
                for (serial, change) in &changes {
                    match change {
                        Some(entry) => model.insert(serial.clone(), entry.clone()),
                        None => model.remove(serial),
                    };
                }
                list = list.changed(&changes).unwrap();
                prop_assert_eq!(bytes(&list), written(&model));
                prop_assert_eq!((list.count(), list.length()), (model.len(), written(&model).len()));
                prop_assert!(list.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.count)));
                for number in batch.keys() {
                    let found = list.find(&serial(*number)).unwrap();
                    prop_assert_eq!(found.as_ref(), model.get(&serial(*number)));
                }
            }
        }
    }

    #[test]
    fn a_change_leaves_the_other_chunks_where_they_are() {
        let mut builder = EntryListBuilder::default();
        (0..2000).for_each(|number| builder.push(&entry(number * 2, 1)).unwrap());
        let before = builder.finish();
        let after = before.changed(&Changes::from([(serial(801), Some(entry(801, 1)))])).unwrap();
        let shared = |list: &EntryList| list.pieces().map(|piece| piece.as_ptr()).collect::<Vec<_>>();
        let (old, new) = (shared(&before), shared(&after));
        assert_eq!(old.iter().filter(|piece| !new.contains(piece)).count(), 1);
        assert_eq!(before.count() + 1, after.count());
    }

    #[test]
    fn what_is_before_and_after_everything_is_found_nowhere() {
        let list = EntryList::default().changed(&Changes::from([(serial(5), Some(entry(5, 2)))])).unwrap();
        assert_eq!(list.find(&serial(4)).unwrap(), None);
        assert_eq!(list.find(&serial(6)).unwrap(), None);
        assert_eq!(list.find(&serial(5)).unwrap(), Some(entry(5, 2)));
        assert_eq!(EntryList::default().find(&serial(5)).unwrap(), None);
    }
}
