"""Clients that let the server wait, over raw sockets: each is ended after COUNTERSIGN_CLIENT_TIMEOUT, and takes nothing from
the others meanwhile."""

import contextlib
import json
import re
import resource
import socket
import ssl
import subprocess
import time

import httpx
import pytest

import csr
import seed
from api import Api
from server import BINARY

# What the server may take beyond the second that it waits, on a machine that is busy.
SOON = 30
TRICKLE = 0.2
FEW_FILES = 512
# Certificates of a long page, and how it is read: four times as fast as it must be.
PAGE = 250
RATE = 64 * 1024
PIECE = 32 * 1024


@pytest.fixture
def server(make_server):
    return make_server(COUNTERSIGN_CLIENT_TIMEOUT="1s").start()


def connect(server, receive_buffer=None):
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(SOON)
    connection.connect(("127.0.0.1", server.port))
    return connection


def head(method, path, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: ca", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def trickle(connection, octets):
    """Sends octet by octet until the other side has ended it; what it said."""
    said = b""
    connection.settimeout(TRICKLE)
    deadline = time.monotonic() + SOON
    for octet in octets:
        assert time.monotonic() < deadline, "the server still waits"
        try:
            connection.sendall(bytes([octet]))
            received = connection.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return said
        if not received:
            return said
        said += received
    raise AssertionError("the server has waited for all of it")


def read_answer(connection):
    """One answer with a Content-Length; whether there was one."""
    with connection.makefile("rb") as stream:
        status = stream.readline()
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status.split()[1:2], stream.read(length)


def closed(server):
    """Connections that the server has ended, by reason."""
    text = httpx.get(f"{server.url}/metrics", timeout=SOON).text
    found = re.findall(r'countersign_connections_closed_total\{reason="(\w+)"\} (\d+)', text)
    return {reason: int(count) for reason, count in found}


def eventually(what, condition):
    deadline = time.monotonic() + SOON
    while not (outcome := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return outcome


def test_a_head_that_trickles_is_ended(server):
    with connect(server) as connection:
        said = trickle(connection, b"GET /healthz HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 1000)
    assert not said or said.startswith(b"HTTP/1.1 408 "), said


def test_a_later_head_that_trickles_is_ended(server):
    with connect(server) as connection:
        connection.sendall(head("GET", "/healthz"))
        assert read_answer(connection)[0] == [b"200"]
        trickle(connection, b"GET /healthz HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 1000)
    assert closed(server)["idle"] >= 1


def test_a_body_that_trickles_is_ended_with_408(server):
    api = Api(server)
    path = f"/client/v4/zones/{api.default_zone()['id']}/client_certificates"
    with connect(server) as connection:
        connection.sendall(head("POST", path, Authorization=f"Bearer {server.token}", Content_Length=100_000))
        said = trickle(connection, b" " * 100_000)
    assert said.startswith(b"HTTP/1.1 408 "), said
    assert json.loads(said.split(b"\r\n\r\n", 1)[1])["success"] is False


def test_a_client_that_stops_reading_is_ended(server):
    """The OpenAPI document, asked for again and again, is more than what fits into the sockets' buffers."""
    with connect(server, receive_buffer=4096) as connection:
        request = head("GET", "/openapi.json")
        connection.settimeout(TRICKLE)
        with contextlib.suppress(TimeoutError):
            for _ in range(200):
                connection.sendall(request)
        eventually("the reader is waited for", lambda: closed(server).get("stalled"))
        connection.settimeout(SOON)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass


def test_two_thousand_idle_connections_leave_room(server):
    with many_files(2500), contextlib.ExitStack() as stack:
        for _ in range(2000):
            stack.enter_context(connect(server))
        api = Api(server)
        zone = api.in_zone(api.default_zone()["id"])
        for _ in range(20):
            zone.issue(csr.fresh())


def test_a_full_house_ends_who_has_been_idle_longest(make_server):
    """With few files there is room for few connections: whoever comes takes the place of the longest idle."""
    server = make_server(COUNTERSIGN_CLIENT_TIMEOUT="10m")
    start_with_few_files(server)
    with many_files(2 * FEW_FILES + 200), contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(2 * FEW_FILES)]
        for _ in range(20):
            assert httpx.get(f"{server.url}/healthz", timeout=SOON).status_code == 200
        assert closed(server)["displaced"] >= FEW_FILES
        assert idle[0].recv(1) == b"", "the first that came was idle longest"


def test_http2_clients_that_leave_an_answer_where_it_is_are_ended(make_server, tmp_path):
    """The socket is free all the while: the client grants the stream no room (RFC 9113, 6.9.2)."""
    certificate, key = tls_files(tmp_path)
    server = make_server(
        COUNTERSIGN_CLIENT_TIMEOUT="1s", COUNTERSIGN_TLS_CERT=str(certificate), COUNTERSIGN_TLS_KEY=str(key))
    server.launch()
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    with h2_connection(server, context) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
        connection.sendall(frame(1, 0x05, 1, b"\x82\x87" + literal(4, b"/openapi.json") + literal(1, b"localhost")))
        kinds = []
        deadline = time.monotonic() + SOON
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while received := read_frame(connection):
                assert time.monotonic() < deadline, "the reader is waited for"
                kind, flags, _, payload = received
                kinds.append(kind)
                if kind == 6 and not flags & 1:
                    connection.sendall(frame(6, 1, 0, payload))
    assert 1 in kinds and 0 not in kinds, "an answer, and nothing of its body"


def test_http2_clients_that_leave_any_number_of_short_answers_where_they_are_are_ended(make_server, tmp_path):
    """Each is a page of a few kilobytes, asked for without a token; none is taken, and the socket is free."""
    server, context = served_by_tls(make_server, tmp_path)
    asked = 0
    with h2_connection(server, context) as connection, contextlib.suppress(OSError):
        connection.sendall(NO_ROOM)
        request = b"\x82\x87" + literal(4, b"/sign-in") + literal(1, b"localhost")
        while asked < 10_000:
            connection.sendall(b"".join(frame(1, 0x05, 1 + 2 * (asked + number), request) for number in range(100)))
            asked += 100
            connection.settimeout(TRICKLE)
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1 << 20):
                    break
            connection.settimeout(SOON)
    assert 1000 <= asked < 10_000


def test_http2_requests_with_ten_thousand_headers_are_refused(make_server, tmp_path):
    """One octet each, by an index (RFC 7541, 6.1); the request is not finished, and would be waited for."""
    server, context = served_by_tls(make_server, tmp_path)
    request = (b"\x83\x87" + literal(4, b"/sign-in") + literal(1, b"localhost")
               + b"\x40" + literal(1, b"x")[1:] + literal(1, b"y")[1:] + b"\xbe" * 10_000)
    with h2_connection(server, context) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 0x04, 1, request))
        while received := read_frame(connection):
            if received[0] == 0:
                assert b"more headers than any client" in received[3], received[3][:200]
                return
    raise AssertionError("there was no answer")


