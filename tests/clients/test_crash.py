"""kill -9, twenty times under load: nothing that a client was told is lost, doubled or untrue."""

import random
import threading

import httpx
import pytest
from cryptography import x509

import csr
from api import STATUSES, Api, crl_number, listed_serials
from crowd import Crowd
from judges import Chain

KILLS = 20
WORKERS = 4


class Load(Crowd):
    """Threads that issue, revoke and reactivate, each its own certificates, and remember what was acknowledged."""

    def __init__(self, zone):
        super().__init__()
        self.zone, self.issuing = zone, zone.authorities()[0]["id"]
        self.acknowledged = {}  # id -> the certificate as POST answered it
        self.expected = {}  # id -> the status that the last acknowledged call leads to, None when a call was cut off
        self.crls = {}  # number -> the bytes of the CRL
        self.order = []  # CRL numbers as they were seen by the one observer
        for seed in range(WORKERS):
            self.add(self.work, seed)
        self.add(self.observe, None)

    def again_and_again(self, job):
        """With a new connection whenever the process was killed."""
        while not self.stopped.is_set():
            try:
                job(Api(self.zone.server, zone=self.zone.zone))
            except httpx.TransportError:
                self.stopped.wait(0.02)

    def work(self, seed):
        chance = random.Random(seed)
        self.again_and_again(lambda api: self.issue_and_change(api, chance))

    def issue_and_change(self, api, chance):
        mine = []
        while not self.stopped.is_set():
            made = api.issue(csr.by_openssl())
            self.acknowledged[made["id"]] = made
            self.expected[made["id"]] = "active"
            mine.append(made["id"])
            chosen = chance.choice(mine)
            call, outcome = chance.choice([(api.delete, "revoked"), (api.patch, "active")])
            before, self.expected[chosen] = self.expected[chosen], None
            answer = call(chosen)
            if answer.status_code == 200:
                self.expected[chosen] = outcome
            else:
                assert answer.status_code == 503, answer.text
                self.expected[chosen] = before

    def observe(self, _):
        self.again_and_again(self.read_crls)

    def read_crls(self, api):
        while not self.stopped.is_set():
            der = api.crl_der(self.issuing)
            number = crl_number(x509.load_der_x509_crl(der))
            assert self.crls.setdefault(number, der) == der, f"two CRLs with number {number}"
            self.order.append(number)
            self.stopped.wait(0.01)


@pytest.mark.timeout(600)
def test_twenty_kills_under_load_lose_nothing(own_zone, tmp_path):
    server = own_zone.server
    chance = random.Random(20)
    with Load(own_zone) as load:
        for _ in range(KILLS):
            threading.Event().wait(0.3 + chance.random())
            server.kill()
            server.start()
        threading.Event().wait(0.5)
    assert load.faults == []
    assert len(load.acknowledged) > KILLS
    assert "panicked" not in server.output(last=10**6)

    for certificate_id, made in load.acknowledged.items():
        settled = own_zone.wait_until(certificate_id, lambda c: not c["status"].startswith("pending"), "settled")
        assert settled["certificate"] == made["certificate"]
        assert load.expected[certificate_id] in (settled["status"], None)

    everything = own_zone.everything()
    assert {c["id"] for c in everything} >= set(load.acknowledged)
    assert len({c["id"] for c in everything}) == len({c["serial_number"] for c in everything}) == len(everything)
    for status in STATUSES:
        assert own_zone.total(status=status) == sum(c["status"] == status for c in everything)
    assert own_zone.total() == len(everything)

    assert load.order == sorted(load.order)
    assert crl_number(own_zone.crl()) >= load.order[-1]
    revoked = {int(c["serial_number"]) for c in everything if c["status"] == "revoked"}
    assert listed_serials(own_zone.crl()) == revoked

    for certificate in everything:
        if certificate["receipt"]:
            assert certificate["receipt"]["status"] == certificate["status"]
            assert certificate["receipt"]["crl_number"] <= crl_number(own_zone.crl())
    # As many CRLs as the log says, without a gap; and no transition carried out more often than it was asked for.
    log = server.database().execute
    published = log("SELECT COUNT(*) FROM audit_events WHERE action = 'crl.publish' AND subject = ?", [load.issuing])
    assert crl_number(own_zone.crl()) == 1 + published.fetchone()[0]
    for asked, done in (("certificate.revoke", "certificate.revoked"), ("certificate.reactivate", "certificate.reactivated")):
        more = log(
            "SELECT subject FROM audit_events WHERE result = 0 AND action IN (?, ?) GROUP BY subject "
            "HAVING SUM(CASE action WHEN ? THEN 1 ELSE -1 END) > 0", [asked, done, done])
        assert more.fetchall() == []

    chain = Chain(tmp_path, own_zone)
    leaves = [chain.write(f"{c['id']}.pem", c["certificate"]) for c in everything]
    for start in range(0, len(leaves), 200):
        chain.openssl_verify(*leaves[start:start + 200])
    good = [chain.write("good.pem", c["certificate"]) for c in everything if c["status"] == "active"][:1]
    chain.openssl_verify(*good, crls=True)
