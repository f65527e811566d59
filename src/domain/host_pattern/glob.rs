//! One pattern without braces, read into what is matched one after the other.

use super::character_class::{self, CharacterSet, Class};
use super::symbols::Symbol;

/// The deepest nesting of extended globs, `@(a|@(b|c))`.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One byte of a host name, in lower case.
    Literal(u8),
    /// One character of a set: a class, or any for `?`; none for what no host name has.
    One(CharacterSet),
    /// Any run of characters.
    Star,
    /// An extended glob: any of the alternatives, so many times.
    Group(Times, Vec<Vec<Item>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// `@(…)`
    Once,
    /// `?(…)`
    AtMostOnce,
    /// `+(…)`
    AtLeastOnce,
    /// `*(…)`
    Any,
}

impl Times {
    pub fn may_be_none(self) -> bool {
        matches!(self, Self::AtMostOnce | Self::Any)
    }

    pub fn may_be_many(self) -> bool {
        matches!(self, Self::AtLeastOnce | Self::Any)
    }
}

impl Item {
    /// Whether it takes this byte, if it is one that takes exactly one.
    pub fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Literal(literal) => *literal == byte,
            Self::One(set) => set.contains(byte),
            Self::Star | Self::Group(..) => false,
        }
    }
}

/// Why a pattern is refused that is well formed.
#[derive(Debug)]
pub enum Refusal {
    Negation,
    Colon,
    Depth,
    /// A label that cannot be written in A-labels.
    Label(String),
}

impl Refusal {
    pub fn describe(&self, text: &str) -> String {
        match self {
            Self::Negation => super::negation(text),
            Self::Colon => format!(
                "{text:?} has a colon: leave out a port; an IPv6 address is given in full, without wildcards or ports"
            ),
            Self::Depth => format!("{text:?} nests parentheses more than {MAX_DEPTH} deep"),
            Self::Label(label) => format!(
                "{text:?} has the label {label:?}, which is no name beyond ASCII that could be looked up; \
                 a label with a wildcard is written in ASCII, in its xn-- form"
            ),
        }
    }
}

pub fn read(symbols: Vec<Symbol>) -> Result<Vec<Item>, Refusal> {
    let tokens = tokens(&symbols)?;
    let is_closed = closed(&tokens);
    let mut outside: Vec<Group> = Vec::new();
    let mut inside = Group::default();
    for (token, is_closed) in tokens.into_iter().zip(is_closed) {
        match token {
            Token::Open(times) if is_closed => {
                if outside.len() >= MAX_DEPTH {
                    return Err(Refusal::Depth);
                }
                outside.push(std::mem::replace(&mut inside, Group { times: Some(times), ..Group::default() }));
            }
            Token::Close if inside.times.is_some() => {
                let group = std::mem::replace(&mut inside, outside.pop().unwrap_or_default());
                inside.items.push(group.into_item());
            }
            Token::Bar if inside.times.is_some() => inside.alternatives.push(std::mem::take(&mut inside.items)),
            Token::Item(item) => inside.items.push(item),
            // Outside of a closed group they stand for themselves, and no host has them.
            Token::Open(_) | Token::Close | Token::Bar => inside.items.push(Item::One(CharacterSet::EMPTY)),
        }
    }
    Ok(inside.items)
}

/// What is being read: a group, or the whole, which repeats in no way.
#[derive(Default)]
struct Group {
    times: Option<Times>,
    /// Those that a bar ended.
    alternatives: Vec<Vec<Item>>,
    /// The one that is being read.
    items: Vec<Item>,
}

impl Group {
    fn into_item(mut self) -> Item {
        self.alternatives.push(self.items);
        Item::Group(self.times.unwrap_or(Times::Once), self.alternatives)
    }
}

enum Token {
    Item(Item),
    Open(Times),
    Bar,
    Close,
}

fn tokens(symbols: &[Symbol]) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let [symbol, after @ ..] = rest {
        let from_here = rest;
        rest = after;
        if symbol.is_escaped {
            tokens.push(Token::Item(literal(symbol.character)?));
            continue;
        }
        if let Some(inside) = after.split_first().filter(|(next, _)| next.is('(')).map(|(_, inside)| inside)
            && let Some(times) = group_start(symbol.character)?
        {
            tokens.push(Token::Open(times));
            rest = inside;
            continue;
        }
        tokens.push(match symbol.character {
            '*' if matches!(tokens.last(), Some(Token::Item(Item::Star))) => continue,
            '*' => Token::Item(Item::Star),
            '?' => Token::Item(Item::One(CharacterSet::ALL)),
            '|' => Token::Bar,
            ')' => Token::Close,
            '[' => match character_class::read(from_here) {
                Class::Unclosed => Token::Item(Item::One(CharacterSet::EMPTY)),
                Class::Impossible => {
                    tokens.push(Token::Item(Item::One(CharacterSet::EMPTY)));
                    break;
                }
                Class::Set(set, length) => {
                    rest = from_here.get(length..).unwrap_or_default();
                    Token::Item(Item::One(set))
                }
            },
            other => Token::Item(literal(other)?),
        });
    }
    Ok(tokens)
}

fn group_start(character: char) -> Result<Option<Times>, Refusal> {
    match character {
        '@' => Ok(Some(Times::Once)),
        '?' => Ok(Some(Times::AtMostOnce)),
        '+' => Ok(Some(Times::AtLeastOnce)),
        '*' => Ok(Some(Times::Any)),
        '!' => Err(Refusal::Negation),
        _ => Ok(None),
    }
}

fn literal(character: char) -> Result<Item, Refusal> {
    match u8::try_from(character) {
        Ok(b':') => Err(Refusal::Colon),
        Ok(byte) if super::host_name::is_name_byte(byte) => Ok(Item::Literal(byte.to_ascii_lowercase())),
        _ => Ok(Item::One(CharacterSet::EMPTY)),
    }
}

/// For each token, whether it opens a group that is closed.
fn closed(tokens: &[Token]) -> Vec<bool> {
    let mut is_closed = vec![false; tokens.len()];
    let mut open = Vec::new();
    for (position, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) => open.push(position),
            Token::Close => {
                if let Some(opened) = open.pop().and_then(|position| is_closed.get_mut(position)) {
                    *opened = true;
                }
            }
            Token::Bar | Token::Item(_) => {}
        }
    }
    is_closed
}
