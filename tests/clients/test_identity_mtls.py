"""Identities at work: servers that ask for client certificates see the right one, also after it was replaced or
renewed."""

import ssl
import time

import pytest
from cryptography import x509

import identity_pki as pki
from api import listed_reason, listed_serials
from identity_api import Identities, kept, messages
from test_expiry import LIBFAKETIME
from tls_server import Nginx, TlsServer

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture
def vault(callers):
    return Identities.of_new_account(callers)


@pytest.fixture
def bundle(vault):
    """The CAs of the servers here, by their id."""
    return vault.keep(ca=True, certificates=pki.root().certificate)["id"]


@pytest.fixture
def nginx(tmp_path):
    """nginx that lets in whoever the partner's CA certified."""
    with Nginx(tmp_path, pki.root().certificate) as running:
        yield running


def keep(vault, kind="p256", name="client", **body):
    held = pki.client(kind, name)
    return vault.keep(certificates=held.whole_chain, private_key=held.key, **body)


def shown(request):
    """The subject of the client certificate that a request came with."""
    return x509.load_der_x509_certificate(request.certificate).subject.rfc4514_string()


# by nginx


def test_nginx_accepts_the_identity_of_the_host_then_refuses_none_then_accepts_the_primary(vault, bundle, nginx):
    by_host = keep(vault, name="by-host", hosts=["127.0.0.1"])
    keep(vault, name="elsewhere", hosts=["*.acme.com"])
    check = vault.check(nginx.url, trusted_ca=bundle, expect={"json": [{"path": "/subject", "contains": "CN=by-host"}]})
    run = vault.run(check["id"])
    assert (run["state"], run["findings"], run["failure"]) == ("passing", [], None)
    assert run["identity"] == {
        "id": by_host["id"], "name": "by-host", "fingerprint_sha256": by_host["fingerprint_sha256"],
        "reason": "it is for exactly this host, 127.0.0.1", "presented": True}
    assert run["identity_requested"] is True
    verdict, subject, serial, version, host, _ = nginx.seen()[-1]
    assert (verdict, subject, host) == ("SUCCESS", "CN=by-host,O=Partner", "127.0.0.1")
    assert int(serial, 16) == int(by_host["serial_number"]) and version == run["tls_version"] == "TLSv1.3"

    kept(vault.remove(by_host["id"]))
    run = vault.run(check["id"])
    assert run["state"] == "failing" and run["identity"]["presented"] is False
    assert run["identity"]["id"] is None and run["identity_requested"] is True
    assert any("no client certificate was presented: no identity is assigned to this host" in finding
               for finding in run["findings"]), run["findings"]
    assert nginx.seen()[-1][0] == "NONE"

    primary = keep(vault, name="primary", primary=True)
    check_again = vault.check(nginx.url, trusted_ca=bundle)
    run = vault.run(check_again["id"])
    assert run["state"] == "passing" and run["identity"]["id"] == primary["id"]
    assert "primary" in run["identity"]["reason"]
    assert nginx.seen()[-1][:2] == ["SUCCESS", "CN=primary,O=Partner"]


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384"])
def test_nginx_takes_every_kind_of_key(vault, bundle, nginx, kind):
    keep(vault, kind, name=f"by-{kind}", primary=True)
    called = vault.request(nginx.named_url, trusted_ca=bundle)
    assert called["status"] == 200 and called["identity"]["presented"] is True
    assert nginx.seen()[-1][:2] == ["SUCCESS", f"CN=by-{kind},O=Partner"]


def test_nginx_refuses_a_certificate_of_a_ca_that_it_does_not_know_and_the_run_says_so(vault, bundle, nginx):
    stranger = pki.self_signed("/CN=stranger", extensions=pki.CLIENT[:3])
    vault.keep(certificates=stranger.certificate, private_key=stranger.key, primary=True)
    run = vault.run(vault.check(nginx.url, trusted_ca=bundle)["id"])
    assert run["state"] == "failing" and run["identity"]["presented"] is True
    # nginx judges after the handshake, and answers 400.
    assert run["status"] == 400 and "the status is 400, not 2xx" in run["findings"]
    assert nginx.seen()[-1][0].startswith("FAILED")


