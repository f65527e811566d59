"""System calls of PostgreSQL and of the server in one trace: each commit is synced before its reply. And a sync that fails,
after which PostgreSQL crashes, never becomes a success."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import csr
import integrity
from installation import ONCE
from load import Load, distinct
from syscalls import Strace

pytestmark = ONCE

READS = {"recvfrom", "read", "readv", "recvmsg"}
WRITES = {"sendto", "write", "writev", "sendmsg"}
SYNCS = {"fdatasync", "fsync"}
FILE_WRITES = {"pwrite64", "pwritev", "pwritev2"}
TRACED = ",".join(sorted(READS | WRITES | SYNCS | FILE_WRITES))
LOG = "/pg_wal/"


@pytest.fixture
def synced(install, make_cluster):
    return install(make_cluster(synced=True).start()).start()


def test_commits_stay_synchronous_when_the_server_is_told_otherwise(install, make_cluster):
    """A session that had only found the right setting would follow the next reload."""
    cluster = make_cluster().start()
    server = install(cluster).start()
    api = server.api(server.server)
    api.issue(csr.fresh())
    # No such standby is there: a commit that waits for it is a synchronous one.
    for change in ("set synchronous_commit = off", "set synchronous_standby_names = 'nobody'"):
        cluster.psql(f"alter system {change}")
    cluster.psql("select pg_reload_conf()")
    cluster.wait_for("select setting from pg_settings where name = 'synchronous_commit'", "off")
    with ThreadPoolExecutor(1) as pool:
        issuing = pool.submit(api.post, csr.fresh())
        try:
            waiting = "select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'"
            while cluster.psql(waiting) != "t":
                assert not issuing.done(), "a commit was not waited for"
        finally:
            cluster.psql("alter system reset synchronous_standby_names")
            cluster.psql("select pg_reload_conf()")
        assert issuing.result().status_code == 200


def processes(cluster):
    return [option for pid in cluster.children() for option in ("-p", str(pid))]


def test_every_reply_to_a_write_follows_a_sync_of_postgresql(synced, tmp_path):
    cluster, server = synced.database.cluster, synced.server
    options = ["-e", f"trace={TRACED}", "-p", str(cluster.process.pid), *processes(cluster)]
    with Strace(server, tmp_path, *options) as strace, ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: synced.api(server).issue(distinct("traced")), range(12)))
        deleted = list(pool.map(lambda c: synced.api(server).delete(c["id"]).json()["result"], made[:5]))
    calls = strace.calls()
    assert sum(call.name in SYNCS and LOG in call.target for call in calls) > 0

    for one in made:
        reply = next(call for call in replies(calls, one["id"], '"active"'))
        # Either may be torn by a page's head in PostgreSQL's log.
        needles = [bytes.fromhex(one["serial_number_hex"]), binary(one)]
        assert_synced(calls, needles, 0, reply, one["id"])
    for one in deleted:
        asked = next(c for c in calls if c.name in READS and c.data.startswith(b"DELETE /") and one["id"].encode() in c.data)
        reply = next(c for c in replies(calls, one["id"], "pending_revocation") if c.begin > asked.end)
        assert_synced(calls, [binary(one)], asked.end, reply, f"the DELETE of {one['id']}")


def replies(calls, *words):
    """Of the server, to a client: what it says to PostgreSQL holds the same words."""
    return [c for c in calls if c.name in WRITES and "TCP" in c.target and c.data.startswith(b"HTTP/1.1 200")
            and all(word.encode() in c.data for word in words)]


def assert_synced(calls, needles, since, reply, what):
    written = [c for c in calls if c.name in FILE_WRITES and LOG in c.target and since < c.begin and c.end < reply.begin
               and any(needle in c.data for needle in needles)]
    assert written, f"{what} was answered before it was written"
    # The first: later records may stand on the same page, which is then written again.
    synced = [c for c in calls if c.name in SYNCS and LOG in c.target and c.result == 0
              and written[0].end < c.begin and c.end < reply.begin]
    assert synced, f"{what} was answered before a sync"


def binary(certificate):
    return bytes.fromhex(certificate["id"].replace("-", ""))


def test_a_failing_sync_of_postgresql_never_becomes_a_success(synced, tmp_path):
    """PostgreSQL ends all its processes after a sync that failed, and recovers from what is on the disk."""
    cluster, server = synced.database.cluster, synced.server
    process = server.process.pid
    with Load(synced) as load:
        load.wait_for(20)
        inject = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]
        with Strace(server, tmp_path, *inject, *processes(cluster)) as strace:
            load.wait_for(1, status=503)
        load.wait_for(20)
        load.wait_for(3, method="DELETE")
    assert "INJECTED" in strace.output.read_text()
    assert "PANIC:  could not fdatasync file" in cluster.log(last=10**6), cluster.log()
    assert server.alive() and server.process.pid == process
    integrity.check(synced, load, tmp_path)
