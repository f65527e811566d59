"""`crl sync` keeps a file of CRLs whole and current, and nginx and HAProxy refuse by it within seconds."""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import csr
import server as server_module
from crl_sync import Answers, Sync, crl, wait
from csr import openssl
from server import free_port
from test_nginx_mtls import configuration, server_block, write_identity

ZONE = "5d28ec1c8ee4f2f3b2fc37b9b4f2f0aa"
COUNT = 'echo "$COUNTERSIGN_CRL_FILE" >> runs'


@pytest.fixture
def answers():
    server = Answers()
    server.body = crl(7) + crl(3, "Root")
    yield server
    server.close()


@pytest.fixture
def sync(tmp_path, answers):
    made = []

    def make(*options, url=None, out="crl.pem"):
        made.append(Sync(tmp_path, url or answers.url, ZONE, *options, out=out))
        return made[-1]

    yield make
    for each in made:
        each.clean_up()


def runs(folder):
    path = folder / "runs"
    return path.read_text().splitlines() if path.exists() else []


def test_the_file_follows_the_server_and_the_command_every_change(sync, answers, tmp_path):
    running = sync("--interval", "100ms", "--exec", COUNT).start()
    running.wait(lambda: runs(tmp_path) == [str(running.out)], "run")
    assert running.out.read_bytes() == answers.body
    assert running.out.stat().st_mode & 0o777 == 0o644
    seen = len(answers.seen)
    running.wait(lambda: len(answers.seen) > seen + 3, "asking")
    assert {path for path, _, _ in answers.seen} == {f"/pki/{ZONE}/crl-chain.pem"}
    assert all(token is None for _, _, token in answers.seen)
    assert all(known for _, known, _ in answers.seen[-3:]), "an empty answer while nothing has changed"
    assert len(runs(tmp_path)) == 1

    answers.body = crl(8) + crl(3, "Root")
    running.wait(lambda: len(runs(tmp_path)) == 2, "run again")
    assert running.out.read_bytes() == answers.body
    running.wait(lambda: {path.name for path in tmp_path.iterdir()} == {"crl.pem", "runs", "sync.log"}, "cleared up")
    assert running.stop() == 0


def test_a_restart_with_nothing_new_runs_no_command(sync, answers, tmp_path):
    assert sync("--exec", COUNT).once().returncode == 0
    assert len(runs(tmp_path)) == 1
    before = (tmp_path / "crl.pem").stat()
    running = sync("--interval", "100ms", "--exec", COUNT).start()
    running.wait(lambda: len(answers.seen) > 4, "asking")
    running.stop()
    assert len(runs(tmp_path)) == 1
    after = (tmp_path / "crl.pem").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns), "not even written"


def test_an_older_answer_is_never_written(sync, answers, tmp_path):
    good = answers.body
    running = sync("--interval", "100ms", "--exec", COUNT).start()
    running.wait(lambda: runs(tmp_path), "run")
    answers.body = crl(8) + crl(2, "Root")
    running.wait(lambda: "there is CRL 3 in the file already" in running.said(), "refused")
    assert running.out.read_bytes() == good
    assert running.stop() == 0

    refused = sync().once()
    assert refused.returncode == 1 and "CRL 3 in the file already" in refused.stderr, "also after a restart"
    assert running.out.read_bytes() == good
    assert len(runs(tmp_path)) == 1


@pytest.mark.parametrize("answer", [
    b"", b"<html>welcome</html>", b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
    crl(9)[:-30], crl(9).replace(b"X509 CRL", b"CERTIFICATE"), b"\x00" * 10_000, crl(9) + b"-----BEGIN X509 CRL-----\n",
], ids=["empty", "html", "no crl", "cut off", "label", "zeros", "half"])
def test_what_is_no_file_of_crls_is_never_written(sync, answers, tmp_path, answer):
    kept = sync("--exec", COUNT)
    assert kept.once().returncode == 0
    good = kept.out.read_bytes()
    answers.body = answer
    refused = kept.once()
    assert refused.returncode == 1 and "not taken" in refused.stderr, refused.stderr
    assert "panicked" not in refused.stderr
    assert kept.out.read_bytes() == good and len(runs(tmp_path)) == 1


def test_an_answer_that_breaks_off_is_never_written(sync, answers, tmp_path):
    kept = sync()
    assert kept.once().returncode == 0
    good = kept.out.read_bytes()
    # It ends after a whole CRL: only the promised length tells.
    answers.body, answers.cut = crl(8), 1000
    assert kept.once().returncode == 1
    assert kept.out.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["crl.pem"]


def test_a_server_that_is_away_leaves_the_file(sync, answers, tmp_path):
    running = sync("--interval", "100ms").start()
    running.wait(lambda: running.out.exists(), "written")
    good, port = answers.body, answers.server_address[1]
    answers.close()
    running.wait(lambda: "stays as it is" in running.said(), "warned")
    assert running.out.read_bytes() == good
    again = Answers(port)
    again.body = crl(8) + crl(3, "Root")
    running.wait(lambda: running.out.read_bytes() == again.body, "caught up")
    again.status = 503
    again.body = b"{}"
    running.wait(lambda: "is no Countersign (HTTP 503)" in running.said(), "warned")
    assert b"X509 CRL" in running.out.read_bytes()
    assert running.stop() == 0
    again.close()


