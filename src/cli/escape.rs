//! Text of strangers on a terminal.
//!
//! Names in certificates are chosen by whoever asked for them. Printed raw, they could clear the screen, pass for other
//! rows of a table, or read backwards; so everything that is not plainly visible is shown by its number instead.

use std::borrow::Cow;

/// The text with control characters, direction marks and invisible characters written as `\u{…}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_treacherous) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_treacherous(character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// As [`escape`], but line ends stay: for messages of several lines.
pub fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// A word of a command line that can be pasted into a shell.
pub fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@:+=,%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How this program was called: what to print before a command that is to be pasted.
pub fn program() -> String {
    shell_word(&std::env::args().next().unwrap_or_else(|| "countersign".into()))
}

fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00ad}'                              // soft hyphen
                | '\u{034f}'                        // combining grapheme joiner
                | '\u{061c}'                        // Arabic letter mark
                | '\u{115f}' | '\u{1160}'           // Hangul fillers
                | '\u{17b4}' | '\u{17b5}'           // invisible Khmer vowels
                | '\u{180b}'..='\u{180f}'           // Mongolian selectors
                | '\u{200b}'..='\u{200f}'           // zero width, left-to-right and right-to-left marks
                | '\u{2028}'..='\u{202e}'           // line and paragraph separators, embeddings and overrides
                | '\u{2060}'..='\u{206f}'           // word joiner, isolates, deprecated format characters
                | '\u{3164}' | '\u{ffa0}'           // Hangul fillers
                | '\u{fe00}'..='\u{fe0f}'           // variation selectors
                | '\u{feff}'                        // byte order mark
                | '\u{fff0}'..='\u{fffb}'           // interlinear annotation
                | '\u{e0000}'..='\u{e0fff}'         // tags and further selectors
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["device-0001", "Bücher GmbH & Co. KG", "東京", "Ελλάδα", "עברית"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_moves_or_hides_text() {
        assert_eq!(escape("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("a\r\nb\tc\0"), "a\\u{d}\\u{a}b\\u{9}c\\u{0}");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(escape("\u{2066}x\u{2069}\u{200f}\u{feff}"), "\\u{2066}x\\u{2069}\\u{200f}\\u{feff}");
    }

    #[test]
    fn messages_keep_their_lines() {
        assert_eq!(escape_lines("one\n\u{7}two\r\nthree"), "one\n\\u{7}two\nthree");
    }

    #[test]
    fn printed_commands_can_be_pasted() {
        assert_eq!(shell_word("device-1.pem"), "device-1.pem");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
