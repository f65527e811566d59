"""The deployment of docker-compose.yml, started from local binaries by deploy/topology.py: served whole, without a part, ended."""

import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time

import httpx
import pytest

import csr
import server as server_module
from api import Api, check_envelope, listed_serials
from judges import Chain, run

SCRIPT = pathlib.Path(__file__).parents[2] / "deploy/topology.py"
PATIENCE = 120


class Topology:
    """The script as a process of its own, and what it said of what it started."""

    # What the API's client asks about: nothing is repeated here.
    retries = 0

    def __init__(self, folder, *flags):
        self.errors = folder / "stderr"
        environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([sys.executable, SCRIPT, "--binary", server_module.BINARY, "--json", *flags],
                                            stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment)
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        said = json.loads(line)
        self.url, self.plain_url, self.services = said["https"], said["http"], said["services"]
        self.secrets = pathlib.Path(said["secrets"])
        self.token = self.secret("bootstrap_token")
        self.certificate = self.secrets / "proxy_certificate"

    def secret(self, name):
        return (self.secrets / name).read_text().strip()

    def address(self, name):
        return f"http://{self.services[name]['address']}:8080"

    def kill(self, name):
        os.kill(self.services[name]["pid"], signal.SIGKILL)
        wait_until(lambda: not listens(self.services[name]["address"], self.services[name]["ports"][0]), f"{name} is gone")

    def healthcheck(self, name):
        environment = {"PATH": os.environ["PATH"], "COUNTERSIGN_LISTEN": f"{self.services[name]['address']}:8080"}
        return subprocess.run([server_module.BINARY, "healthcheck"], env=environment, capture_output=True, text=True, timeout=60)

    def processes(self):
        """Of all processes, those that carry its folder in their environment or work in it."""
        folder, found = str(self.secrets.parent).encode(), []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if folder in (process / "environ").read_bytes() or os.readlink(process / "cwd").encode().startswith(folder):
                    found.append((process.name, (process / "cmdline").read_bytes()))
            except OSError:
                continue
        return found

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def wait_until(done, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline, f"not after {PATIENCE} s: {what}"
        time.sleep(0.05)
    return found


def listens(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    made = []

    def start(*flags):
        made.append(Topology(tmp_path_factory.mktemp("topology"), *flags))
        return made[-1]

    yield start
    for topology in made:
        topology.stop()


@pytest.fixture(scope="module")
def whole(start):
    """One that lasts: what is killed in it comes back."""
    return start()


def api_of(topology, monkeypatch):
    """The default zone, through the proxy, whose certificate is verified."""
    monkeypatch.setenv("SSL_CERT_FILE", str(topology.certificate))
    api = Api(topology)
    return api.in_zone(api.default_zone()["id"])


def test_certificates_are_issued_verified_and_revoked_through_the_proxy(whole, monkeypatch, tmp_path):
    zone = api_of(whole, monkeypatch)
    certificate = zone.issue(csr.fresh())
    chain = Chain(tmp_path, zone)
    leaf = chain.write("leaf.pem", certificate["certificate"])
    chain.openssl_verify(leaf, crls=True)
    points = run("openssl", "x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess")
    assert points.count(f"URI:{whole.plain_url}/pki/") == 3, points

    zone.revoke(certificate["id"])
    assert Chain(tmp_path, zone).openssl_says_revoked(leaf)
    issuing = zone.authorities()[0]["id"]
    for address in (whole.plain_url, whole.address("countersign-1"), whole.address("countersign-2")):
        crl = httpx.get(f"{address}/pki/{issuing}/crl.pem").text
        assert crl == zone.http.get(f"/pki/{issuing}/crl.pem").text, address


def test_in_clear_there_is_only_what_is_public(whole):
    headers = {"Authorization": f"Bearer {whole.token}"}
    refused = httpx.get(f"{whole.plain_url}/client/v4/zones", headers=headers)
    check_envelope(refused)
    assert refused.status_code == 403 and "HTTPS" in refused.text
    assert httpx.get(f"{whole.plain_url}/healthz").json()["status"] == "ok"
    assert httpx.get(f"{whole.plain_url}/metrics").status_code == 403


def test_the_proxy_shows_no_metrics_and_passes_on_what_is_too_large(whole, monkeypatch):
    zone = api_of(whole, monkeypatch)
    assert zone.http.get("/metrics").status_code == 404
    assert httpx.get(f"{whole.address('countersign-1')}/metrics").status_code == 200
    refused = zone.post("x" * 1024 * 1100)
    assert refused.status_code == 413, refused.text


def test_the_audit_shows_the_callers_own_address_and_not_what_it_claims(whole, monkeypatch):
    zone = api_of(whole, monkeypatch)
    context = ssl.create_default_context(cafile=str(whole.certificate))
    transport = httpx.HTTPTransport(local_address="127.0.0.77", verify=context)
    headers = {"Authorization": f"Bearer {whole.token}", "X-Forwarded-For": "203.0.113.9"}
    with httpx.Client(base_url=whole.url, transport=transport, headers=headers) as caller:
        path = f"/client/v4{zone.path()}"
        made = caller.post(path, json={"csr": csr.fresh(), "validity_days": 30}).json()["result"]["id"]
    database = whole.secret("database_url")
    sources = run("psql", "-X", "-At", database, "-c", f"select source from audit_events where subject = '{made}'")
    assert sources.split() == ["127.0.0.77"]


@pytest.mark.parametrize("name", ["countersign-1", "countersign-2"])
def test_a_killed_replica_is_missed_by_nobody_and_comes_back(whole, monkeypatch, name):
    zone = api_of(whole, monkeypatch)
    whole.kill(name)
    made = [zone.issue(csr.fresh())]
    while whole.healthcheck(name).returncode != 0:
        made.append(zone.issue(csr.fresh()))
    for _ in range(4):
        made.append(zone.issue(csr.fresh()))
    assert {zone.get(certificate["id"])["status"] for certificate in made} == {"active"}
    revoked = zone.revoke(made[0]["id"])
    assert listed_serials(zone.crl()) >= {int(revoked["serial_number"])}


def test_a_killed_database_is_waited_for(whole, monkeypatch):
    zone = api_of(whole, monkeypatch)
    before = zone.issue(csr.fresh())
    os.kill(whole.services["postgres"]["pid"], signal.SIGKILL)
    wait_until(lambda: zone.post(csr.fresh()).status_code == 200, "issues again")
    # The other replica may find out by this request that its connection is gone: it says so, and opens another.
    read = wait_until(lambda: (answer := zone.call("GET", zone.path(before["id"]))).is_success and answer, "reads again")
    assert read.json()["result"] == before
    for name in ("countersign-1", "countersign-2"):
        wait_until(lambda name=name: whole.healthcheck(name).returncode == 0, f"{name} is healthy")


def test_no_log_and_no_environment_holds_a_secret(whole):
    secrets = [whole.secret(name) for name in ("master_key", "database_password", "bootstrap_token", "proxy_key")]
    logs = {name: pathlib.Path(service["log"]).read_text() for name, service in whole.services.items()}
    assert "serving" in logs["countersign-1"], logs
    for name, log in logs.items():
        assert not any(secret in log for secret in secrets), name
    environments = [pathlib.Path(f"/proc/{process}/environ").read_text() for process, _ in whole.processes()]
    assert len(environments) >= 4 and not any(secret in text for text in environments for secret in secrets)


def test_without_any_replica_the_proxy_answers_in_the_words_of_the_api(start, monkeypatch):
    topology = start("--no-restart")
    zone = api_of(topology, monkeypatch)
    issuing = zone.authorities()[0]["id"]
    topology.kill("countersign-1")
    assert all(zone.post(csr.fresh()).status_code == 200 for _ in range(6))

    os.kill(topology.services["postgres"]["pid"], signal.SIGKILL)
    wait_until(lambda: topology.healthcheck("countersign-2").returncode == 1, "countersign-2 is not ready")
    assert "database" in topology.healthcheck("countersign-2").stderr
    answer = zone.post(csr.fresh())
    assert answer.status_code == 503 and "retry-after" in answer.headers

    topology.kill("countersign-2")
    assert "no Countersign answers" in topology.healthcheck("countersign-2").stderr
    answer = zone.post(csr.fresh())
    assert answer.status_code == 502 and answer.headers["retry-after"] == "1", answer.text
    answer = httpx.get(f"{topology.plain_url}/pki/{issuing}/crl")
    assert answer.status_code == 502 and answer.headers["retry-after"] == "1"

    # What is left ends, and nothing stays behind.
    assert len(topology.processes()) >= 2
    assert topology.stop() == 0
    assert topology.processes() == [] and not topology.secrets.parent.exists()


def test_ctrl_c_ends_everything_and_leaves_nothing(start):
    topology = start()
    assert len(topology.processes()) >= 5, topology.processes()
    assert topology.stop(signal.SIGINT) == 0, topology.errors.read_text()
    assert topology.processes() == [] and not topology.secrets.parent.exists()
    assert "killed" not in topology.errors.read_text()
    for service in topology.services.values():
        assert not any(listens(service["address"], port) for port in service["ports"])
