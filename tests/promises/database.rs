//! The database of a test, and the doors to it past the store. `COUNTERSIGN_TEST_DATABASE=postgres` has every test run on
//! PostgreSQL; without it they run on SQLite.

use std::path::{Path, PathBuf};

use countersign::store::Database;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};

use crate::postgres::{PostgresDatabase, binaries};

/// The number of the advisory lock under which a PostgreSQL store writes (`store::postgres`).
const WRITER_LOCK: i64 = 0x6373_6967_6e00_0001;

const CHOICE: &str = "COUNTERSIGN_TEST_DATABASE";

pub enum TestDatabase {
    Sqlite(PathBuf),
    Postgres(PostgresDatabase),
}

impl TestDatabase {
    /// One with this version's tables.
    pub fn migrated(folder: &Path) -> Self {
        if is_postgres() { Self::Postgres(PostgresDatabase::migrated()) } else { Self::Sqlite(folder.join("test.db")) }
    }

    /// One that nobody has started on; SQLite's is where a server has it that is told nothing else.
    pub fn empty(folder: &Path) -> Self {
        if is_postgres() {
            Self::Postgres(PostgresDatabase::empty())
        } else {
            Self::Sqlite(folder.join("data/countersign.db"))
        }
    }

    pub fn address(&self) -> Database {
        match self {
            Self::Sqlite(path) => Database::Sqlite(path.clone()),
            Self::Postgres(database) => database.address(),
        }
    }

    /// As the configuration names it.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(database) => database.url(),
        }
    }

    pub fn connect(&self) -> Door {
        match self {
            Self::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                Door::Sqlite(connection)
            }
            Self::Postgres(database) => Door::Postgres(database.connect()),
        }
    }

    /// Keeps every writer out until the door is dropped.
    pub fn hold(&self) -> Door {
        let mut door = self.connect();
        match &mut door {
            Door::Sqlite(connection) => connection.batch_execute("BEGIN IMMEDIATE").unwrap(),
            Door::Postgres(connection) => {
                let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})");
                connection.batch_execute(&begin).unwrap();
            }
        }
        door
    }

    /// Whether these octets are anywhere in it. SQLite's files are read as they are; PostgreSQL compresses what is long, so
    /// every row is asked for, in which binary values are shown in hex.
    pub fn holds(&self, octets: &[u8]) -> bool {
        match self {
            Self::Sqlite(path) => files(path).iter().any(|file| contains(&std::fs::read(file).unwrap(), octets)),
            Self::Postgres(database) => {
                let hex = hex::encode(octets);
                let rows = all_rows(&mut database.connect());
                assert!(!rows.is_empty(), "there are always the migrations");
                rows.iter().any(|row| contains(row.as_bytes(), octets) || row.contains(&hex))
            }
        }
    }
}

/// A connection past the store.
pub enum Door {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Door {
    pub fn execute(&mut self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(sql).unwrap(),
            Self::Postgres(connection) => connection.batch_execute(&in_postgres(sql)).unwrap(),
        }
    }

    /// One number.
    pub fn count(&mut self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = sql_types::BigInt)]
            number: i64,
        }
        let sql = format!("SELECT CAST(({sql}) AS BIGINT) AS number");
        let row: Row = match self {
            Self::Sqlite(connection) => sql_query(sql).get_result(connection).unwrap(),
            Self::Postgres(connection) => sql_query(in_postgres(&sql)).get_result(connection).unwrap(),
        };
        row.number
    }

    /// One text.
    pub fn text(&mut self, sql: &str) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = sql_types::Text)]
            text: String,
        }
        let sql = format!("SELECT ({sql}) AS text");
        let row: Row = match self {
            Self::Sqlite(connection) => sql_query(sql).get_result(connection).unwrap(),
            Self::Postgres(connection) => sql_query(in_postgres(&sql)).get_result(connection).unwrap(),
        };
        row.text
    }

    /// Has every such statement fail: "INSERT ON certificates", where `when` is true.
    pub fn refuse(&mut self, name: &str, statement: &str, when: &str) {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(&format!(
                "CREATE TRIGGER {name} BEFORE {statement} WHEN {when} BEGIN SELECT RAISE(ABORT, 'refused by a test'); END"
            )),
            Self::Postgres(connection) => connection.batch_execute(&format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN IF {when} THEN RAISE EXCEPTION 'refused by a test'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER {name} BEFORE {statement} FOR EACH ROW EXECUTE FUNCTION {name}()"
            )),
        }
        .unwrap();
    }

    pub fn allow_again(&mut self, name: &str) {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(&format!("DROP TRIGGER {name}")),
            Self::Postgres(connection) => connection.batch_execute(&format!("DROP FUNCTION {name} CASCADE")),
        }
        .unwrap();
    }
}

/// Whether this run is the one on PostgreSQL.
pub fn is_postgres() -> bool {
    match std::env::var(CHOICE).as_deref() {
        Err(_) | Ok("" | "sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("{CHOICE} must be sqlite or postgres, not {other}"),
    }
}

/// A binary literal as PostgreSQL writes it.
fn in_postgres(sql: &str) -> String {
    let mut parts = sql.split("x'");
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let (octets, rest) = part.split_once('\'').unwrap();
        assert!(octets.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sql}");
        written.push_str(&format!("'\\x{octets}'::bytea{rest}"));
    }
    written
}

fn all_rows(connection: &mut PgConnection) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql_types::Text)]
        value: String,
    }
    let tables = "SELECT table_name::text AS value FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: Vec<Row> = sql_query(tables).get_results(connection).unwrap();
    let rows = tables.iter().flat_map(|table| {
        let sql = format!("SELECT whole::text AS value FROM {} AS whole", table.value);
        sql_query(sql).get_results::<Row>(connection).unwrap()
    });
    rows.map(|row| row.value).collect()
}

/// The database and its companions.
fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let all = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_this_run_leaves_out_is_said_aloud() {
    use std::io::Write;
    if !is_postgres() {
        let way = match binaries() {
            Some(_) => "",
            None => ", once Debian's package postgresql is installed",
        };
        // Not by a macro, whose words the test runner would keep for itself.
        let mut aloud = std::io::stderr();
        writeln!(
            aloud,
            "LEFT OUT: the promises on PostgreSQL; `{CHOICE}=postgres cargo test --test promises` keeps them{way}"
        )
        .unwrap();
    }
}

#[test]
fn binary_literals_are_written_for_postgresql() {
    assert_eq!(in_postgres("a = x'0aff' AND b = x''"), "a = '\\x0aff'::bytea AND b = '\\x'::bytea");
}

#[test]
fn what_the_database_holds_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::migrated(folder.path());
    if let TestDatabase::Sqlite(_) = &database {
        countersign::store::Store::migrate(&database.address()).unwrap();
    }
    database
        .connect()
        .execute("INSERT INTO accounts VALUES (x'00112233445566778899aabbccddeeff', 'findable', TRUE, 0)");
    assert!(database.holds(b"findable") && database.holds(&[0x33, 0x44, 0x55, 0x66]));
    assert!(!database.holds(b"unfindable"));
}
