//! Plots as bars, drawn here. Their texts stand beside them in HTML, so that they stay readable at every width, and each has a
//! table behind it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::check::CheckState;
use crate::domain::run::Run;
use crate::domain::text::timestamp;
use crate::service::activity::{Activity, Day};

use super::show;

/// The height of the drawing; its width is as many times [`STEP`] as there are bars.
const HEIGHT: i64 = 100;
const STEP: i64 = 12;
const GAP: i64 = 2;
/// What is there at all can be seen.
const LEAST: i64 = 2;
const DAYS_OF_WEEK: usize = 7;
const DAYS_OF_QUARTER: usize = 90;

/// What `activity.html` shows of a zone, or of the zones of an account.
pub struct Plots {
    pub days: Option<Plot>,
    pub weeks: Option<Plot>,
    pub counted_on: DateTime<Utc>,
    pub issued: i64,
    pub revoked: i64,
    pub ending: i64,
    /// Where these stand.
    pub ending_at: String,
}

/// A row of bars.
pub struct Plot {
    pub bars: Vec<Bar>,
    pub width: i64,
    /// What the highest bar stands for; 0 where no bar stands for a number.
    pub most: i64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

pub struct Bar {
    pub x: i64,
    pub width: i64,
    pub y: i64,
    pub height: i64,
    /// A second part on top of the first.
    pub upper_y: i64,
    pub upper_height: i64,
    pub label: String,
    pub href: String,
    pub value: i64,
    pub upper_value: i64,
    pub start: DateTime<Utc>,
}

impl Plots {
    /// The bars of what ends lead to this address, with the span that they stand for.
    pub fn of(activity: &Activity, ends_at: &str) -> Self {
        let until = activity.ends.get(DAYS_OF_QUARTER).map_or(activity.counted_on, |(start, _)| *start);
        Self {
            ending_at: format!("{ends_at}?{}", span_query(activity.counted_on, until)),
            issued: activity.days.iter().map(|day| day.issued).sum(),
            revoked: activity.days.iter().map(|day| day.revoked).sum(),
            ending: activity.ends.iter().take(DAYS_OF_QUARTER).map(|(_, count)| count).sum(),
            days: days(activity),
            weeks: weeks(activity, ends_at),
            counted_on: activity.counted_on,
        }
    }
}

/// A span of time as an address asks for it.
pub fn span_query(from: DateTime<Utc>, until: DateTime<Utc>) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("from", &timestamp(from))
        .append_pair("until", &timestamp(until))
        .finish()
}

/// What was issued and revoked on each day.
fn days(activity: &Activity) -> Option<Plot> {
    let most = activity.days.iter().map(|day| day.issued + day.revoked).max().unwrap_or_default();
    let bars = activity.days.iter().enumerate().map(|(index, day)| {
        let Day { start, issued, revoked } = *day;
        let label = format!("{}: {} issued, {} revoked", start.format("%-d %b"), issued, revoked);
        bar(index, start, issued, revoked, most, label, String::new())
    });
    Plot::of(bars.collect(), most)
}

/// How many certificates end in each of the next weeks; each bar leads to them.
fn weeks(activity: &Activity, ends_at: &str) -> Option<Plot> {
    let weeks: Vec<(DateTime<Utc>, i64)> = activity
        .ends
        .chunks(DAYS_OF_WEEK)
        .filter_map(|week| Some((week.first()?.0, week.iter().map(|(_, count)| count).sum())))
        .collect();
    let most = weeks.iter().map(|(_, count)| *count).max().unwrap_or_default();
    let bars = weeks.iter().enumerate().map(|(index, (start, count))| {
        let from = if index == 0 { activity.counted_on } else { *start };
        let until = *start + TimeDelta::days(7);
        let label = format!("{} from {}", show::count(*count, "certificate"), from.format("%-d %b"));
        bar(index, from, *count, 0, most, label, format!("{ends_at}?{}", span_query(from, until)))
    });
    Plot::of(bars.collect(), most)
}

/// How long each run of a check took, the oldest first; the runs come newest first. One that failed is a full bar of the
/// other colour: how fast it failed tells nothing.
pub fn latencies(runs: &[Run], at_most: usize) -> Option<Plot> {
    let runs: Vec<&Run> = runs.iter().take(at_most).collect();
    let slowest = runs.iter().filter(|run| run.state != CheckState::Failing).filter_map(|run| millis(run)).max();
    let most = slowest.unwrap_or_default().max(1);
    let bars = runs.iter().rev().enumerate().map(|(index, run)| {
        let start = run.report.started_on;
        let took = millis(run).map_or_else(|| "no answer".to_owned(), |millis| format!("{} ms", show::number(millis)));
        let label = format!("{}, {}: {took}", start.format("%-d %b %H:%M UTC"), run.state.as_str());
        match run.state {
            CheckState::Failing => bar(index, start, 0, most, most, label, String::new()),
            _ => bar(index, start, millis(run).unwrap_or_default(), 0, most, label, String::new()),
        }
    });
    Plot::of(bars.collect(), slowest.map_or(0, |_| most))
}

/// The whole of a run, in milliseconds.
pub fn millis(run: &Run) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a call that may take a minute")]
    run.report.timings.total.map(|total| total.round() as i64)
}

impl Plot {
    fn of(bars: Vec<Bar>, most: i64) -> Option<Self> {
        let (first, last) = (bars.first()?.start, bars.last()?.start);
        Some(Self { width: show::as_i64(bars.len()) * STEP, bars, most, first, last })
    }
}

fn bar(
    index: usize,
    start: DateTime<Utc>,
    value: i64,
    upper_value: i64,
    most: i64,
    label: String,
    href: String,
) -> Bar {
    let scaled = |value: i64| if value == 0 { 0 } else { (value * HEIGHT / most.max(1)).max(LEAST) };
    let height = scaled(value);
    let upper_height = scaled(upper_value).min(HEIGHT - height);
    Bar {
        x: show::as_i64(index) * STEP + GAP / 2,
        width: STEP - GAP,
        y: HEIGHT - height,
        height,
        upper_y: HEIGHT - height - upper_height,
        upper_height,
        label,
        href,
        value,
        upper_value,
        start,
    }
}