def test_http2_exports_that_are_left_where_they_are_are_ended(make_server, tmp_path):
    """They have no length, and are no streams of events: their readers are waited for like those of other answers."""
    server, context = served_by_tls(make_server, tmp_path, COUNTERSIGN_CLIENT_TIMEOUT="1s")
    with httpx.Client(base_url=f"https://localhost:{server.port}", verify=context_without_h2(tmp_path)) as browser:
        eventually("the server listens", lambda: is_up(browser))
        signed_in = browser.post("/sign-in", data={"token": server.token}, headers={"Sec-Fetch-Site": "same-origin"})
        name, value = next(iter(signed_in.cookies.items()))
    cookie = f"{name}={value}".encode()
    request = (b"\x82\x87" + literal(4, b"/audit/export/csv") + literal(1, b"localhost")
               + b"\x0f\x11" + literal(0, cookie)[1:])
    with h2_connection(server, context) as connection:
        connection.sendall(NO_ROOM + frame(1, 0x05, 1, request))
        deadline = time.monotonic() + SOON
        statuses = []
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while received := read_frame(connection):
                assert time.monotonic() < deadline, "the reader is waited for"
                kind, flags, _, payload = received
                if kind == 1:
                    statuses.append(payload[:1])
                elif kind == 6 and not flags & 1:
                    connection.sendall(frame(6, 1, 0, payload))
    assert statuses == [b"\x88"], "the export began: 200 (RFC 7541, appendix A)"


# The preface of HTTP/2, and settings that give no stream any room (RFC 9113, 3.4 and 6.5.2).
NO_ROOM = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x06\x04\x00\x00\x00\x00\x00" + b"\x00\x04\x00\x00\x00\x00"


