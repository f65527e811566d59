//! Figures: percentiles, and lines of value, bar and ratio.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use super::Outcome;
use super::load::Load;

/// A line of text.
pub fn say(text: impl Display) -> Outcome<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// A heading.
pub fn chapter(text: impl Display) -> Outcome<()> {
    say(format_args!("\n{text}"))
}

/// A figure that has no bar.
pub fn figure(name: &str, value: impl Display) -> Outcome<()> {
    say(format_args!("  {name:<58} {value:>14}"))
}

/// A figure and the most it should be.
pub fn at_most(name: &str, value: f64, bar: f64, unit: &str) -> Outcome<()> {
    Of { limit: bar, name: "the bar" }.at_most(name, value, unit)
}

/// What a figure is a part of.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    pub limit: f64,
    pub name: &'a str,
}

impl Of<'_> {
    /// A figure that is to be at least this part of the limit.
    pub fn at_least(&self, name: &str, value: f64, unit: &str, bar: f64) -> Outcome<()> {
        let verdict = if value >= self.limit * bar { "met" } else { "MISSED" };
        self.line(name, value, unit, format_args!("   bar {bar}: {verdict}"))
    }

    /// A figure that is to be at most the limit.
    pub fn at_most(&self, name: &str, value: f64, unit: &str) -> Outcome<()> {
        let verdict = if value <= self.limit { "met" } else { "MISSED" };
        self.line(name, value, unit, format_args!(", {} {unit}: {verdict}", short(self.limit)))
    }

    /// A figure without a bar.
    pub fn part(&self, name: &str, value: f64, unit: &str) -> Outcome<()> {
        self.line(name, value, unit, "")
    }

    fn line(&self, name: &str, value: f64, unit: &str, verdict: impl Display) -> Outcome<()> {
        let value_and_unit =
            if unit.starts_with('/') { short(value) + unit } else { format!("{} {unit}", short(value)) };
        let part = value / self.limit;
        say(format_args!("  {name:<52} {value_and_unit:>12}   {part:.2} of {}{verdict}", self.name))
    }
}

/// How much of one core each took on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub server: f64,
    pub database: f64,
}

/// What one round of load brought.
pub struct Round {
    pub load: Load,
    pub usage: Usage,
    /// What the machine could do in a second at that moment: the mean of just before and just after.
    pub limit: f64,
}

/// What the rounds of one kind of load brought. Rates are compared as parts of what the machine could do around each round, for
/// a shared machine's speed changes between them.
#[derive(Default)]
pub struct Rounds(Vec<Round>);

impl Rounds {
    pub fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    /// The rate of the middle round.
    pub fn rate(&self) -> f64 {
        self.middle(|round| round.load.rate)
    }

    /// The limit of the middle round.
    pub fn limit(&self) -> f64 {
        self.middle(|round| round.limit)
    }

    /// The part of the limit that the middle round reached.
    fn part(&self) -> f64 {
        self.middle(|round| round.load.rate / round.limit)
    }

    /// The rate as a part of the limit around it, which is to be reached.
    pub fn at_least(&self, name: &str, limit: &str, bar: f64) -> Outcome<()> {
        let limit = Of { limit: self.rate() / self.part(), name: limit };
        limit.at_least(name, self.rate(), "/s", bar)
    }

    /// The same without a bar.
    pub fn part_of(&self, name: &str, limit: &str) -> Outcome<()> {
        Of { limit: self.rate() / self.part(), name: limit }.part(name, self.rate(), "/s")
    }

    /// Beside other rounds: what this would be at their machine's speed, as a part of theirs.
    pub fn beside(&self, name: &str, others: &Self, bar: Option<f64>) -> Outcome<()> {
        let others = Of { limit: others.part() * self.rate() / self.part(), name: "that" };
        match bar {
            Some(bar) => others.at_least(name, self.rate(), "/s", bar),
            None => others.part(name, self.rate(), "/s"),
        }
    }

    /// A line about how long answers took, and who worked for them.
    pub fn latency(&self, p99_bar: Option<f64>) -> Outcome<()> {
        let percentile = |part| self.middle(|round| round.load.durations.percentile(part));
        let longest = self.0.iter().map(|round| round.load.durations.percentile(1.0)).fold(0.0, f64::max);
        let p99 = percentile(0.99);
        let verdict =
            p99_bar.map_or(String::new(), |bar| format!(" (bar {bar}: {})", if p99 <= bar { "met" } else { "MISSED" }));
        let (p50, p95) = (short(percentile(0.5)), short(percentile(0.95)));
        say(format_args!(
            "    p50 {p50} ms, p95 {p95} ms, p99 {} ms{verdict}, longest {} ms",
            short(p99),
            short(longest)
        ))?;
        let taken = |of: fn(&Round) -> f64| {
            let (cores, each) = (self.middle(of), self.middle(|round| of(round) / round.load.rate));
            format!("{} ({} µs an answer)", short(cores), short(each * 1e6))
        };
        let (server, database) = (taken(|round| round.usage.server), taken(|round| round.usage.database));
        let own = taken(|round| round.load.own);
        say(format_args!("    cores taken: server {server}, database {database}, generator {own}"))
    }

    fn middle(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.0.iter().map(of).collect())
    }
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub fn megabytes(octets: u64) -> f64 {
    octets as f64 / 1e6
}

/// Durations in order, to be asked for percentiles.
pub struct Durations(Vec<Duration>);

impl Durations {
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The one below which this part of all lies, in milliseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the length of a list")]
    pub fn percentile(&self, part: f64) -> f64 {
        let rank = ((self.0.len() as f64 * part).ceil() as usize).saturating_sub(1);
        self.0.get(rank).map_or(f64::NAN, |duration| milliseconds(*duration))
    }

    pub fn summary(&self) -> String {
        let [half, most, nearly_all, last] = [0.5, 0.95, 0.99, 1.0].map(|part| short(self.percentile(part)));
        format!("p50 {half} ms, p95 {most} ms, p99 {nearly_all} ms, longest {last} ms")
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
