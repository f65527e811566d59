"""A clock that jumps an hour forth and back, under a running server and under load."""

import pathlib

import integrity
from installation import ONCE
from load import Load, distinct

pytestmark = ONCE

LIBFAKETIME = next(iter(sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
JUMPS = ("+3600", "+0", "-3600", "+0", "+3600", "-3600")


class Clock:
    """The clock of one server, moved by a file that libfaketime reads at each look."""

    def __init__(self, path):
        assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
        self.path = path
        self.jump("+0")
        self.environment = {
            "LD_PRELOAD": str(LIBFAKETIME), "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def jump(self, seconds):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(seconds)
        fresh.replace(self.path)


def test_a_clock_that_jumps_loses_and_doubles_nothing(install, tmp_path):
    clock = Clock(tmp_path / "clock")
    installation = install(**clock.environment).start()
    with Load(installation) as load:
        load.wait_for(10)
        for seconds in JUMPS:
            clock.jump(seconds)
            load.wait_for(15)
            load.wait_for(5, method="DELETE")
            finishes_a_revocation(installation, load)
        clock.jump("+0")
    assert load.count(status=503) == 0
    moved_by_hours(installation)
    integrity.check(installation, load, tmp_path, at_any_time=True)


def test_one_replica_whose_clock_jumps_harms_no_other(install, shared_cluster, tmp_path):
    clock = Clock(tmp_path / "clock")
    installation = install(shared_cluster, replicas=2)
    strange, right = installation.servers
    strange.settings |= clock.environment
    installation.start()
    with Load(installation, expects_cuts=True) as load:
        load.wait_for(10)
        for seconds in JUMPS[:4]:
            clock.jump(seconds)
            for server in installation.servers:
                load.wait_for(8, server=server)
            finishes_a_revocation(installation, load)
        # It dies with leases that reach into the next hour; the other one must not wait for that hour.
        clock.jump("+3600")
        load.wait_for(5, server=strange, method="DELETE")
        strange.kill()
        load.wait_for(5, server=right, method="DELETE")
        finishes_a_revocation(installation, load, by=right)
        clock.jump("+0")
        strange.start()
    assert load.count(status=503) == 0
    moved_by_hours(installation)
    integrity.check(installation, load, tmp_path, at_any_time=True)


def finishes_a_revocation(installation, load, by=None):
    """At whatever hour it is: to be revoked takes no longer than ever."""
    api = installation.api(by or installation.server)
    one = api.issue(distinct("by-hand"))
    load.issued[one["id"]] = one
    load.revocations[one["id"]] = True
    api.revoke(one["id"])


def moved_by_hours(installation):
    """The clock did jump: certificates say so."""
    [(first, last)] = installation.database.rows("SELECT MIN(created_at), MAX(created_at) FROM certificates")
    assert int(last) - int(first) > 7_000_000, "the clock never moved"
