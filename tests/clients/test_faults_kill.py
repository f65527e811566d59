"""kill -9 of a replica, and of PostgreSQL, under load. (The embedded database's twenty kills are in test_crash.py.)"""

import itertools
import time

import httpx
import integrity
from installation import ONCE
from load import Load

pytestmark = ONCE

REPLICA_KILLS = 4
DATABASE_KILLS = 2
A_MOMENT = 0.9


def test_killed_replicas_lose_nothing_and_the_others_go_on(install, shared_cluster, tmp_path):
    installation = install(shared_cluster, replicas=2).start()
    with Load(installation, expects_cuts=True) as load:
        load.wait_for(20)
        for victim, survivor in itertools.islice(itertools.cycle(itertools.permutations(installation.servers)), REPLICA_KILLS):
            began = time.monotonic()
            victim.kill()
            load.wait_for(20, server=survivor)
            refused = [a for a in load.answers if a.server is survivor and a.at >= began and a.status != 200]
            assert refused == [], "the survivor refused"
            load.wait_for(1, server=survivor, method="DELETE")
            victim.start()
            load.wait_for(10, server=victim)
    integrity.check(installation, load, tmp_path)


def test_a_killed_postgresql_is_answered_503_and_loses_nothing(install, make_cluster, tmp_path):
    cluster = make_cluster().start()
    installation = install(cluster, replicas=2).start()
    processes = [server.process.pid for server in installation.servers]
    with Load(installation) as load:
        for _ in range(DATABASE_KILLS):
            load.wait_for(20)
            cluster.kill()
            for server in installation.servers:
                load.wait_for(1, status=503, server=server)
                assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
                assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
            cluster.start()
            for server in installation.servers:
                load.wait_for(20, server=server)
                assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
    assert [server.process.pid for server in installation.servers if server.alive()] == processes
    integrity.check(installation, load, tmp_path)


def test_nobody_waits_for_a_database_that_is_away_and_it_is_found_at_once(install, make_cluster):
    """The bound is the promise's own, for each request: a moment, not as long as one waits for a busy database."""
    cluster = make_cluster().start()
    installation = install(cluster, replicas=1).start()
    path = f"/client/v4/zones/{installation.zone.zone}/client_certificates"
    headers = {"Authorization": f"Bearer {installation.server.token}"}
    with httpx.Client(base_url=installation.server.url, headers=headers, timeout=A_MOMENT) as client:
        for _ in range(DATABASE_KILLS):
            assert client.get(path).status_code == 200
            cluster.kill()
            # One after the other: the first ones find the pool's connections broken.
            answers = [client.get(path) for _ in range(20)]
            assert {answer.status_code for answer in answers} == {503}
            assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
            cluster.start()
            back = time.monotonic()
            while (answer := client.get(path)).status_code != 200:
                assert answer.status_code == 503 and time.monotonic() < back + A_MOMENT, "it was not found again"
                time.sleep(0.02)
