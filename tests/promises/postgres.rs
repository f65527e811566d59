//! A PostgreSQL server of this run's own: Debian's binaries in a temporary folder, on a free port, never as root. It ends
//! with this process, however that ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::store::{Database, Store};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

const USER: &str = "countersign";
const PASSWORD: &str = "a-password-of-the-tests";

/// What the tests' SQL uses and only SQLite has.
const HELPERS: &str = "
    CREATE DOMAIN blob AS bytea;
    CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(encode($1, 'hex')) $$;
    CREATE FUNCTION randomblob(length integer) RETURNS bytea LANGUAGE sql VOLATILE AS
        $$ SELECT substr(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 1, length) $$;
    CREATE FUNCTION json_extract(body text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS
        $$ SELECT jsonb_path_query_first(body::jsonb, path::jsonpath) #>> '{}' $$;
";

/// Starts the server, says so, and stops it once its standard input is closed: that happens even when this process is
/// killed. The arguments are the binaries, the folder, the port, and what runs a command as another user.
const SUPERVISOR: &str = r#"
    binaries=$1 folder=$2 port=$3; shift 3
    cd "$folder"
    "$@" "$binaries/initdb" -D "$folder/data" -U countersign -E UTF8 --locale=C -N -A scram-sha-256 \
        --pwfile="$folder/password" >&2 </dev/null || exit 1
    settings="-p $port -k $folder -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=32MB"
    settings="$settings -c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
    "$@" "$binaries/pg_ctl" start -w -s -D "$folder/data" -l "$folder/log" -o "$settings" >&2 </dev/null ||
        { cat "$folder/log" >&2; exit 1; }
    echo ready
    read -r _
    "$@" "$binaries/pg_ctl" stop -s -m immediate -D "$folder/data" >/dev/null 2>&1 </dev/null
    rm -rf "$folder"
"#;

/// A database of its own, gone when it is dropped.
pub struct PostgresDatabase {
    name: String,
}

impl PostgresDatabase {
    /// Without tables, as a user has it before the first start.
    pub fn empty() -> Self {
        Self::copy_of("template0")
    }

    /// With this version's tables.
    pub fn migrated() -> Self {
        static TEMPLATE: OnceLock<PostgresDatabase> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let template = Self::empty();
            Store::migrate(&template.address()).unwrap();
            template.connect().batch_execute(HELPERS).unwrap();
            template
        });
        Self::copy_of(&template.name)
    }

    fn copy_of(template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        administer(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Self { name }
    }

    pub fn url(&self) -> String {
        cluster().url(&self.name)
    }

    pub fn address(&self) -> Database {
        Database::Postgres(self.url().into())
    }

    pub fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url()).unwrap()
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn administer(sql: &str) {
    PgConnection::establish(&cluster().url("postgres")).unwrap().batch_execute(sql).unwrap();
}

struct Cluster {
    port: u16,
    /// Holds the pipe that keeps the server alive.
    _supervisor: Child,
}

impl Cluster {
    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| start(&binaries().expect("no PostgreSQL server on this machine; tests/run installs one")))
}

/// Where Debian keeps the newest version's programs.
pub fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max()?;
    let folder = Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin");
    folder.join("postgres").exists().then_some(folder)
}

fn start(binaries: &Path) -> Cluster {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
    std::fs::write(folder.join("password"), PASSWORD).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "postgres"]).arg(binaries).arg(&folder).arg(port.to_string());
    // PostgreSQL refuses to run as root.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let owner = id_of_postgres();
        for path in [folder.clone(), folder.join("password")] {
            chown(path, Some(owner), None).unwrap();
        }
        command.args(["runuser", "-u", "postgres", "--"]);
    } else {
        command.arg("env");
    }
    // A group of its own, so that a Ctrl-C for the tests does not end the supervisor before its work.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut supervisor = command.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut said).unwrap();
    if said != "ready\n" {
        let mut why = String::new();
        supervisor.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        panic!("PostgreSQL does not start: {why}");
    }
    Cluster { port, _supervisor: supervisor }
}

fn id_of_postgres() -> u32 {
    let said = Command::new("id").args(["-u", "postgres"]).output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().parse().expect("Debian's package makes the user postgres")
}
