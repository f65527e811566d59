"""Both migration folders make the same tables: asked of sqlite3 and of a PostgreSQL of our own."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest

MIGRATIONS = pathlib.Path(__file__).parents[2] / "migrations"
BINARIES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
# What a column's type means, whatever the database calls it.
KINDS = {
    "bytea": "binary", "binary": "binary", "blob": "binary", "bigint": "bigint", "smallint": "smallint",
    "integer": "integer", "int": "integer", "text": "text", "character varying": "text", "boolean": "boolean", "bool": "boolean",
}
COLUMNS = """select table_name, column_name, data_type, is_nullable from information_schema.columns
             where table_schema = 'public' order by table_name, ordinal_position"""


class Postgres:
    """A server of our own on a socket in a temporary folder, never as root."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg"))
        self.user = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        bin_folder = BINARIES[-1]
        subprocess.run([bin_folder / "initdb", "-D", self.folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8",
                        "--locale=C", "-N"], check=True, capture_output=True, cwd=self.folder, **self.user)
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [bin_folder / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses="],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user)
        self.wait_ready()

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while self.psql("-c", "select 1", check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def psql(self, *arguments, check=True):
        return subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-F", "|", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "postgres",
             *map(str, arguments)], capture_output=True, text=True, check=check, timeout=60)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder)


@pytest.fixture
def postgres():
    assert BINARIES, "no PostgreSQL server; tests/run installs one"
    running = Postgres()
    yield running
    running.stop()


def scripts(engine, name="up.sql"):
    return sorted((MIGRATIONS / engine).glob(f"*/{name}"))


def postgres_columns(postgres):
    tables = {}
    for line in postgres.psql("-c", COLUMNS).stdout.splitlines():
        table, column, kind, nullable = line.split("|")
        tables.setdefault(table, {})[column] = (KINDS[kind], nullable == "YES")
    return tables


def sqlite_columns(file):
    def ask(query):
        return subprocess.run(["sqlite3", file, query], capture_output=True, text=True, check=True).stdout.splitlines()

    tables = {}
    for table in ask("select name from sqlite_master where type = 'table' and name not like 'sqlite%'"):
        for line in ask(f"select name, type, \"notnull\", pk from pragma_table_info('{table}')"):
            column, kind, not_null, primary = line.split("|")
            nullable = not_null == "0" and primary == "0"
            tables.setdefault(table, {})[column] = (KINDS[kind.lower().split("(")[0].strip()], nullable)
    return tables


def test_both_folders_hold_the_same_migrations():
    names = {engine: [script.parent.name for script in scripts(engine)] for engine in ("sqlite", "postgres")}
    assert names["sqlite"] == names["postgres"] != []
    assert len(scripts("sqlite", "down.sql")) == len(scripts("postgres", "down.sql"))


def test_both_schemas_have_the_same_tables_columns_types_and_nullability(postgres, tmp_path):
    for script in scripts("postgres"):
        postgres.psql("-f", script)
    file = tmp_path / "schema.db"
    for script in scripts("sqlite"):
        subprocess.run(["sqlite3", "-bail", file], input=script.read_text(), text=True, check=True, timeout=60)
    ours, theirs = sqlite_columns(file), postgres_columns(postgres)
    # SQLite counts only an INTEGER up by itself, and its INTEGER has 64 bits.
    assert ours["events"].pop("number") == ("integer", False) and theirs["events"].pop("number") == ("bigint", False)
    assert ours == theirs
