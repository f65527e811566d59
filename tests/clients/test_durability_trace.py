"""System calls: each commit is synced before its reply, and a failing sync never becomes a success."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import csr
from api import Api
from judges import Chain
from syscalls import Strace

READS = {"recvfrom", "read", "readv", "recvmsg"}
WRITES = {"sendto", "write", "writev", "sendmsg"}
HEALS_WITHIN = 60
SYNCS = {"fdatasync", "fsync"}
FILE_WRITES = {"pwrite64", "pwritev", "write", "writev"}

# PostgreSQL syncs in processes of its own, by rules of its own; that its COMMIT comes before the reply is another test's.
pytestmark = pytest.mark.only_on("sqlite", reason="looks for the syncs of SQLite's log")
TRACED = ",".join(sorted(READS | WRITES | SYNCS | FILE_WRITES))


def replies(calls, *words):
    """The socket writes that carry all the words."""
    return [c for c in calls if c.name in WRITES and "TCP" in c.target and all(w.encode() in c.data for w in words)]


def synced_between(calls, written, answered):
    return any(
        c.name in SYNCS and c.target.endswith("-wal") and c.result == 0 and c.begin > written.end and c.end < answered.begin
        for c in calls)


def wal_writes(calls, needle, before):
    return [c for c in calls
            if c.name in FILE_WRITES and c.target.endswith("-wal") and needle in c.data and c.end < before.begin]


@pytest.mark.timeout(300)
def test_every_reply_to_a_write_follows_a_sync_of_its_commit(own_zone, tmp_path):
    server = own_zone.server
    with Strace(server, tmp_path, "-e", f"trace={TRACED}") as strace, ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: Api(server, zone=own_zone.zone).issue(csr.by_openssl()), range(30)))
        deleted = list(pool.map(
            lambda c: Api(server, zone=own_zone.zone).delete(c["id"]).json()["result"], made[:12]))
    calls = strace.calls()
    assert sum(c.name in SYNCS for c in calls) > 0

    for certificate in made:
        reply = replies(calls, certificate["id"], '"active"')[0]
        written = wal_writes(calls, bytes.fromhex(certificate["serial_number_hex"]), reply)
        assert written, f"{certificate['id']} was answered before it was written"
        # The first: a later commit may write the same page again before this reply goes out.
        assert synced_between(calls, written[0], reply), f"{certificate['id']} was answered before a sync"

    for certificate in deleted:
        asked = next(c for c in calls if c.name in READS and b"DELETE " in c.data and certificate["id"].encode() in c.data)
        reply = next(c for c in replies(calls, certificate["id"], "pending_revocation") if c.begin > asked.end)
        # The audit event of the same transaction: nothing before the DELETE holds these words side by side.
        needle = b"certificate.revoke" + certificate["id"].encode()
        written = wal_writes(calls, needle, reply)
        assert written, f"the DELETE of {certificate['id']} was answered before it was written"
        assert synced_between(calls, written[0], reply), f"the DELETE of {certificate['id']} was answered before a sync"


@pytest.mark.timeout(300)
def test_a_failing_sync_never_becomes_a_success(own_zone, tmp_path):
    server = own_zone.server
    kept = [own_zone.issue(csr.by_openssl()) for _ in range(3)]
    with Strace(server, tmp_path, "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO") as strace:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(
                lambda _: Api(server, zone=own_zone.zone).post(csr.by_openssl()).status_code, range(8)))
        answers.append(own_zone.delete(kept[0]["id"]).status_code)
    assert any("INJECTED" in line for line in strace.output.read_text().splitlines())
    assert all(500 <= status < 600 for status in answers), answers
    assert server.alive() and "panicked" not in server.output(last=10**6)

    deadline = time.monotonic() + HEALS_WITHIN
    while (ready := httpx.get(f"{server.url}/readyz", timeout=30)).status_code != 200:
        assert time.monotonic() < deadline, f"it does not heal by itself: {ready.text}"
        time.sleep(0.1)
    assert own_zone.issue(csr.by_openssl())["status"] == "active"
    server.stop()
    server.start()
    assert_consistent(own_zone, kept, tmp_path)


@pytest.mark.timeout(300)
def test_syncs_that_fail_now_and_then_fail_only_their_own_requests(own_zone, tmp_path):
    server, stopped, told, refused = own_zone.server, threading.Event(), [], []

    def load(seed):
        api, chance = Api(server, zone=own_zone.zone), random.Random(seed)
        while not stopped.wait(chance.random() / 50):
            answer = api.post(csr.by_openssl())
            (told if answer.status_code == 200 else refused).append(answer)

    threads = [threading.Thread(target=load, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    inject = "inject=fdatasync,fsync:error=EIO:when=2+3"
    with Strace(server, tmp_path, "-e", "trace=fdatasync,fsync", "-e", inject):
        stopped.wait(4)
    stopped.wait(1)
    stopped.set()
    for thread in threads:
        thread.join()
    assert told and refused and all(answer.status_code >= 500 for answer in refused)
    assert server.alive() and "panicked" not in server.output(last=10**6)
    server.stop()
    server.start()
    assert_consistent(own_zone, [answer.json()["result"] for answer in told], tmp_path)


def assert_consistent(zone, told, folder):
    """Everything told is there, everything there verifies, and the counters agree."""
    everything = zone.everything()
    found = {c["id"]: c["certificate"] for c in everything}
    assert all(found[c["id"]] == c["certificate"] for c in told)
    assert zone.total() == len(everything)
    assert zone.total(status="active") == sum(c["status"] == "active" for c in everything)
    chain = Chain(folder, zone)
    chain.openssl_verify(*(chain.write(f"{c['id']}.pem", c["certificate"]) for c in everything))
    assert zone.issue(csr.by_openssl())["status"] == "active"
