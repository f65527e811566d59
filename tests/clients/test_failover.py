"""Fail-over of PostgreSQL: the primary dies under load, its synchronous standby takes over, and nothing released is lost."""

import httpx
import integrity
from installation import ONCE
from load import Load

pytestmark = ONCE


def test_a_failover_to_the_synchronous_standby_loses_no_released_certificate(install, make_cluster, tmp_path):
    primary = make_cluster().start()
    with primary.standby() as standby:
        installation = install(primary, replicas=2, url=lambda name: primary.url(name, standby)).start()
        processes = [server.process.pid for server in installation.servers]
        with Load(installation) as load:
            load.wait_for(60)
            load.wait_for(5, method="DELETE")
            primary.kill()
            for server in installation.servers:
                load.wait_for(1, status=503, server=server)
                assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
            released = dict(load.issued)
            standby.promote()
            installation.database.cluster = standby
            for server in installation.servers:
                load.wait_for(30, server=server)
            load.wait_for(5, method="DELETE")
        assert len(released) >= 60 and released.items() <= load.issued.items()
        assert [server.process.pid for server in installation.servers if server.alive()] == processes
        integrity.check(installation, load, tmp_path)
