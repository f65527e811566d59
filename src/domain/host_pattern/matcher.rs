//! Matching in time linear in the host: nothing here tries again what it has tried.

use super::character_class::CharacterSet;
use super::glob::{Item, Times};

/// One alternative of a pattern, in the form that is cheapest to match.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// This host.
    Exact(String),
    /// Any host that ends so: a star, and a name.
    End(String),
    /// No groups.
    Glob(Box<[Item]>),
    /// With groups.
    Automaton(Automaton),
}

impl Matcher {
    /// None if no host could match.
    pub fn new(items: Vec<Item>) -> Option<Self> {
        if items.is_empty() || items.contains(&Item::One(CharacterSet::EMPTY)) {
            return None;
        }
        if let Some(name) = literals(&items) {
            return Some(Self::Exact(name));
        }
        if let [Item::Star, name @ ..] = items.as_slice()
            && let Some(name) = literals(name)
        {
            return Some(Self::End(name));
        }
        if items.iter().any(|item| matches!(item, Item::Group(..))) {
            return Some(Self::Automaton(Automaton::new(&items)));
        }
        Some(Self::Glob(items.into_boxed_slice()))
    }

    /// How many steps it takes at most for each character of a host.
    pub fn cost(&self) -> usize {
        match self {
            Self::Exact(_) | Self::End(_) => 1,
            Self::Glob(items) => items.len(),
            Self::Automaton(automaton) => automaton.cost(),
        }
    }

    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::End(end) => host.ends_with(end.as_str()),
            Self::Glob(items) => glob_matches(items, host.as_bytes()),
            Self::Automaton(automaton) => automaton.matches(host),
        }
    }
}

fn literals(items: &[Item]) -> Option<String> {
    let character = |item: &Item| match item {
        Item::Literal(byte) => Some(char::from(*byte)),
        _ => None,
    };
    items.iter().map(character).collect()
}

/// Everything but a star takes one character, so after a failure only the last star needs to take one more: earlier ones
/// could only arrive at the same place.
fn glob_matches(mut items: &[Item], mut host: &[u8]) -> bool {
    let mut after_last_star: Option<(&[Item], &[u8])> = None;
    loop {
        match (items, host) {
            ([], []) => return true,
            ([Item::Star, rest @ ..], _) => {
                after_last_star = Some((rest, host));
                items = rest;
                continue;
            }
            ([_, ..], []) => return false,
            ([item, rest @ ..], [byte, others @ ..]) if item.takes(*byte) => {
                (items, host) = (rest, others);
                continue;
            }
            _ => {}
        }
        let Some((rest, [_, others @ ..])) = after_last_star else { return false };
        after_last_star = Some((rest, others));
        (items, host) = (rest, others);
    }
}

/// Thompson's construction (1968): all ways through the pattern are followed at once, each state at most once for each
/// character.
#[derive(Clone, Debug)]
pub struct Automaton {
    states: Vec<State>,
    /// The name at the end of the pattern, which spares most hosts the rest.
    end: String,
}

/// Those that do not say where to go on go on with the next one.
#[derive(Clone, Debug)]
enum State {
    One(CharacterSet),
    Literal(u8),
    /// Goes on with itself after any character, and with the next state without one.
    Star,
    /// Goes on in all these places, without a character.
    Fork(Vec<usize>),
}

impl Automaton {
    fn new(items: &[Item]) -> Self {
        let last_magic = items.iter().rposition(|item| !matches!(item, Item::Literal(_)));
        let (start, end) = items.split_at(last_magic.map_or(0, |position| position + 1));
        let mut automaton = Self { states: Vec::new(), end: literals(end).unwrap_or_default() };
        automaton.add(start);
        automaton
    }

    /// States, and the ways between them.
    fn cost(&self) -> usize {
        let ways = |state: &State| if let State::Fork(to) = state { to.len() } else { 1 };
        self.states.iter().map(ways).sum()
    }

    fn add(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Literal(byte) => self.states.push(State::Literal(*byte)),
                Item::One(set) => self.states.push(State::One(*set)),
                Item::Star => self.states.push(State::Star),
                Item::Group(times, alternatives) => self.add_group(*times, alternatives),
            }
        }
    }

    /// A fork to the alternatives, each followed by a jump to the fork at the end, which leads back or on.
    fn add_group(&mut self, times: Times, alternatives: &[Vec<Item>]) {
        let start = self.add_fork();
        let mut starts = Vec::with_capacity(alternatives.len() + 1);
        let mut jumps = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            starts.push(self.states.len());
            self.add(alternative);
            jumps.push(self.add_fork());
        }
        let end = self.add_fork();
        if times.may_be_none() {
            starts.push(end);
        }
        self.set_fork(start, starts);
        for jump in jumps {
            self.set_fork(jump, vec![end]);
        }
        let mut next = vec![end + 1];
        if times.may_be_many() {
            next.push(start);
        }
        self.set_fork(end, next);
    }

    fn add_fork(&mut self) -> usize {
        self.states.push(State::Fork(Vec::new()));
        self.states.len() - 1
    }

    fn set_fork(&mut self, position: usize, to: Vec<usize>) {
        if let Some(state) = self.states.get_mut(position) {
            *state = State::Fork(to);
        }
    }

    fn matches(&self, host: &str) -> bool {
        let Some(host) = host.strip_suffix(self.end.as_str()) else { return false };
        let mut now = Places::new(self.states.len());
        let mut next = Places::new(self.states.len());
        self.enter(0, &mut now);
        for byte in host.bytes() {
            for place in now.list.drain(..) {
                match self.states.get(place) {
                    Some(State::Literal(literal)) if *literal == byte => self.enter(place + 1, &mut next),
                    Some(State::One(set)) if set.contains(byte) => self.enter(place + 1, &mut next),
                    Some(State::Star) => self.enter(place, &mut next),
                    _ => {}
                }
            }
            if next.list.is_empty() {
                return false;
            }
            now.clear();
            std::mem::swap(&mut now, &mut next);
        }
        now.list.contains(&self.states.len())
    }

    /// Notes a state, and those that it leads to without a character. The place behind the last state is the end.
    fn enter(&self, place: usize, places: &mut Places) {
        let mut waiting = std::mem::take(&mut places.waiting);
        waiting.push(place);
        while let Some(place) = waiting.pop() {
            if !places.note(place) {
                continue;
            }
            match self.states.get(place) {
                Some(State::Star) => waiting.push(place + 1),
                Some(State::Fork(to)) => waiting.extend(to),
                _ => {}
            }
        }
        places.waiting = waiting;
    }
}

/// A set of places in an automaton that remembers in which order they came.
struct Places {
    list: Vec<usize>,
    is_noted: Vec<bool>,
    /// Kept only so that its memory is used again.
    waiting: Vec<usize>,
}

impl Places {
    fn new(states: usize) -> Self {
        Self { list: Vec::new(), is_noted: vec![false; states + 1], waiting: Vec::new() }
    }

    /// Whether it was not there yet.
    fn note(&mut self, place: usize) -> bool {
        let Some(is_noted) = self.is_noted.get_mut(place) else { return false };
        if std::mem::replace(is_noted, true) {
            return false;
        }
        self.list.push(place);
        true
    }

    fn clear(&mut self) {
        self.list.clear();
        self.is_noted.fill(false);
    }
}
