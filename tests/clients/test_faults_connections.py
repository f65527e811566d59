"""Connections that are held: idle by the thousand, or trickling. The server ends what trickles, and serves everybody else."""

import os
import pathlib
import resource
import socket
import threading
import time

import httpx
import pytest

import csr
import integrity
from api import Api
from installation import ONCE
from load import Load

pytestmark = ONCE

IDLE = 2000
TRICKLES = 15  # of each kind
PAUSE = 0.1
ENDED_WITHIN = 60
CLIENT_TIMEOUT = 2


@pytest.fixture
def many_files():
    """The other ends are ours: as many descriptors as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"the limit of open files is {hard}: raise it (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_keep_nobody_out(installation, many_files, tmp_path):
    server, held = installation.server, []
    with Load(installation) as load:
        try:
            for number in range(IDLE):
                connection = connect(server)
                held.append(connection)
                if number % 2:  # half of them have been served once and are kept alive
                    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert connection.recv(4096).startswith(b"HTTP/1.1 200"), number
            assert sockets_of(server) >= IDLE, "the server holds them all"
            load.wait_for(20)
            load.wait_for(5, method="DELETE")
            assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
        finally:
            for connection in held:
                connection.close()
        load.wait_for(20)
    integrity.check(installation, load, tmp_path)


def test_what_trickles_is_ended_and_keeps_nobody_out(install, tmp_path):
    installation = install(COUNTERSIGN_CLIENT_TIMEOUT=f"{CLIENT_TIMEOUT}s").start()
    server, zone = installation.server, installation.zone
    with Load(installation) as load:
        a_long_answer(load, zone)
    time.sleep(0.5)
    before = sockets_of(server)
    over = threading.Event()
    kinds = {"head": slow_head, "second head": slow_second_head, "body": slow_body, "reader": slow_reader}
    ended = {kind: 0 for kind in kinds}

    def trickle(kind):
        with connect(server) as connection:
            try:
                for step in kinds[kind](zone):
                    step(connection)
                    if over.wait(PAUSE):
                        break
                else:
                    raise AssertionError("the trickle ran dry")
            except (ConnectionError, BrokenPipeError):
                ended[kind] += 1

    threads = [threading.Thread(target=trickle, args=(kind,)) for kind in kinds for _ in range(TRICKLES)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: sockets_of(server) >= before + len(threads) // 2, "the trickles never got through")
        newcomer(load, zone)
        # The server's own descriptors: what it has ended may live on for a while at our end.
        wait_until(lambda: sockets_of(server) <= before, lambda: f"{sockets_of(server) - before} are still held: {ended}")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    newcomer(load, zone)
    integrity.check(installation, load, tmp_path)


def slow_head(_):
    yield lambda connection: connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    while True:
        yield say(b"a")


def slow_second_head(_):
    yield lambda connection: connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    yield lambda connection: connection.recv(4096)
    yield from slow_head(_)


def slow_body(zone):
    yield lambda connection: connection.sendall(
        f"POST /client/v4{zone.path()} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {zone.server.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{".encode())
    while True:
        yield say(b" ")


def slow_reader(zone):
    """Asks for much, again and again, and takes a byte at a time."""
    request = (f"GET /client/v4{zone.path()}?per_page=1000 HTTP/1.1\r\nHost: a\r\n"
               f"Authorization: Bearer {zone.server.token}\r\n\r\n").encode()
    yield lambda connection: connection.sendall(request * 20)
    while True:
        yield lambda connection: connection.recv(1)


def say(byte):
    def step(connection):
        connection.setblocking(False)
        try:
            if connection.recv(4096) == b"":
                raise ConnectionResetError
        except BlockingIOError:
            pass
        connection.setblocking(True)
        connection.sendall(byte)

    return step


def a_long_answer(load, zone):
    """More than the buffers of the kernel take in: twenty of these."""
    load.wait_for(100)
    assert len(zone.list(per_page=1000).content) > 200_000


def connect(server):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(ENDED_WITHIN)
    connection.connect(("127.0.0.1", server.port))
    return connection


def newcomer(load, zone):
    """Somebody who comes, and is remembered with the others."""
    api = Api(zone.server, zone=zone.zone)
    try:
        made = api.issue(csr.by_openssl())
    finally:
        api.http.close()
    load.issued[made["id"]] = made


def sockets_of(server):
    found = 0
    for entry in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def wait_until(done, what):
    deadline = time.monotonic() + ENDED_WITHIN
    while not done():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.1)