# by a server that judges in the handshake


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_requires_a_certificate_sees_it_in_both_versions_of_tls(vault, bundle, version, kind):
    made = keep(vault, kind, name="strict", hosts=["localhost"])
    with TlsServer(client_ca=pki.root().certificate, version=VERSIONS[version]) as server:
        called = vault.request(server.named_url, trusted_ca=bundle)
        assert called["status"] == 200, called["failure"]
        assert (called["tls_version"], called["identity_requested"]) == (version, True)
        assert called["identity"]["id"] == made["id"] and called["identity"]["presented"] is True
        [request] = server.requests
        assert shown(request) == "CN=strict,O=Partner" and request.server_name == "localhost"


@pytest.mark.parametrize("version", VERSIONS)
def test_without_an_identity_the_failure_says_that_one_is_wanted(vault, bundle, version):
    keep(vault, hosts=["*.acme.com"])
    with TlsServer(client_ca=pki.root().certificate, version=VERSIONS[version]) as server:
        for identity in ("auto", "none"):
            called = vault.request(server.url, trusted_ca=bundle, identity=identity)
            assert called["failure"]["stage"] == "client_certificate"
            assert "wants a client certificate, and none was presented" in called["failure"]["message"]
            assert called["identity"]["presented"] is False and called["identity_requested"] is True
        assert server.requests == []


@pytest.mark.parametrize("version", VERSIONS)
def test_an_identity_of_an_unknown_ca_is_refused_and_the_failure_says_so(vault, bundle, version):
    keep(vault, primary=True)
    other = pki.self_signed("/CN=Another Root").certificate
    with TlsServer(client_ca=other, version=VERSIONS[version]) as server:
        called = vault.request(server.url, trusted_ca=bundle)
        assert called["failure"]["stage"] == "client_certificate"
        assert "refused the client certificate: unknown CA" in called["failure"]["message"]
        assert called["identity"]["presented"] is True and server.requests == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_does_not_ask_sees_no_certificate(vault, bundle, version):
    keep(vault, primary=True)
    with TlsServer(version=VERSIONS[version]) as server:
        called = vault.request(server.url, trusted_ca=bundle)
        assert called["status"] == 200 and called["identity_requested"] is False
        assert called["identity"]["presented"] is False and called["identity"]["id"] is not None
        assert server.requests[0].certificate is None


def test_a_server_that_would_like_a_certificate_gets_it_or_none(vault, bundle):
    made = keep(vault, name="liked")
    with TlsServer(client_ca=pki.root().certificate, required=False) as server:
        assert vault.request(server.url, trusted_ca=bundle)["identity"]["presented"] is False
        assert vault.request(server.url, trusted_ca=bundle, identity=made["id"])["identity"]["presented"] is True
        assert [request.certificate is None for request in server.requests] == [True, False]


def test_a_host_says_which_identity_each_time(vault, bundle):
    """Two names of one machine, two identities; no connection or session is shared."""
    keep(vault, "p256", name="by-name", hosts=["local*"])
    keep(vault, "p384", name="by-address", hosts=["127.0.0.1"])
    with TlsServer(client_ca=pki.root().certificate) as server:
        for _ in range(3):
            assert vault.request(server.named_url, trusted_ca=bundle)["status"] == 200
            assert vault.request(server.url, trusted_ca=bundle)["status"] == 200
        both = ["CN=by-name,O=Partner", "CN=by-address,O=Partner"]
        assert [shown(request) for request in server.requests] == both * 3


def test_the_case_and_the_final_dot_of_the_address_do_not_matter(vault, bundle):
    made = keep(vault, hosts=["LOCALHOST"])
    with TlsServer(client_ca=pki.root().certificate) as server:
        for host in ("LocalHost", "localhost"):
            assert vault.request(f"https://{host}:{server.port}/", trusted_ca=bundle)["identity"]["id"] == made["id"]


