"""Fixtures: servers that last a session, a module or a test, and a zone for each test."""

import secrets

import pytest

import csr
import server as server_module
from api import Api
from server import Server

pytest_plugins = ("installation",)


def pytest_configure(config):
    if not config.option.collectonly and not server_module.BINARY:
        raise pytest.UsageError("COUNTERSIGN_BIN must name the server's binary; tests/run sets it")


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
def request_pem():
    return csr.fresh()
