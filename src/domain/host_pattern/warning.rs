//! What the owner of a pattern should know, because an identity that is presented to a stranger tells them who we are.

use super::character_class::CharacterSet;
use super::glob::Item;
use super::{HostName, HostPattern};

pub fn warning(pattern: &HostPattern, alternatives: &[Vec<Item>]) -> Option<String> {
    let possible: Vec<&Vec<Item>> = alternatives.iter().filter(|items| is_possible(items)).collect();
    if possible.is_empty() {
        return Some(format!(
            "{pattern} matches no host name: brackets, braces and other signs that are not closed, that hold one \
             alternative, or that stand after a backslash stand for themselves, and no host name has them"
        ));
    }
    if possible.iter().any(|items| is_everything(items)) {
        return Some(format!("{pattern} matches every host: the identity is presented wherever one is asked for"));
    }
    possible.into_iter().find_map(|items| open_end(pattern, items))
}

fn is_possible(items: &[Item]) -> bool {
    let dot = Item::Literal(b'.');
    let has_empty_label = items.windows(2).any(|pair| pair.iter().all(|item| *item == dot));
    let is_impossible = |item: &Item| *item == Item::One(CharacterSet::EMPTY);
    !items.is_empty() && !items.iter().any(is_impossible) && !has_empty_label && items.first() != Some(&dot)
}

fn is_everything(items: &[Item]) -> bool {
    items.contains(&Item::Star) && items.iter().all(|item| matches!(item, Item::Star | Item::One(CharacterSet::ALL)))
}

/// Whose a name is, its end says. What follows the last wildcard should fix a domain: at least two labels, each with the
/// dot before it.
fn open_end(pattern: &HostPattern, items: &[Item]) -> Option<String> {
    let open = items.iter().rposition(is_open)?;
    let end = items.get(open + 1..).unwrap_or_default();
    let labels = end.iter().filter(|item| **item == Item::Literal(b'.')).count();
    if labels >= 2 {
        return None;
    }
    if labels == 1 && end.first() == Some(&Item::Literal(b'.')) {
        let domain = literal_text(end).unwrap_or_else(|| "a top-level domain".into());
        return Some(format!(
            "{pattern} matches hosts under {domain} whoever owns them; let it end in a domain of your own, as in *.acme.com"
        ));
    }
    let filling = if end.is_empty() { "evil.example" } else { "evil" };
    let example = example(items, open, filling);
    let also = match HostName::parse(&example) {
        Ok(host) if pattern.matches(&host) => format!("it also matches {host}"),
        _ => "it also matches hosts of others".into(),
    };
    let rather = match literal_text(end) {
        Some(name) if labels == 1 => format!("put a dot after the wildcard, as in *.{name}"),
        _ => "let it end in a domain of your own, as in *.acme.com".into(),
    };
    Some(format!(
        "{pattern} does not fix the end of the host name: {also}, which may belong to somebody else; {rather}"
    ))
}

/// Whether it takes text of any length and almost any content.
fn is_open(item: &Item) -> bool {
    let within = |test: fn(&Item) -> bool, alternatives: &[Vec<Item>]| alternatives.iter().flatten().any(test);
    match item {
        Item::Star => true,
        Item::Literal(_) | Item::One(_) => false,
        Item::Group(times, alternatives) => {
            within(is_open, alternatives) || times.may_be_many() && within(has_choice, alternatives)
        }
    }
}

fn has_choice(item: &Item) -> bool {
    match item {
        Item::One(_) => true,
        Item::Group(_, alternatives) => alternatives.iter().flatten().any(has_choice),
        Item::Literal(_) | Item::Star => false,
    }
}

fn literal_text(items: &[Item]) -> Option<String> {
    let letter = |item: &Item| if let Item::Literal(byte) = item { Some(char::from(*byte)) } else { None };
    items.iter().map(letter).collect()
}

/// A name that the pattern should match, with this text for the item at one place.
fn example(items: &[Item], open: usize, filling: &str) -> String {
    let text = |(position, item): (usize, &Item)| match item {
        _ if position == open => filling.to_owned(),
        Item::Literal(byte) => char::from(*byte).to_string(),
        Item::One(set) => {
            let letters = (b'a'..=b'z').chain(b'0'..=b'9');
            letters.filter(|byte| set.contains(*byte)).take(1).map(char::from).collect()
        }
        Item::Star => "any".to_owned(),
        Item::Group(_, alternatives) => {
            alternatives.first().map(|items| example(items, usize::MAX, filling)).unwrap_or_default()
        }
    };
    items.iter().enumerate().map(text).collect()
}
