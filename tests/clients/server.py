"""The server under test: the real binary on a loopback port, with a folder of its own."""

import os
import pathlib
import secrets
import socket
import subprocess
import time
from contextlib import closing

import httpx

import databases

BINARY = os.environ.get("COUNTERSIGN_BIN", "")
STARTS_WITHIN = 60
STOPS_WITHIN = 60
# Inherited by what is started; nothing else of the caller's environment may reach the server.
PASSED_ON = ("PATH", "TMPDIR")


class Server:
    """One folder and one port; the process in between may come and go."""

    # How often a client is to repeat what was not answered.
    retries = 0

    def __init__(self, folder, token=None, store=None, binary=None, **settings):
        self.binary = binary or BINARY
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self._owns_store = store is None
        self.store = store or databases.CHOSEN(self.data)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = token or secrets.token_urlsafe(36)
        self.settings = {
            "COUNTERSIGN_LISTEN": f"127.0.0.1:{self.port}",
            "COUNTERSIGN_DATA_DIR": str(self.data),
            "COUNTERSIGN_DATABASE_URL": self.store.url,
            "COUNTERSIGN_BOOTSTRAP_TOKEN": self.token,
            "RUST_BACKTRACE": "1",
            **settings,
        }
        self.process = None

    def environment(self, **extra):
        wanted = {**self.settings, **extra}
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**kept, "HOME": str(self.folder), **{name: value for name, value in wanted.items() if value is not None}}

    def launch(self, **extra):
        """Starts the process without waiting until it serves."""
        with open(self.folder / "stdout", "ab") as out, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [self.binary, "serve"], cwd=self.folder, env=self.environment(**extra),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )
        return self

    def start(self, **extra):
        self.launch(**extra)
        self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.output()}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"the server was not ready within {STARTS_WITHIN} s:\n{self.output()}")

    def stop(self):
        """SIGTERM, and the exit code."""
        if self.alive():
            self.process.terminate()
        return self.wait_end()

    def kill(self):
        self.process.kill()
        return self.wait_end()

    def wait_end(self):
        try:
            return self.process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop within {STOPS_WITHIN} s:\n{self.output()}") from None

    def clean_up(self):
        """Ends the process whatever state it is in, and forgets a database that is its own."""
        self.end()
        if self._owns_store:
            self.store.clean_up()

    def end(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def output(self, last=60):
        """The last lines that the process wrote, for failure messages."""
        parts = []
        for name in ("stdout", "stderr"):
            path = self.folder / name
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            parts.append("\n".join([f"--- {name} of the server", *lines[-last:]]))
        return "\n".join(parts)

    def refuses_to_start(self, **extra):
        """Expects the start to fail by itself; gives what it said."""
        before = self.output(last=10**6)
        self.launch(**extra)
        code = self.wait_end()
        said = self.output(last=10**6).removeprefix(before)
        assert code != 0, said
        assert "panicked" not in said, said
        return said

    def database(self, writable=False):
        """A connection to what the server stores, past it; it commits each statement."""
        return self.store.open(writable)

    def tamper(self, sql, *parameters):
        """One change past the server."""
        with closing(self.database(writable=True)) as connection:
            connection.execute(sql, parameters)

    def row_counts(self):
        """Rows per table of the database."""
        with closing(self.database()) as connection:
            return {n: connection.execute(f'select count(*) from "{n}"').fetchone()[0] for n in self.store.tables()}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
