"""Identities that end soon, as the operator sees it: the metrics of the running server, and the audit log."""

import json
import re
import time

import httpx

import identity_pki as pki
from identity_api import Identities
from test_expiry import restart_in

GAUGE = re.compile(r'^countersign_identities_expiring\{within_days="(\d+)"\} (\d+)$', re.MULTILINE)


def ending(server):
    """How many identities end within so many days, once the server has counted them."""
    deadline = time.monotonic() + 30
    while len(found := GAUGE.findall(httpx.get(f"{server.url}/metrics", timeout=30).text)) < 5:
        assert time.monotonic() < deadline, f"only {found} are in the metrics"
        time.sleep(0.05)
    return {int(days): int(count) for days, count in found}


def test_what_ends_soon_is_in_the_metrics_and_told_in_the_audit_log(server):
    vault = Identities.of_new_account(server)
    for days in (5, 12, 300):
        held = pki.issued(pki.intermediate(), f"/CN=ends in {days}", days=days)
        vault.keep(certificates=held.whole_chain, private_key=held.key)
    kept = {one["name"]: one for one in vault.listed()}
    # It counts when it starts.
    server.stop()
    server.start()
    assert ending(server) == {0: 0, 1: 0, 7: 1, 14: 2, 30: 2}
    told = [json.loads(detail) for *_, detail in vault.audit("identity.expiring")]
    assert {one["identity"]["name"]: one for one in told} == {
        name: {"event": "identity.expiring", "identity": {"id": kept[name]["id"], "name": name},
               "expires_on": kept[name]["expires_on"], "within_days": within}
        for name, within in (("ends in 5", 7), ("ends in 12", 14))}
    restart_in(server, 9)
    assert ending(server) == {0: 1, 1: 0, 7: 1, 14: 1, 30: 1}
