"""Backups beside a running server, and restored copies that verify and go on."""

import json
import pathlib
import shutil
import sqlite3
import stat
import subprocess
import threading
import time
from contextlib import closing

import pytest
from cryptography import x509

import csr
import server as server_module
from api import Api, crl_number, listed_serials
from judges import Chain

PUBLIC_URL = "http://ca.example"
SQLITE = pytest.mark.only_on("sqlite", reason="looks at the file of the database")


class Installation:
    """A server and the commands of its machine."""

    def __init__(self, make_server, **settings):
        self.server = make_server(**{"COUNTERSIGN_PUBLIC_URL": PUBLIC_URL, **settings})
        self.store = self.server.store

    def start(self):
        self.server.start()
        api = Api(self.server)
        return api.in_zone(api.default_zone()["id"])

    def call(self, *arguments, **environment):
        return subprocess.run(
            [server_module.BINARY, *map(str, arguments)], cwd=self.server.folder, stdin=subprocess.DEVNULL,
            env=self.server.environment(**environment), capture_output=True, text=True, timeout=240)

    def json(self, *arguments, **environment):
        done = self.call(*arguments, "--json", **environment)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def fails(self, *arguments, **environment):
        done = self.call(*arguments, **environment)
        assert done.returncode != 0 and "panicked" not in done.stderr, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def install(make_server):
    """Makes installations; further ones with the key and the token of another."""

    def make(like=None, with_key=True):
        if like is None:
            return Installation(make_server)
        made = Installation(make_server, token=like.server.token)
        if with_key:
            give_key(like, made)
        return made

    return make


def give_key(one, other):
    other.server.data.mkdir(mode=0o700, exist_ok=True)
    shutil.copy2(one.server.data / "master.key", other.server.data / "master.key")


def newest_event(api):
    answer = api.call("GET", f"/zones/{api.zone}/events", params={"format": "json", "since": 0, "limit": 1000})
    assert answer.status_code == 200, answer.text
    return max(event["number"] for event in answer.json()["result"])


def numbers(api):
    """The CRL number of each authority."""
    return {a["id"]: crl_number(x509.load_der_x509_crl(api.crl_der(a["id"]))) for a in api.authorities()}


def test_a_restored_copy_verifies_and_goes_on(install, tmp_path):
    first = install()
    api = first.start()
    good, revoked, waiting = (api.issue(csr.by_openssl()) for _ in range(3))
    api.delete(revoked["id"])
    api.wait_until(revoked["id"], lambda c: c["status"] == "revoked", "revoked")
    # The worker has no turn before the backup is made.
    first.server.tamper("UPDATE publications SET retry_at = ?", int((time.time() + 45) * 1000))
    api.delete(waiting["id"])
    made = first.json("backup", "--out", tmp_path / "backup")
    assert (made["certificates"], made["waiting_transitions"], made["holds_master_key"]) == (3, 1, False)

    # What the backup does not know: another certificate, more revocations, more CRLs, more events.
    first.server.tamper("UPDATE publications SET retry_at = 0")
    later = api.issue(csr.by_openssl())
    for certificate in (waiting, good):
        api.delete(certificate["id"])
        api.wait_until(certificate["id"], lambda c: c["status"] == "revoked", "revoked")
    seen, event_seen = numbers(api), newest_event(api)
    first.server.kill()

    second = install(like=first)
    restored = second.json("restore", "--from", tmp_path / "backup")
    assert restored["certificates"] == 3 and restored["waiting_transitions"] == 1
    assert {a["id"] for a in restored["authorities"]} == set(seen)
    assert all(a["next_after"] > seen[a["id"]] + 10_000 for a in restored["authorities"])

    api = second.start()
    api.wait_until(waiting["id"], lambda c: c["status"] == "revoked", "revoked")
    deadline = time.monotonic() + 30
    while any(number <= seen[authority] for authority, number in numbers(api).items()):
        assert time.monotonic() < deadline, (seen, numbers(api), second.server.output())
        time.sleep(0.1)
    assert newest_event(api) > event_seen
    fresh = api.issue(csr.by_openssl())
    assert listed_serials(api.crl()) == {int(revoked["serial_number"]), int(waiting["serial_number"])}
    chain = Chain(tmp_path, api)
    leaves = {name: chain.write(f"{name}.pem", one["certificate"]) for name, one in
              [("good", good), ("fresh", fresh), ("revoked", revoked), ("waiting", waiting)]}
    chain.openssl_verify(leaves["good"], leaves["fresh"], crls=True)
    assert chain.openssl_says_revoked(leaves["revoked"]) and chain.openssl_says_revoked(leaves["waiting"])
    # What was issued after the backup is not known here.
    assert api.call("GET", api.path(later["id"])).status_code == 404
    assert api.total() == 4 and api.total(status="revoked") == 2
    with closing(second.server.database()) as database:
        [(told,)] = database.execute("SELECT detail FROM audit_events WHERE action = 'installation.restore'").fetchall()
    assert f"went forward by {restored['leap']}" in told


