"""A server that is told to stop: it says so to who routes traffic, serves on for a while, finishes what is in flight."""

import contextlib
import re
import signal
import socket
import ssl
import time

import httpx

import csr
from api import Api
from test_slow_clients import frame, h2_connection, literal, read_frame, tls_files

LONG = "10m"
SOON = 30


def not_ready(server):
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{server.url}/readyz", timeout=SOON).status_code == 503
    return False


def eventually(what, condition):
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_it_serves_on_while_it_says_that_it_is_not_ready(make_server):
    server = make_server(COUNTERSIGN_DRAIN="5s").start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    server.process.terminate()
    eventually("it says so", lambda: not_ready(server))
    answer = httpx.get(f"{server.url}/readyz", timeout=SOON)
    assert [part["name"] for part in answer.json()["parts"]] == ["process"] and "retry-after" in answer.headers
    certificate = zone.issue(csr.fresh())
    assert certificate["status"] == "active"
    # A connection that was open before: what is asked on it is answered, and is the last.
    answer = zone.call("GET", "/zones")
    assert answer.status_code == 200 and answer.headers["connection"] == "close"
    assert server.wait_end() == 0, server.output()
    assert server.start() and Api(server).in_zone(zone.zone).get(certificate["id"])["status"] == "active"


def test_without_a_drain_it_stops_though_connections_are_idle(make_server):
    server = make_server().start()
    with socket.create_connection(("127.0.0.1", server.port)), httpx.Client(base_url=server.url) as client:
        assert client.get("/healthz").status_code == 200
        assert server.stop() == 0, server.output()


def test_what_comes_on_a_kept_connection_while_it_stops_is_answered(make_server):
    """A proxy that keeps connections cannot know yet: its next request on each is answered, and told to be the last."""
    server = make_server().start()
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(httpx.Client(base_url=server.url, timeout=SOON)) for _ in range(8)]
        assert [client.get("/healthz").status_code for client in kept] == [200] * len(kept)
        server.process.terminate()
        eventually("it says that it stops", lambda: "finishing what is in flight" in server.output())
        answers = [client.get("/healthz") for client in kept]
        assert [(answer.status_code, answer.headers.get("connection")) for answer in answers] == [(200, "close")] * len(kept)
    assert server.wait_end() == 0, server.output()


def test_whoever_the_kernel_has_taken_when_it_is_told_to_stop_is_answered(make_server):
    """Connected, and a request sent, while the process stands still: nobody has accepted them when the signal comes."""
    server = make_server().start()
    server.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        queued = []
        for _ in range(100):
            queued.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=SOON)))
            queued[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: ca\r\n\r\n")
        server.process.terminate()
        server.process.send_signal(signal.SIGCONT)
        answers = [all_of(connection) for connection in queued]
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 "] * len(queued)
    assert server.wait_end() == 0, server.output()


def test_an_answer_is_not_lost_with_what_nobody_reads_any_more(make_server):
    """A second request right behind the one whose answer is the last: to close on it would reset the first one's answer."""
    server = make_server(COUNTERSIGN_DRAIN=LONG).start()
    server.process.terminate()
    eventually("it says so", lambda: not_ready(server))
    big = b"GET /openapi.json HTTP/1.1\r\nHost: ca\r\n\r\n"
    for _ in range(10):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(SOON)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(big)
            answer = connection.recv(4096)
            connection.sendall(big)
            answer += all_of(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert b"connection: close" in head.lower() and len(body) == int(length[1])


def test_http2_connections_are_told_to_go_and_what_crosses_that_is_answered(make_server, tmp_path):
    certificate, key = tls_files(tmp_path)
    server = make_server(COUNTERSIGN_TLS_CERT=str(certificate), COUNTERSIGN_TLS_KEY=str(key)).launch()
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    settings, headers, goaway = 4, 1, 7
    with h2_connection(server, context) as connection:
        connection.settimeout(SOON)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, b""))
        assert read_frame(connection)[0] == settings
        server.process.terminate()
        while (received := read_frame(connection))[0] != goaway:
            pass
        assert received[2:] == (0, b"\x7f\xff\xff\xff" + bytes(4)), "the last stream that there can be, and no error"
        connection.sendall(frame(headers, 0x05, 1, b"\x82\x87" + literal(4, b"/healthz") + literal(1, b"localhost")))
        answered = []
        while received := read_frame(connection):
            answered.append(received)
    assert any(kind == headers and stream == 1 and payload[0] == 0x88 for kind, _, stream, payload in answered), "200"
    assert b'"ok"' in b"".join(payload for _, _, stream, payload in answered if stream == 1)
    assert server.wait_end() == 0, server.output()


def test_a_request_in_flight_is_finished(make_server):
    """Its body is on the way when the signal comes."""
    server = make_server().start()
    body = b'{"name": "in-flight"}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection:
        head = f"POST /client/v4/zones HTTP/1.1\r\nHost: ca\r\nAuthorization: Bearer {server.token}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        # Until its head was read: what the socket holds is not in flight yet.
        time.sleep(1)
        server.process.terminate()
        eventually("no connection is taken", lambda: refuses(server))
        connection.sendall(body[5:])
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert b"connection: close" in answer.lower()
    assert server.wait_end() == 0, server.output()


def test_a_second_signal_stops_it_at_once(make_server):
    server = make_server(COUNTERSIGN_DRAIN=LONG).start()
    server.process.terminate()
    eventually("it says so", lambda: not_ready(server))
    server.process.send_signal(signal.SIGINT)
    assert server.wait_end() == 1
    # What was cut off in the middle may say so after it, on many lines.
    assert "stopped at once" in server.output(last=10**6)


def all_of(connection):
    answer = b""
    while received := connection.recv(65536):
        answer += received
    return answer


def refuses(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return True
    return False
