"""Fixtures: servers that last a session, a module or a test, and a zone for each test."""

import os
import secrets

import pytest

import csr
import databases
import server as server_module
from api import Api
from server import Server

pytest_plugins = ("installation",)


def pytest_addoption(parser):
    parser.addoption("--database", choices=sorted(databases.KINDS), default=os.environ.get("COUNTERSIGN_TEST_DATABASE") or "sqlite",
                     help="what the servers under test keep their data in")


def pytest_configure(config):
    config.addinivalue_line("markers", "only_on(database, reason): a test of what only one database has")
    databases.choose(config.option.database)
    if not config.option.collectonly and not server_module.BINARY:
        raise pytest.UsageError("COUNTERSIGN_BIN must name the server's binary; tests/run sets it")


def pytest_unconfigure():
    databases.Postgres.stop_cluster()


def pytest_report_header(config):
    return f"database: {config.option.database}"


def pytest_runtest_setup(item):
    for mark in item.iter_markers("only_on"):
        if mark.args != (databases.CHOSEN.name,):
            pytest.skip(f"only on {mark.args[0]}: {mark.kwargs['reason']}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            server = value if isinstance(value, Server) else getattr(value, "server", None)
            if isinstance(server, Server):
                report.sections.append((f"server in {server.folder}", server.output()))
                break
    return report


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def shared_server(make_folder):
    """One server for all tests that leave it as it was."""
    server = Server(make_folder()).start()
    yield server
    server.clean_up()


@pytest.fixture
def make_server(make_folder):
    """Servers for one test alone, not started."""
    made = []

    def make(**settings):
        made.append(Server(make_folder(), **settings))
        return made[-1]

    yield make
    for server in made:
        server.clean_up()


@pytest.fixture
def server(make_server):
    """A server for one test alone."""
    return make_server().start()


@pytest.fixture
def zone(shared_server):
    """An empty zone on the shared server."""
    api = Api(shared_server)
    return api.in_zone(api.create_zone(f"zone-{secrets.token_hex(6)}")["id"])


@pytest.fixture
def own_zone(server):
    """The default zone of a server for one test alone."""
    api = Api(server)
    return api.in_zone(api.default_zone()["id"])


@pytest.fixture
def syncing_database():
    """A PostgreSQL that syncs, which the tests' own leaves out: `doctor` finds fault with that."""
    if databases.CHOSEN is not databases.Postgres:
        yield
        return
    cluster = databases.Postgres.cluster()
    for name in ("fsync", "full_page_writes"):
        cluster.psql(f"alter system set {name} = on")
    cluster.psql("select pg_reload_conf()")
    cluster.wait_for("show full_page_writes", "on")
    yield
    for name in ("fsync", "full_page_writes"):
        cluster.psql(f"alter system reset {name}")
    cluster.psql("select pg_reload_conf()")


@pytest.fixture
def request_pem():
    return csr.fresh()
