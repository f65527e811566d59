//! How values are written on pages. Whatever comes from a certificate, a request or a name goes through [`text`]: escaped,
//! kept apart from the direction of what stands around it, and cut to what a person reads.

use std::fmt::{Display, Write};

use askama::filters::Safe;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::check::CheckState;
use crate::domain::status::Status;

/// In characters. What is longer nobody reads on a page; downloads have all of it.
const MAX_TEXT: usize = 160;
/// In characters. Names of actions, addresses, hosts and the parts of ids are no longer, and a table does not break them.
const MAX_WORD: usize = 24;

/// What was longer ago has a number.
const JUST_NOW: TimeDelta = TimeDelta::seconds(2);

pub type Html = Safe<String>;

/// A value behind however many references a template puts before it.
pub trait Plain<T> {
    fn plain(&self) -> T;
}

impl<T: Copy> Plain<T> for T {
    fn plain(&self) -> T {
        *self
    }
}

impl<T: Copy> Plain<T> for &T {
    fn plain(&self) -> T {
        **self
    }
}

impl<T: Copy> Plain<T> for &&T {
    fn plain(&self) -> T {
        ***self
    }
}

/// A text of strangers.
pub fn text(text: impl AsRef<str>) -> Html {
    shortened(text, MAX_TEXT)
}

/// A text of strangers, in at most so many characters.
pub fn shortened(text: impl AsRef<str>, most: usize) -> Html {
    let text = text.as_ref();
    let (shown, is_cut) = match text.char_indices().nth(most) {
        Some((end, _)) => (text.split_at(end).0, true),
        None => (text, false),
    };
    let mut html = String::from(if has_long_word(shown) { "<bdi class=\"long\">" } else { "<bdi>" });
    escape(&mut html, shown);
    html.push_str(if is_cut { "…</bdi>" } else { "</bdi>" });
    if is_cut {
        let _ = write!(html, " <span class=\"faint\">({} characters)</span>", number(as_i64(text.chars().count())));
    }
    Safe(html)
}

/// A text of strangers where no markup can be: in the title of a page.
pub fn plain(text: impl AsRef<str>) -> String {
    let mut shown = String::new();
    for character in text.as_ref().chars() {
        unmasked(&mut shown, character);
    }
    shown
}

/// Whether some of it is longer than what a column of a table can be asked to keep in one piece.
fn has_long_word(text: &str) -> bool {
    text.split([' ', '-']).any(|word| word.chars().nth(MAX_WORD).is_some())
}

/// A time: in UTC, which a script turns into the reader's zone; the title stays.
pub fn time(time: impl Plain<DateTime<Utc>>) -> Html {
    moment(time.plain(), "time", "%-d %b %Y, %H:%M UTC")
}

/// The day of a time.
pub fn day(time: impl Plain<DateTime<Utc>>) -> Html {
    moment(time.plain(), "day", "%-d %b %Y")
}

fn moment(time: DateTime<Utc>, kind: &str, form: &str) -> Html {
    Safe(format!(
        "<time datetime=\"{}\" title=\"{}\" data-as=\"{kind}\">{}</time>",
        time.format("%Y-%m-%dT%H:%M:%SZ"),
        time.format("%Y-%m-%d %H:%M:%S UTC"),
        time.format(form),
    ))
}

/// A time as its distance from now: `in 12 days`, `3 minutes ago`.
pub fn distance(time: impl Plain<DateTime<Utc>>, now: impl Plain<DateTime<Utc>>) -> String {
    let (time, now) = (time.plain(), now.plain());
    if time <= now && now - time < JUST_NOW {
        return "just now".into();
    }
    let span = length(time - now);
    if time > now { format!("in {span}") } else { format!("{span} ago") }
}

