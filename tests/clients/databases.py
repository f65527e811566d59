"""The databases that a server under test may have, and the tests' door to what they hold. `pytest --database` says which;
each server gets a new one."""

import sqlite3
from contextlib import closing

import psycopg

from postgres_cluster import PostgresCluster


class Sqlite:
    """A file in the server's data folder."""

    name = "sqlite"
    begin = "BEGIN IMMEDIATE"

    def __init__(self, data):
        self.path = data / "countersign.db"
        self.url = f"sqlite:{self.path}"

    def is_there(self):
        return self.path.exists()

    def open(self, writable=False):
        """A connection of sqlite3, which commits each statement."""
        connection = sqlite3.connect(f"file:{self.path}?mode={'rw' if writable else 'ro'}", uri=True, timeout=20)
        connection.isolation_level = None
        return connection

    def tables(self):
        with closing(self.open()) as connection:
            return [n for (n,) in connection.execute("select name from sqlite_master where type = 'table'")]

    def octets(self):
        """All that is stored, by file: the database and its companions."""
        return {path.name: path.read_bytes() for path in self.path.parent.glob(f"{self.path.name}*")}

    def clean_up(self):
        """It goes with the folder."""


class Postgres:
    """A database of the one cluster of this run."""

    name = "postgres"
    begin = "BEGIN"
    _cluster = None

    def __init__(self, _data=None):
        self.database = self.cluster().create_database()
        self.url = self.cluster().url(self.database)

    @classmethod
    def cluster(cls):
        if Postgres._cluster is None:
            Postgres._cluster = PostgresCluster().start()
        return Postgres._cluster

    @classmethod
    def stop_cluster(cls):
        if Postgres._cluster is not None:
            Postgres._cluster.clean_up()
            Postgres._cluster = None

    def is_there(self):
        return bool(self.tables())

    def open(self, writable=False):
        options = f"-c default_transaction_read_only={'off' if writable else 'on'}"
        return Translated(psycopg.connect(self.url, autocommit=True, options=options))

    def tables(self):
        with closing(self.open()) as connection:
            return [n for (n,) in connection.execute("select tablename from pg_tables where schemaname = 'public'")]

    def octets(self):
        """All that is stored, by table: binary values as they are, all others as PostgreSQL writes them. Its files would not
        do, since it compresses what is long."""
        with closing(self.open()) as connection:
            return {name: b"\n".join(
                value if isinstance(value, bytes) else str(value).encode()
                for row in connection.execute(f'select * from "{name}"') for value in row) for name in self.tables()}

    def clean_up(self):
        self.cluster().drop_database(self.database)


class Translated:
    """A connection that reads the tests' SQL, which is written for sqlite3: `?` for what is bound."""

    def __init__(self, connection):
        self.connection = connection

    def execute(self, sql, parameters=()):
        if not parameters:
            return self.connection.execute(sql)
        return self.connection.execute(sql.replace("%", "%%").replace("?", "%s"), parameters)

    def executemany(self, sql, rows):
        with self.connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)

    def executescript(self, sql):
        self.connection.execute(sql)

    def close(self):
        self.connection.close()


KINDS = {kind.name: kind for kind in (Sqlite, Postgres)}
CHOSEN = Sqlite


def choose(name):
    global CHOSEN
    CHOSEN = KINDS[name]
