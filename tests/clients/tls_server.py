"""Servers for outgoing calls, on loopback: one in Python that notes everything it is sent and answers as it is told,
nginx that asks for client certificates, and a listener that only counts who knocks."""

import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

import identity_pki as pki
from server import free_port

PATIENCE = 30
JSON_OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'


@dataclass
class Request:
    method: str
    target: str
    headers: list
    body: bytes
    # The client certificate in DER, as the handshake had it.
    certificate: bytes | None
    version: str
    # What the server's own name was in the handshake.
    server_name: str | None

    def values(self, name):
        return [value for key, value in self.headers if key.lower() == name]


def respond(status=200, body=b"", *headers, reason="OK"):
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def redirect(location, status=302):
    return respond(status, b"", f"Location: {location}", reason="Found")


class Listener:
    """Accepts connections on a loopback port and notes how many there were."""

    def __init__(self, port=0, host="127.0.0.1"):
        self.socket = socket.create_server((host, port), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self.first_bytes = []
        self.open = []
        self.is_stopping = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if self.is_stopping:
                connection.close()
                return
            self.connections += 1
            self.open.append(connection)
            connection.settimeout(PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._guarded, args=[connection], daemon=True).start()

    def _guarded(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def serve(self, connection):
        self.first_bytes.append(connection.recv(4096))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_stopping = True
        # Wakes a thread that waits in accept; closing the socket alone does not.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        self.thread.join(PATIENCE)


class Silent(Listener):
    """Takes every call and says nothing until it is told to hang up."""

    def __init__(self):
        self.hung_up = threading.Event()
        super().__init__()
        self.url = f"https://127.0.0.1:{self.port}"

    def serve(self, connection):
        self.hung_up.wait(PATIENCE * 4)

    def wait_for_connections(self, count):
        deadline = time.monotonic() + PATIENCE
        while self.connections < count:
            assert time.monotonic() < deadline, f"{self.connections} called, not {count}"
            time.sleep(0.02)

    def __exit__(self, *arguments):
        self.hung_up.set()
        super().__exit__(*arguments)


class TlsServer(Listener):
    """HTTPS with a certificate for localhost and 127.0.0.1. `answer` is given each request and gives the bytes of the
    answer, or an iterator of them, or None to close without a word."""

    def __init__(self, answer=lambda request: JSON_OK, client_ca=None, version=None, certificate=None, required=True,
                 port=0, host="127.0.0.1"):
        self.answer, self.requests, self.handshakes, self.failures = answer, [], 0, []
        self.names = {}
        self.context = server_context(certificate or pki.server(), client_ca, version, required)
        self.context.sni_callback = lambda connection, name, _: self.names.__setitem__(connection, name)
        super().__init__(port, host)
        self.url = f"https://{host}:{self.port}"
        self.named_url = f"https://localhost:{self.port}"

    def serve(self, connection):
        try:
            tls = self.context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.failures.append(str(error))
            return
        self.handshakes += 1
        try:
            request = read_request(tls, self.names.pop(tls, None))
            if request is None:
                return
            self.requests.append(request)
            answer = self.answer(request)
            for part in [answer] if isinstance(answer, bytes) else answer or []:
                tls.sendall(part)
        except (ssl.SSLError, OSError) as error:
            self.failures.append(str(error))
        finally:
            try:
                tls.unwrap()
            except (ssl.SSLError, OSError, ValueError):
                pass
            tls.close()


def server_context(held, client_ca, version, required):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("chain.pem", "key.pem")]
        paths[0].write_text(held.whole_chain)
        paths[1].write_text(held.key)
        context.load_cert_chain(*paths)
    if client_ca:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def read_request(tls, server_name):
    data = b""
    while b"\r\n\r\n" not in data:
        part = tls.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    while len(body) < length:
        body += tls.recv(65536)
    return Request(method, target, headers, body, tls.getpeercert(binary_form=True), tls.version(), server_name)


NGINX = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
  log_format who '$ssl_client_verify|$ssl_client_s_dn|$ssl_client_serial|$ssl_protocol|$host|$request';
  access_log {folder}/access.log who;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name localhost;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_verify_client on;
    ssl_verify_depth 3;
    ssl_client_certificate {folder}/clients.pem;
    {crl}
    ssl_session_cache off;
    ssl_session_tickets off;
    default_type application/json;
    location / {{ return 200 '{{"subject":"$ssl_client_s_dn"}}'; }}
  }}
}}
"""


class Nginx:
    """nginx that lets in whoever has a certificate under these CAs that is not on these CRLs."""

    def __init__(self, folder, client_ca, crls=None):
        self.folder, self.port = pathlib.Path(folder), free_port()
        self.url, self.named_url = f"https://127.0.0.1:{self.port}", f"https://localhost:{self.port}"
        held = pki.server()
        for name, content in (("server.pem", held.whole_chain), ("server.key", held.key), ("clients.pem", client_ca)):
            (self.folder / name).write_text(content)
        if crls:
            (self.folder / "crls.pem").write_text(crls)
        crl = f"ssl_crl {self.folder}/crls.pem;" if crls else ""
        (self.folder / "nginx.conf").write_text(NGINX.format(folder=self.folder, port=self.port, crl=crl))
        self.process = subprocess.Popen(
            ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "error.log"],
            cwd=self.folder, stdin=subprocess.DEVNULL)

    def __enter__(self):
        self.wait(self.is_listening, "listening")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def is_listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline, f"nginx is not {what}: {self.errors()}"
            time.sleep(0.02)

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return set(children.split())

    def reload(self, crls):
        """Takes other CRLs, and returns once only workers that know them are left."""
        (self.folder / "crls.pem").write_text(crls)
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: self.workers() and not self.workers() & old, "reloaded")

    def seen(self):
        """Each request as a list: verdict, subject, serial number, TLS version, host, request line."""
        path = self.folder / "access.log"
        return [line.split("|") for line in path.read_text().splitlines()] if path.exists() else []

    def errors(self):
        path = self.folder / "error.log"
        return path.read_text() if path.exists() else ""