def test_an_identity_brings_its_own_cas_to_verify_the_server_by(vault):
    held = pki.client()
    vault.keep_held(held, primary=True)
    with TlsServer(client_ca=pki.root().certificate) as server:
        assert vault.request(server.url)["status"] == 200
        called = vault.request(server.url, identity="none")
        assert called["failure"]["stage"] == "certificate"


def test_an_explicit_identity_that_was_removed_by_force_fails_the_check_and_nothing_is_called(vault, bundle):
    made = keep(vault)
    keep(vault, "p384", primary=True)
    with TlsServer(client_ca=pki.root().certificate) as server:
        check = vault.check(server.url, trusted_ca=bundle, identity=made["id"])
        assert vault.run(check["id"])["state"] == "passing"
        kept(vault.remove(made["id"], force="true"))
        run = vault.run(check["id"])
        assert run["state"] == "failing" and run["failure"]["stage"] == "identity"
        assert made["id"] in run["failure"]["message"] and "not there any more" in run["failure"]["message"]
        assert len(server.requests) == 1, "no other identity goes in its place"


# replacement


def test_a_replacement_keeps_hosts_primary_and_uses_and_is_presented_at_once(vault, bundle):
    made = keep(vault, name="old", hosts=["127.0.0.1"], primary=True, labels={"team": "a"})
    with TlsServer(client_ca=pki.root().certificate) as server:
        check = vault.check(server.url, trusted_ca=bundle, identity=made["id"])
        assert vault.run(check["id"])["state"] == "passing"
        new = pki.client("rsa2048", "new")
        replaced = kept(vault.replace(made["id"], certificates=new.whole_chain, private_key=new.key))
        for field in ("id", "name", "hosts", "primary", "labels", "trusted_ca", "uploaded_on"):
            assert replaced[field] == made[field], field
        assert replaced["version"] == made["version"] + 1 and replaced["key_type"] == "rsa2048"
        assert replaced["certificates"] == new.whole_chain and vault.show(made["id"]) == replaced
        assert [use["service"] for use in vault.uses(made["id"])] == ["check"]
        run = vault.run(check["id"])
        assert run["identity"]["fingerprint_sha256"] == replaced["fingerprint_sha256"]
        assert [shown(request) for request in server.requests] == ["CN=old,O=Partner", "CN=new,O=Partner"]
        assert vault.match("127.0.0.1")["choice"]["id"] == made["id"]


def test_a_newer_certificate_for_the_same_key_needs_no_key(vault, bundle):
    made = keep(vault, hosts=["127.0.0.1"])
    newer = pki.issued(pki.intermediate(), "/O=Partner/CN=newer", days=400)
    replaced = kept(vault.replace(made["id"], certificates=newer.whole_chain))
    assert (replaced["common_name"], replaced["version"]) == ("newer", 1)
    with TlsServer(client_ca=pki.root().certificate) as server:
        assert vault.request(server.url, trusted_ca=bundle)["status"] == 200
        assert shown(server.requests[0]) == "CN=newer,O=Partner"
    other = pki.client("p384")
    answer = vault.replace(made["id"], certificates=other.whole_chain)
    assert answer.status_code == 400 and "does not belong" in answer.text
    assert vault.show(made["id"]) == replaced


def test_an_upload_that_replaces_finds_its_predecessor_by_key_then_by_name(vault):
    made = keep(vault, name="partner", hosts=["127.0.0.1"])
    newer = pki.issued(pki.intermediate(), "/O=Partner/CN=partner", days=400)
    replaced = kept(vault.upload(certificates=newer.whole_chain, replace=True))
    assert (replaced["id"], replaced["hosts"], replaced["version"]) == (made["id"], ["127.0.0.1"], 1)
    other = pki.client("rsa2048", "rekeyed")
    replaced = kept(vault.upload(certificates=other.whole_chain, private_key=other.key, name="partner", replace=True))
    assert (replaced["id"], replaced["version"], replaced["common_name"]) == (made["id"], 2, "rekeyed")
    stranger = pki.client("p384", "stranger")
    answer = vault.upload(certificates=stranger.whole_chain, private_key=stranger.key, name="new", replace=True)
    assert kept(answer)["id"] != made["id"] and any("was added" in message for message in messages(answer))
    assert len(vault.listed()) == 2


