"""The first start, the second, every start that must be refused, and the graceful end."""

import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import time

import httpx
import pytest

import csr
from api import Api
from judges import run
from server import free_port

PROFILES = pathlib.Path(__file__).parents[2] / "ca" / "profiles"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def printed_line(server):
    """The line on stdout that issues a certificate."""
    lines = (server.folder / "stdout").read_text().splitlines()
    found = [line.strip() for line in lines if re.search(r"countersign\S*\s.*\bissue\b", line)]
    assert len(found) == 1, lines
    return found[0]


def in_shell(server, line):
    """Runs a line as a user would paste it: in the server's folder, with nothing of ours in the environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(server.folder)}
    return subprocess.run(["bash", "-c", line], cwd=server.folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)


def test_a_token_that_was_set_is_not_printed(make_server):
    server = make_server().start()
    said = server.output(last=10**6)
    assert "the one that was set" in said and server.token not in said
    assert (server.data / "admin.token").read_text().strip() == server.token


def test_the_printed_line_issues_a_certificate_that_openssl_verifies(make_server):
    server = make_server(COUNTERSIGN_BOOTSTRAP_TOKEN=None).start()
    before = set(server.folder.iterdir())
    done = in_shell(server, printed_line(server))
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name: path for path in set(server.folder.iterdir()) - before}
    [key] = [path for name, path in made.items() if name.endswith(".key")]
    [chain] = [path for name, path in made.items() if name.endswith(".chain.pem")]
    leaf = key.with_suffix(".pem")
    assert mode(key) == 0o600
    server.token = (server.data / "admin.token").read_text().strip()
    api = Api(server)
    api.zone = api.default_zone()["id"]
    bundle = server.folder / "bundle"
    bundle.write_text(api.bundle().text)
    run("openssl", "verify", "-purpose", "sslclient", "-CAfile", bundle, leaf)
    run("openssl", "verify", "-CAfile", bundle, "-untrusted", chain, chain)
    public = run("openssl", "pkey", "-in", key, "-pubout")
    assert public == run("openssl", "x509", "-in", leaf, "-noout", "-pubkey")


def test_the_first_start_prints_the_token_once_and_keeps_its_files_private(make_server):
    server = make_server(COUNTERSIGN_BOOTSTRAP_TOKEN=None).start()
    token = (server.data / "admin.token").read_text().strip()
    assert re.fullmatch(r"[0-9A-Za-z_-]{40,80}", token)
    assert (server.folder / "stdout").read_text().count(token) == 1
    assert token not in (server.folder / "stderr").read_text()
    assert mode(server.data / "admin.token") == mode(server.data / "master.key") == 0o600
    assert mode(server.data) & 0o077 == 0
    server.stop()
    server.start()
    assert (server.folder / "stdout").read_text().count(token) == 1


def test_the_second_start_keeps_everything(own_zone):
    made = own_zone.issue(csr.by_openssl())
    revoked = own_zone.revoke(own_zone.issue(csr.by_openssl())["id"])
    token = own_zone.create_token(["client_certificates:read"])["value"]
    before = own_zone.bundle().text, own_zone.crl_der(), own_zone.default_zone()
    assert own_zone.server.stop() == 0
    own_zone.server.start()
    assert (own_zone.bundle().text, own_zone.crl_der(), own_zone.default_zone()) == before
    assert own_zone.get(made["id"]) == made and own_zone.get(revoked["id"]) == revoked
    assert Api(own_zone.server, token=token, zone=own_zone.zone).total() == 2


def test_another_master_key_is_refused_and_the_right_one_still_works(make_server):
    server, other = make_server().start(), make_server().start()
    server.stop()
    other.stop()
    said = server.refuses_to_start(COUNTERSIGN_MASTER_KEY_FILE=str(other.data / "master.key"))
    assert "master key" in said.lower()
    server.start()


def test_a_missing_master_key_over_old_data_is_refused_and_none_is_made(make_server):
    server = make_server().start()
    server.stop()
    kept = (server.data / "master.key").rename(server.folder / "kept.key")
    said = server.refuses_to_start()
    assert "master key" in said.lower() and "master.key" in said
    assert not (server.data / "master.key").exists()
    server.start(COUNTERSIGN_MASTER_KEY_FILE=str(kept))


def test_an_unreadable_master_key_is_refused(make_server):
    server = make_server()
    server.data.mkdir()
    (server.data / "master.key").write_text("not a key\n")
    assert "master key" in server.refuses_to_start().lower()
    assert not server.store.is_there() or server.row_counts().get("authorities", 0) == 0


def test_a_newer_schema_is_refused_and_left_alone(make_server):
    server = make_server().start()
    server.stop()
    server.tamper("insert into __diesel_schema_migrations (version) values ('99991231000000')")
    said = server.refuses_to_start()
    assert "newer" in said.lower() and "99991231000000" in said
    assert server.database().execute(
        "select count(*) from __diesel_schema_migrations where version = '99991231000000'").fetchone() == (1,)


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no file of ours")
def test_a_file_that_is_no_database_is_refused(make_server):
    server = make_server()
    server.data.mkdir()
    (server.data / "countersign.db").write_bytes(b"no database at all\n" * 500)
    assert "countersign.db" in server.refuses_to_start()
    assert (server.data / "countersign.db").read_bytes().startswith(b"no database at all")


@pytest.mark.parametrize("text, named", [
    ("\ncolour = \"blue\"\n", "colour"),
    ("\n[[[ no toml\n", ""),
])
def test_a_faulty_profile_is_refused_by_file_line_and_key(make_server, tmp_path, text, named):
    profiles = tmp_path / "profiles"
    shutil.copytree(PROFILES, profiles)
    file = profiles / "client.toml"
    file.write_text(file.read_text().rstrip("\n") + "\n" + text)
    line = len(file.read_text().splitlines())
    said = make_server(COUNTERSIGN_PROFILES_DIR=str(profiles)).refuses_to_start()
    assert "client.toml" in said and named in said
    assert re.search(rf"(:|line ){line}\b", said), said


def test_a_public_address_without_tls_is_refused(make_server):
    said = make_server().refuses_to_start(COUNTERSIGN_LISTEN=f"0.0.0.0:{free_port()}")
    assert "COUNTERSIGN_TLS_CERT" in said and "COUNTERSIGN_BEHIND_PROXY" in said


def test_all_faults_of_a_configuration_are_named_at_once(make_server):
    said = make_server().refuses_to_start(
        COUNTERSIGN_LISTEN="nowhere", COUNTERSIGN_CRL_VALIDITY="soon", COUNTERSIGN_ROOT_KEY_TYPE="rsa1024",
        COUNTERSIGN_BOOTSTRAP_TOKEN="short")
    for name in ("LISTEN", "CRL_VALIDITY", "ROOT_KEY_TYPE", "BOOTSTRAP_TOKEN"):
        assert f"COUNTERSIGN_{name}" in said


def test_a_port_in_use_is_refused_with_its_address(make_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in make_server().refuses_to_start(COUNTERSIGN_LISTEN=address)


def test_sigterm_finishes_what_is_in_flight(own_zone):
    server = own_zone.server
    body = httpx.Request("POST", server.url, json={"csr": csr.by_openssl(), "validity_days": 1}).content
    head = (f"POST /client/v4{own_zone.path()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head + body[:100])
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.3)
        connection.sendall(body[100:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert server.wait_end() == 0
    server.start()
    assert own_zone.total() == 1


def test_sigint_stops_like_sigterm(server):
    server.process.send_signal(2)
    assert server.wait_end() == 0


def test_an_interrupted_first_start_is_completed_by_the_next(make_server):
    for pause in (0.0, 0.02, 0.05, 0.1, 0.2):
        server = make_server().launch()
        time.sleep(pause)
        server.kill()
        server.start()
        api = Api(server)
        zone = api.in_zone(api.default_zone()["id"])
        assert zone.issue(csr.by_openssl())["status"] == "active"
        zone.crl()
        server.stop()
