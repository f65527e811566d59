"""Complete CRLs, deltas, shards and the file of a chain, judged by openssl, GnuTLS and pkilint."""

import pathlib
import subprocess

import httpx
import pytest
from cryptography import x509

import csr
from api import Api, crl_number, listed_serials
from der import pem
from judges import lint_certificate, lint_crl, run
from server import Server

AUTHORITY_KEY_TYPES = ["p256", "p384", "rsa2048", "ed25519"]
SHARDS = 4
MIGRATION = "2026-11-22-000000_revocation"


class Zone:
    """A zone with a sharded authority, and its chain in files."""

    def __init__(self, folder, server):
        self.folder = folder
        plain = Api(server)
        self.api = plain.in_zone(plain.create_zone("sharded", authority={"crl_shards": SHARDS})["id"])
        issuing, root = self.api.authorities()
        assert issuing["crl_shards"] == SHARDS
        self.authority = issuing["id"]
        self.base = f"{server.url}/pki/{self.authority}"
        self.issuing = self.write("issuing.pem", issuing["certificate"])
        self.root = self.write("root.pem", root["certificate"])

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def fetch(self, path):
        answer = httpx.get(f"{self.base}/{path}", timeout=60)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/pkix-crl"
        return answer.content

    def file(self, name, *ders):
        return self.write(name, "".join(pem(der, "X509 CRL") for der in ders))

    def issue(self):
        made = self.api.issue(csr.fresh())
        return {**made, "file": self.write(f"{made['id']}.pem", made["certificate"])}

    def verify(self, leaf, crls, *options):
        """What `openssl verify` says of the leaf with these CRLs."""
        done = subprocess.run(
            ["openssl", "verify", "-crl_check", *options, "-CRLfile", crls, "-CAfile", self.root, "-untrusted", self.issuing,
             leaf["file"]], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=AUTHORITY_KEY_TYPES)
def zone(request, make_folder, tmp_path_factory):
    server = Server(make_folder(), COUNTERSIGN_ROOT_KEY_TYPE=request.param,
                    COUNTERSIGN_ISSUING_KEY_TYPE=request.param).start()
    yield Zone(tmp_path_factory.mktemp("zone"), server)
    server.clean_up()


def shard_of(certificate):
    return int(certificate["serial_number"]) % 2**32 % SHARDS


def point_of(certificate):
    parsed = x509.load_pem_x509_certificate(certificate["certificate"].encode())
    points = parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return [name.value for point in points for name in point.full_name]


def test_every_kind_of_crl_satisfies_every_judge(zone):
    for reason in ("certificateHold", "keyCompromise", "unspecified"):
        zone.api.revoke(zone.issue()["id"], reason)
    held = zone.issue()
    zone.api.revoke(held["id"])
    zone.api.reactivate(held["id"])
    delta = zone.fetch("crl/delta")
    for name, der in [("complete", zone.fetch("crl")), ("delta", delta),
                      *((f"shard-{number}", zone.fetch(f"crl/{number}")) for number in range(SHARDS))]:
        path = zone.file(f"{name}.pem", der)
        lint_crl(path)
        assert "verify OK" in run("openssl", "crl", "-in", path, "-CAfile", zone.issuing, "-noout")
        run("certtool", "--verify-crl", "--load-ca-certificate", zone.issuing, "--infile", path)
        run("openssl", "asn1parse", "-in", path)
    text = run("openssl", "crl", "-in", zone.folder / "delta.pem", "-noout", "-text")
    assert "X509v3 Delta CRL Indicator: critical" in text and "Remove From CRL" in text
    text = run("openssl", "crl", "-in", zone.folder / "complete.pem", "-noout", "-text")
    assert "X509v3 Freshest CRL" in text and f"/pki/{zone.authority}/crl/delta" in text
    text = run("openssl", "crl", "-in", zone.folder / "shard-2.pem", "-noout", "-text")
    assert "X509v3 Issuing Distribution Point: critical" in text and f"/pki/{zone.authority}/crl/2" in text


def test_openssl_learns_from_a_delta_what_happened_after_its_base(zone):
    held, later = zone.issue(), zone.issue()
    zone.api.revoke(held["id"])
    base = zone.fetch("crl")
    zone.api.reactivate(held["id"])
    zone.api.revoke(later["id"], "superseded")
    alone, together = zone.file("base.pem", base), zone.file("both.pem", base, zone.fetch("crl/delta"))
    assert "certificate revoked" in zone.verify(held, alone) and ": OK" in zone.verify(later, alone)
    assert ": OK" in zone.verify(held, together, "-use_deltas")
    assert "certificate revoked" in zone.verify(later, together, "-use_deltas")
    complete = zone.file("complete.pem", zone.fetch("crl"))
    assert ": OK" in zone.verify(held, complete) and "certificate revoked" in zone.verify(later, complete)


