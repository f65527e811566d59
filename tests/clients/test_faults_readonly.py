"""A read-only database: writes are answered 503, reads go on, and it heals by itself."""

import httpx
import integrity
from installation import ONCE
from load import Load
from syscalls import Strace

pytestmark = ONCE


def test_a_file_system_that_turns_read_only(install, tmp_path):
    """As ext4 does after an error of the disk (`errors=remount-ro`): files stay open, and every write gives EROFS."""
    installation = install().start()
    data = installation.server.data
    files = [option for name in ("countersign.db", "countersign.db-wal") for option in ("-P", data / name)]
    calls = "write,pwrite64,pwritev,ftruncate,fallocate"
    with Load(installation) as load:
        load.wait_for(20)
        with Strace(installation.server, tmp_path, *files, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EROFS") as strace:
            only_reads_are_answered(installation, load)
        assert "INJECTED" in strace.output.read_text()
        load.wait_for(20)
    integrity.check(installation, load, tmp_path)


def test_a_postgresql_that_turns_read_only(install, make_cluster, tmp_path):
    cluster = make_cluster().start()
    installation = install(cluster).start()

    def turn(word):
        cluster.psql(f"ALTER SYSTEM SET default_transaction_read_only = {word}")
        cluster.psql("SELECT pg_reload_conf()")

    with Load(installation) as load:
        load.wait_for(20)
        turn("on")
        only_reads_are_answered(installation, load)
        # New connections find it read-only before their first statement.
        cluster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'countersign'")
        load.wait_for(5, status=503)
        turn("off")
        load.wait_for(20)
    integrity.check(installation, load, tmp_path)


def only_reads_are_answered(installation, load):
    server, zone = installation.server, installation.zone
    load.wait_for(5, status=503)
    released = len(load.issued)
    load.wait_for(5, status=503)
    assert len(load.issued) == released, "a read-only database took a certificate"
    assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
    assert zone.get(next(iter(load.issued)))["id"] in load.issued
    assert zone.crl_der(load.authority)
