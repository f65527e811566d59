//! The entries of a CRL (RFC 5280, 5.1.2.6 and 5.3).
//!
//! Written here and not by rcgen, whose own copy of every entry would double the memory of a list with a million of
//! them; a test holds the two encodings against each other.

use chrono::{DateTime, Utc};

use crate::domain::reason::RevocationReason;
use crate::domain::revocation::RevokedEntry;
use crate::domain::serial::SerialNumber;

use super::super::der::{
    self, DerError, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE, Tlv, write,
};
use super::super::error::X509Error;
use super::super::extension::{self, Extension};
use super::super::{oid, time};
use super::find;

/// OIDs of the two entry extensions, encoded: 2.5.29.21 and 2.5.29.24.
const REASON_CODE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x15];
const INVALIDITY_DATE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x18];

/// removeFromCRL (5.3.1): no reason to revoke, and only on delta CRLs.
const REMOVED: i16 = 8;

/// Writes entries one after the other: the contents of revokedCertificates. The reason `unspecified` is left out (5.3.1).
#[derive(Default)]
pub struct Writer {
    body: Vec<u8>,
    extensions: Vec<u8>,
    /// Revocations come in batches, so one time often stands in many entries.
    last_time: Option<(i64, Vec<u8>)>,
}

impl Writer {
    /// Puts an entry after what is there.
    pub fn push(&mut self, list: &mut Vec<u8>, entry: &RevokedEntry) -> Result<(), X509Error> {
        let code = (entry.reason != RevocationReason::Unspecified).then(|| entry.reason.code());
        self.push_fields(list, &entry.serial, entry.revoked_on, code, entry.invalidity_date)
    }

    /// Puts word of an entry that has left the list after what is there.
    pub fn push_removed(
        &mut self,
        list: &mut Vec<u8>,
        serial: &SerialNumber,
        date: DateTime<Utc>,
    ) -> Result<(), X509Error> {
        self.push_fields(list, serial, date, Some(REMOVED), None)
    }

    fn push_fields(
        &mut self,
        list: &mut Vec<u8>,
        serial: &SerialNumber,
        date: DateTime<Utc>,
        code: Option<i16>,
        invalidity_date: Option<DateTime<Utc>>,
    ) -> Result<(), X509Error> {
        self.body.clear();
        push_serial(&mut self.body, serial);
        let second = date.timestamp();
        let encoded = match self.last_time.take() {
            Some((known, encoded)) if known == second => encoded,
            _ => time::write(date)?,
        };
        self.body.extend_from_slice(&encoded);
        self.last_time = Some((second, encoded));
        self.extensions.clear();
        push_extensions(&mut self.extensions, code, invalidity_date)?;
        if !self.extensions.is_empty() {
            write::push(&mut self.body, SEQUENCE, &[&self.extensions]);
        }
        write::push(list, SEQUENCE, &[&self.body]);
        Ok(())
    }
}

/// Reads the contents of revokedCertificates: the entries, and the serial numbers of those that left the list. An entry
/// without a reason is `unspecified`.
pub fn read(mut reader: Reader<'_>) -> Result<(Vec<RevokedEntry>, Vec<SerialNumber>), DerError> {
    let (mut entries, mut removed) = (Vec::new(), Vec::new());
    while !reader.is_empty() {
        match read_entry(&reader.expect(SEQUENCE, "a revoked certificate")?)? {
            Read::Revoked(entry) => entries.push(entry),
            Read::Removed(serial) => removed.push(serial),
        }
    }
    Ok((entries, removed))
}

/// Sees that there are entries and nothing else, without keeping any.
pub fn pass_over(mut reader: Reader<'_>) -> Result<(), DerError> {
    while !reader.is_empty() {
        reader.expect(SEQUENCE, "a revoked certificate")?.contents().expect(INTEGER, "userCertificate")?;
    }
    Ok(())
}

enum Read {
    Revoked(RevokedEntry),
    Removed(SerialNumber),
}

fn push_serial(body: &mut Vec<u8>, serial: &SerialNumber) {
    let octets = serial.as_bytes();
    let sign: &[u8] = if octets.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    write::push(body, INTEGER, &[sign, octets]);
}

fn push_extensions(
    extensions: &mut Vec<u8>,
    code: Option<i16>,
    invalidity_date: Option<DateTime<Utc>>,
) -> Result<(), X509Error> {
    if let Some(code) = code {
        let [_, code] = code.to_be_bytes();
        // All codes are below 128 (5.3.1), so one octet holds them.
        write::push(extensions, SEQUENCE, &[REASON_CODE, &[OCTET_STRING, 0x03, ENUMERATED, 0x01, code]]);
    }
    if let Some(date) = invalidity_date {
        // 5.3.2: GeneralizedTime, also before 2050.
        let date = time::write_generalized(date)?;
        write::push(extensions, SEQUENCE, &[INVALIDITY_DATE, &write::octet_string(&date)]);
    }
    Ok(())
}

