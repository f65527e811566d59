"""`countersign crl sync` as a process, and a small server that answers as a test says."""

import datetime
import http.server
import pathlib
import subprocess
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import server as server_module

KEY = ec.generate_private_key(ec.SECP256R1())
PATIENCE = 30


class Sync:
    def __init__(self, folder, url, zone, *options, out="crl.pem"):
        self.folder = pathlib.Path(folder)
        self.out = self.folder / out
        self.arguments = [server_module.BINARY, "crl", "sync", "--url", url, "--zone", zone, "--out", self.out, *options]
        # No token anywhere near: what is fetched is public.
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder)}
        self.process = None

    def start(self):
        with open(self.folder / "sync.log", "ab") as log:
            self.process = subprocess.Popen(self.arguments, cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        return self

    def once(self, *options):
        return subprocess.run([*self.arguments, "--once", *options], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def stop(self):
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def clean_up(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self):
        path = self.folder / "sync.log"
        return path.read_text() if path.exists() else ""

    def wait(self, condition, what):
        wait(condition, what, self.said)


class Answers(http.server.ThreadingHTTPServer):
    """Answers every request with `body`, with an ETag of its own for each."""

    def __init__(self, port=0):
        self.body, self.status, self.cut, self.seen = b"", 200, 0, []
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers = self.server
        body, tag = answers.body, f'"{hash(answers.body)}"'
        known = self.headers.get("if-none-match") == tag
        answers.seen.append((self.path, known, self.headers.get("authorization")))
        self.send_response(304 if known and answers.status == 200 else answers.status)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", "0" if known else str(len(body) + answers.cut))
        self.end_headers()
        if not known:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def crl(number, issuer="Test CA", days=7, serials=()):
    """A CRL in PEM."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .last_update(now - datetime.timedelta(days=30)).next_update(now + datetime.timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def wait(condition, what, said=lambda: ""):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not {what} within {PATIENCE} s: {said()}"
        time.sleep(0.02)