def test_a_replacement_that_is_wrong_changes_nothing(vault):
    made = keep(vault)
    late = pki.issued(pki.intermediate(), "/CN=late", at=-40, days=10)
    for body in ({}, {"certificates": "x"}, {"certificates": late.whole_chain, "private_key": late.key},
                 {"certificates": pki.client("p384").whole_chain, "private_key": pki.key_of("rsa2048")},
                 {"certificates": 7}, {"pkcs12": "x"}):
        answer = vault.replace(made["id"], **body)
        assert answer.status_code == 400, answer.text
        assert vault.show(made["id"]) == made


# managed identities


def manage(vault, zone, **plan):
    return vault.keep(managed={"zone_id": zone.zone, "common_name": "managed", **plan}, hosts=["127.0.0.1"])


@pytest.fixture
def zone(vault):
    made = vault.result("POST", "/zones", json={"name": "zone"})
    return vault.in_zone(made["id"])


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_a_managed_identity_works_against_nginx_that_trusts_the_zone(vault, bundle, zone, tmp_path, kind):
    made = manage(vault, zone, key_type=kind, organization="Ours", validity_days=30)
    assert made["key_type"] == kind and made["managed"]["zone_id"] == zone.zone
    with Nginx(tmp_path, zone.bundle().text, zone.chain_crls()) as nginx:
        run = vault.run(vault.check(nginx.url, trusted_ca=bundle)["id"])
        assert run["state"] == "passing" and run["identity"]["id"] == made["id"]
        assert nginx.seen()[-1][:2] == ["SUCCESS", "CN=managed,O=Ours"]
    certificate = zone.get(made["managed"]["client_certificate_id"])
    assert certificate["serial_number"] == made["serial_number"] and certificate["validity_days"] == 30
    life = (moment(made["expires_on"]) - moment(made["issued_on"]))
    assert abs(moment(made["managed"]["renews_on"]) - (moment(made["issued_on"]) + life * 2 / 3)) <= 1


