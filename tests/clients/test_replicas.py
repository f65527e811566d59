"""Several replicas on one database: no leader, no sticky sessions. What changed at one is current at the other within a
second; killed or stopped ones are not missed."""

import base64
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

import csr
from api import Api, crl_number, listed_serials
from identity_api import Identities, keep
from replicas import Replicas
from test_events import message
from test_profile_folder import PROFILES, most_days

pytestmark = pytest.mark.only_on("postgres", reason="replicas share a PostgreSQL database")
CURRENT_WITHIN = 1
PATIENCE = 30


@pytest.fixture(scope="module")
def pair(make_folder):
    """Two replicas, both from the first start of an empty database, with one folder of profiles."""
    profiles = make_folder() / "profiles"
    shutil.copytree(PROFILES, profiles)
    replicas = Replicas(make_folder(), COUNTERSIGN_PROFILES_DIR=str(profiles)).start()
    replicas.profiles = profiles
    yield replicas
    replicas.clean_up()


@pytest.fixture
def at(pair):
    """The same new zone at each replica."""
    zone = Api(pair.replicas[0]).create_zone(f"zone-{secrets.token_hex(6)}")["id"]
    return [Api(replica).in_zone(zone) for replica in pair.replicas]


def soon(done, what):
    """The bound is the promise's own; what is asked must hold by the end of it."""
    deadline = time.monotonic() + CURRENT_WITHIN
    while True:
        asked = time.monotonic()
        if done():
            return
        assert asked < deadline, f"not {what} after {CURRENT_WITHIN} s"
        time.sleep(0.02)


def wait_until(done, what):
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def ocsp_status(api, certificate, issuer):
    """What this replica says of a certificate."""
    leaf = x509.load_pem_x509_certificate(certificate["certificate"].encode())
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build().public_bytes(Encoding.DER)
    authority = certificate["certificate_authority"]["id"]
    answer = httpx.post(f"{api.server.url}/pki/{authority}/ocsp", content=request,
                        headers={"content-type": "application/ocsp-request"})
    return ocsp.load_der_ocsp_response(answer.content).certificate_status.name


def issuer_of(api):
    return x509.load_pem_x509_certificate(api.authorities()[0]["certificate"].encode())


def test_the_first_start_of_both_at_once_sets_up_one_installation(pair):
    first, second = (Api(replica) for replica in pair.replicas)
    assert first.default_zone() == second.default_zone()
    assert pair.row_counts()["accounts"] == 1
    assert first.in_zone(first.default_zone()["id"]).authorities() == second.in_zone(second.default_zone()["id"]).authorities()


def test_a_new_token_is_known_and_a_removed_one_unknown_at_the_other(at):
    here, there = at
    made = here.create_token(["client_certificates:read"], zones=[here.zone])
    other = Api(there.server, token=made["value"], zone=there.zone)
    soon(lambda: other.list().status_code == 200, "known")
    account = here.default_zone()["account"]["id"]
    here.result("DELETE", f"/accounts/{account}/tokens/{made['id']}")
    soon(lambda: other.list().status_code in (401, 403), "unknown")


def test_a_new_zone_issues_at_the_other(at):
    here, there = at
    zone = here.create_zone(f"zone-{secrets.token_hex(6)}")["id"]
    soon(lambda: there.in_zone(zone).post(csr.fresh()).status_code == 200, "issuing")


def test_a_new_authority_signs_at_the_other(at):
    here, there = at
    there.issue(csr.fresh())
    made = here.result("POST", f"/zones/{here.zone}/certificate_authorities", json={})
    soon(lambda: there.issue(csr.fresh())["certificate_authority"]["id"] == made["id"], "signing")
    assert there.authorities() == here.authorities()


def test_the_newest_identity_is_chosen_at_the_other(at):
    vaults = [Identities.of_new_account(at[0].server)]
    vaults.append(Identities(at[1].server, vaults[0].account, vaults[0].token))
    for number, keeper in enumerate((0, 1, 0)):
        made = keep(vaults[keeper], number, hosts=["device.example"])["id"]
        for vault in vaults:
            soon(lambda: vault.match("device.example")["choice"]["id"] == made, "chosen")


def test_what_one_issued_the_other_shows_lists_and_counts(at):
    here, there = at
    made = [api.issue(csr.fresh()) for api in (here, there) * 3]
    for api in at:
        assert [api.get(certificate["id"]) for certificate in made] == made
        assert sorted(api.ids()) == sorted(certificate["id"] for certificate in made)
        assert api.total() == 6


