"""Pages in the middle of a list that is so long that the server remembers where its rows are."""

import json
import time
from contextlib import closing

import pytest

from api import Api
from databases import Sqlite
from test_dev_seed import seed
from test_events import wait_until

# The middle of each list is further from both ends than the server counts without being told to remember.
ACTIVE, REVOKED = 4800, 4600
PAGE = 50
# From the first request for a page far from both ends, the list is walked beside.
WALKED_WITHIN = 1.5


@pytest.fixture
def server(make_server):
    server = make_server(COUNTERSIGN_LOG="info,countersign::store::landmarks=debug")
    assert seed(server, "--certificates", ACTIVE, "--revoked", REVOKED).returncode == 0
    # Of long ago: only rows that have long settled are remembered.
    older = ("CAST(x'01a10000' || substr(id, 5) AS BLOB)" if isinstance(server.store, Sqlite)
             else "'\\x01a10000'::bytea || substring(id from 5)")
    server.tamper(f"UPDATE certificates SET id = {older}")
    return server


@pytest.fixture
def zone(server):
    api = Api(server.start())
    zone = api.in_zone(api.default_zone()["id"])
    return zone


def stored(zone, status=None):
    """What the list is, by the rows themselves."""
    codes = {"active": 0, "revoked": 2}
    with closing(zone.server.database()) as database:
        rows = database.execute("SELECT id, status FROM certificates").fetchall()
    hexes = sorted(bytes(id).hex() for id, code in rows if status is None or code == codes[status])
    return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in hexes]


def assert_pages_are_right(zone, status=None):
    expected = stored(zone, status)
    last = -(-len(expected) // PAGE)
    chosen = {1, 2, last // 4, last // 3, last // 2, last // 2 + 1, last // 3 * 2, last - 1, last}
    for number in sorted(chosen):
        asked = {"per_page": PAGE, "page": number, **({"status": status} if status else {})}
        answer = zone.list(**asked).json()
        shown = [one["id"] for one in answer["result"]]
        assert shown == expected[(number - 1) * PAGE:number * PAGE], (status, number)
        assert answer["result_info"]["total_count"] == len(expected)


def assert_all_pages_are_right(zone):
    for status in (None, "active", "revoked"):
        assert_pages_are_right(zone, status)


def test_any_page_is_the_part_of_the_list_that_it_says(zone, request_pem):
    for status in (None, "active", "revoked"):
        assert_pages_are_right(zone, status)
        time.sleep(WALKED_WITHIN)
    assert_all_pages_are_right(zone)
    # What changes at the front moves all behind it.
    changed = stored(zone, "active")[:3]
    for one in changed:
        zone.revoke(one)
    zone.issue(request_pem)
    assert_all_pages_are_right(zone)
    zone.reactivate(changed[1])
    assert_all_pages_are_right(zone)


def test_long_lists_are_walked_when_the_server_starts(server):
    server.start()
    wait_until(lambda: len(said(server)) >= 3, server.output)
    walked = {one["status"]: one["landmarks"] for one in said(server)}
    assert walked.keys() == {"None", "Some(Active)", "Some(Revoked)"} and all(walked.values()), walked


def said(server):
    """What the server tells of its walks, line by line."""
    lines = (server.folder / "stderr").read_text().splitlines()
    return [json.loads(line) for line in lines if "walked along a long list" in line]
