"""A server that is told to stop: it says so to who routes traffic, serves on for a while, finishes what is in flight."""

import contextlib
import signal
import socket
import time

import httpx

import csr
from api import Api

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
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert b"connection: close" in answer.lower()
    assert server.wait_end() == 0, server.output()


def test_a_second_signal_stops_it_at_once(make_server):
    server = make_server(COUNTERSIGN_DRAIN=LONG).start()
    server.process.terminate()
    eventually("it says so", lambda: not_ready(server))
    server.process.send_signal(signal.SIGINT)
    assert server.wait_end() == 1
    assert "stopped at once" in server.output()


def refuses(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return True
    return False
