"""More than the server can take: it says so, at once, and its memory stays where it is."""

import contextlib
import pathlib
import re
import socket
import sqlite3
import threading
import time

import httpx
import pytest

import csr
import seed
from api import Api, check_envelope

SOON = 60
CLIENTS = 64
# In KiB. At rest a debug build holds about a tenth.
MOST_MEMORY = 400 * 1024
MIB = 1024 * 1024


def memory(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


@pytest.mark.only_on("sqlite", reason="holds the lock of the file")
def test_while_the_database_takes_nothing_callers_are_told_to_come_again(server):
    """Another process holds SQLite's write lock."""
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    request = csr.fresh()
    assert zone.post(request).status_code == 200
    before = zone.total()
    lock = sqlite3.connect(server.data / "countersign.db", isolation_level=None)
    with contextlib.closing(lock), httpx.Client(base_url=server.url, timeout=SOON) as operator:
        lock.execute("BEGIN IMMEDIATE")
        stop = threading.Event()
        answers = []

        def ask():
            with httpx.Client(base_url=server.url, timeout=SOON, headers=dict(api.http.headers)) as client:
                while not stop.is_set():
                    body = {"csr": request, "validity_days": 30}
                    answers.append(client.post(f"/client/v4{zone.path()}", json=body))

        clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            most = 0
            deadline = time.monotonic() + SOON
            while len(answers) < 3 * CLIENTS:
                assert time.monotonic() < deadline, f"{len(answers)} answers"
                assert operator.get("/healthz").status_code == 200
                assert "countersign_write_queue_depth" in operator.get("/metrics").text
                most = max(most, memory(server))
                time.sleep(0.1)
            assert operator.get("/readyz").status_code == 503
        finally:
            stop.set()
            for client in clients:
                client.join()
        lock.execute("ROLLBACK")
    for answer in answers:
        assert answer.status_code == 503, answer.text
        check_envelope(answer)
    assert most < MOST_MEMORY, f"{most} KiB"
    eventually("it heals by itself", lambda: zone.post(request).status_code == 200)
    assert zone.total() == before + 1, "who was told to come again has nothing"


def test_bodies_in_memory_are_bounded(make_server):
    """Each client holds back the last octet of a body as long as the server allows."""
    server = make_server(COUNTERSIGN_CLIENT_TIMEOUT="10m").start()
    api = Api(server)
    path = f"/client/v4/zones/{api.default_zone()['id']}/client_certificates"
    head = (f"POST {path} HTTP/1.1\r\nHost: ca\r\nAuthorization: Bearer {server.token}\r\n"
            f"Content-Length: {MIB}\r\n\r\n").encode()
    refused = 0
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=0.1))
            with contextlib.suppress(OSError):
                connection.sendall(head)
                connection.sendall(b" " * (MIB - 1))
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                said = connection.recv(4096)
                refused += said.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in said.lower()
            if refused > 3:
                break
        assert refused > 3
        assert memory(server) < MOST_MEMORY
        assert httpx.get(f"{server.url}/healthz", timeout=SOON).status_code == 200
    # What was held is given back with the connections.
    zone = api.in_zone(api.default_zone()["id"])
    eventually("there is room again", lambda: zone.post(csr.fresh()).status_code == 200)


READERS = 400


def test_documents_that_nobody_reads_are_not_copied_for_each(make_server):
    """Without a token, and more than all of them would take if each had its own."""
    server = make_server(COUNTERSIGN_CLIENT_TIMEOUT="10m").start()
    length = int(httpx.get(f"{server.url}/docs/swagger-ui-bundle.js", timeout=SOON).headers["content-length"])
    assert READERS * length > MOST_MEMORY * 1024
    with contextlib.ExitStack() as stack:
        for path in ["/docs/swagger-ui-bundle.js"] * READERS + ["/openapi.json"] * READERS:
            left_unread(stack, server, f"GET {path} HTTP/1.1\r\nHost: ca\r\n\r\n")
        eventually("all are answered", lambda: answered(server, "/docs/") > READERS)
        eventually("all are answered", lambda: answered(server, "/openapi.json") >= READERS)
        assert memory(server) < MOST_MEMORY


def test_long_answers_in_memory_are_bounded(make_server):
    """Each client asks for a page of some MB that is made for it alone, and reads nothing of it."""
    server = make_server(COUNTERSIGN_CLIENT_TIMEOUT="10m").start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    seed.copies(server, zone.issue(csr.fresh())["id"], 999)
    request = (f"GET /client/v4{zone.path()}?per_page=1000 HTTP/1.1\r\nHost: ca\r\n"
               f"Authorization: Bearer {server.token}\r\n\r\n")
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            left_unread(stack, server, request)
        refusals = r'(?m)^countersign_overload_refusals_total\{of="answer"\} (\d+)$'
        eventually("there is no room for more", lambda: re.search(refusals, httpx.get(f"{server.url}/metrics").text))
        refused = zone.list(per_page=1000)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert memory(server) < MOST_MEMORY
        assert zone.post(csr.fresh()).status_code == 200, "what is short is answered"
    # What was held is given back with the connections.
    eventually("there is room again", lambda: zone.list(per_page=1000).status_code == 200)


def left_unread(stack, server, request):
    connection = stack.enter_context(socket.socket())
    # Small segments: with those of the loopback device, the kernel takes a MB off the server's hands at once.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request.encode())


def answered(server, route):
    counts = re.findall(rf'(?m)^countersign_http_request_seconds_count\{{method="GET",route="{route}[^"]*",status="200"\}} (\d+)$',
                        httpx.get(f"{server.url}/metrics").text)
    return sum(map(int, counts))


def test_an_rsa_authority_keeps_nobody_waiting_for_a_thread(make_server):
    """More signatures are wanted than there are cores; who asks for something else is answered all the same."""
    server = make_server(COUNTERSIGN_ISSUING_KEY_TYPE="rsa2048").start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    request = csr.fresh()
    answers = []

    def ask():
        with httpx.Client(base_url=server.url, timeout=SOON, headers=dict(api.http.headers)) as client:
            body = {"csr": request, "validity_days": 30}
            answers.extend(client.post(f"/client/v4{zone.path()}", json=body) for _ in range(10))

    clients = [threading.Thread(target=ask) for _ in range(16)]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        assert httpx.get(f"{server.url}/healthz", timeout=SOON).status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 160
    waits = re.search(r"(?m)^countersign_signing_wait_seconds_count (\d+)$", httpx.get(f"{server.url}/metrics").text)
    assert int(waits[1]) >= 160


def eventually(what, condition):
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