def served_by_tls(make_server, folder, **settings):
    certificate, key = tls_files(folder)
    server = make_server(COUNTERSIGN_TLS_CERT=str(certificate), COUNTERSIGN_TLS_KEY=str(key), **settings)
    server.launch()
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    return server, context


def context_without_h2(folder):
    return ssl.create_default_context(cafile=str(folder / "tls.pem"))


def is_up(browser):
    with contextlib.suppress(httpx.TransportError):
        return browser.get("/readyz").status_code == 200


@pytest.fixture
def long_page(make_server, tmp_path):
    """A server with TLS, and a connection to it in HTTP/2 that gives no stream any room before it is asked to; with how a
    page of some 1.2 MB, made for its caller and in memory in one piece, is asked for."""
    certificate, key = tls_files(tmp_path)
    server = make_server(COUNTERSIGN_CLIENT_TIMEOUT="1s").start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    seed.copies(server, zone.issue(csr.fresh())["id"], PAGE - 1)
    server.stop()
    server.launch(COUNTERSIGN_TLS_CERT=str(certificate), COUNTERSIGN_TLS_KEY=str(key))
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    with h2_connection(server, context) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
        connection.sendall(window_update(0, 2**30))
        path = f"/client/v4{zone.path()}?per_page=1000".encode()
        # :method GET, :scheme https, and authorization, which is beyond the one-octet indexes (RFC 7541, 5.1).
        yield connection, (b"\x82\x87" + literal(4, path) + literal(1, b"localhost")
                           + b"\x0f\x08" + literal(0, f"Bearer {server.token}".encode())[1:])


def test_http2_clients_that_read_slowly_get_all_of_a_long_answer(long_page):
    """It takes far longer than the server waits for a reader who takes nothing."""
    connection, request = long_page
    connection.sendall(frame(1, 0x05, 1, request) + window_update(1, PIECE))
    body = b""
    for stream, flags, piece in data_of(connection):
        body += piece
        if flags & 1:
            break
        time.sleep(len(piece) / RATE)
        connection.sendall(window_update(stream, len(piece)))
    assert len(json.loads(body)["result"]) == PAGE


def test_an_http2_answer_that_is_left_where_it_is_is_not_kept_by_one_that_moves(long_page):
    connection, request = long_page
    connection.sendall(frame(1, 0x05, 1, request) + frame(1, 0x05, 3, request) + window_update(3, PIECE))
    moved = 0
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        for stream, flags, piece in data_of(connection):
            assert stream == 3 and not flags & 1, "the other was taken to its end meanwhile"
            moved += len(piece)
            time.sleep(len(piece) / RATE)
            connection.sendall(window_update(stream, len(piece)))
    assert moved > 0


def data_of(connection):
    """Stream, flags and content of each DATA frame, until the connection ends."""
    while received := read_frame(connection):
        kind, flags, stream, payload = received
        if kind == 0:
            yield stream, flags, payload
        elif kind == 6 and not flags & 1:
            connection.sendall(frame(6, 1, 0, payload))
        else:
            assert kind != 3, f"stream {stream} was cut off"


def window_update(stream, octets):
    return frame(8, 0, stream, octets.to_bytes(4, "big"))


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def read_frame(connection):
    head = read_exactly(connection, 9)
    if not head:
        return None
    return head[3], head[4], int.from_bytes(head[5:]), read_exactly(connection, int.from_bytes(head[:3]))


def read_exactly(connection, length):
    read = b""
    while len(read) < length:
        piece = connection.recv(length - len(read))
        if not piece:
            return b""
        read += piece
    return read


def literal(index, value):
    """A field that is not indexed, with an indexed name (RFC 7541, 6.2.2)."""
    return bytes([index, len(value)]) + value


@contextlib.contextmanager
def h2_connection(server, context):
    def opened():
        with contextlib.suppress(ConnectionRefusedError):
            return connect(server)

    with context.wrap_socket(eventually("the server listens", opened), server_hostname="localhost") as connection:
        assert connection.selected_alpn_protocol() == "h2"
        yield connection


def tls_files(folder):
    certificate, key = folder / "tls.pem", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def many_files(wanted):
    """Lets this process open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def start_with_few_files(server):
    """The limit has to be there when the process starts: it counts on what it finds."""
    with open(server.folder / "stdout", "ab") as out, open(server.folder / "stderr", "ab") as err:
        server.process = subprocess.Popen(
            ["prlimit", f"--nofile={FEW_FILES}", BINARY, "serve"], cwd=server.folder, env=server.environment(),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )
    server.wait_ready()
