"""TLS to PostgreSQL: a build with the feature `postgres-tls` believes only the authority and the name that it was told,
and one without it does not fall back to clear text."""

import os
import subprocess

import pytest

import csr
import databases
from api import Api
from postgres_cluster import DOORS, PostgresCluster
from server import Server

WITH_TLS = os.environ.get("COUNTERSIGN_BIN_POSTGRES_TLS")
pytestmark = pytest.mark.only_on("postgres", reason="SQLite is not reached over a network")


class Tls:
    """A PostgreSQL that takes nothing in clear, whose certificate is for `localhost`, and two authorities."""

    def __init__(self, folder):
        self.right, self.wrong = self.authority(folder, "right"), self.authority(folder, "wrong")
        settings = {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        self.cluster = PostgresCluster(settings=settings, doors=DOORS.replace("host ", "hostssl "), tls=(
            self.leaf(folder, "right", "localhost")))
        self.database = self.cluster.start().create_database()

    @staticmethod
    def authority(folder, name):
        openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return folder / f"{name}.pem"

    @staticmethod
    def leaf(folder, issuer, host):
        (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", "leaf.key", "-out", "leaf.csr")
        openssl(folder, "x509", "-req", "-in", "leaf.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-days", "2",
                "-extfile", "names", "-out", "leaf.pem")
        return (folder / "leaf.pem").read_text(), (folder / "leaf.key").read_text()

    def url(self, root=None, host="localhost", mode="verify-full"):
        return self.cluster.url(self.database, host=host, sslmode=mode, **({"sslrootcert": root} if root else {}))


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    running = Tls(tmp_path_factory.mktemp("tls"))
    yield running
    running.cluster.clean_up()


@pytest.fixture
def server(make_folder):
    """A server built with the feature, on an address that the test gives."""
    if not WITH_TLS:
        assert os.environ.get("CI") != "true", "COUNTERSIGN_BIN_POSTGRES_TLS must name a build with the feature postgres-tls"
        pytest.skip("LEFT OUT: COUNTERSIGN_BIN_POSTGRES_TLS names no build with the feature postgres-tls; tests/run makes one")
    made = []

    def make(url, binary=WITH_TLS):
        made.append(Server(make_folder(), store=databases.Sqlite(make_folder()), binary=binary, COUNTERSIGN_DATABASE_URL=url))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()


def test_every_session_is_encrypted_once_authority_and_name_are_right(tls, server):
    running = server(tls.url(tls.right)).start()
    api = Api(running)
    api = api.in_zone(api.default_zone()["id"])
    api.revoke(api.issue(csr.fresh())["id"])
    sessions = tls.cluster.psql(
        "select count(*), bool_and(ssl), min(version) from pg_stat_ssl join pg_stat_activity using (pid) "
        f"where datname = '{tls.database}'")
    count, encrypted, version = sessions.split("|")
    assert int(count) > 1 and encrypted == "t" and version >= "TLSv1.2"


def test_a_certificate_of_another_authority_is_refused(tls, server):
    assert "certificate verify failed" in server(tls.url(tls.wrong)).refuses_to_start()


def test_a_certificate_for_another_host_is_refused(tls, server):
    said = server(tls.url(tls.right, host="127.0.0.1")).refuses_to_start()
    assert "does not match host name" in said and "127.0.0.1" in said


def test_a_missing_file_of_authorities_is_refused(tls, server, tmp_path):
    assert "absent.pem" in server(tls.url(tmp_path / "absent.pem")).refuses_to_start()


def test_the_server_takes_nothing_in_clear(tls, server):
    """Otherwise the tests above would show little."""
    assert "no encryption" in server(tls.url(mode="disable")).refuses_to_start()


def test_a_build_without_the_feature_says_so_instead_of_going_in_clear(tls, server):
    said = server(tls.url(tls.right), binary=None).refuses_to_start()
    assert "verify-full" in said and "postgres-tls" in said


@pytest.mark.parametrize("which", ["with", "without"])
def test_no_password_is_told_when_the_start_is_refused(tls, server, which):
    said = server(tls.url(tls.wrong), binary=WITH_TLS if which == "with" else None).refuses_to_start()
    assert tls.cluster.password not in said