def test_one_idempotency_key_at_both_at_once_makes_one_certificate(at):
    key, request = {"Idempotency-Key": secrets.token_hex(16)}, csr.fresh()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: at[number % 2].post(request, headers=key), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["result"]["id"] for answer in answers}) == 1
    assert at[0].total() == 1
    another = at[1].post(csr.by_openssl(subject="/CN=another"), headers=key)
    assert another.status_code == 400 and "Idempotency-Key" in another.text


def test_a_name_that_two_take_at_once_is_one_zones(at):
    name = f"zone-{secrets.token_hex(6)}"
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda api: api.call("POST", "/zones", json={"name": name}).status_code, at))
    assert sorted(answers)[0] == 200 and sorted(answers)[1] in (400, 409), answers


def test_once_either_says_revoked_neither_says_good(at):
    """No OCSP answer from memory alone: it holds from the moment at which the status reads `revoked`, not a second later."""
    issuer = issuer_of(at[0])
    for round in range(6):
        here, there = at if round % 2 else reversed(at)
        made = here.issue(csr.fresh())
        assert [ocsp_status(api, made, issuer) for api in at] == ["GOOD", "GOOD"]
        here.revoke(made["id"])
        assert [ocsp_status(api, made, issuer) for api in (there, here)] == ["REVOKED", "REVOKED"]
        assert [api.get(made["id"])["status"] for api in at] == ["revoked", "revoked"]
        assert int(made["serial_number"]) in listed_serials(there.crl()) & listed_serials(here.crl())
        there.reactivate(made["id"])
        assert [ocsp_status(api, made, issuer) for api in (here, there)] == ["GOOD", "GOOD"]
        assert int(made["serial_number"]) not in listed_serials(there.crl()) | listed_serials(here.crl())


def test_crl_numbers_are_one_sequence_while_both_revoke(at):
    made = [api.issue(csr.fresh()) for api in at for _ in range(40)]
    authority = at[0].authorities()[0]["id"]
    first = crl_number(at[0].crl())
    seen, done, faults = {}, threading.Event(), []

    def watch(api):
        last = 0
        while not done.is_set():
            der = api.crl_der(authority)
            number = crl_number(x509.load_der_x509_crl(der))
            if number < last or seen.setdefault(number, der) != der:
                faults.append(number)
            last = number

    watchers = [threading.Thread(target=watch, args=(Api(api.server, zone=api.zone),)) for api in at]
    for watcher in watchers:
        watcher.start()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda pair: at[pair[0] % 2].delete(pair[1]["id"]).status_code, enumerate(made)))
    for certificate in made:
        at[0].wait_for(certificate["id"], "revoked")
    done.set()
    for watcher in watchers:
        watcher.join()
    assert set(answers) == {200} and faults == []
    for api in at:
        assert listed_serials(api.crl()) == {int(certificate["serial_number"]) for certificate in made}
    published = at[0].server.database().execute(
        "SELECT COUNT(*) FROM audit_events WHERE action = 'crl.publish' AND subject = ?", [authority]).fetchone()[0]
    assert crl_number(at[0].crl()) == crl_number(at[1].crl()) == 1 + published > first
    receipts = {at[1].get(certificate["id"])["receipt"]["crl_number"] for certificate in made}
    assert receipts <= set(range(first + 1, 2 + published))


def test_events_are_numbered_alike_whoever_is_asked(at):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: at[number % 2].issue(csr.fresh()), range(40)))

    def told(api):
        answer = api.call("GET", f"/zones/{api.zone}/events", params={"format": "json", "last_event_id": 0})
        return answer.json()["result"]

    first, second = map(told, at)
    assert first == second
    numbers = [event["number"] for event in first]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 40


def test_both_sign_by_the_same_profiles(at):
    answers = [api.post(csr.by_openssl(), days=7, profile="short-lived") for api in at]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.json()["result"]["profile"] for answer in answers} == {"short-lived"}
    assert [api.post(csr.fresh(), profile="unknown").status_code for api in at] == [400, 400]


def test_a_changed_profile_is_used_at_both(pair, at):
    path = pair.profiles / "client.toml"
    before = path.read_text()
    most_days(pair.profiles, 30)
    for api in at:
        soon(lambda api=api: api.post(csr.fresh(), days=365).status_code == 400, "in force")
        assert api.post(csr.fresh(), days=30).status_code == 200
    path.write_text(before)
    for api in at:
        soon(lambda api=api: api.post(csr.fresh(), days=365).status_code == 200, "in force again")


