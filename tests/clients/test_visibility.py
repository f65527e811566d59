"""A status is shown only once the published CRL says the same, under concurrency and not once."""

import random
import threading

import pytest
from cryptography import x509

import csr
from api import Api, crl_number, listed_serials

CERTIFICATES = 24
CHANGERS = 6
TURNS = 12


class Ledger:
    """Whose turn it is: a changer holds a certificate's lock while its status is judged or changed."""

    def __init__(self, made):
        self.made = made
        self.locks = {c["id"]: threading.Lock() for c in made}
        self.judged = {"revoked": 0, "active": 0}
        self.faults = []


@pytest.mark.timeout(300)
def test_a_status_is_shown_only_after_the_crl_says_so(server):
    admin = Api(server)
    zone = admin.in_zone(admin.default_zone()["id"])
    issuing = zone.authorities()[0]["id"]
    ledger = Ledger([zone.issue(csr.by_openssl()) for _ in range(CERTIFICATES)])
    done = threading.Event()
    changers = [threading.Thread(target=guarded, args=(ledger, change, Api(server, zone=zone.zone), issuing, n, done))
                for n in range(CHANGERS)]
    pollers = [threading.Thread(target=guarded, args=(ledger, poll, Api(server, zone=zone.zone), issuing, n, done))
               for n in range(2)]
    for thread in changers + pollers:
        thread.start()
    for thread in changers:
        thread.join()
    done.set()
    for thread in pollers:
        thread.join()
    assert ledger.faults == []
    assert ledger.judged["revoked"] > CERTIFICATES and ledger.judged["active"] > CERTIFICATES


def guarded(ledger, job, *arguments):
    try:
        job(ledger, *arguments)
    except BaseException as fault:
        ledger.faults.append(fault)


def change(ledger, api, issuing, number, _):
    """Turns its own certificates over, sometimes while the turn before is still pending."""
    chance = random.Random(number)
    mine = [c["id"] for c in ledger.made[number::CHANGERS]]
    for _ in range(TURNS):
        for certificate_id in mine:
            with ledger.locks[certificate_id]:
                call = chance.choice([api.delete, api.patch])
                assert call(certificate_id).status_code == 200
            if chance.random() < 0.7:
                api.wait_until(certificate_id, lambda c: not c["status"].startswith("pending"), "settled")


def poll(ledger, api, issuing, number, done):
    """Reads a status, then the CRL, while nobody asks for another change of that certificate."""
    chance = random.Random(100 + number)
    while not done.is_set() or min(ledger.judged["revoked"], ledger.judged["active"]) <= CERTIFICATES:
        certificate_id = chance.choice(ledger.made)["id"]
        with ledger.locks[certificate_id]:
            seen = api.get(certificate_id)
            crl = x509.load_der_x509_crl(api.crl_der(issuing))
        if seen["status"].startswith("pending") or seen["receipt"] is None:
            continue
        listed = int(seen["serial_number"]) in listed_serials(crl)
        assert listed == (seen["status"] == "revoked"), (seen, crl_number(crl))
        assert seen["receipt"]["status"] == seen["status"]
        assert seen["receipt"]["crl_number"] <= crl_number(crl), (seen["receipt"], crl_number(crl))
        ledger.judged[seen["status"]] += 1


def test_revoked_is_shown_only_after_the_crl_lists_it(zone, request_pem):
    """Every certificate on its own, as fast as a client can look."""
    issuing = zone.authorities()[0]["id"]
    for _ in range(20):
        made = zone.issue(request_pem)
        zone.delete(made["id"])
        while zone.get(made["id"])["status"] != "revoked":
            pass
        assert int(made["serial_number"]) in listed_serials(zone.crl(issuing))


def test_active_again_is_shown_only_after_the_crl_dropped_it(zone, request_pem):
    issuing = zone.authorities()[0]["id"]
    for _ in range(20):
        made = zone.issue(request_pem)
        zone.revoke(made["id"])
        zone.patch(made["id"])
        while zone.get(made["id"])["status"] != "active":
            pass
        assert int(made["serial_number"]) not in listed_serials(zone.crl(issuing))
