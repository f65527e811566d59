//! Small texts of the wire: times, and names that people give to things.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// RFC 3339 in UTC with whole seconds: the contract's form of every time.
pub fn timestamp(time: DateTime<Utc>) -> String {
    let (year, month, day) = (time.year(), time.month(), time.day());
    // By hand: a format of chrono's is read anew each time, which a page of certificates feels.
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

/// Reads a time: RFC 3339, or a date alone, which is its midnight in UTC. In years of four digits, which is all that can be
/// written again, and leaves room for reckoning.
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    let time = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc(),
        Err(_) => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?.and_utc(),
    };
    (0..=9999).contains(&time.year()).then_some(time)
}

/// The name without blanks around it, if it has 1 to `max` characters and none that control a terminal.
pub fn label(name: &str, max: usize) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > max || name.chars().any(char::is_control) {
        return Err(format!("name must be 1 to {max} printable characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let time = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(parse_timestamp(&timestamp(time)), Some(time));
        assert_eq!(timestamp(parse_timestamp("2027-01-31").unwrap()), "2027-01-31T00:00:00Z");
        assert_eq!(timestamp(parse_timestamp("2027-01-31T01:00:00+01:00").unwrap()), "2027-01-31T00:00:00Z");
        for wrong in ["", "tomorrow", "2027-02-30", "2027-01-31T00:00", "20270131"] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn years_have_four_digits() {
        assert_eq!(timestamp(parse_timestamp("9999-12-31T23:59:59Z").unwrap()), "9999-12-31T23:59:59Z");
        assert!(parse_timestamp("0000-01-01").is_some());
        for wrong in ["-262143-01-01", "+262142-12-31", "10000-01-01", "-0001-12-31", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn labels_are_printable_and_bounded() {
        assert_eq!(label(" a name ", 6), Ok("a name".into()));
        for wrong in ["", "  ", "a\nb", "1234567"] {
            assert!(label(wrong, 6).is_err(), "{wrong:?}");
        }
    }
}
