"""nginx asks for client certificates, with our bundle and our CRLs: accepted, refused, accepted again."""

import pathlib
import signal
import subprocess
import time

import pytest

import csr
from csr import openssl
from server import free_port

CONFIGURATION = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name localhost;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_client_certificate {folder}/bundle.pem;
    ssl_crl {folder}/crls.pem;
    ssl_session_cache off;
    ssl_session_tickets off;
    location / {{ return 200 "$ssl_client_verify $ssl_client_s_dn"; }}
  }}
"""


def server_block(folder, port):
    return SERVER.format(folder=folder, port=port)


def configuration(folder, server):
    return CONFIGURATION.format(folder=folder, server=server)


class Nginx:
    def __init__(self, folder, api):
        self.folder, self.api, self.port = pathlib.Path(folder), api, free_port()
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", self.folder / "server.key", "-out", self.folder / "server.pem")
        (self.folder / "bundle.pem").write_text(api.bundle().text)
        self.fetch_crls()
        (self.folder / "nginx.conf").write_text(configuration(self.folder, self.server()))
        self.process = subprocess.Popen(
            ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "error.log"],
            cwd=self.folder, stdin=subprocess.DEVNULL)
        self.wait(lambda: self.workers() and self.request()[0] == 400, "serving")

    def server(self):
        return server_block(self.folder, self.port)

    def fetch_crls(self):
        (self.folder / "crls.pem").write_text(self.api.chain_crls())

    def reload(self):
        """Takes the CRLs of now, and returns once only workers that know them are left."""
        self.fetch_crls()
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: self.workers() and not self.workers() & old, "reloaded")

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return set(children.split())

    def wait(self, condition, what):
        deadline = time.monotonic() + 30
        while not condition():
            log = self.folder / "error.log"
            said = log.read_text() if log.exists() else ""
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, f"nginx is not {what}: {said}"
            time.sleep(0.05)

    def request(self, certificate=None, key=None):
        """The status and body that curl gets."""
        identity = ["--cert", certificate, "--key", key] if certificate else []
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", self.folder / "server.pem", *identity,
             "-w", "\n%{http_code}", f"https://localhost:{self.port}/"], capture_output=True, text=True, timeout=60)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def nginx(zone, tmp_path):
    running = Nginx(tmp_path, zone)
    yield running
    running.stop()


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_nginx_accepts_refuses_after_revoking_and_accepts_again(zone, nginx, tmp_path, kind):
    made = zone.issue(csr.by_openssl(kind, subject="/O=Example/CN=device-0001"))
    identity = write_identity(tmp_path, made["certificate"], csr.key_pem(kind))

    status, body = nginx.request(*identity)
    assert (status, body) == (200, "SUCCESS CN=device-0001,O=Example")

    zone.revoke(made["id"])
    nginx.reload()
    status, body = nginx.request(*identity)
    assert status == 400 and "SSL certificate error" in body
    assert "certificate revoked" in (tmp_path / "error.log").read_text()

    zone.reactivate(made["id"])
    nginx.reload()
    assert nginx.request(*identity)[0] == 200


def test_nginx_refuses_certificates_of_other_authorities_and_none(zone, nginx, tmp_path):
    other = zone.in_zone(zone.create_zone(f"{zone.zone}-foreign")["id"])
    foreign = tmp_path / "foreign.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=device-0001",
            "-keyout", tmp_path / "foreign.key", "-out", foreign)
    assert nginx.request(foreign, tmp_path / "foreign.key")[0] == 400
    stranger = write_identity(tmp_path, other.issue(csr.by_openssl())["certificate"], csr.key_pem("p256"))
    assert nginx.request(*stranger)[0] == 400
    assert nginx.request()[0] == 400


def write_identity(folder, certificate, key):
    paths = folder / "client.pem", folder / "client.key"
    paths[0].write_text(certificate)
    paths[1].write_bytes(key)
    return paths
