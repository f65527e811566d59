//! What the process tells of itself. Here: logs to stderr, for people on a terminal and as JSON lines elsewhere. Beside
//! it: [`metrics`], the [`stage`]s of an issuance, which are measured and traced, and the `traces` of builds with the
//! feature `otlp`.

pub mod metrics;
pub mod stage;
#[cfg(feature = "otlp")]
pub mod traces;

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Filter in the syntax of `tracing_subscriber::EnvFilter`, such as `info,countersign=debug`.
pub const FILTER_VARIABLE: &str = "COUNTERSIGN_LOG";
/// `pretty` or `json`.
pub const FORMAT_VARIABLE: &str = "COUNTERSIGN_LOG_FORMAT";

/// The dispatchers call every malformed request of a stranger an error, and every client that hangs up.
const DEFAULT_FILTER: &str = "info,actix_http::h1::dispatcher=off,actix_http::h2::dispatcher=off";

#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error(
        "{FILTER_VARIABLE}: {value:?} is not a filter ({source}); write a level such as `info`, or `info,countersign=debug`"
    )]
    Filter { value: String, source: ParseError },
    #[error("{FORMAT_VARIABLE}: {value:?} is no format; write `pretty` or `json`")]
    Format { value: String },
    #[error("logging is already set up: {0}")]
    AlreadyStarted(#[from] TryInitError),
    #[cfg(feature = "otlp")]
    #[error("traces cannot be sent ({0}): look at the variables that begin with OTEL_EXPORTER_OTLP_")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging for the whole process. `variable` reads an environment variable.
pub fn start(variable: impl Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    let filter = filter(variable(FILTER_VARIABLE))?;
    let layer = match format(variable(FORMAT_VARIABLE), io::stderr().is_terminal())? {
        Format::Pretty => pretty(),
        Format::Json => json(),
    };
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces::layer()? {
        // The filter is for the log alone: traces hold more than is logged.
        tracing_subscriber::registry().with(vec![layer.with_filter(filter).boxed(), traces]).try_init()?;
        return Ok(());
    }
    tracing_subscriber::registry().with(layer).with(filter).try_init()?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Format {
    Pretty,
    Json,
}

fn filter(value: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let value = value.filter(|text| !text.is_empty()).unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    EnvFilter::builder().parse(&value).map_err(|source| TelemetryError::Filter { value, source })
}

fn format(value: Option<String>, is_terminal: bool) -> Result<Format, TelemetryError> {
    match value.as_deref().unwrap_or_default() {
        "" if is_terminal => Ok(Format::Pretty),
        "" | "json" => Ok(Format::Json),
        "pretty" => Ok(Format::Pretty),
        other => Err(TelemetryError::Format { value: other.to_owned() }),
    }
}

fn pretty() -> Box<dyn Layer<Registry> + Send + Sync> {
    // Colours only where a terminal shows them: `pretty` may be asked for in a file too.
    let colours = io::stderr().is_terminal();
    fmt::layer().with_writer(io::stderr).with_ansi(colours).with_target(false).boxed()
}

fn json() -> Box<dyn Layer<Registry> + Send + Sync> {
    fmt::layer().with_writer(io::stderr).json().flatten_event(true).with_current_span(false).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_reads_text_and_everything_else_json() {
        assert_eq!(format(None, true).unwrap(), Format::Pretty);
        assert_eq!(format(None, false).unwrap(), Format::Json);
        assert_eq!(format(Some("pretty".into()), false).unwrap(), Format::Pretty);
        assert_eq!(format(Some("json".into()), true).unwrap(), Format::Json);
    }

    #[test]
    fn what_is_no_filter_or_format_is_named() {
        let message = format(Some("xml".into()), true).unwrap_err().to_string();
        assert!(message.contains("COUNTERSIGN_LOG_FORMAT") && message.contains("xml"), "{message}");
        let message = filter(Some("countersign=loud".into())).unwrap_err().to_string();
        assert!(message.contains("COUNTERSIGN_LOG") && message.contains("countersign=loud"), "{message}");
        assert!(filter(Some("info,countersign=debug".into())).is_ok());
        assert!(filter(None).is_ok());
    }
}
