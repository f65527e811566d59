//! The stages of an issuance, measured: a histogram for each, and a span for traces.
//!
//! The spans are at debug level: nobody pays for them who has not asked for traces.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Instant;

use metrics::Histogram;
use tracing::{Instrument, Span};

/// In the order in which an issuance goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request waits for a thread that makes certificates.
    Wait,
    /// The CSR is read, and its signature verified.
    Parse,
    /// The profile decides on the request.
    Decide,
    /// The TBS is encoded.
    Build,
    /// The TBS is judged.
    Lint,
    Sign,
    /// The certificate waits for its batch, and its batch for the disk.
    Commit,
}

impl Stage {
    const ALL: [Self; 7] = [Self::Wait, Self::Parse, Self::Decide, Self::Build, Self::Lint, Self::Sign, Self::Commit];

    const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Parse => "parse",
            Self::Decide => "decide",
            Self::Build => "build",
            Self::Lint => "lint",
            Self::Sign => "sign",
            Self::Commit => "commit",
        }
    }

    /// Does what the stage consists of, and notes how long it took.
    pub fn measure<T>(self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = self.span().in_scope(work);
        self.record(started);
        done
    }

    /// Waits for what the stage consists of, and notes how long it took.
    pub async fn measure_async<T>(self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let span = self.span();
        let done = if span.is_disabled() { work.await } else { work.instrument(span).await };
        self.record(started);
        done
    }

    /// The stage begins, and ends elsewhere.
    pub fn begin(self) -> Begun {
        Begun { stage: self, started: Instant::now(), _span: self.span() }
    }

    fn span(self) -> Span {
        // A span's name is fixed where it is written.
        match self {
            Self::Wait => tracing::debug_span!("wait"),
            Self::Parse => tracing::debug_span!("parse"),
            Self::Decide => tracing::debug_span!("decide"),
            Self::Build => tracing::debug_span!("build"),
            Self::Lint => tracing::debug_span!("lint"),
            Self::Sign => tracing::debug_span!("sign"),
            Self::Commit => tracing::debug_span!("commit"),
        }
    }

    fn record(self, started: Instant) {
        static HISTOGRAMS: OnceLock<[Histogram; 7]> = OnceLock::new();
        let register =
            |stage: Stage| metrics::histogram!("countersign_issuance_stage_seconds", "stage" => stage.name());
        let histograms = HISTOGRAMS.get_or_init(|| Self::ALL.map(register));
        if let Some(histogram) = histograms.get(self as usize) {
            histogram.record(started.elapsed());
        }
    }
}

/// A stage that is under way.
pub struct Begun {
    stage: Stage,
    started: Instant,
    /// Ends with the value.
    _span: Span,
}

impl Begun {
    /// Notes how long it took.
    pub fn end(self) {
        self.stage.record(self.started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_histogram() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, place, "{}", stage.name());
        }
        assert_eq!(Stage::Lint.measure(|| 7), 7);
    }
}