def moment(text):
    return int(time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def test_a_managed_identity_is_not_replaced_by_hand_and_not_made_in_a_foreign_zone(vault, zone):
    made = manage(vault, zone)
    held = pki.client()
    answer = vault.replace(made["id"], certificates=held.whole_chain, private_key=held.key)
    assert answer.status_code == 400 and "managed" in answer.text
    other = Identities.of_new_account(vault.server)
    assert other.upload(managed={"zone_id": zone.zone, "common_name": "x"}).status_code == 403
    assert other.listed() == []
    reader = vault.with_token("identities:write")
    assert reader.upload(managed={"zone_id": zone.zone, "common_name": "x"}).status_code == 403, "it issues, too"
    answer = vault.upload(managed={"zone_id": zone.zone, "common_name": "x"}, private_key=held.key, ca=True)
    assert answer.status_code == 400 and "leave it out" in answer.text


def test_removing_a_managed_identity_revokes_its_certificate(vault, zone):
    made = manage(vault, zone)
    kept(vault.remove(made["id"]))
    certificate = zone.wait_for(made["managed"]["client_certificate_id"], "revoked")
    assert int(certificate["serial_number"]) in listed_serials(zone.crl())


def restart_in(server, days):
    assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
    server.stop()
    server.start(LD_PRELOAD=str(LIBFAKETIME), FAKETIME=f"+{days}d", FAKETIME_DONT_FAKE_MONOTONIC="1")


def wait_until(condition, what, within=30):
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def test_the_worker_renews_at_two_thirds_and_revokes_the_certificate_before_as_superseded(make_server):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    vault = Identities.of_new_account(server)
    zone = vault.in_zone(vault.result("POST", "/zones", json={"name": "zone"})["id"])
    at_once = manage(vault, zone, validity_days=30, grace_seconds=0)
    plan = {"zone_id": zone.zone, "common_name": "graceful", "validity_days": 30}
    with_grace = vault.keep(managed=plan, primary=True)
    use = {"name": "partner is up", "identity": at_once["id"]}
    vault.check("https://127.0.0.1:1/", **use)
    before = {one["id"]: zone.get(one["managed"]["client_certificate_id"]) for one in (at_once, with_grace)}

    restart_in(server, 19)
    time.sleep(1.2)
    assert vault.show(at_once["id"]) == at_once, "not before two thirds"

    restart_in(server, 21)
    renewed = wait_until(lambda: (one := vault.show(at_once["id"]))["version"] == 1 and one, "renewed")
    graceful = wait_until(lambda: (one := vault.show(with_grace["id"]))["version"] == 1 and one, "renewed")
    for field in ("id", "name", "hosts", "primary", "labels", "common_name", "key_type", "uploaded_on"):
        assert renewed[field] == at_once[field] and graceful[field] == with_grace[field], field
    assert renewed["expires_on"] > at_once["expires_on"]
    assert renewed["managed"]["renews_on"] > at_once["managed"]["renews_on"]
    assert spki(renewed) != spki(at_once), "with a new key"
    assert [one["service"] for one in vault.uses(at_once["id"])] == ["partner is up"]
    assert [row[0] for row in vault.audit("identity.renew")] == ["identity.renew"] * 2

    old = before[at_once["id"]]
    zone.wait_for(old["id"], "revoked")
    crl = zone.crl()
    assert int(old["serial_number"]) in listed_serials(crl)
    assert listed_reason(crl, old) == x509.ReasonFlags.superseded
    assert int(renewed["serial_number"]) not in listed_serials(crl)
    assert zone.get(renewed["managed"]["client_certificate_id"])["status"] == "active"
    assert zone.get(before[with_grace["id"]]["id"])["status"] == "active", "a day of grace"

    restart_in(server, 23)
    zone.wait_for(before[with_grace["id"]]["id"], "revoked")
    assert zone.patch(before[with_grace["id"]]["id"], json={"reactivate": True}).status_code == 400


def spki(identity):
    return pki.openssl("x509", "-noout", "-pubkey", "-in", "leaf", files={"leaf": identity["certificates"]})


def test_a_renewed_certificate_is_presented_and_the_one_before_refused(make_server, tmp_path):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    vault = Identities.of_new_account(server)
    zone = vault.in_zone(vault.result("POST", "/zones", json={"name": "zone"})["id"])
    bundle = vault.keep(ca=True, certificates=pki.root().certificate)["id"]
    made = manage(vault, zone, validity_days=3000, grace_seconds=0)
    with Nginx(tmp_path, zone.bundle().text, zone.chain_crls()) as nginx:
        assert vault.request(nginx.url, trusted_ca=bundle)["status"] == 200
        # The server's own certificate lasts a year, so the renewal is brought on in the database instead.
        server.stop()
        server.tamper("update managed_identities set renew_at = 0, retry_at = 0")
        server.start()
        renewed = wait_until(lambda: (one := vault.show(made["id"]))["version"] == 1 and one, "renewed")
        zone.wait_for(made["managed"]["client_certificate_id"], "revoked")
        nginx.reload(zone.chain_crls())
        called = vault.request(nginx.url, trusted_ca=bundle)
        assert called["status"] == 200 and called["identity"]["fingerprint_sha256"] == renewed["fingerprint_sha256"]
        assert [int(line[2], 16) for line in nginx.seen()] == [int(one["serial_number"]) for one in (made, renewed)]
