"""`countersign doctor`: what it finds, beside what test_cli.py shows of it."""

import base64
import http.server
import json
import os
import threading
import urllib.parse
from contextlib import closing, contextmanager

import httpx
import pytest

import csr
from api import Api
from server import free_port
from test_cli import CommandLine
from test_webhooks import wait_until


@pytest.fixture
def doctor(make_server, tmp_path, syncing_database):
    return lambda **settings: Deployment(make_server(**settings).start(), tmp_path)


class Deployment:
    def __init__(self, server, folder):
        self.server = server
        plain = Api(server)
        self.zone = plain.in_zone(plain.default_zone()["id"])
        self.cli = CommandLine(self.zone, folder)

    def findings(self, code=0):
        done = self.cli.call("doctor", "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def said(self, check, code=0):
        return [(found["verdict"], found["message"]) for found in self.findings(code) if check in found["check"]]


def test_every_authority_is_named_and_its_responder_is_asked(doctor):
    deployment = doctor()
    deployment.cli.run("authority", "create")
    authorities = deployment.zone.authorities()
    assert sorted(authority["state"] for authority in authorities) == ["active", "active", "retired"]
    findings = deployment.findings()
    for authority in authorities:
        own = [found for found in findings if authority["id"] in found["check"]]
        assert {found["verdict"] for found in own} == {"ok"}, own
        assert all(("retired" in found["check"]) is (authority["state"] == "retired") for found in own)
        assert any(found["message"].startswith("OCSP answers, its responder is valid until 2") for found in own)


def test_webhooks_and_jobs_that_fail_are_named(doctor):
    deployment = doctor(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1")
    api = deployment.zone
    # Nobody listens there.
    failing = {"name": "failing", "url": f"https://127.0.0.1:{free_port()}/"}
    off = {"name": "off", "url": "https://off.example/", "enabled": False}
    failing, _ = (api.result("POST", f"/zones/{api.zone}/webhooks", json=body) for body in (failing, off))
    api.issue(csr.fresh())
    shown = lambda: api.result("GET", f"/zones/{api.zone}/webhooks/{failing['id']}")
    wait_until(lambda: shown()["failing_since"], lambda: shown())
    deployment.cli.run("revoke", "--where", "all", "--yes")
    deployment.server.tamper("UPDATE bulk_jobs SET state = 4, failure = 'the disk is full'")
    [(verdict, message), (also, second)] = deployment.said("webhook")
    assert (verdict, also) == ("warn", "warn")
    assert '"failing"' in message and "has been failing since 2" in message
    assert '"off"' in second and second.endswith("is switched off")
    [(verdict, message)] = deployment.said("bulk job")
    assert verdict == "warn" and "failed: the disk is full" in message and "1 of 1" in message
    # Nothing is said of what the token may not see, and nothing is wrong for that.
    reader = Api(deployment.server).create_token(["zones:read", "authorities:read"], zones=[api.zone])["value"]
    done = deployment.cli.call("doctor", COUNTERSIGN_TOKEN=reader)
    assert done.returncode == 0 and "webhook: \"off\"" in done.stdout and "bulk job" not in done.stdout, done.stdout


@contextmanager
def in_front_of(server, port, answer):
    """The public address: passes on what is asked, but answers for the responders itself."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if "/ocsp/" in self.path:
                body = answer(server, self.path)
            else:
                body = httpx.get(f"{server.url}{self.path}").content
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield
    listener.shutdown()
    listener.server_close()


def passed_on(server, path):
    return httpx.get(f"{server.url}{path}").content


def refused(server, path):
    return bytes([0x30, 3, 0x0A, 1, 3])


def tampered(server, path):
    """Made a second or so younger."""
    answer = bytearray(passed_on(server, path))
    answer[answer.index(b"\x18\x0f") + 15] ^= 1
    return bytes(answer)


def of_another_nonce(server, path):
    """As one that was recorded would be. The nonce is the end of the request."""
    place, request = path.split("/ocsp/")
    request = base64.b64decode(urllib.parse.unquote(request))[:-16] + bytes(16)
    return passed_on(server, f"{place}/ocsp/{urllib.parse.quote(base64.b64encode(request), safe='')}")


@pytest.mark.parametrize(("answer", "words"), [
    (passed_on, None),
    (refused, "the responseStatus is tryLater"),
    (tampered, "signature"),
    (of_another_nonce, "does not repeat the nonce"),
    (lambda *_: b"<html>", ""),
], ids=["passed on", "refused", "tampered", "recorded", "no answer"])
def test_an_answer_that_nobody_may_rely_on_is_a_fault(doctor, answer, words):
    port = free_port()
    deployment = doctor(COUNTERSIGN_PUBLIC_URL=f"http://127.0.0.1:{port}")
    with in_front_of(deployment.server, port, answer):
        told = [(verdict, message) for verdict, message in deployment.said("authority", 0 if words is None else 1)
                if "OCSP" in message]
    assert len(told) == 2, told
    for verdict, message in told:
        if words is None:
            assert verdict == "ok"
        else:
            assert verdict == "fail" and "is not good" in message and words in message


def test_disk_database_and_master_key_are_looked_at(doctor):
    deployment = doctor()
    findings = deployment.findings()
    said = {check: [found["message"] for found in findings if found["check"] == check] for check in
            ("disk", "database", "master key", "clock")}
    if deployment.server.store.name == "sqlite":
        assert any("a sync in" in message and " ms" in message for message in said["disk"])
    else:
        # The server's own disk is not seen from here, and the data folder is not what counts.
        assert said["disk"] == []
    assert any("answers within" in message for message in said["database"])
    assert "opens the keys in the database" in said["master key"]
    assert "agrees with this one" in said["clock"]
    # The probe of the disk is gone.
    assert [path.name for path in deployment.server.data.iterdir() if "doctor" in path.name] == []
    # Another key, of the right form and mode, is not the one; the server that runs has the right one in memory.
    key = deployment.server.data / "master.key"
    key.write_text("00" * 32)
    wrong = [found for found in deployment.findings(1) if found["verdict"] == "fail"]
    assert [found["check"] for found in wrong] == ["master key"]
    assert "is not the one" in wrong[0]["message"] and "put the right key into" in wrong[0]["way_out"]


def test_a_master_key_that_is_handed_over_through_its_group_is_in_order(doctor):
    """As Kubernetes mounts a secret with fsGroup; one that others read is not."""
    deployment = doctor()
    key = deployment.server.data / "master.key"
    if os.getuid() == 0:
        os.chown(key, 12345, os.getgid())
        key.chmod(0o440)
        assert {verdict for verdict, _ in deployment.said("master key")} == {"ok"}
    key.chmod(0o444)
    assert any(verdict == "fail" and "is open to others (mode 444)" in message
               for verdict, message in deployment.said("master key", 1))


def test_every_authority_is_verified_up_to_its_root(doctor):
    deployment = doctor()
    issuing, root = deployment.zone.authorities()
    told = lambda authority, findings: [
        (f["verdict"], f["message"]) for f in findings if authority["id"] in f["check"]]
    findings = deployment.findings()
    assert ("ok", "verifies up to its root, 1 above it") in told(issuing, findings)
    assert ("ok", "its own signature verifies") in told(root, findings)
    assert any(message.startswith("certificate at http") for _, message in told(issuing, findings))
    # Its signature, changed.
    with closing(deployment.server.database()) as database:
        [(der,)] = database.execute(
            "SELECT certificate FROM authorities WHERE zone_id IS NOT NULL").fetchall()
    changed = bytes(der[:-1]) + bytes([der[-1] ^ 1])
    deployment.server.tamper("UPDATE authorities SET certificate = ? WHERE zone_id IS NOT NULL", changed)
    assert any(verdict == "fail" and "no authority's signature on" in message
               for verdict, message in told(issuing, deployment.findings(1)))


@pytest.mark.only_on("postgres", reason="a file has no settings")
def test_settings_of_postgres_that_lose_data_are_named(make_server, tmp_path):
    deployment = Deployment(make_server().start(), tmp_path)
    cluster = deployment.server.store.cluster()
    # The tests' own server does not sync.
    wrong = {found["message"].split(" is ")[0]: found for found in deployment.findings(1) if found["verdict"] == "fail"}
    assert set(wrong) == {"fsync", "full_page_writes"}
    assert wrong["fsync"]["way_out"] == "set fsync = on in postgresql.conf"
    said = [found["message"] for found in deployment.findings(1) if found["check"] == "database"]
    assert any(message.startswith("PostgreSQL 1") for message in said), said
    assert any("answers within" in message and cluster.password not in message for message in said), said
    assert any("no standby is waited for" in message for message in said), said
    assert ("ok", "the database's agrees with this one") in deployment.said("clock", 1)
    cluster.psql('ALTER ROLE countersign SET synchronous_commit = off')
    try:
        assert any(verdict == "warn" and "synchronous_commit is off" in message
                   for verdict, message in deployment.said("database", 1))
    finally:
        cluster.psql('ALTER ROLE countersign RESET synchronous_commit')
    nowhere = cluster.url("nowhere")
    done = deployment.cli.call("doctor", "--json", COUNTERSIGN_DATABASE_URL=nowhere)
    assert done.returncode == 1 and cluster.password not in done.stdout
    assert "is the server up?" in done.stdout
