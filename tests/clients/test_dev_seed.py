"""`countersign dev seed`, which fills the stores that are measured: what it makes is as real as what was asked for one by one."""

import subprocess

import pytest
from cryptography import x509

import server as server_module
from api import Api, listed_serials
from judges import Chain

ACTIVE, REVOKED = 230, 120


def seed(server, *options, zone=None):
    """On the server's own data, without the server."""
    command = [server_module.BINARY, "dev", "seed", *map(str, options)]
    return subprocess.run(command, cwd=server.folder, env=server.environment(), capture_output=True, text=True, timeout=120)


def seeded(server):
    said = seed(server, "--certificates", ACTIVE, "--revoked", REVOKED)
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_a_seeded_store_is_as_if_each_had_been_asked_for(make_server, tmp_path):
    server = make_server()
    assert f"{ACTIVE} active and {REVOKED} revoked" in seeded(server), "an empty store is set up"
    api = Api(server.start())
    zone = api.in_zone(api.default_zone()["id"])

    assert (zone.total(status="active"), zone.total(status="revoked"), zone.total()) == (ACTIVE, REVOKED, ACTIVE + REVOKED)
    everything = zone.everything()
    assert len({one["id"] for one in everything}) == ACTIVE + REVOKED
    assert len({one["serial_number"] for one in everything}) == ACTIVE + REVOKED
    revoked = [one for one in everything if one["status"] == "revoked"]
    assert listed_serials(zone.crl()) == {int(one["serial_number"]) for one in revoked}

    chain = Chain(tmp_path, zone)
    active = [one for one in everything if one["status"] == "active"]
    for one in (active[0], active[-1], active[ACTIVE // 2]):
        chain.openssl_verify(chain.write("leaf.pem", one["certificate"]), crls=True)
    assert chain.openssl_says_revoked(chain.write("leaf.pem", revoked[0]["certificate"]))
    leaf = x509.load_pem_x509_certificate(active[7]["certificate"].encode())
    assert leaf.subject.rfc4514_string() == f"CN={active[7]['common_name']}"


def test_life_goes_on_after_seeding(make_server, request_pem):
    server = make_server()
    seeded(server)
    api = Api(server.start())
    zone = api.in_zone(api.default_zone()["id"])
    issued = zone.issue(request_pem)
    zone.revoke(issued["id"])
    seeded_one = zone.list(status="active", per_page=5).json()["result"][0]
    zone.revoke(seeded_one["id"])
    assert (zone.total(status="active"), zone.total(status="revoked")) == (ACTIVE - 1, REVOKED + 2)
    serials = listed_serials(zone.crl())
    assert len(serials) == REVOKED + 2 and int(issued["serial_number"]) in serials


def test_seeding_goes_into_the_zone_that_is_named_and_nowhere_else(make_server):
    server = make_server().start()
    api = Api(server)
    other = api.in_zone(api.create_zone("other", authority={"crl_shards": 4})["id"])
    server.stop()
    assert seed(server, "--zone", "other", "--certificates", 10, "--revoked", 40).returncode == 0
    server.start()
    assert (other.total(status="active"), other.total(status="revoked")) == (10, 40)
    assert api.in_zone(api.default_zone()["id"]).total() == 0

    server.stop()
    said = seed(server, "--zone", "nowhere", "--certificates", 1)
    assert said.returncode != 0 and "there is no zone" in said.stderr and "nowhere" in said.stderr


@pytest.mark.only_on("sqlite", reason="PostgreSQL serves as many as come")
def test_seeding_stays_out_of_a_store_that_is_being_served(server):
    said = seed(server, "--certificates", 1)
    assert said.returncode != 0 and "another countersign is using" in said.stderr


def test_the_normal_help_does_not_show_it():
    said = subprocess.run([server_module.BINARY, "--help"], capture_output=True, text=True, timeout=30)
    assert "dev" not in [line.split()[0] for line in said.stdout.splitlines() if line.startswith("  ")]
