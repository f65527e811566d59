"""What must hold after every fault: nothing that a client was told is lost, doubled or untrue."""

import time
from collections import Counter

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api import STATUSES, crl_number, listed_serials
from judges import Chain, run

SETTLES_WITHIN = 60
# As src/domain/status.rs numbers them.
CODES = {"active": 0, "pending_revocation": 1, "revoked": 2, "pending_reactivation": 3}
ISSUED, REVOKED, REACTIVATED, CRL = "certificate.issue", "certificate.revoked", "certificate.reactivated", "crl.publish"


def check(installation, load, folder, at_any_time=False):
    """`load` is over and the servers run. `at_any_time`: the clock was moved, so validity is judged without it."""
    assert load.faults == []
    assert "panicked" not in installation.said()
    assert load.issued, "nothing was issued: this proves nothing"
    zone, database = installation.zone, installation.database
    settle(database)
    everything = {certificate["id"]: certificate for certificate in zone.everything()}

    every_released_certificate_is_stored(load, database, everything)
    each_certificate_is_readable(installation, load)
    each_one_is_valid(zone, everything, folder, at_any_time)
    each_transition_was_finished_once(load, zone, database, everything)
    crl_numbers_grew(installation, load, database)
    the_last_crl_lists_what_is_revoked(installation, everything)
    counters_equal_a_recount(installation, everything)


def settle(database):
    deadline = time.monotonic() + SETTLES_WITHIN
    while (waiting := database.rows("SELECT COUNT(*) FROM transitions")) != [("0",)]:
        assert time.monotonic() < deadline, f"{waiting} transitions are not finished after {SETTLES_WITHIN} s"
        time.sleep(0.05)


def every_released_certificate_is_stored(load, database, everything):
    columns = ", ".join(database.hex(column) for column in ("id", "serial", "der"))
    stored = {identifier: (serial, der) for identifier, serial, der in database.rows(f"SELECT {columns} FROM certificates")}
    for identifier, told in load.issued.items():
        serial, der = stored[identifier.replace("-", "")]
        certificate = x509.load_pem_x509_certificate(told["certificate"].encode())
        assert bytes.fromhex(der) == certificate.public_bytes(Encoding.DER), identifier
        assert int(serial, 16) == certificate.serial_number == int(told["serial_number"]), identifier
        assert everything[identifier]["certificate"] == told["certificate"], identifier
    serials = Counter(serial for serial, _ in stored.values())
    assert len(serials) == len(stored) == len(everything), "a serial number was given twice"


def each_certificate_is_readable(installation, load):
    chosen = list(load.issued)[:20] + list(load.issued)[-20:]
    for server in installation.servers:
        api = installation.api(server)
        for identifier in chosen:
            assert api.get(identifier)["certificate"] == load.issued[identifier]["certificate"]


def each_one_is_valid(zone, everything, folder, at_any_time):
    chain = Chain(folder, zone)
    leaves = [chain.write(f"{identifier}.pem", one["certificate"]) for identifier, one in everything.items()]
    when = ["-no_check_time"] if at_any_time else []
    for start in range(0, len(leaves), 500):
        some = leaves[start:start + 500]
        said = run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", *when,
                   "-CAfile", chain.root, "-untrusted", chain.issuing, *some)
        assert said.count(": OK") == len(some), said


def each_transition_was_finished_once(load, zone, database, everything):
    heard = [event for event in events(zone) if "certificate" in event]
    told = Counter((event["event"], event["certificate"]["id"]) for event in heard)
    log = database.rows(f"SELECT action, subject, COUNT(*) FROM audit_events WHERE result = 0 AND action IN "
                        f"('{ISSUED}', '{REVOKED}', '{REACTIVATED}') GROUP BY action, subject")
    log = Counter({(action, subject): int(count) for action, subject, count in log})
    assert all(log[ISSUED, one] == told["certificate.issued", one] == 1 for one in everything)
    for identifier, certificate in everything.items():
        for asked, kind in ((load.revocations, REVOKED), (load.reactivations, REACTIVATED)):
            done = log[kind, identifier]
            assert told[kind, identifier] == done, f"{kind} of {identifier}: {done} in the log, but another number of events"
            if asked.get(identifier):
                assert done == 1, f"{kind} of {identifier} was finished {done} times"
            else:
                assert done <= (1 if identifier in asked else 0), f"{kind} of {identifier} was not asked for"
        changes = log[REVOKED, identifier] - log[REACTIVATED, identifier]
        assert certificate["status"] == ("revoked" if changes else "active"), certificate
        receipt = certificate["receipt"]
        assert (receipt is None) == (log[REVOKED, identifier] == 0), certificate
        assert receipt is None or receipt["status"] == certificate["status"], certificate


def events(zone):
    """All of them, in order."""
    found, after = [], 0
    while True:
        page = zone.call("GET", f"/zones/{zone.zone}/events",
                         params={"format": "json", "limit": 1000, "last_event_id": after}).json()
        found += page["result"]
        after = page["result_info"]["last_event_id"]
        if not page["result_info"]["more"]:
            return found


def crl_numbers_grew(installation, load, database):
    for numbers in load.seen.values():
        assert numbers and numbers == sorted(numbers), "a CRL went back to an older one"
    last = crl_number(installation.zone.crl())
    assert last >= max(load.crls)
    # As many CRLs as the log says, without a gap; the first is the authority's own, and made with it.
    published = database.rows(f"SELECT detail FROM audit_events WHERE action = '{CRL}' AND subject = '{load.authority}'")
    numbers = sorted(int(detail.removeprefix("number ")) for (detail,) in published)
    assert numbers == list(range(2, last + 1)), numbers


def the_last_crl_lists_what_is_revoked(installation, everything):
    revoked = {int(one["serial_number"]) for one in everything.values() if one["status"] == "revoked"}
    for server in installation.servers:
        api, deadline = installation.api(server), time.monotonic() + SETTLES_WITHIN
        while (listed := listed_serials(api.crl())) != revoked:
            assert time.monotonic() < deadline, f"the CRL lists {len(listed)} and not {len(revoked)}"
            time.sleep(0.05)


def counters_equal_a_recount(installation, everything):
    rows = installation.database.rows("SELECT status, COUNT(*) FROM certificates GROUP BY status")
    recount = {int(status): int(count) for status, count in rows}
    kept = installation.database.rows("SELECT status, SUM(total) FROM certificate_counters GROUP BY status")
    assert {int(status): int(total) for status, total in kept if int(total)} == recount
    for server in installation.servers:
        api = installation.api(server)
        assert api.total() == sum(recount.values()) == len(everything)
        for status in STATUSES:
            assert api.total(status=status) == recount.get(CODES[status], 0), status