def test_a_second_restoration_of_the_same_backup_goes_further(install, tmp_path):
    first = install()
    first.start()
    first.json("backup", "--out", tmp_path / "backup")
    first.server.kill()
    second, third = install(like=first), install(like=first)
    once = second.json("restore", "--from", tmp_path / "backup")
    api = second.start()
    api.delete(api.issue(csr.fresh())["id"])
    time.sleep(1.1)
    seen = numbers(api)
    second.server.kill()
    again = third.json("restore", "--from", tmp_path / "backup")
    assert again["leap"] >= once["leap"] + 1000
    assert all(a["next_after"] > seen[a["id"]] for a in again["authorities"])


def test_a_backup_is_made_beside_a_server_under_load(install, tmp_path):
    installation = install()
    api = installation.start()
    stopped, faults = threading.Event(), []

    def issue():
        try:
            own = Api(installation.server, zone=api.zone)
            while not stopped.is_set():
                made = own.issue(csr.fresh())
                own.delete(made["id"])
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=issue) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        counts = []
        for number in range(3):
            counts.append(installation.json("backup", "--out", tmp_path / f"{number}")["certificates"])
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert faults == [] and counts == sorted(counts)
    installation.server.kill()
    # The counters agree with a recount, the CRLs verify: `restore` looks.
    restored = install(like=installation).json("restore", "--from", tmp_path / "2")
    assert restored["certificates"] >= counts[2]


