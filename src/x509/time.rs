//! The one place where chrono, rcgen's `time` and the two ASN.1 time types meet.

use ::time::OffsetDateTime;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

use super::der::{DerError, GENERALIZED_TIME, Tlv, UTC_TIME, write};
use super::error::X509Error;

/// Whole seconds: certificates and CRLs know no smaller ones (RFC 5280, 4.1.2.5).
pub fn truncated(moment: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(moment.timestamp(), 0).unwrap_or(moment)
}

/// For the encoder. Years outside 1950 to 9999 have no place in a certificate.
pub fn for_encoder(moment: DateTime<Utc>) -> Result<OffsetDateTime, X509Error> {
    let outside = || X509Error::Content(format!("{moment} cannot stand in a certificate"));
    let converted = OffsetDateTime::from_unix_timestamp(moment.timestamp()).map_err(|_| outside())?;
    if (1950..=9999).contains(&converted.year()) { Ok(converted) } else { Err(outside()) }
}

/// A time in DER as RFC 5280, 4.1.2.5 demands it: UTCTime through 2049, GeneralizedTime from 2050.
pub fn write(moment: DateTime<Utc>) -> Result<Vec<u8>, X509Error> {
    for_encoder(moment)?;
    let (tag, form) =
        if moment.year() < 2050 { (UTC_TIME, "%y%m%d%H%M%SZ") } else { (GENERALIZED_TIME, GENERALIZED_FORM) };
    Ok(write::element(tag, moment.format(form).to_string().as_bytes()))
}

/// A GeneralizedTime in DER, of whatever year.
pub fn write_generalized(moment: DateTime<Utc>) -> Result<Vec<u8>, X509Error> {
    for_encoder(moment)?;
    Ok(write::element(GENERALIZED_TIME, moment.format(GENERALIZED_FORM).to_string().as_bytes()))
}

const GENERALIZED_FORM: &str = "%Y%m%d%H%M%SZ";

/// UTCTime or GeneralizedTime in the forms of RFC 5280, 4.1.2.5: with seconds, without fractions, ending in `Z`.
pub fn read(element: &Tlv<'_>, what: &'static str) -> Result<DateTime<Utc>, DerError> {
    let malformed = DerError::Value { what };
    let (digits, zone) =
        element.value.split_at_checked(element.value.len().saturating_sub(1)).ok_or(malformed.clone())?;
    if zone != b"Z" || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let text = std::str::from_utf8(digits).map_err(|_| malformed.clone())?;
    let (year, rest) = match (element.tag, text.len()) {
        (UTC_TIME, 12) => (two_digit_year(text), text.get(2..)),
        (GENERALIZED_TIME, 14) => (text.get(..4).and_then(|year| year.parse().ok()), text.get(4..)),
        _ => return Err(malformed),
    };
    year.zip(rest).and_then(|(year, rest)| assemble(year, rest)).ok_or(malformed)
}

/// RFC 5280, 4.1.2.5.1: 50 and above lie in the twentieth century.
fn two_digit_year(text: &str) -> Option<i32> {
    let year: i32 = text.get(..2)?.parse().ok()?;
    Some(if year >= 50 { 1900 + year } else { 2000 + year })
}

/// `MMDDHHMMSS`.
fn assemble(year: i32, rest: &str) -> Option<DateTime<Utc>> {
    let pair = |index: usize| rest.get(index * 2..index * 2 + 2)?.parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(year, pair(0)?, pair(1)?)?;
    date.and_hms_opt(pair(2)?, pair(3)?, pair(4)?).map(|moment| moment.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(tag: u8, text: &str) -> Option<String> {
        let element = Tlv { tag, value: text.as_bytes(), whole: &[] };
        read(&element, "a time").ok().map(|moment| moment.to_rfc3339())
    }

    #[test]
    fn both_types_are_read() {
        assert_eq!(read_text(UTC_TIME, "261120182500Z").unwrap(), "2026-11-20T18:25:00+00:00");
        assert_eq!(read_text(UTC_TIME, "500101000000Z").unwrap(), "1950-01-01T00:00:00+00:00");
        assert_eq!(read_text(GENERALIZED_TIME, "20500101000000Z").unwrap(), "2050-01-01T00:00:00+00:00");
    }

    #[test]
    fn what_is_written_is_read() {
        for (text, tag) in [
            ("1950-01-01T00:00:00Z", UTC_TIME),
            ("2049-12-31T23:59:59Z", UTC_TIME),
            ("2050-01-01T00:00:00Z", GENERALIZED_TIME),
            ("9999-12-31T23:59:59Z", GENERALIZED_TIME),
        ] {
            let moment: DateTime<Utc> = text.parse().unwrap();
            let written = write(moment).unwrap();
            let element = crate::x509::der::single(&written, tag, "").unwrap();
            assert_eq!(read(&element, ""), Ok(moment));
            let generalized = write_generalized(moment).unwrap();
            let element = crate::x509::der::single(&generalized, GENERALIZED_TIME, "").unwrap();
            assert_eq!(read(&element, ""), Ok(moment));
        }
        assert!(write("1949-12-31T23:59:59Z".parse().unwrap()).is_err());
    }

    #[test]
    fn other_forms_are_malformed() {
        for text in ["", "Z", "2611201825Z", "261120182500+0000", "261320182500Z", "26112018250aZ", "20261120182500.5Z"]
        {
            assert_eq!(read_text(UTC_TIME, text), None, "{text}");
            assert_eq!(read_text(GENERALIZED_TIME, text), None, "{text}");
        }
    }
}
