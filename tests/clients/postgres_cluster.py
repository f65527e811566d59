"""PostgreSQL servers of our own: Debian's binaries in a temporary folder, on a free port, never as root, ended with the
process that started them. They can be stopped, killed, started again, copied to a standby and failed over to it."""

import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BINARIES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
STARTS_WITHIN = 60
STOPS_WITHIN = 60
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The role of the server under test: it owns its databases, and is no superuser.
ROLE = "countersign"
# Small, and with room for many servers under test at once.
SETTINGS = {
    "listen_addresses": "127.0.0.1", "max_connections": 300, "shared_buffers": "32MB", "timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%d ", "wal_level": "replica", "max_wal_senders": 4, "wal_keep_size": "64MB",
}
# Survives kill -9 of PostgreSQL, whose pages the kernel keeps; only a lost machine would be noticed.
NOT_SYNCED = {"fsync": "off", "full_page_writes": "off"}
# The local socket is the tests' own door; who comes over TCP shows a password.
DOORS = """local all         all           trust
local replication all           trust
host  all         all 127.0.0.1/32 scram-sha-256
host  replication all 127.0.0.1/32 scram-sha-256
"""
# Ends PostgreSQL once the writing end of its stdin is closed without a word, as when pytest is killed.
WATCH = 'read -r word || { kill -QUIT "$1"; sleep 1; kill -KILL "$1"; rm -rf "$2"; } 2>/dev/null'


