//! What a benchmark is asked to do: the words after `--`.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Outcome, fault};

#[derive(Clone, Debug)]
pub struct Options {
    /// How many revoked certificates the store holds.
    pub certificates: u32,
    /// In how many shards the CRL is published; none for one list.
    pub shards: Option<u32>,
    pub connections: usize,
    /// How long each round of load lasts.
    pub round: Duration,
    pub rounds: usize,
    /// How many certificates are revoked one after the other.
    pub revocations: usize,
    /// A folder that is kept: seeded if it is empty, else used as it is.
    pub folder: Option<PathBuf>,
}

const USAGE: &str = "
  --certificates N   revoked certificates in the store (1000000)
  --shards N         publish the CRL in so many shards too (none)
  --connections N    connections of the load generator (16)
  --revocations N    how many certificates are revoked and waited for, one after the other (300)
  --folder PATH      keep the seeded database there, and use it again the next time
  --quick            100000 certificates, short rounds: to try the benchmark itself";

impl Options {
    pub fn read() -> Outcome<Self> {
        let mut options = Self {
            certificates: 1_000_000,
            shards: None,
            connections: 16,
            round: Duration::from_secs(4),
            rounds: 5,
            revocations: 300,
            folder: None,
        };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => {
                    options.certificates = 100_000;
                    options.round = Duration::from_secs(1);
                    options.rounds = 3;
                    options.revocations = 40;
                }
                "--certificates" => options.certificates = number(&word, words.next())?,
                "--shards" => options.shards = Some(number(&word, words.next())?),
                "--connections" => options.connections = number(&word, words.next())?,
                "--revocations" => options.revocations = number(&word, words.next())?,
                "--folder" => options.folder = Some(words.next().ok_or("--folder asks for a path")?.into()),
                _ => return fault(format!("{word} is unknown. There are:{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr>(word: &str, value: Option<String>) -> Outcome<T> {
    let read = value.and_then(|value| value.parse().ok());
    read.ok_or_else(|| format!("{word} asks for a number").into())
}
