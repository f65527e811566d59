"""Fail-over of PostgreSQL: the primary dies under load, its synchronous standby takes over, and nothing released is lost."""

import json
import subprocess

import httpx

import csr
import integrity
import server as server_module
from installation import ONCE
from load import Load
from test_cli import CommandLine

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


def test_the_doctor_sees_which_standbys_are_connected(install, make_cluster, tmp_path):
    primary = make_cluster().start()
    with primary.standby() as standby:
        installation = install(primary, replicas=1).start()
        doctor = CommandLine(installation.zone, tmp_path)

        def said():
            findings = json.loads(doctor.call("doctor", "--json").stdout)
            return {(found["verdict"], found["message"]): found["way_out"] for found in findings if found["check"] == "database"}

        # The role of the server may not see them, and hears how it may.
        hidden = said()[("warn", 'which standbys are connected is not shown to the role "countersign"')]
        assert hidden.startswith("as a superuser: ")
        primary.psql(hidden.removeprefix("as a superuser: "))
        name = primary.psql("show synchronous_standby_names")
        assert ("ok", f"the standby {name} is streaming (sync)") in said()
        standby.stop()
        primary.wait_for("select count(*) from pg_stat_replication", "0")
        missing = ("fail", "no standby that commits wait for is connected: nothing can be written")
        assert said()[missing] == "start the standby, or take it out of synchronous_standby_names"
        # So that the rest is cleaned up: what is written would wait for it.
        primary.psql("alter system reset synchronous_standby_names")
        primary.psql("select pg_reload_conf()")


def test_a_backup_is_made_of_the_server_that_takes_writes(install, make_cluster, tmp_path):
    """Of several hosts pg_dump would take the first one that answers: here a standby that stays behind."""
    primary = make_cluster().start()
    with primary.standby(synchronous=False) as standby:
        installation = install(primary, url=lambda name: standby.url(name, primary))
        # A host without the database would be the last one that is asked.
        standby.wait_for(f"select count(*) from pg_database where datname = '{installation.database.name}'", "1")
        installation.start()
        standby.psql("select pg_wal_replay_pause()")
        standby.wait_for("select pg_get_wal_replay_pause_state()", "paused")
        server = installation.server
        made = installation.api(server).issue(csr.fresh())
        out = tmp_path / "backup"
        done = subprocess.run([server_module.BINARY, "backup", "--out", out], cwd=server.folder, env=server.environment(),
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        dump = ["pg_restore", "--data-only", "--table=certificates", "--file=-", out]
        dump = subprocess.run(dump, capture_output=True, text=True, timeout=120, check=True)
        assert made["id"].replace("-", "") in dump.stdout
