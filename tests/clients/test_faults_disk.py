"""A full disk during issuance: refused with 503, never told as done, and healed by itself once there is room."""

import shutil

import httpx
import integrity
from installation import ONCE
from load import Load
from small_disk import SmallDisk

pytestmark = ONCE


def test_a_full_disk_under_the_embedded_database(install, tmp_path):
    installation = install()
    with SmallDisk(installation.server.data, megabytes=24) as disk:
        try:
            installation.start()
            fill_and_free(installation, disk, tmp_path)
        finally:
            installation.clean_up()


def test_a_full_disk_under_the_tables_of_postgresql(install, make_cluster, tmp_path):
    cluster = make_cluster().start()
    with SmallDisk(cluster.folder / "small", megabytes=32, owner=owner(cluster)) as disk:
        try:
            (disk.folder / "tables").mkdir(mode=0o700)
            cluster_owns(cluster, disk.folder / "tables")
            cluster.psql(f"CREATE TABLESPACE small LOCATION '{disk.folder / 'tables'}'")
            installation = install(cluster)
            cluster.psql(f'ALTER DATABASE "{installation.database.name}" SET TABLESPACE small')
            installation.start()
            fill_and_free(installation, disk, tmp_path, takes_some=True)
            assert "No space left on device" in cluster.log(last=10**6)
        finally:
            cluster.clean_up()


def test_a_full_disk_under_the_log_of_postgresql(install, make_cluster, tmp_path):
    """Worse than the one before: PostgreSQL itself stops, and stays away until there is room."""
    cluster = make_cluster(settings={"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB"})
    with SmallDisk(cluster.folder / "small", megabytes=64, owner=owner(cluster)) as disk:
        try:
            move_log(cluster, disk.folder / "log")
            installation = install(cluster.start()).start()

            def switch_log():
                # What is written next needs a new file.
                cluster._psql("SELECT pg_switch_wal()", "postgres")

            fill_and_free(installation, disk, tmp_path, filled=switch_log, freed=lambda: start_again(cluster))
            assert "PANIC" in cluster.log(last=10**6)
        finally:
            cluster.clean_up()


def fill_and_free(installation, disk, folder, filled=lambda: None, freed=lambda: None, takes_some=False):
    """`takes_some`: pages that are there already still take small rows, so now and then it is ready in between."""
    server = installation.server
    process = server.process.pid
    with Load(installation) as load:
        load.wait_for(20)
        disk.fill()
        filled()
        while load.count(status=503) < 5:
            load.wait_for(1, status=503)
            disk.fill()
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert takes_some or httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
        disk.free()
        freed()
        load.wait_for(30)
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
    assert server.alive() and server.process.pid == process, "it healed without a restart"
    integrity.check(installation, load, folder)


def owner(cluster):
    found = cluster.data.stat()
    return found.st_uid, found.st_gid


def cluster_owns(cluster, path):
    shutil.chown(path, *owner(cluster))


def move_log(cluster, place):
    log = cluster.data / "pg_wal"
    shutil.copytree(log, place)
    for path in (place, *place.rglob("*")):
        cluster_owns(cluster, path)
    place.chmod(0o700)
    shutil.rmtree(log)
    log.symlink_to(place)


def start_again(cluster):
    """As a service manager would; the crash may also have been survived."""
    if not cluster.is_running():
        cluster.kill()
        cluster.start()
    cluster.wait_ready()
