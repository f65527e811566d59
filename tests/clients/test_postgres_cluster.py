"""The tests' own PostgreSQL does what the tests of faults rely on."""

import subprocess
import sys
import textwrap
import time

import pytest

import postgres_cluster
from postgres_cluster import PostgresCluster, is_running


@pytest.fixture
def cluster():
    with PostgresCluster() as running:
        yield running


def connect(url, sql):
    """As the role of the server under test, over TCP and with its password."""
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-c", sql, url], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def test_what_was_committed_survives_kill_9_and_every_way_to_stop(cluster):
    name = cluster.create_database()
    assert connect(cluster.url(name), "create table kept (n int); insert into kept values (1); select * from kept") == "1"
    children = cluster.children()
    assert children
    cluster.kill()
    assert not any(map(is_running, children)) and not cluster.is_running()
    assert "refused" in connect(cluster.url(name), "select 1")
    cluster.start()
    assert connect(cluster.url(name), "select * from kept") == "1"
    for mode in ("smart", "fast", "immediate"):
        cluster.restart(mode)
        assert connect(cluster.url(name), "select * from kept") == "1"


def test_the_role_is_no_superuser_and_shows_a_password(cluster):
    assert connect(cluster.url(), "select rolsuper from pg_roles where rolname = current_user") == "f"
    assert "password" in connect(cluster.url().replace(cluster.password, "wrong"), "select 1")


def test_a_database_can_be_copied_and_dropped_under_its_users(cluster):
    first = cluster.create_database()
    connect(cluster.url(first), "create table kept as select 7 as n")
    second = cluster.create_database(template=first)
    assert connect(cluster.url(second), "select n from kept") == "7"
    cluster.drop_database(second)
    assert "does not exist" in connect(cluster.url(second), "select 1")


def test_a_frozen_server_answers_nothing_until_it_thaws(cluster):
    cluster.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["psql", "-X", "-c", "select 1", cluster.url()], capture_output=True, timeout=1)
    cluster.thaw()
    assert connect(cluster.url(), "select 1") == "1"


def test_a_synchronous_standby_has_every_commit_and_takes_over(cluster):
    name = cluster.create_database()
    connect(cluster.url(name), "create table kept (n int)")
    with cluster.standby() as standby:
        assert standby.is_standby() and not cluster.is_standby()
        connect(cluster.url(name), "insert into kept select generate_series(1, 1000)")
        cluster.kill()
        standby.promote()
        both = cluster.url(name, standby, target_session_attrs="read-write")
        assert connect(both, "insert into kept values (0); select count(*) from kept") == "1001"


def test_it_ends_with_the_process_that_started_it(tmp_path):
    program = textwrap.dedent("""
        import os, signal
        from postgres_cluster import PostgresCluster
        cluster = PostgresCluster().start()
        print(cluster.process.pid, cluster.folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    folder = postgres_cluster.__file__.rpartition("/")[0]
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, timeout=120).stdout
    pid, path = said.split()
    deadline = time.monotonic() + 30
    while is_running(int(pid)) or subprocess.run(["test", "-e", path]).returncode == 0:
        assert time.monotonic() < deadline, "PostgreSQL outlived the process that started it"
        time.sleep(0.1)