class PostgresCluster:
    """One folder and one port; the processes in between may come and go. `settings` are lines of postgresql.conf and take
    effect at the next start; `synced=True` keeps fsync on, for tests of durability and for measuring. `tls` is a certificate
    and its key in PEM, which the settings may name as server.pem and server.key."""

    def __init__(self, synced=False, settings=None, doors=DOORS, tls=None, _copied_from=None):
        assert BINARIES, "no PostgreSQL server on this machine; tests/run installs one"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.user = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.settings = {**SETTINGS, **({} if synced else NOT_SYNCED), **(settings or {})}
        self.doors, self.tls = doors, tls
        self.process = self.watch = None
        if _copied_from is None:
            self.password = secrets.token_hex(16)
            self.superuser_password = secrets.token_hex(16)
            self._initialise()
        else:
            self.password, self.superuser_password = _copied_from.password, _copied_from.superuser_password

    # start and stop

    def start(self):
        """Starts, and waits until connections are taken."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        (self.data / "postgresql.tests.conf").write_text("".join(f"{n} = '{v}'\n" for n, v in self.settings.items()))
        (self.data / "pg_hba.conf").write_text(self.doors)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARIES[-1] / "postgres", "-D", self.data, "-k", self.folder, "-p", str(self.port)],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user)
        self.watch = subprocess.Popen(["sh", "-c", WATCH, "watch", str(self.process.pid), self.folder],
                                      stdin=subprocess.PIPE, start_new_session=True)

    def wait_ready(self):
        deadline = time.monotonic() + STARTS_WITHIN
        while self._psql("select 1", "postgres").returncode != 0:
            assert self.process.poll() is None, f"PostgreSQL ended with {self.process.returncode}:\n{self.log()}"
            assert time.monotonic() < deadline, f"PostgreSQL was not ready within {STARTS_WITHIN} s:\n{self.log()}"
            time.sleep(0.05)

    def stop(self, mode="fast"):
        """`smart` waits for the clients to leave, `fast` ends their transactions, `immediate` is as a crash."""
        self.process.send_signal(STOP_SIGNALS[mode])
        self._ended()

    def kill(self):
        """kill -9 of the postmaster and of all its children."""
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no child meanwhile
        children = self.children()
        for pid in children:
            signal_if_there(pid, signal.SIGKILL)
        self.process.kill()
        self._ended()
        deadline = time.monotonic() + STOPS_WITHIN
        while any(is_running(pid) for pid in children):
            assert time.monotonic() < deadline, "a child of PostgreSQL survives kill -9"
            time.sleep(0.01)

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def freeze(self):
        """Stops every process where it is: connections stay open, and nothing is answered."""
        for pid in [self.process.pid, *self.children()]:
            signal_if_there(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in [*self.children(), self.process.pid]:
            signal_if_there(pid, signal.SIGCONT)

    def clean_up(self):
        """Ends the processes whatever state they are in, and removes the folder."""
        if self.is_running():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def __enter__(self):
        return self if self.is_running() else self.start()

    def __exit__(self, *_):
        self.clean_up()

    # use

    def url(self, database="postgres", *others, host="127.0.0.1", **parameters):
        """The address for the role of the server under test; further clusters are further hosts, tried in order."""
        hosts = ",".join(f"{host}:{cluster.port}" for cluster in (self, *others))
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgres://{ROLE}:{self.password}@{hosts}/{database}" + (f"?{query}" if query else "")

    def create_database(self, name=None, template="template0"):
        """A new database that the role owns; its name."""
        name = name or f"test_{secrets.token_hex(6)}"
        self.psql(f'create database "{name}" owner {ROLE} template "{template}"')
        return name

    def drop_database(self, name):
        self.psql(f'drop database if exists "{name}" with (force)')

    def psql(self, sql, database="postgres"):
        """What psql prints, rows by line and columns by `|`, as the superuser over the local socket."""
        done = self._psql(sql, database)
        assert done.returncode == 0, f"{sql}: {done.stderr}"
        return done.stdout.strip()

    def children(self):
        """The backends and helpers of the postmaster."""
        return [pid for pid in processes() if parent(pid) == self.process.pid]

    def log(self, last=60):
        path = self.folder / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-last:]) if path.exists() else ""

    # standby

    def standby(self, synchronous=True, settings=None):
        """A second cluster that follows this one over streaming replication, started. Synchronous: from its return on, a
        commit here is answered once the standby has it on its disk."""
        name = f"standby_{secrets.token_hex(4)}"
        other = PostgresCluster(settings={**self.settings, **(settings or {})}, doors=self.doors, _copied_from=self)
        primary = (f"host=127.0.0.1 port={self.port} user=postgres password={self.superuser_password} "
                   f"application_name={name}")
        done = subprocess.run(
            [BINARIES[-1] / "pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-c", "fast", "-d", primary],
            cwd=other.folder, capture_output=True, text=True, timeout=STARTS_WITHIN, **other.user)
        assert done.returncode == 0, done.stderr
        other.start()
        if synchronous:
            # By ALTER SYSTEM and after the copy: the standby, once promoted, must wait for nobody.
            self.psql(f"alter system set synchronous_standby_names to '{name}'")
            self.psql("select pg_reload_conf()")
        wanted = "sync" if synchronous else "async"
        self.wait_for(f"select count(*) from pg_stat_replication where application_name = '{name}' "
                      f"and state = 'streaming' and sync_state = '{wanted}'", "1")
        return other

    def promote(self):
        """Makes a standby take writes."""
        assert self.psql(f"select pg_promote(true, {STARTS_WITHIN})") == "t", self.log()
        return self

    def is_standby(self):
        return self.psql("select pg_is_in_recovery()") == "t"

    def wait_for(self, sql, answer, database="postgres"):
        deadline = time.monotonic() + STARTS_WITHIN
        while (said := self.psql(sql, database)) != answer:
            assert time.monotonic() < deadline, f"{sql}: {said!r} instead of {answer!r}\n{self.log()}"
            time.sleep(0.05)

    # the rest

    def _initialise(self):
        secret = self.folder / "password"
        self._write_private(secret, self.superuser_password)
        command = [BINARIES[-1] / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-N",
                   "-A", "scram-sha-256", f"--pwfile={secret}"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=STARTS_WITHIN, **self.user)
        secret.unlink()
        assert done.returncode == 0, done.stderr
        with open(self.data / "postgresql.conf", "a") as configuration:
            configuration.write("include 'postgresql.tests.conf'\n")
        for name, content in zip(("server.pem", "server.key"), self.tls or ()):
            self._write_private(self.data / name, content)
        settings, self.settings = self.settings, {**self.settings, **NOT_SYNCED}
        self.start()
        self.psql(f"create role {ROLE} login password '{self.password}'")
        self.stop()
        self.settings = settings

    def _write_private(self, path, content):
        path.write_text(content)
        path.chmod(0o600)
        if self.user:
            os.chown(path, self.user["user"], self.user["group"])

    def _ended(self):
        try:
            self.process.wait(STOPS_WITHIN)
        finally:
            if self.process.poll() is not None:
                self.watch.communicate(b"it ended\n")

    def _psql(self, sql, database):
        return subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", "postgres",
             "-d", database, "-f", "-"], input=sql, capture_output=True, text=True, timeout=120)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes():
    return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]


def parent(pid):
    return _status(pid)[1]


def is_running(pid):
    return _status(pid)[0] not in ("Z", "X", None)


def _status(pid):
    """State and parent; the name before them may hold blanks and brackets."""
    try:
        state, above = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return state, int(above)
    except (FileNotFoundError, ProcessLookupError):
        return None, None


def signal_if_there(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
