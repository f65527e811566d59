"""Both migration folders make the same tables: asked of sqlite3 and of a PostgreSQL of our own."""

import pathlib
import subprocess

import pytest

from postgres_cluster import PostgresCluster

MIGRATIONS = pathlib.Path(__file__).parents[2] / "migrations"
# What a column's type means, whatever the database calls it.
KINDS = {
    "bytea": "binary", "binary": "binary", "blob": "binary", "bigint": "bigint", "smallint": "smallint",
    "integer": "integer", "int": "integer", "text": "text", "character varying": "text", "boolean": "boolean", "bool": "boolean",
}
COLUMNS = """select table_name, column_name, data_type, is_nullable from information_schema.columns
             where table_schema = 'public' order by table_name, ordinal_position"""


@pytest.fixture
def postgres():
    with PostgresCluster() as running:
        yield running


def scripts(engine, name="up.sql"):
    return sorted((MIGRATIONS / engine).glob(f"*/{name}"))


def postgres_columns(postgres):
    tables = {}
    for line in postgres.psql(COLUMNS).splitlines():
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
        postgres.psql(script.read_text())
    file = tmp_path / "schema.db"
    for script in scripts("sqlite"):
        subprocess.run(["sqlite3", "-bail", file], input=script.read_text(), text=True, check=True, timeout=60)
    ours, theirs = sqlite_columns(file), postgres_columns(postgres)
    # SQLite counts only an INTEGER up by itself, and its INTEGER has 64 bits.
    assert ours["events"].pop("number") == ("integer", False) and theirs["events"].pop("number") == ("bigint", False)
    assert ours == theirs