def test_openssl_takes_the_shard_that_the_certificate_names_and_no_other(zone):
    certificate = zone.issue()
    shard = shard_of(certificate)
    assert [address.rsplit("/", 1)[1] for address in point_of(certificate)] == [str(shard)]
    lint_certificate(certificate["file"])
    own = zone.file("own.pem", zone.fetch(f"crl/{shard}"))
    assert ": OK" in zone.verify(certificate, own)
    other = zone.file("other.pem", zone.fetch(f"crl/{(shard + 1) % SHARDS}"))
    assert "ifferent CRL scope" in (said := zone.verify(certificate, other)) or "unable to get certificate CRL" in said, said
    zone.api.revoke(certificate["id"], "keyCompromise")
    assert "certificate revoked" in zone.verify(certificate, zone.file("own.pem", zone.fetch(f"crl/{shard}")))
    assert int(certificate["serial_number"]) in listed_serials(x509.load_der_x509_crl(zone.fetch(f"crl/{shard}")))


def test_addresses_of_no_crl_are_not_found(zone):
    for path in ("crl/4", "crl/-1", "crl/01", "crl/+1", "crl/x", "crl/1/2", "crl/deltas", "crl/99999999999", "crl/0.0"):
        assert httpx.get(f"{zone.base}/{path}").status_code == 404, path
    unsharded = Api(zone.api.server)
    issuing = unsharded.in_zone(unsharded.default_zone()["id"]).authorities()[0]
    assert httpx.get(f"{zone.api.server.url}/pki/{issuing['id']}/crl/0").status_code == 404


def test_the_file_of_a_chain_holds_the_crls_of_all_its_authorities(zone):
    url = f"{zone.api.server.url}/pki/{zone.api.zone}/crl-chain.pem"
    answer = httpx.get(url)
    assert answer.status_code == 200 and answer.text == zone.api.chain_crls()
    assert int(answer.headers["content-length"]) == len(answer.content)
    known = {"if-none-match": answer.headers["etag"]}
    assert httpx.get(url, headers=known).status_code == 304
    head = httpx.head(url)
    assert head.headers["content-length"] == answer.headers["content-length"] and head.content == b""
    zone.api.revoke(zone.issue()["id"])
    fresh = httpx.get(url, headers=known)
    assert fresh.status_code == 200 and fresh.headers["etag"] != answer.headers["etag"]
    for wrong in ("f" * 32, "nothing", zone.authority):
        assert httpx.get(f"{zone.api.server.url}/pki/{wrong}/crl-chain.pem").status_code == 404


def test_the_options_of_an_authority_are_checked(zone):
    path = f"/zones/{zone.api.zone}/certificate_authorities"
    for wrong in (1, 0, -4, 1025, 2.5, "64", [64], True):
        answer = zone.api.call("POST", path, json={"crl_shards": wrong})
        assert answer.status_code == 400 and answer.json()["errors"][0]["source"]["pointer"] == "/crl_shards", wrong
    answer = zone.api.call("POST", "/zones", json={"name": "wrong", "authority": {"crl_shards": 1, "key_type": "dsa"}})
    assert {e["source"]["pointer"] for e in answer.json()["errors"]} == {"/authority/crl_shards", "/authority/key_type"}
    before = zone.api.authorities()
    made = zone.api.result("POST", path, json={"key_type": "p256", "crl_shards": 2})
    after = zone.api.authorities()
    assert (made["state"], made["crl_shards"]) == ("active", 2)
    assert {a["id"]: a["state"] for a in after} == {
        made["id"]: "active", **{a["id"]: "active" if a["type"] == "root" else "retired" for a in before}}
    old, new = before[0], after[0]
    assert zone.issue()["certificate_authority"]["id"] == new["id"] != old["id"]
    assert zone.api.chain_crls().count("BEGIN X509 CRL") == len(before) + 1


def test_an_installation_of_before_goes_on_with_its_crls(make_server):
    """The schema before kept whole CRLs; they are served until the next publication, and numbers and revocations go on."""
    server = make_server().start()
    plain = Api(server)
    api = plain.in_zone(plain.default_zone()["id"])
    revoked, held = (api.issue(csr.fresh()) for _ in range(2))
    api.revoke(revoked["id"], "superseded")
    api.revoke(held["id"])
    authority = api.authorities()[0]["id"]
    der, number = api.crl_der(), crl_number(api.crl())
    server.stop()
    down = pathlib.Path(__file__).parents[2] / "migrations" / server.store.name / MIGRATION / "down.sql"
    database = server.database(writable=True)
    states = database.execute("select authority_id, number, this_update, next_update from publications").fetchall()
    database.executescript(down.read_text())
    for owner, last, this_update, next_update in states:
        ours = der if owner.hex() == authority.replace("-", "") else b"0"
        database.execute("insert into crls values (?, ?, ?, ?, ?)", (owner, last, this_update, next_update, ours))
        database.execute("update publications set this_update = ?, next_update = ? where authority_id = ?",
                         (this_update, next_update, owner))
    database.execute("delete from __diesel_schema_migrations where version = '20261122000000'")
    database.close()

    server.start()
    assert api.crl_der() == der
    another = api.issue(csr.fresh())
    api.revoke(another["id"])
    crl = api.crl()
    assert crl_number(crl) == number + 1
    assert listed_serials(crl) == {int(c["serial_number"]) for c in (revoked, held, another)}
    api.reactivate(held["id"])
    assert listed_serials(api.crl()) == {int(c["serial_number"]) for c in (revoked, another)}
