"""An installation to be hurt: one database of either kind, and one server or several (replicas) on it."""

import secrets
import sqlite3

import pytest

import databases
from api import Api
from postgres_cluster import PostgresCluster
from server import Server

# For the tests that choose their databases themselves: they run once, whatever `--database` says.
ONCE = pytest.mark.only_on("sqlite", reason="it brings its databases, of both kinds, itself")


class Installation:
    """Servers on one database. What is asked of the database itself comes past the servers."""

    def __init__(self, database, servers):
        self.database, self.servers = database, servers
        self.server = servers[0]
        self.zone = self.authority = None
        self.apis = {}

    def start(self):
        for server in self.servers:
            server.start()
        api = Api(self.server)
        self.zone = api.in_zone(api.default_zone()["id"])
        self.authority = self.zone.authorities()[0]["id"]
        return self

    def api(self, server):
        if server not in self.apis:
            self.apis[server] = Api(server, zone=self.zone.zone)
        return self.apis[server]

    def said(self):
        return "".join(server.output(last=10**6) for server in self.servers)

    def clean_up(self):
        for server in self.servers:
            server.clean_up()


class SqliteDatabase(databases.Sqlite):
    def rows(self, sql):
        # As any program that comes along: not one that was made to be careful.
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
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

    def __init__(self, cluster, name, url):
        self.cluster, self.name, self.url = cluster, name, url

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


@pytest.fixture(scope="session")
def shared_cluster():
    """The run's PostgreSQL, for tests that leave it as it was."""
    return databases.Postgres.cluster()


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
        folder = make_folder()
        if cluster is None:
            database = SqliteDatabase(folder / "data")
        else:
            name = cluster.create_database()
            database = PostgresDatabase(cluster, name, (url or cluster.url)(name))
            settings["COUNTERSIGN_MASTER_KEY"] = secrets.token_hex(32)
        first = Server(folder, store=database, **settings)
        settings["COUNTERSIGN_PUBLIC_URL"] = first.url
        others = [Server(make_folder(), first.token, database, **settings) for _ in range(replicas - 1)]
        made.append(Installation(database, [first, *others]))
        return made[-1]

    yield install
    for installation in made:
        installation.clean_up()


@pytest.fixture(params=databases.KINDS)
def installation(request, install):
    """A started installation on each kind of database."""
    cluster = request.getfixturevalue("shared_cluster") if request.param == "postgres" else None
    return install(cluster).start()