fn read_entry(element: &Tlv<'_>) -> Result<Read, DerError> {
    let mut fields = element.contents();
    let serial = fields.expect(INTEGER, "userCertificate")?.unsigned_integer("userCertificate")?;
    let serial = SerialNumber::from_be_bytes(serial).ok_or(DerError::Value { what: "userCertificate" })?;
    let revoked_on = time::read(&fields.read()?, "revocationDate")?;
    let extensions = match fields.optional(SEQUENCE)? {
        Some(sequence) => extension::read_all(&sequence)?,
        None => Vec::new(),
    };
    fields.finish("crlEntryExtensions")?;
    let reason = match find(&extensions, oid::REASON_CODE).map(read_reason).transpose()? {
        None => RevocationReason::Unspecified,
        Some(REMOVED) => return Ok(Read::Removed(serial)),
        Some(code) => RevocationReason::from_code(code).ok_or(DerError::Value { what: "reasonCode" })?,
    };
    let invalidity_date = find(&extensions, oid::INVALIDITY_DATE).map(read_date).transpose()?;
    Ok(Read::Revoked(RevokedEntry { serial, revoked_on, reason, invalidity_date }))
}

fn read_reason(extension: &Extension<'_>) -> Result<i16, DerError> {
    let code = der::single(extension.value, ENUMERATED, "reasonCode")?.small_unsigned("reasonCode")?;
    i16::try_from(code).map_err(|_| DerError::Value { what: "reasonCode" })
}

fn read_date(extension: &Extension<'_>) -> Result<DateTime<Utc>, DerError> {
    time::read(&der::single(extension.value, GENERALIZED_TIME, "invalidityDate")?, "invalidityDate")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams};

    use crate::domain::key::AuthorityKeyType;

    use super::super::super::der::BOOLEAN;
    use super::super::super::{capture, testing};
    use super::*;

    const REASONS: [(RevocationReason, rcgen::RevocationReason); 9] = [
        (RevocationReason::Unspecified, rcgen::RevocationReason::Unspecified),
        (RevocationReason::KeyCompromise, rcgen::RevocationReason::KeyCompromise),
        (RevocationReason::CaCompromise, rcgen::RevocationReason::CaCompromise),
        (RevocationReason::AffiliationChanged, rcgen::RevocationReason::AffiliationChanged),
        (RevocationReason::Superseded, rcgen::RevocationReason::Superseded),
        (RevocationReason::CessationOfOperation, rcgen::RevocationReason::CessationOfOperation),
        (RevocationReason::CertificateHold, rcgen::RevocationReason::CertificateHold),
        (RevocationReason::PrivilegeWithdrawn, rcgen::RevocationReason::PrivilegeWithdrawn),
        (RevocationReason::AaCompromise, rcgen::RevocationReason::AaCompromise),
    ];

    /// revokedCertificates as rcgen writes it.
    fn by_encoder(entries: &[RevokedEntry]) -> Vec<u8> {
        let revoked = entries.iter().map(|entry| RevokedCertParams {
            serial_number: entry.serial.as_bytes().to_vec().into(),
            revocation_time: time::for_encoder(entry.revoked_on).unwrap(),
            reason_code: REASONS.iter().find(|pair| pair.0 == entry.reason).map(|pair| pair.1),
            invalidity_date: entry.invalidity_date.map(|date| time::for_encoder(date).unwrap()),
        });
        let params = CertificateRevocationListParams {
            this_update: time::for_encoder(testing::noon()).unwrap(),
            next_update: time::for_encoder(testing::noon() + chrono::TimeDelta::days(1)).unwrap(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(vec![1]),
        };
        let encoded = capture::crl(&params, &[1], AuthorityKeyType::P256).unwrap();
        let mut fields = der::single(&encoded, SEQUENCE, "").unwrap().contents();
        std::iter::from_fn(|| fields.read().ok()).nth(5).unwrap().value.to_vec()
    }

    fn moment() -> impl Strategy<Value = DateTime<Utc>> {
        // 1950 to 2100, both encodings of time.
        (-631_152_000i64..4_102_444_800).prop_map(|second| DateTime::from_timestamp(second, 0).unwrap())
    }

    fn entry() -> impl Strategy<Value = RevokedEntry> {
        let serial = proptest::collection::vec(any::<u8>(), 1..=20)
            .prop_filter_map("zero", |octets| SerialNumber::from_be_bytes(&octets));
        let reason = (0..REASONS.len()).prop_map(|index| REASONS[index].0);
        (serial, moment(), reason, proptest::option::of(moment())).prop_map(
            |(serial, revoked_on, reason, invalidity_date)| RevokedEntry {
                serial,
                revoked_on,
                reason,
                invalidity_date,
            },
        )
    }

    proptest! {
        #[test]
        fn entries_are_written_as_the_encoder_would_and_read_back(entries in proptest::collection::vec(entry(), 1..8)) {
            let (mut written, mut writer) = (Vec::new(), Writer::default());
            entries.iter().for_each(|entry| writer.push(&mut written, entry).unwrap());
            prop_assert_eq!(&written, &by_encoder(&entries));
            prop_assert_eq!(read(Reader::new(&written)).unwrap(), (entries, Vec::new()));
        }
    }

    #[test]
    fn an_explicit_criticality_of_false_is_no_der() {
        let extension = [SEQUENCE, 13, 0x06, 0x03, 0x55, 0x1d, 0x15, BOOLEAN, 1, 0, OCTET_STRING, 3, ENUMERATED, 1, 1];
        let extensions = write::sequence(&[&extension]);
        let time = time::write(testing::noon()).unwrap();
        let entry = write::sequence(&[&[INTEGER, 1, 1], &time, &extensions]);
        assert!(read(Reader::new(&entry)).is_err());
    }
}
