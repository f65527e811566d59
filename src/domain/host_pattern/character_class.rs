//! Classes of characters, `[a-c]`, `[!ab]`, `[[:alpha:]]`, and sets of the characters that host names have.

use super::symbols::Symbol;

/// A set of ASCII characters. Capitals are kept as small letters, which is all that hosts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharacterSet([u64; 2]);

impl CharacterSet {
    pub const EMPTY: Self = Self([0; 2]);
    pub const ALL: Self = Self([u64::MAX; 2]);

    pub fn contains(self, byte: u8) -> bool {
        let Self([low, high]) = self;
        let half = if byte < 64 { low } else { high };
        byte < 128 && half >> (byte % 64) & 1 == 1
    }

    fn insert(&mut self, byte: u8) {
        let Self([low, high]) = self;
        let byte = byte.to_ascii_lowercase();
        if byte < 128 {
            *(if byte < 64 { low } else { high }) |= 1 << (byte % 64);
        }
    }

    fn complement(self) -> Self {
        Self(self.0.map(|half| !half))
    }
}

/// What a `[` begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing: it is never closed, and stands for itself.
    Unclosed,
    /// A class that can hold no character, such as `[b-a]`: the pattern matches nothing.
    Impossible,
    /// A class of so many symbols, brackets included.
    Set(CharacterSet, usize),
}

/// Reads the class that starts with the first symbol, a `[`.
pub fn read(symbols: &[Symbol]) -> Class {
    let is = |position: usize, character| symbols.get(position).is_some_and(|symbol| symbol.is(character));
    let is_negated = is(1, '!') || is(1, '^');
    let first = if is_negated { 2 } else { 1 };
    let mut members = Members::default();
    let mut range_start = None;
    let mut position = first;
    loop {
        let Some(symbol) = symbols.get(position) else { return Class::Unclosed };
        if symbol.is(']') && position > first {
            break;
        }
        if let Some((name, belongs)) = named_class(symbols.get(position..).unwrap_or_default()) {
            if range_start.is_some() {
                return Class::Impossible;
            }
            members.insert_all(belongs);
            position += name.len();
            continue;
        }
        let character = symbol.character;
        if let Some(start) = range_start.take() {
            members.insert_range(start, character);
            position += 1;
        } else if is(position + 1, '-') && is(position + 2, ']') {
            members.insert_range(character, character);
            members.insert_range('-', '-');
            position += 2;
        } else if is(position + 1, '-') {
            range_start = Some(character);
            position += 2;
        } else {
            members.insert_range(character, character);
            position += 1;
        }
    }
    match (members.is_empty, is_negated) {
        (true, _) => Class::Impossible,
        (false, true) => Class::Set(members.set.complement(), position + 1),
        (false, false) => Class::Set(members.set, position + 1),
    }
}

struct Members {
    set: CharacterSet,
    /// No character at all was named, not even one that no host has.
    is_empty: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { set: CharacterSet::EMPTY, is_empty: true }
    }
}

impl Members {
    /// Both ends belong to it; a range that runs backwards adds nothing.
    fn insert_range(&mut self, first: char, last: char) {
        if first <= last {
            self.insert_all(|byte| (first..=last).contains(&char::from(byte)));
        }
    }

    fn insert_all(&mut self, belongs: impl Fn(u8) -> bool) {
        self.is_empty = false;
        (0..128).filter(|byte| belongs(*byte)).for_each(|byte| self.set.insert(byte));
    }
}

type Belongs = fn(u8) -> bool;

/// The classes of POSIX (XBD 9.3.5), for ASCII.
const NAMED_CLASSES: [(&str, Belongs); 14] = [
    ("[:alnum:]", |byte| byte.is_ascii_alphanumeric()),
    ("[:alpha:]", |byte| byte.is_ascii_alphabetic()),
    ("[:ascii:]", |_| true),
    ("[:blank:]", |byte| byte == b' ' || byte == b'\t'),
    ("[:cntrl:]", |byte| byte.is_ascii_control()),
    ("[:digit:]", |byte| byte.is_ascii_digit()),
    ("[:graph:]", |byte| byte.is_ascii_graphic()),
    ("[:lower:]", |byte| byte.is_ascii_lowercase()),
    ("[:print:]", |byte| byte.is_ascii_graphic() || byte == b' '),
    ("[:punct:]", |byte| byte.is_ascii_punctuation()),
    ("[:space:]", |byte| byte.is_ascii_whitespace() || byte == 0x0b),
    ("[:upper:]", |byte| byte.is_ascii_uppercase()),
    ("[:word:]", |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
    ("[:xdigit:]", |byte| byte.is_ascii_hexdigit()),
];

fn named_class(symbols: &[Symbol]) -> Option<(&'static str, Belongs)> {
    if !symbols.first()?.is('[') {
        return None;
    }
    let stands_here = |name: &str| {
        symbols.len() >= name.len() && symbols.iter().zip(name.chars()).all(|(symbol, letter)| symbol.is(letter))
    };
    NAMED_CLASSES.into_iter().find(|(name, _)| stands_here(name))
}
