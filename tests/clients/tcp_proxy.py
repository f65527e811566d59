"""A line between server and PostgreSQL that can be cut around a COMMIT: before the database hears of it, or after it has
committed and before the server hears of that."""

import socket
import threading

COMMIT = b"COMMIT"
READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, idle: the transaction is over (PostgreSQL manual, "Message Formats")
PIECE = 1 << 16


class CuttingProxy:
    """Listens on a port of its own for the length of a `with` block."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.armed = []  # cuts to be made, in this order: "before" or "after"
        self.made = []
        self.pairs = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        cut(self.listener)  # which also ends the waiting for the next one
        for pair in self.pairs:
            cut(*pair)

    def arm(self, *cuts):
        """Cuts at the next COMMITs."""
        with self.lock:
            self.armed += cuts

    def url_of(self, cluster):
        return lambda database: cluster.url(database).replace(f":{cluster.port}/", f":{self.port}/")

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((near, far))
            line = Line(self, near, far)
            for job in (line.requests, line.answers):
                threading.Thread(target=job, daemon=True).start()

    def _take(self, data):
        """The cut that is to be made at this piece of a request."""
        with self.lock:
            if not self.armed or COMMIT not in data:
                return None
            self.made.append(self.armed.pop(0))
            return self.made[-1]


class Line:
    def __init__(self, proxy, near, far):
        self.proxy, self.near, self.far = proxy, near, far
        self.withheld = threading.Event()

    def requests(self):
        try:
            while data := self.near.recv(PIECE):
                wanted = self.proxy._take(data)
                if wanted == "before":
                    break
                if wanted == "after":
                    self.withheld.set()
                self.far.sendall(data)
        except OSError:
            pass
        if not self.withheld.is_set():
            cut(self.near, self.far)

    def answers(self):
        heard = b""
        try:
            while data := self.far.recv(PIECE):
                if not self.withheld.is_set():
                    self.near.sendall(data)
                    continue
                heard += data
                if READY in heard:
                    break
        except OSError:
            pass
        cut(self.near, self.far)


def cut(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()
