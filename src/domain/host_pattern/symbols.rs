//! The characters of a pattern, each with the word whether a backslash took its meaning away.

use super::glob::Refusal;
use super::host_name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub character: char,
    pub is_escaped: bool,
}

impl Symbol {
    pub fn plain(character: char) -> Self {
        Self { character, is_escaped: false }
    }

    pub fn escaped(character: char) -> Self {
        Self { character, is_escaped: true }
    }

    /// Whether it is this character, with its meaning.
    pub fn is(self, character: char) -> bool {
        !self.is_escaped && self.character == character
    }
}

/// A backslash at the very end stands for itself.
pub fn read(text: &str) -> Vec<Symbol> {
    let mut symbols = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        symbols.push(match character {
            '\\' => Symbol::escaped(characters.next().unwrap_or('\\')),
            other => Symbol::plain(other),
        });
    }
    symbols
}

/// One pattern without braces, its labels beyond ASCII in A-label form. A label is converted as a whole (RFC 5891, 4.4),
/// so none that has a wildcard can be. A dot at the end of the pattern is cut, as it is from host names.
pub fn to_a_labels(mut symbols: Vec<Symbol>) -> Result<Vec<Symbol>, Refusal> {
    symbols.pop_if(|last| last.character == '.');
    if symbols.iter().all(|symbol| symbol.character.is_ascii()) {
        return Ok(symbols);
    }
    let mut converted = Vec::with_capacity(symbols.len());
    for label in symbols.split_inclusive(|symbol| symbol.character == '.') {
        if label.iter().all(|symbol| symbol.character.is_ascii()) {
            converted.extend_from_slice(label);
            continue;
        }
        let text: String = label.iter().map(|symbol| symbol.character).collect();
        let has_magic = text.chars().any(|c| c.is_ascii() && !host_name::is_name_byte(c as u8));
        let name = host_name::to_ascii(&text)
            .filter(|_| !has_magic)
            .ok_or_else(|| Refusal::Label(text.trim_end_matches('.').to_owned()))?;
        converted.extend(name.chars().map(Symbol::plain));
    }
    Ok(converted)
}
