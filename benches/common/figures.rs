//! Figures: percentiles, and lines of value, bar and ratio.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use super::Outcome;

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
    line(name, value, bar, unit, value <= bar)
}

/// A figure and the least it should be.
pub fn at_least(name: &str, value: f64, bar: f64, unit: &str) -> Outcome<()> {
    line(name, value, bar, unit, value >= bar)
}

fn line(name: &str, value: f64, bar: f64, unit: &str, is_met: bool) -> Outcome<()> {
    let (value, shown) = (format!("{} {unit}", short(value)), short(bar));
    let verdict = if is_met { "met" } else { "MISSED" };
    let ratio = short_ratio(value_of(&value), bar);
    say(format_args!("  {name:<58} {value:>14}   bar {shown:>8} {unit:<4} ratio {ratio:>6}   {verdict}"))
}

fn value_of(text: &str) -> f64 {
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

fn short_ratio(value: f64, bar: f64) -> String {
    format!("{:.2}", value / bar)
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
