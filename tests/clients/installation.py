"""An installation to be hurt: one database of either kind, and one server or several (replicas) on it."""

import secrets
import sqlite3

import pytest

from api import Api
from postgres_cluster import PostgresCluster
from server import Server

KINDS = ("sqlite", "postgres")


class Installation:
    """Servers on one database. What is asked of the database itself comes past the servers."""

    def __init__(self, database, servers):
        self.database, self.servers = database, servers
        self.server = servers[0]
        self.zone = self.authority = None

    def start(self):
        for server in self.servers:
            server.start()
        api = Api(self.server)
        self.zone = api.in_zone(api.default_zone()["id"])
        self.authority = self.zone.authorities()[0]["id"]
        return self

    def api(self, server):
        return Api(server, zone=self.zone.zone)

    def said(self):
        return "".join(server.output(last=10**6) for server in self.servers)

    def clean_up(self):
        for server in self.servers:
            server.clean_up()


class SqliteDatabase:
    kind = "sqlite"

    def __init__(self, path):
        self.path = path

    def connect(self):
        connection = sqlite3.connect(self.path, timeout=20)
        connection.isolation_level = None
        return connection

    def rows(self, sql):
        connection = self.connect()
        try:
            return [tuple(map(str, row)) for row in connection.execute(sql)]
        finally:
            connection.close()

    execute = rows

    def hex(self, column):
        return f"lower(hex({column}))"

    def fail_inserts_of(self, common_name):
        self.execute(f"CREATE TRIGGER poison BEFORE INSERT ON certificates WHEN NEW.common_name = '{common_name}' "
                     "BEGIN SELECT RAISE(ABORT, 'poisoned'); END")


class PostgresDatabase:
    """`cluster` may be exchanged for its standby."""

    kind = "postgres"

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def rows(self, sql):
        said = self.cluster.psql(sql, self.name)
        return [tuple(line.split("|")) for line in said.splitlines()]

    execute = rows

    def hex(self, column):
        return f"encode({column}, 'hex')"

    def fail_inserts_of(self, common_name):
        self.execute("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS "
                     "$$ BEGIN RAISE EXCEPTION 'poisoned'; END $$; "
                     "CREATE TRIGGER poison BEFORE INSERT ON certificates FOR EACH ROW "
                     f"WHEN (NEW.common_name = '{common_name}') EXECUTE FUNCTION poison()")


@pytest.fixture(scope="module")
def shared_cluster():
    """One PostgreSQL for the tests of a file that leave it as it was; it is not made where none asks for it."""
    with PostgresCluster() as running:
        yield running


@pytest.fixture
def make_cluster():
    """PostgreSQL servers for one test alone, not started."""
    made = []

    def make(**options):
        made.append(PostgresCluster(**options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.clean_up()


@pytest.fixture
def install(make_folder):
    """Installations for one test alone, not started: on the cluster when there is one, else on a file."""
    made = []

    def install(cluster=None, replicas=1, url=None, **settings):
        if cluster is None:
            server = Server(make_folder(), **settings)
            made.append(Installation(SqliteDatabase(server.data / "countersign.db"), [server]))
            return made[-1]
        database = PostgresDatabase(cluster, cluster.create_database())
        shared = {"COUNTERSIGN_DATABASE_URL": (url or cluster.url)(database.name),
                  "COUNTERSIGN_MASTER_KEY": secrets.token_hex(32), **settings}
        first = Server(make_folder(), **shared)
        shared["COUNTERSIGN_PUBLIC_URL"] = first.url
        others = [Server(make_folder(), token=first.token, **shared) for _ in range(replicas - 1)]
        made.append(Installation(database, [first, *others]))
        return made[-1]

    yield install
    for installation in made:
        installation.clean_up()


@pytest.fixture(params=KINDS)
def installation(request, install):
    """A started installation on each kind of database."""
    cluster = request.getfixturevalue("shared_cluster") if request.param == "postgres" else None
    return install(cluster).start()
