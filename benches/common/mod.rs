//! What the benchmarks share: the real server in a folder of its own, a load generator, limits to compare with, very large stores, and
//! how figures are printed.
//!
//! A benchmark never asserts a time: it prints what it measured, the bar, and the ratio to a limit that it measured in the
//! same run. It fails when the server answers something wrong, since a fast wrong answer is no figure.

pub mod api;
pub mod cfssl;
pub mod engine;
pub mod figures;
pub mod http;
pub mod limits;
pub mod load;
pub mod look;
pub mod machine;
pub mod ocsp;
pub mod options;
pub mod postgres;
pub mod process;
pub mod seed;
pub mod server;
pub mod sync_delay;
pub mod wrk;

use std::error::Error;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Says something that ends a benchmark.
pub fn fault<T>(text: impl Into<String>) -> Outcome<T> {
    Err(text.into().into())
}
