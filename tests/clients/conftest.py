"""Fixtures: servers that last a session, a module or a test, and a zone for each test."""

import os
import secrets

import pytest
from _pytest.runner import runtestprotocol

import csr
import databases
import server as server_module
from api import Api
from replicas import Replicas
from server import Server

pytest_plugins = ("installation",)
REPLICAS = "replicas"
# Tests that bring databases of their own, or none: they run once.
ONCE = ("test_dashboard", "test_deploy", "test_durability_postgres", "test_failover", "test_faults_",
        "test_postgres_cluster", "test_schema_postgres", "test_topology")
REPEATS = 2
REPEATED = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption("--database", choices=[*databases.KINDS, REPLICAS], default=os.environ.get("COUNTERSIGN_TEST_DATABASE") or "sqlite",
                     help="what the servers under test keep their data in; `replicas`: two on PostgreSQL of which one is "
                          "always being killed, for the tests of the shared server")


def pytest_configure(config):
    config.addinivalue_line("markers", "only_on(database, reason): a test of what only one database has")
    config.addinivalue_line("markers", "one_process(reason): a test of what two replicas, one of them being killed, cannot keep")
    config.addinivalue_line("markers", "shared: a test of the server that many share; it is done under replicas too")
    config.stash[REPEATED] = []
    databases.choose(databases.Postgres.name if has_replicas(config) else config.option.database)
    if not config.option.collectonly and not server_module.BINARY:
        raise pytest.UsageError("COUNTERSIGN_BIN must name the server's binary; tests/run sets it")


def has_replicas(config):
    return config.option.database == REPLICAS


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """On PostgreSQL, all but what was run with SQLite already. Under two replicas, the tests of the shared server: the others
    would start a server of their own again. `-m 'not shared'` leaves out on PostgreSQL what is done under replicas."""
    for item in items:
        if "shared_server" in item.fixturenames and not item.get_closest_marker("one_process"):
            item.add_marker("shared")
    if config.option.database == databases.Sqlite.name:
        return
    apart = {item for item in items if item.module.__name__.startswith(ONCE)
             or has_replicas(config) and "shared_server" not in item.fixturenames}
    items[:] = [item for item in items if item not in apart]
    config.hook.pytest_deselected(items=list(apart))


def pytest_unconfigure():
    databases.Postgres.stop_cluster()


def pytest_report_header(config):
    return f"database: {config.option.database}"


def pytest_runtest_setup(item):
    for mark in item.iter_markers("only_on"):
        if mark.args != (databases.CHOSEN.name,):
            pytest.skip(f"only on {mark.args[0]}: {mark.kwargs['reason']}")
    if has_replicas(item.config):
        for mark in item.iter_markers("one_process"):
            pytest.skip(f"not under replicas: {mark.kwargs['reason']}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Under replicas, a test that fails after the proxy could get no answer to one of its requests is done again: the
    request may have been carried out or not, as a caller is told, and few tests can look which."""
    if not has_replicas(item.config):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(REPEATS + 1)):
        item._initrequest()
        before = Replicas.unanswered()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not left or not any(report.failed for report in reports) or Replicas.unanswered() == before:
            break
        item.config.stash[REPEATED].append(item.nodeid)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter, config):
    if has_replicas(config):
        terminalreporter.write_line(f"a replica was killed {Replicas.killed} times, and {Replicas.unanswered()} requests got no "
                                    f"answer; done again: {', '.join(config.stash[REPEATED]) or 'none'}")


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
def shared_server(make_folder, pytestconfig):
    """One server for all tests that leave it as it was; or two replicas, one of which is always being killed."""
    if has_replicas(pytestconfig):
        replicas = Replicas(make_folder()).start().wreak_havoc()
        try:
            yield replicas
            assert replicas.calm() > 0, "nobody was killed"
        finally:
            replicas.clean_up()
        return
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


@pytest.fixture(scope="module")
def callers(make_folder):
    """A server for the tests of one file, which may call 127.0.0.1."""
    server = Server(make_folder(), COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    yield server
    server.clean_up()


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