def test_a_command_that_fails_is_run_until_it_succeeds(sync, answers, tmp_path):
    # The second time it succeeds.
    running = sync("--interval", "100ms", "--exec", f"{COUNT}; test $(wc -l < runs) -ge 2").start()
    running.wait(lambda: len(runs(tmp_path)) == 2, "run again")
    assert "its server has older CRLs: exit status: 1" in running.said()
    seen = len(answers.seen)
    running.wait(lambda: len(answers.seen) > seen + 20, "asking")
    assert len(runs(tmp_path)) == 2
    running.stop()


def test_a_command_that_has_not_succeeded_is_owed_after_a_restart(sync, answers, tmp_path):
    failed = sync("--exec", "exit 3").once()
    assert failed.returncode == 1 and "exit status: 3" in failed.stderr
    assert (tmp_path / "crl.pem").read_bytes() == answers.body
    assert sync("--exec", COUNT).once().returncode == 0
    assert len(runs(tmp_path)) == 1
    assert sync("--exec", COUNT).once().returncode == 0
    assert len(runs(tmp_path)) == 1


def test_a_crl_past_its_next_update_is_told(sync, answers):
    answers.body = crl(7, days=-1)
    old = sync().once()
    assert old.returncode == 1 and "was current until" in old.stderr
    running = sync("--interval", "100ms").start()
    running.wait(lambda: "may refuse every client" in running.said(), "warned")
    answers.body = crl(8)
    running.wait(lambda: running.out.read_bytes() == answers.body, "written")
    running.stop()


def test_mode_and_links_of_the_file_are_kept(sync, answers, tmp_path):
    real = tmp_path / "real.pem"
    real.write_bytes(crl(1))
    real.chmod(0o640)
    (tmp_path / "crl.pem").symlink_to(real)
    if os.geteuid() == 0:
        os.chown(real, 65534, 65534)
    assert sync().once().returncode == 0
    assert (tmp_path / "crl.pem").is_symlink() and real.read_bytes() == answers.body
    assert real.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (real.stat().st_uid, real.stat().st_gid) == (65534, 65534)


def test_what_others_did_to_the_file_is_mended(sync, answers, tmp_path):
    running = sync("--interval", "100ms", "--exec", COUNT).start()
    running.wait(lambda: len(runs(tmp_path)) == 1, "run")
    running.out.unlink()
    running.wait(lambda: len(runs(tmp_path)) == 2, "run again")
    running.out.write_bytes(crl(5))
    running.wait(lambda: len(runs(tmp_path)) == 3, "run again")
    assert running.out.read_bytes() == answers.body
    running.stop()


def test_a_file_of_something_else_is_not_replaced(sync, tmp_path):
    (tmp_path / "nginx.conf").write_text("events {}\n")
    refused = sync(out="nginx.conf").once()
    assert refused.returncode == 1 and "is not replaced" in refused.stderr
    assert (tmp_path / "nginx.conf").read_text() == "events {}\n"


def test_the_issuer_alone_and_json(sync, answers, tmp_path):
    done = sync("--include", "issuer", "--json").once()
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert written["file"] == str(tmp_path / "crl.pem") and [each["number"] for each in written["crls"]] == [7]
    assert answers.body.startswith((tmp_path / "crl.pem").read_bytes())
    assert (tmp_path / "crl.pem").read_text().count("BEGIN") == 1


def test_wrong_uses_are_told(sync):
    assert sync("--interval", "10ms").once().returncode == 2
    assert sync("--include", "all").once().returncode == 2


class Server:
    """A TLS server that refuses by the file that `crl sync` keeps, reloaded by it."""

    def __init__(self, folder, api):
        self.folder, self.port = pathlib.Path(folder), free_port()
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", self.folder / "server.key", "-out", self.folder / "server.pem")
        (self.folder / "bundle.pem").write_text(api.bundle().text)
        self.sync = Sync(folder, api.server.url, api.zone, "--interval", "200ms", "--exec", self.reload, out="crls.pem")
        self.process = None

    def start(self, *command):
        self.sync.start()
        self.sync.wait(lambda: self.sync.out.exists(), "written")
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen([*map(str, command)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def stop(self):
        self.sync.clean_up()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def said(self):
        logs = [self.folder / name for name in ("server.log", "error.log", "sync.log")]
        return "\n".join(path.read_text(errors="replace") for path in logs if path.exists())

    def accepts(self, certificate, key):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", self.folder / "server.pem",
             "--cert", certificate, "--key", key, "-w", "\n%{http_code}", f"https://localhost:{self.port}/"],
            capture_output=True, text=True, timeout=60)
        body, _, status = done.stdout.rpartition("\n")
        return status == "200" and "device-0001" in body


