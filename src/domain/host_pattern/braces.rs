//! Brace expansion as minimatch does it, which is as Bash does it, quirks included: `{a,b}`, nested, with empty
//! alternatives, and ranges of numbers and letters. How much it makes is known before it is made.

use super::symbols::Symbol;

/// The most patterns that braces may stand for.
const MAX_PATTERNS: usize = 1000;
/// The most characters in all of them.
const MAX_CHARACTERS: usize = 32 * 1024;
/// The deepest nesting of braces.
const MAX_DEPTH: usize = 16;
/// The most characters that are looked at on the way, over all nested braces.
const MAX_STEPS: usize = 1 << 20;
/// Longer numbers are no part of a host's name, and would not fit.
const MAX_DIGITS: usize = 9;

/// All patterns that one with braces stands for, or why that is too much.
pub fn expand(mut symbols: Vec<Symbol>) -> Result<Vec<Vec<Symbol>>, String> {
    if !symbols.iter().any(|symbol| symbol.is('{')) {
        return Ok(vec![symbols]);
    }
    // An empty pair at the very start stays as it is, and opens nothing.
    if let [open, close, ..] = symbols.as_mut_slice()
        && open.is('{')
        && close.is('}')
    {
        open.is_escaped = true;
        close.is_escaped = true;
    }
    let mut expansion = Expansion { steps: 0 };
    expansion.expand(symbols, 0).map(|patterns| patterns.0)
}

struct Expansion {
    steps: usize,
}

impl Expansion {
    fn expand(&mut self, mut rest: Vec<Symbol>, depth: usize) -> Result<Patterns, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nests braces more than {MAX_DEPTH} deep; write them side by side"));
        }
        let mut made = Patterns(vec![Vec::new()]);
        loop {
            self.count(rest.len() + made.0.len())?;
            let Some(group) = first_group(&rest) else { return made.followed_by(&rest, &Patterns(vec![Vec::new()])) };
            let (before, body, after) = group.split(&rest);
            let values = if let Some(range) = Range::read(body) {
                range?.values()?
            } else if body.iter().any(|symbol| symbol.is(',')) {
                self.alternatives(body, depth)?
            } else if has_a_comma_and_an_end(after) {
                // `{a},b}`: a brace that closes nothing yet is a character, and the next one may close.
                group.escape_end(&mut rest);
                continue;
            } else {
                return made.followed_by(&rest, &Patterns(vec![Vec::new()]));
            };
            made = made.followed_by(before, &values)?;
            rest = after.to_vec();
        }
    }

    fn alternatives(&mut self, body: &[Symbol], depth: usize) -> Result<Patterns, String> {
        let mut parts = split_at_commas(body);
        if let [only] = parts.as_slice() {
            // `{{a,b}}` is `{a}` and `{b}`: the outer pair has one alternative, and stays.
            let inner = self.expand(only.clone(), depth + 1)?;
            parts = inner.0.into_iter().map(embrace).collect();
        }
        let mut values = Patterns(Vec::new());
        for part in parts {
            let more = self.expand(part, depth + 1)?;
            check(values.0.len() + more.0.len(), values.characters() + more.characters())?;
            values.0.extend(more.0);
        }
        Ok(values)
    }

    fn count(&mut self, steps: usize) -> Result<(), String> {
        self.steps += steps;
        if self.steps > MAX_STEPS { Err("has too many braces within braces; write fewer".into()) } else { Ok(()) }
    }
}

struct Patterns(Vec<Vec<Symbol>>);

impl Patterns {
    /// Each of these, then the middle, then each of the ends.
    fn followed_by(self, middle: &[Symbol], ends: &Self) -> Result<Self, String> {
        let count = self.0.len().saturating_mul(ends.0.len());
        let characters = (self.characters().saturating_mul(ends.0.len()))
            .saturating_add(middle.len().saturating_mul(count))
            .saturating_add(ends.characters().saturating_mul(self.0.len()));
        check(count, characters)?;
        let pair = |start: &Vec<Symbol>, end: &Vec<Symbol>| [start.as_slice(), middle, end.as_slice()].concat();
        Ok(Self(self.0.iter().flat_map(|start| ends.0.iter().map(move |end| pair(start, end))).collect()))
    }

    fn characters(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

fn check(patterns: usize, characters: usize) -> Result<(), String> {
    if patterns > MAX_PATTERNS {
        return Err(format!("has braces that stand for more than {MAX_PATTERNS} patterns; a * is shorter"));
    }
    if characters > MAX_CHARACTERS {
        return Err(format!("has braces that expand to more than {MAX_CHARACTERS} characters; a * is shorter"));
    }
    Ok(())
}

/// Where a pair of braces stands.
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    fn split<'a>(&self, symbols: &'a [Symbol]) -> (&'a [Symbol], &'a [Symbol], &'a [Symbol]) {
        let slice = |range: std::ops::Range<usize>| symbols.get(range).unwrap_or_default();
        (slice(0..self.start), slice(self.start + 1..self.end), slice(self.end + 1..symbols.len()))
    }

