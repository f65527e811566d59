"""Time goes by: expired certificates, CRLs that are signed again by themselves. libfaketime moves the server's clock."""

import pathlib
import time

import pytest

import csr
from api import Api, codes, crl_number, listed_serials

LIBFAKETIME = next(iter(sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def restart_in(server, days):
    assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
    server.stop()
    server.start(LD_PRELOAD=str(LIBFAKETIME), FAKETIME=f"+{days}d", FAKETIME_DONT_FAKE_MONOTONIC="1")


def wait_for_crl(zone, condition, what):
    deadline = time.monotonic() + 60
    while not condition(crl := zone.crl()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return crl


def test_an_expired_certificate_keeps_its_status_and_cannot_come_back(own_zone):
    active, held = (own_zone.issue(csr.by_openssl(), days=1) for _ in range(2))
    held = own_zone.revoke(held["id"])
    restart_in(own_zone.server, 2)
    assert own_zone.get(active["id"]) == active
    assert own_zone.get(held["id"]) == held
    answer = own_zone.patch(held["id"], json={"reactivate": True})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert held["expires_on"][:10] in answer.json()["errors"][0]["message"]
    assert own_zone.patch(active["id"]).json()["result"] == active
    assert own_zone.total(status="revoked") == own_zone.total(status="active") == 1


def test_an_expired_certificate_leaves_the_crl_after_one_crl_past_its_end(own_zone):
    short, long = (own_zone.revoke(own_zone.issue(csr.by_openssl(), days=days)["id"]) for days in (1, 365))
    serials = {int(short["serial_number"]), int(long["serial_number"])}
    before = wait_for_crl(own_zone, lambda crl: listed_serials(crl) == serials, "both listed")
    restart_in(own_zone.server, 10)
    past = wait_for_crl(own_zone, lambda crl: crl_number(crl) > crl_number(before), "a CRL past the end")
    assert listed_serials(past) == serials
    own_zone.revoke(own_zone.issue(csr.by_openssl())["id"])
    wait_for_crl(own_zone, lambda crl: int(short["serial_number"]) not in listed_serials(crl), "gone")
    assert int(long["serial_number"]) in listed_serials(own_zone.crl())


def test_a_stale_crl_is_signed_again_after_a_long_stop(own_zone):
    before = own_zone.crl()
    restart_in(own_zone.server, 30)
    after = wait_for_crl(own_zone, lambda crl: crl.next_update_utc > before.next_update_utc, "a fresh CRL")
    assert crl_number(after) > crl_number(before)


@pytest.mark.timeout(120)
def test_crls_are_signed_again_before_they_end_although_nothing_changed(make_server):
    server = make_server(COUNTERSIGN_CRL_VALIDITY="10s").start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    for authority in zone.authorities():
        seen = [zone.crl(authority["id"])]
        while len(seen) < 3:
            crl = zone.crl(authority["id"])
            if crl_number(crl) != crl_number(seen[-1]):
                assert crl_number(crl) > crl_number(seen[-1])
                assert crl.last_update_utc <= seen[-1].next_update_utc
                seen.append(crl)
            time.sleep(0.1)