class Nginx(Server):
    @property
    def reload(self):
        return f"nginx -p {self.folder} -c {self.folder}/nginx.conf -e {self.folder}/error.log -s reload"

    def start(self):
        (self.folder / "nginx.conf").write_text(configuration(self.folder, server_block(self.folder, self.port)))
        return super().start("nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "error.log")


HAPROXY = """
global
  pidfile {folder}/haproxy.pid
  hard-stop-after 5s
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend devices
  bind 127.0.0.1:{port} ssl crt {folder}/both.pem ca-file {folder}/bundle.pem verify required crl-file {folder}/crls.pem no-tls-tickets
  http-request return status 200 content-type text/plain lf-string "%[ssl_c_s_dn]"
"""


class Haproxy(Server):
    reload = "kill -USR2 $(cat haproxy.pid)"

    def start(self):
        both = (self.folder / "server.pem").read_text() + (self.folder / "server.key").read_text()
        (self.folder / "both.pem").write_text(both)
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(folder=self.folder, port=self.port))
        return super().start("haproxy", "-W", "-f", self.folder / "haproxy.cfg")


@pytest.fixture(params=[Nginx, Haproxy])
def relying(request, zone, tmp_path):
    running = request.param(tmp_path, zone).start()
    yield running
    running.stop()


def test_revoked_is_refused_and_reactivated_accepted_within_seconds(zone, relying, tmp_path):
    made = zone.issue(csr.by_openssl())
    identity = write_identity(tmp_path, made["certificate"], csr.key_pem("p256"))
    wait(lambda: relying.accepts(*identity), "accepted", relying.said)
    zone.revoke(made["id"])
    wait(lambda: not relying.accepts(*identity), "refused", relying.said)
    zone.reactivate(made["id"])
    # Processes of before the reload may take a last connection.
    wait(lambda: all(relying.accepts(*identity) for _ in range(5)), "accepted again", relying.said)


def test_what_is_kept_is_what_openssl_reads(zone, tmp_path):
    made = zone.issue(csr.by_openssl())
    zone.revoke(made["id"])
    kept = Sync(tmp_path, zone.server.url, zone.zone, out="crls.pem")
    assert kept.once().returncode == 0
    (tmp_path / "bundle.pem").write_text(zone.bundle().text)
    (tmp_path / "device.pem").write_text(made["certificate"])
    judged = openssl("verify", "-crl_check_all", "-CRLfile", tmp_path / "crls.pem", "-CAfile", tmp_path / "bundle.pem",
                     tmp_path / "device.pem", check=False)
    assert b"certificate revoked" in judged.stdout + judged.stderr
    named = subprocess.run(
        [*kept.arguments[:3], "--out", tmp_path / "by-name.pem", "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=zone.server.environment(COUNTERSIGN_URL=zone.server.url, COUNTERSIGN_TOKEN=zone.server.token, COUNTERSIGN_ZONE="default"))
    assert named.returncode == 0 and re.search(r"wrote .*by-name\.pem: CRL \d+, \d+", named.stderr), named.stderr


def test_a_zone_that_is_none_is_told(zone, tmp_path):
    unknown = "0123456789abcdef0123456789abcdef"
    done = subprocess.run(
        [server_module.BINARY, "crl", "sync", "--zone", unknown, "--out", "crl.pem", "--once"], cwd=tmp_path,
        capture_output=True, text=True, timeout=60, env=zone.server.environment(COUNTERSIGN_URL=zone.server.url))
    assert done.returncode == 1 and f"the server has no zone {unknown}" in done.stderr, done.stderr
    assert not (tmp_path / "crl.pem").exists()


def test_deltas_and_shards_are_fetched_or_said_to_be_missing(zone, tmp_path):
    def call(*options):
        return subprocess.run(
            [server_module.BINARY, "crl", *options], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env=zone.server.environment(COUNTERSIGN_URL=zone.server.url, COUNTERSIGN_TOKEN=zone.server.token, COUNTERSIGN_ZONE=zone.zone))

    missing = call("--shard", "0")
    assert missing.returncode == 1 and "no such shard" in missing.stderr and "--crl-shards" in missing.stderr
    delta = call("--delta")
    assert delta.returncode == 1 and "the authority publishes no delta CRL" in delta.stderr, "there is none before the second CRL"
    zone.revoke(zone.issue(csr.fresh())["id"])
    assert "BEGIN X509 CRL" in call("--delta").stdout
    assert call("--delta", "--shard", "0").returncode == call("--chain", "--delta").returncode == 2
    assert call("--chain").stdout == zone.chain_crls()
    zone.result("POST", f"/zones/{zone.zone}/certificate_authorities", json={"crl_shards": 4})
    part = call("--shard", "3")
    assert part.returncode == 0, part.stderr
    text = openssl("crl", "-noout", "-text", stdin=part.stdout.encode()).stdout.decode()
    assert "/crl/3" in text and "Issuing Distribution Point" in text