    fn escape_end(&self, symbols: &mut [Symbol]) {
        if let Some(end) = symbols.get_mut(self.end) {
            end.is_escaped = true;
        }
    }
}

/// The leftmost brace that is closed, and its end.
fn first_group(symbols: &[Symbol]) -> Option<Group> {
    let mut open = Vec::new();
    let mut first: Option<Group> = None;
    for (position, symbol) in symbols.iter().enumerate() {
        if symbol.is('{') {
            open.push(position);
        } else if symbol.is('}')
            && let Some(start) = open.pop()
        {
            if first.as_ref().is_none_or(|first| start < first.start) {
                first = Some(Group { start, end: position });
            }
            if open.is_empty() {
                break;
            }
        }
    }
    first
}

/// Whether there is a comma with a closing brace somewhere behind it.
fn has_a_comma_and_an_end(symbols: &[Symbol]) -> bool {
    let mut from_comma = symbols.iter().skip_while(|symbol| !symbol.is(','));
    from_comma.any(|symbol| symbol.is('}'))
}

fn split_at_commas(body: &[Symbol]) -> Vec<Vec<Symbol>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut depth = 0usize;
    for symbol in body {
        if symbol.is(',') && depth == 0 {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        if symbol.is('{') {
            depth += 1;
        } else if symbol.is('}') {
            depth = depth.saturating_sub(1);
        }
        part.push(*symbol);
    }
    parts.push(part);
    parts
}

fn embrace(inside: Vec<Symbol>) -> Vec<Symbol> {
    [&[Symbol::plain('{')], inside.as_slice(), &[Symbol::plain('}')]].concat()
}

/// `1..10`, `01..10..2`, `a..e`: from one end to the other, in steps, with leading zeros where an end has them.
struct Range {
    first: i64,
    last: i64,
    step: u64,
    /// Characters of each number; zeros are put in front of shorter ones.
    width: usize,
    is_letters: bool,
}

impl Range {
    /// None if it is no range at all.
    fn read(body: &[Symbol]) -> Option<Result<Self, String>> {
        if body.iter().any(|symbol| symbol.is_escaped) {
            return None;
        }
        let text: String = body.iter().map(|symbol| symbol.character).collect();
        let mut parts = text.split("..");
        let (first, last, step) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() || !step.is_none_or(is_number) {
            return None;
        }
        let is_letters = is_letter(first) && is_letter(last);
        if !(is_letters || is_number(first) && is_number(last)) {
            return None;
        }
        Some(Self::of(first, last, step, is_letters))
    }

    fn of(first: &str, last: &str, step: Option<&str>, is_letters: bool) -> Result<Self, String> {
        let end = |text: &str| match text.bytes().next() {
            Some(letter) if is_letters => Ok(i64::from(letter)),
            _ => number(text),
        };
        let is_padded = [Some(first), Some(last), step].into_iter().flatten().any(has_leading_zero);
        Ok(Self {
            first: end(first)?,
            last: end(last)?,
            step: step.map_or(Ok(1), number)?.unsigned_abs().max(1),
            width: if is_padded { first.len().max(last.len()) } else { 0 },
            is_letters,
        })
    }

    fn values(&self) -> Result<Patterns, String> {
        let count = usize::try_from(self.first.abs_diff(self.last) / self.step).unwrap_or(usize::MAX).saturating_add(1);
        check(count, count.saturating_mul(self.width))?;
        let step = i64::try_from(self.step).unwrap_or(i64::MAX);
        let signed = if self.last < self.first { -step } else { step };
        let number = std::iter::successors(Some(self.first), |number| number.checked_add(signed));
        let values = Patterns(number.take(count).map(|number| self.value(number)).collect());
        check(count, values.characters())?;
        Ok(values)
    }

    fn value(&self, number: i64) -> Vec<Symbol> {
        if self.is_letters {
            // Between the capital and the small letters stand signs, which keep their meaning, but a backslash is nothing.
            let letter = u8::try_from(number).ok().map(char::from).filter(|letter| *letter != '\\');
            return letter.into_iter().map(Symbol::plain).collect();
        }
        format!("{number:0width$}", width = self.width).chars().map(Symbol::plain).collect()
    }
}

fn number(text: &str) -> Result<i64, String> {
    if text.trim_start_matches('-').len() > MAX_DIGITS {
        return Err(format!("has a range with a number of more than {MAX_DIGITS} digits"));
    }
    text.parse().map_err(|_| format!("has a range with {text:?} in it, which is no number"))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter] if letter.is_ascii_alphabetic())
}

fn has_leading_zero(text: &str) -> bool {
    matches!(text.strip_prefix('-').unwrap_or(text).as_bytes(), [b'0', _, ..])
}
