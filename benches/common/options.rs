//! What a benchmark is asked to do: the words after `--`.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::engine::Kind;
use super::{Outcome, fault};

#[derive(Clone, Debug)]
pub struct Options {
    pub databases: Vec<Kind>,
    /// How many certificates the store holds, and how many revoked ones beside them.
    pub certificates: u32,
    /// What is added to every sync, in turn with nothing.
    pub sync_delay: Duration,
    /// In how many shards the CRL is published; none for one list.
    pub shards: Option<u32>,
    /// Where a benchmark has numbers of its own, this one instead.
    pub connections: Option<usize>,
    /// How long each round of load lasts.
    pub round: Duration,
    pub rounds: usize,
    /// How many certificates are revoked one after the other.
    pub revocations: usize,
    /// A folder that is kept: seeded if it is empty, else used as it is.
    pub folder: Option<PathBuf>,
    /// Whether wrk makes load too.
    pub wrk: bool,
    /// The server that is measured.
    pub program: PathBuf,
}

const USAGE: &str = "
  --database D       sqlite, postgres or both (both)
  --certificates N   certificates in the seeded store, and as many revoked ones where revocation matters (1000000)
  --sync-delay-ms N  what is added to every fsync and fdatasync in the second half of a run; 0 leaves it out (2)
  --shards N         publish the CRL in so many shards too (none)
  --connections N    connections of the load generator (16; issuance: 16, then 64)
  --revocations N    how many certificates are revoked and waited for, one after the other (300)
  --rounds N         how often everything is measured in turn; the middle one counts (5)
  --folder PATH      keep the seeded databases there, and use them again the next time
  --wrk              let wrk make the load of issuance too
  --program PATH     measure this build of countersign (the one that cargo has just built)
  --quick            100000 certificates, short rounds: to try the benchmark itself";

impl Options {
    pub fn read() -> Outcome<Self> {
        let mut options = Self {
            databases: Kind::ALL.to_vec(),
            certificates: 1_000_000,
            sync_delay: Duration::from_millis(2),
            shards: None,
            connections: None,
            round: Duration::from_secs(4),
            rounds: 5,
            revocations: 300,
            folder: None,
            wrk: false,
            program: env!("CARGO_BIN_EXE_countersign").into(),
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
                "--wrk" => options.wrk = true,
                "--database" => options.databases = Kind::parse(&words.next().unwrap_or_default())?,
                "--certificates" => options.certificates = number(&word, words.next())?,
                "--sync-delay-ms" => options.sync_delay = Duration::from_millis(number(&word, words.next())?),
                "--shards" => options.shards = Some(number(&word, words.next())?),
                "--connections" => options.connections = Some(number(&word, words.next())?),
                "--revocations" => options.revocations = number(&word, words.next())?,
                "--rounds" => options.rounds = number(&word, words.next())?,
                "--folder" => options.folder = Some(path(&word, words.next())?),
                "--program" => options.program = path(&word, words.next())?.canonicalize()?,
                _ => return fault(format!("{word} is unknown. There are:{USAGE}")),
            }
        }
        Ok(options)
    }

    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(16)
    }
}

fn path(word: &str, value: Option<String>) -> Outcome<PathBuf> {
    value.map(PathBuf::from).ok_or_else(|| format!("{word} asks for a path").into())
}

fn number<T: FromStr>(word: &str, value: Option<String>) -> Outcome<T> {
    let read = value.and_then(|value| value.parse().ok());
    read.ok_or_else(|| format!("{word} asks for a number").into())
}