def test_a_backup_file_is_private_and_never_overwritten_by_accident(install, tmp_path):
    installation = install()
    api = installation.start()
    out = tmp_path / "backup"
    done = installation.call("backup", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "master.key) is NOT in it" in done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    key = (installation.server.data / "master.key").read_text().strip()
    content = out.read_bytes()
    assert key.encode() not in content and bytes.fromhex(key) not in content
    assert b"PRIVATE KEY" not in content
    before = out.read_bytes()
    assert "is there already" in installation.fails("backup", "--out", out)
    assert out.read_bytes() == before
    api.issue(csr.fresh())
    assert installation.json("backup", "--out", out, "--force")["certificates"] == 1
    assert out.read_bytes() != before
    # One that fails leaves nothing.
    assert "error" in installation.fails("backup", "--out", tmp_path / "none" / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_what_is_not_recovered_is_not_served(install, tmp_path):
    first = install()
    first.start()
    first.json("backup", "--out", tmp_path / "backup")
    first.server.kill()
    second = install(like=first, with_key=False)
    said = second.fails("restore", "--from", tmp_path / "backup")
    assert "master key" in said and "is missing" in said
    assert "countersign restore" in second.server.refuses_to_start()
    # A key of its own is not the one.
    second.server.data.mkdir(exist_ok=True)
    (second.server.data / "master.key").write_text("00" * 32)
    assert "is not the one" in second.fails("restore", "--from", tmp_path / "backup")
    assert "countersign restore" in second.server.refuses_to_start()
    give_key(first, second)
    second.json("restore", "--from", tmp_path / "backup")
    second.start().issue(csr.fresh())


def test_an_installation_is_not_restored_over(install, tmp_path):
    first = install()
    api = first.start()
    api.issue(csr.fresh())
    first.json("backup", "--out", tmp_path / "backup")
    # While it runs, and when it has stopped.
    said = first.fails("restore", "--from", tmp_path / "backup")
    assert "another countersign is using" in said or "is in use" in said
    assert api.total() == 1
    first.server.stop()
    assert "holds an installation" in first.fails("restore", "--from", tmp_path / "backup")
    first.server.start()
    assert api.total() == 1


def test_a_database_that_was_put_back_by_other_means_is_made_fit(install):
    installation = install()
    api = installation.start()
    api.delete(api.issue(csr.fresh())["id"])
    said = installation.fails("restore", "--restored-already")
    assert "another countersign is using" in said or "is in use" in said
    before = numbers(api)
    installation.server.stop()
    recovered = installation.json("restore", "--restored-already")
    assert all(a["next_after"] > before[a["id"]] + 10_000 for a in recovered["authorities"])
    api = installation.start()
    made = api.issue(csr.fresh())
    api.delete(made["id"])
    settled = api.wait_until(made["id"], lambda c: c["status"] == "revoked", "revoked")
    assert settled["receipt"]["crl_number"] > min(a["next_after"] for a in recovered["authorities"])


@SQLITE
def test_a_damaged_copy_is_refused(install, tmp_path):
    first = install()
    api = first.start()
    for _ in range(20):
        api.issue(csr.fresh())
    first.json("backup", "--out", tmp_path / "backup")
    first.server.kill()
    content = bytearray((tmp_path / "backup").read_bytes())
    second = install(like=first)
    for damaged in (content[:len(content) // 2], b"no database at all", content[:8192] + bytes(8192) + content[16384:]):
        (tmp_path / "damaged").write_bytes(damaged)
        said = second.fails("restore", "--from", tmp_path / "damaged")
        assert "damaged" in said, said
    # One whose counters were changed.
    shutil.copy2(tmp_path / "backup", tmp_path / "damaged")
    with closing(sqlite3.connect(tmp_path / "damaged")) as connection, connection:
        connection.execute("UPDATE certificate_counters SET total = total + 1")
    assert "do not agree with a recount" in second.fails("restore", "--from", tmp_path / "damaged")
    assert not second.store.path.exists()
    second.json("restore", "--from", tmp_path / "backup")
    assert second.start().total() == 20


@SQLITE
def test_the_write_ahead_log_of_another_database_is_no_part_of_it(install, tmp_path):
    first = install()
    first.start()
    first.json("backup", "--out", tmp_path / "backup")
    first.server.kill()
    first.store.path.unlink()
    assert pathlib.Path(f"{first.store.path}-wal").exists()
    assert "-wal is there without its database" in first.fails("restore", "--from", tmp_path / "backup")
    pathlib.Path(f"{first.store.path}-wal").unlink()
    pathlib.Path(f"{first.store.path}-shm").unlink()
    first.json("restore", "--from", tmp_path / "backup")
    first.start().issue(csr.fresh())


@pytest.mark.only_on("postgres", reason="a file has no password")
def test_passwords_are_on_no_command_line(install, tmp_path):
    installation = install()
    installation.start()
    password = installation.store.cluster().password
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pg_dump").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\nprintf "%s" "$PGPASSWORD" > {tmp_path}/password\n'
        f'env > {tmp_path}/environment\ncat "$PGSERVICEFILE" > {tmp_path}/service\n'
        f'stat -c "%a %n" "$PGSERVICEFILE" > {tmp_path}/mode\nexit 3\n')
    (tools / "pg_dump").chmod(0o755)
    url = f"{installation.store.url}?sslpassword=of%20the%20key"
    said = installation.fails("backup", "--out", tmp_path / "backup", PATH=f"{tools}:/usr/bin:/bin", COUNTERSIGN_DATABASE_URL=url)
    assert "pg_dump failed" in said
    arguments = (tmp_path / "arguments").read_text()
    assert password not in arguments and "sslpassword" not in arguments and installation.store.database in arguments
    assert (tmp_path / "password").read_text() == password
    assert (tmp_path / "service").read_text() == "[countersign]\nsslpassword=of the key\n"
    mode, _, service = (tmp_path / "mode").read_text().strip().partition(" ")
    assert mode == "600" and not pathlib.Path(service).exists()
    # The master key and the first token are in our own settings.
    environment = (tmp_path / "environment").read_text()
    assert "PGSERVICE=countersign" in environment and "COUNTERSIGN_" not in environment
    (tools / "pg_dump").unlink()
    said = installation.fails("backup", "--out", tmp_path / "backup", PATH=str(tools))
    assert "pg_dump is not on the PATH" in said and "postgresql-client" in said
    assert not (tmp_path / "backup").exists()