def test_no_request_fails_while_one_after_the_other_is_restarted_gracefully(make_folder):
    """Without a drain: whoever the kernel has taken is answered, and so is what the proxy sends on connections that it keeps."""
    replicas = Replicas(make_folder()).start()
    replicas.retries = 0
    try:
        api = Api(replicas)
        api = api.in_zone(api.default_zone()["id"])
        stopped, faults, answered = threading.Event(), [], []

        def use(number):
            own = Api(replicas, zone=api.zone)
            while not stopped.is_set():
                try:
                    made = own.post(csr.fresh())
                    read = own.list(per_page=5)
                    assert (made.status_code, read.status_code) == (200, 200), (made.text, read.text)
                    answered.append(made.json()["result"]["id"])
                    if number == 0:
                        deleted = own.delete(answered[-1])
                        assert deleted.status_code == 200, deleted.text
                except (AssertionError, httpx.TransportError) as fault:
                    faults.append(fault)

        users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
        for user in users:
            user.start()
        for replica in replicas.replicas * 3:
            before = len(answered)
            assert replica.stop() == 0
            replica.start()
            # Back in turn: the proxy leaves out what it could not reach for two seconds.
            time.sleep(2.1)
            wait_until(lambda: len(answered) > before + 20, "answers go on")
        stopped.set()
        for user in users:
            user.join()
        assert faults == []
        assert sorted(api.get(one)["id"] for one in answered[:50]) == sorted(answered[:50])
        assert api.total() == len(answered)
    finally:
        replicas.clean_up()


def test_a_stream_of_events_goes_on_at_the_other_replica_and_tells_each_once(make_folder):
    """As EventSource does it: it comes again with the number of the last event that it heard."""
    replicas = Replicas(make_folder()).start()
    try:
        api = Api(replicas)
        api = api.in_zone(api.default_zone()["id"])
        heard, done = [], threading.Event()
        listener = threading.Thread(target=listen, args=(replicas, api, heard, done), daemon=True)
        listener.start()
        replicas.wreak_havoc()
        made = []
        while replicas.havoc.kills < 3 or len(made) < 60:
            answer = api.post(csr.fresh(), headers={"Idempotency-Key": secrets.token_hex(8)})
            if answer.status_code == 200:
                made.append(answer.json()["result"]["id"])
            assert replicas.havoc.faults == []
        issued = lambda: [told["certificate"]["id"] for _, kind, told in heard if kind == "certificate.issued"]
        wait_until(lambda: set(made) <= set(issued()), "heard of all")
        done.set()
        replicas.calm()
        assert len(issued()) == len(set(issued())) == api.total()
        assert [number for number, _, _ in heard] == sorted(number for number, _, _ in heard)
    finally:
        replicas.clean_up()


def listen(replicas, api, heard, done):
    while not done.is_set():
        last = heard[-1][0] if heard else 0
        headers = {**api.http.headers, "Accept": "text/event-stream", "Last-Event-ID": str(last)}
        text = ""
        try:
            with httpx.stream("GET", f"{replicas.url}/client/v4/zones/{api.zone}/events", headers=headers, timeout=60) as answer:
                for part in answer.iter_text():
                    text += part
                    *whole, text = text.split("\n\n")
                    heard.extend(read for block in whole if (read := message(block)))
        except httpx.TransportError:
            pass
        time.sleep(0.05)


def test_a_killed_replica_is_missed_by_no_reader(make_folder):
    """Reads go to the other one by the proxy alone: nobody needs to repeat them."""
    replicas = Replicas(make_folder()).start()
    replicas.retries = 0
    try:
        api = Api(replicas)
        api = api.in_zone(api.default_zone()["id"])
        made = api.issue(csr.fresh())
        der = x509.load_pem_x509_certificate(made["certificate"].encode())
        request = ocsp.OCSPRequestBuilder().add_certificate(der, issuer_of(api), hashes.SHA1()).build()
        encoded = base64.urlsafe_b64encode(request.public_bytes(Encoding.DER)).decode()
        authority = made["certificate_authority"]["id"]
        replicas.wreak_havoc()
        asked = 0
        while replicas.havoc.kills < 4:
            assert api.get(made["id"]) == made
            assert ocsp_status(api, made, issuer_of(api)) == "GOOD"
            for path in ("ca.cer", "crl", f"ocsp/{encoded}"):
                assert httpx.get(f"{replicas.url}/pki/{authority}/{path}").status_code == 200
            assert replicas.havoc.faults == []
            asked += 1
        replicas.calm()
        assert asked > 10
    finally:
        replicas.clean_up()
