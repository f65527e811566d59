"""A worker that stops between signing a CRL and storing it: what it signed is never seen, and the next one takes over."""

import contextlib
import signal
import sqlite3
import subprocess
import time

import pytest

import integrity
from api import crl_number
from installation import ONCE
from load import Client, Load, distinct

pytestmark = ONCE

HAPPENS_WITHIN = 60
# Keeps the INSERT of a CRL busy for longer than any test: by then it has been signed.
SLOW = ("BEGIN SELECT COUNT(*) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000000000) "
        "SELECT n FROM c); END")


def test_a_worker_killed_while_it_stores_a_signed_crl_on_the_embedded_database(install, tmp_path):
    installation = install().start()
    database, server = installation.database, installation.server
    with Load(installation, workers=1, revokes=False) as load:
        load.wait_for(5)
    for event in ("INSERT", "UPDATE"):
        database.execute(f"CREATE TRIGGER slow_{event} BEFORE {event} ON crls {SLOW}")
    one, number = revoke_one(installation, load)
    wait_until(lambda: all(is_locked(database) for _ in range(10)), "no CRL is being stored")
    still_pending(installation, one, number)
    server.kill()
    for event in ("INSERT", "UPDATE"):
        database.execute(f"DROP TRIGGER slow_{event}")
    still_pending(installation, one, number)
    server.start()
    taken_over(installation, load, one, number, tmp_path)


def test_a_worker_killed_while_it_stores_a_signed_crl_on_postgresql(replicas, tmp_path):
    with caught_storing(replicas) as (load, one, number, victim):
        victim.kill()
        still_pending(replicas, one, number)
    victim.start()
    taken_over(replicas, load, one, number, tmp_path)


def test_a_worker_that_stands_still_while_it_stores_a_signed_crl_is_overtaken(replicas, tmp_path):
    with caught_storing(replicas) as (load, one, number, victim):
        victim.process.send_signal(signal.SIGSTOP)
    try:
        # It holds the lease, a transaction, and everybody's turn to write: all three must run out.
        wait_until(lambda: status_of(replicas, one) == "2", "the other replica never took over")
        assert last_number(replicas) == number + 1
    finally:
        victim.process.send_signal(signal.SIGCONT)
    wait_until(lambda: write_through(replicas, victim, load), "the one that stood still does not recover")
    assert last_number(replicas) == number + 1, "two CRLs came of one revocation"
    taken_over(replicas, load, one, number, tmp_path)


@pytest.fixture
def replicas(install, shared_cluster):
    """Two, each with a name of its own in PostgreSQL's list of sessions."""
    installation = install(shared_cluster, replicas=2)
    for server in installation.servers:
        server.settings["COUNTERSIGN_DATABASE_URL"] += f"?application_name=at-{server.port}"
    return installation.start()


@contextlib.contextmanager
def caught_storing(installation):
    """Gives the replica that has signed a CRL, and waits to store it for the length of the block."""
    database = installation.database
    with Load(installation, workers=1, revokes=False) as load:
        load.wait_for(5)
    with locked(database, "crls"):
        one, number = revoke_one(installation, load)
        storing = ("SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                   f"AND query LIKE 'INSERT INTO \"crls\"%' AND datname = '{database.name}'")
        wait_until(lambda: len(database.rows(storing)) == 1, "no CRL is being stored")
        [(name,)] = database.rows(storing)
        still_pending(installation, one, number)
        yield load, one, number, next(s for s in installation.servers if name == f"at-{s.port}")


@contextlib.contextmanager
def locked(database, table):
    """Readers pass, writers wait."""
    command = ["psql", "-X", "-q", "-A", "-t", "-h", database.cluster.folder, "-p", str(database.cluster.port),
               "-U", "postgres", "-d", database.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE; SELECT 'held';\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate("ROLLBACK;\n", timeout=HAPPENS_WITHIN)


def revoke_one(installation, load):
    """A certificate whose revocation was just taken, and the number of the CRL before it."""
    api = installation.zone
    one = api.issue(distinct("one"))
    load.issued[one["id"]] = one
    number = crl_number(api.crl())
    answer = api.delete(one["id"])
    assert answer.status_code == 200, answer.text
    load.revocations[one["id"]] = True
    return one["id"], number


def still_pending(installation, one, number):
    assert status_of(installation, one) == "1"
    assert last_number(installation) == number


def taken_over(installation, load, one, number, folder):
    assert installation.zone.wait_for(one, "revoked")["receipt"]["crl_number"] == number + 1
    for server in installation.servers:
        wait_until(lambda: crl_number(installation.api(server).crl()) == number + 1, "another CRL than that one")
    integrity.check(installation, load, folder)


def status_of(installation, identifier):
    database = installation.database
    [(status,)] = database.rows(
        f"SELECT status FROM certificates WHERE {database.hex('id')} = '{identifier.replace('-', '')}'")
    return status


def last_number(installation):
    database = installation.database
    authority = installation.authority.replace("-", "")
    [(number,)] = database.rows(
        f"SELECT number FROM publications WHERE {database.hex('authority_id')} = '{authority}'")
    return int(number)


def is_locked(database):
    """Whether somebody has been writing for a tenth of a second."""
    connection = sqlite3.connect(database.path, timeout=0.1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        return False
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()


def write_through(installation, server, load):
    path = f"/client/v4{installation.zone.path()}"
    answer = Client(server).ask("POST", path, {"csr": distinct("back"), "validity_days": 30})
    if answer.status == 200:
        load.issued[answer.body["result"]["id"]] = answer.body["result"]
    return answer.status == 200


def wait_until(done, what):
    deadline = time.monotonic() + HAPPENS_WITHIN
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