/// How long something takes, in its largest unit.
pub fn length(span: impl Plain<TimeDelta>) -> String {
    let seconds = span.plain().num_seconds().abs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        172_800..63_072_000 => (seconds / 86_400, "day"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{} {unit}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With a narrow blank at each thousand.
pub fn number(number: impl Plain<i64>) -> String {
    let number = number.plain();
    let digits = number.unsigned_abs().to_string();
    let mut written = String::from(if number < 0 { "−" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push('\u{202f}');
        }
        written.push(digit);
    }
    written
}

/// `1 certificate`, `2 certificates`.
pub fn count(of: impl Plain<i64>, noun: &str) -> String {
    let of = of.plain();
    format!("{} {noun}{}", number(of), if of == 1 { "" } else { "s" })
}

/// Bytes in hex, in groups that can be compared by eye.
pub fn fingerprint(bytes: impl AsRef<[u8]>) -> String {
    let pairs: Vec<String> = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// A button that copies a text; a script shows it where the browser can.
pub fn copy(value: impl Display, what: &str) -> Html {
    let mut html = String::from("<button type=\"button\" class=\"button small quiet copy\" hidden data-copy=\"");
    escape(&mut html, &value.to_string());
    let _ = write!(html, "\">Copy<span class=\"hidden\"> the {what}</span></button>");
    Safe(html)
}

/// The same for a server's configuration, whose lines are kept.
pub fn copy_lines(text: impl AsRef<str>, server: &str) -> Html {
    let mut html = String::from("<button type=\"button\" class=\"button small quiet copy\" hidden data-copy=\"");
    for character in text.as_ref().chars() {
        match character {
            '\n' => html.push_str("&#10;"),
            '\t' => html.push_str("&#9;"),
            other => escape(&mut html, other.encode_utf8(&mut [0; 4])),
        }
    }
    let _ = write!(html, "\">Copy<span class=\"hidden\"> the configuration for {server}</span></button>");
    Safe(html)
}

/// A status as a badge: a shape and a word, so that it does not hang on colour.
pub fn status(status: impl Plain<Status>, is_expired: impl Plain<bool>) -> Html {
    let status = status.plain();
    let (class, word) = match status {
        Status::Active if is_expired.plain() => ("expired", "Expired"),
        Status::Active => ("active", status_words(status)),
        Status::PendingRevocation | Status::PendingReactivation => ("pending", status_words(status)),
        Status::Revoked => ("revoked", status_words(status)),
    };
    Safe(format!("<span class=\"badge {class}\">{word}</span>"))
}

/// The state of a check, or that it has none yet.
pub fn check_state(state: impl Plain<Option<CheckState>>) -> Html {
    let (class, word) = match state.plain() {
        Some(CheckState::Passing) => ("active", "Passing"),
        Some(CheckState::Degraded) => ("pending still", "Degraded"),
        Some(CheckState::Failing) => ("revoked", "Failing"),
        None => ("still", "Not run yet"),
    };
    Safe(format!("<span class=\"badge {class}\">{word}</span>"))
}

pub fn status_words(status: impl Plain<Status>) -> &'static str {
    match status.plain() {
        Status::Active => "Active",
        Status::PendingRevocation => "Being revoked",
        Status::PendingReactivation => "Being reactivated",
        Status::Revoked => "Revoked",
    }
}

pub fn as_i64(number: impl Plain<usize>) -> i64 {
    i64::try_from(number.plain()).unwrap_or(i64::MAX)
}

/// Characters that control something are shown as what they are: not text.
fn escape(into: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '&' => into.push_str("&amp;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            '\n' | '\t' => into.push(' '),
            _ => unmasked(into, character),
        }
    }
}

/// What turns the direction of a text, or cannot be seen, is written out: a name must not look like another one.
fn unmasked(into: &mut String, character: char) {
    match character {
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => {
            let _ = write!(into, "[U+{:04X}]", u32::from(character));
        }
        _ if character.is_control() => into.push('\u{fffd}'),
        _ => into.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_is_text_apart_from_its_surroundings_and_short() {
        assert_eq!(text("<script>'\"&").0, "<bdi>&lt;script&gt;&#39;&quot;&amp;</bdi>");
        assert_eq!(text("\u{202e}a\u{7}b").0, "<bdi>[U+202E]a\u{fffd}b</bdi>");
        assert_eq!(plain("<\u{2066}a\u{7}"), "<[U+2066]a\u{fffd}", "to be escaped by the template");
        let long = text("é".repeat(65_536)).0;
        assert!(long.len() < 600 && long.contains("(65\u{202f}536 characters)"), "{long}");
    }

    #[test]
    fn only_what_is_too_long_for_a_column_may_be_broken_anywhere() {
        for short in
            ["certificate.revoked, crl.published", "01a22368-f885-76bd-a015-bd66c2c3207a", "*.partner.example.com"]
        {
            assert!(text(short).0.starts_with("<bdi>"), "{short}");
        }
        for long in ["x".repeat(25), format!("a word and {}", "é".repeat(25))] {
            assert!(text(&long).0.starts_with("<bdi class=\"long\">"), "{long}");
        }
    }

    #[test]
    fn numbers_and_spans_are_written_for_people() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-12), "−12");
        assert_eq!(count(1, "zone"), "1 zone");
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(distance(now + TimeDelta::days(12), now), "in 12 days");
        assert_eq!(distance(now - TimeDelta::minutes(1), now), "1 minute ago");
        assert_eq!(length(TimeDelta::days(3650)), "10 years");
    }
}
