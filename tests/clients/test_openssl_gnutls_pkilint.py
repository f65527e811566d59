"""openssl, GnuTLS and pkilint find no error in anything issued: every authority, request key and profile."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import csr
from api import Api
from judges import Chain, lint_certificate, lint_crl, lint_pair, run
from server import Server

AUTHORITY_KEY_TYPES = ["p256", "p384", "rsa2048", "ed25519"]
PROFILES = {"client": 365, "short-lived": 7}
SUBJECT = "/C=PT/ST=Lisboa/L=Lisboa/O=Example Org/OU=Field/CN=device-0001"
SANS = ("DNS:device-0001.example.com,email:owner@example.com,IP:192.0.2.1,IP:2001:db8::1,"
        "URI:https://example.com/device/1,URI:urn:uuid:0d89c70d-ad9f-4843-b99f-6cc0252067e9")
REASONS = [None, "keyCompromise", "superseded", "cessationOfOperation", "privilegeWithdrawn", "affiliationChanged"]


@pytest.fixture(scope="module", params=AUTHORITY_KEY_TYPES)
def api(request, make_folder):
    server = Server(make_folder(), COUNTERSIGN_ROOT_KEY_TYPE=request.param,
                    COUNTERSIGN_ISSUING_KEY_TYPE=request.param).start()
    plain = Api(server)
    yield plain.in_zone(plain.default_zone()["id"])
    server.clean_up()


@pytest.fixture(scope="module")
def chain(api, tmp_path_factory):
    """Taken first of all, so the CRLs in it are still empty."""
    return Chain(tmp_path_factory.mktemp("chain"), api)


def test_root_and_issuing_certificates_satisfy_every_judge(chain):
    for path in (chain.root, chain.issuing):
        lint_certificate(path)
        run("openssl", "asn1parse", "-in", path)
        run("certtool", "-i", "--infile", path)
    lint_pair(chain.root, chain.issuing)
    run("openssl", "verify", "-x509_strict", "-CAfile", chain.root, chain.issuing)


def test_empty_crls_satisfy_every_judge(chain):
    assert_crls_are_good(chain)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", csr.REQUEST_KEY_TYPES)
def test_every_certificate_satisfies_every_judge(api, chain, kind, profile):
    made = api.issue(csr.by_openssl(kind, subject=SUBJECT, sans=SANS), days=PROFILES[profile], profile=profile)
    leaf = chain.write("leaf.pem", made["certificate"])
    chain.openssl_verify(leaf)
    chain.openssl_verify(leaf, crls=True)
    chain.gnutls_verify(leaf)
    lint_certificate(leaf)
    lint_pair(chain.issuing, leaf)
    run("openssl", "asn1parse", "-in", leaf)
    text = run("openssl", "x509", "-in", leaf, "-noout", "-text", "-nameopt", "utf8")
    assert "TLS Web Client Authentication" in text and "CA:FALSE" in text


@pytest.mark.parametrize("form", ["no names", "only names", "unusual name"])
def test_unusual_requests_give_clean_certificates(api, chain, form):
    pem = {"no names": csr.by_openssl(), "only names": csr.with_sans(["only.example"]),
           "unusual name": csr.by_openssl(subject="/DC=com/DC=example/OU=a/OU=b/CN=Zoë+UID=17")}[form]
    leaf = chain.write("unusual.pem", api.issue(pem)["certificate"])
    chain.openssl_verify(leaf, crls=True)
    lint_certificate(leaf)


def test_crls_with_entries_of_several_reasons_satisfy_every_judge(api, tmp_path):
    made = [api.issue(csr.fresh()) for _ in REASONS]
    for certificate, reason in zip(made, REASONS):
        api.delete(certificate["id"], reason)
    for certificate in made:
        api.wait_for(certificate["id"], "revoked")
    chain = Chain(tmp_path, api)
    assert_crls_are_good(chain)
    assert all(chain.openssl_says_revoked(chain.write("leaf.pem", c["certificate"])) for c in made)
    chain.openssl_verify(chain.write("good.pem", api.issue(csr.by_openssl())["certificate"]), crls=True)


def test_a_certificate_back_from_hold_verifies_again(api, tmp_path):
    made = api.issue(csr.by_openssl())
    api.revoke(made["id"])
    held = Chain(tmp_path, api)
    leaf = held.write("leaf.pem", made["certificate"])
    assert held.openssl_says_revoked(leaf)
    api.reactivate(made["id"])
    Chain(tmp_path, api).openssl_verify(leaf, crls=True)


def test_the_bundle_is_issuing_and_root_in_every_form(api, chain, tmp_path):
    expected = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (chain.issuing, chain.root)]
    assert x509.load_pem_x509_certificates(api.bundle("pem").content) == expected
    der = api.bundle("der").content
    assert der == b"".join(c.public_bytes(Encoding.DER) for c in expected)
    packed = tmp_path / "bundle.p7b"
    packed.write_bytes(api.bundle("pkcs7").content)
    printed = run("openssl", "pkcs7", "-inform", "DER", "-in", packed, "-print_certs")
    assert set(x509.load_pem_x509_certificates(printed.encode())) == set(expected)


def assert_crls_are_good(chain):
    for path, issuer, kind in ((chain.issuing_crl, chain.issuing, "CRL"), (chain.root_crl, chain.root, "ARL")):
        lint_crl(path, kind)
        assert "verify OK" in run("openssl", "crl", "-in", path, "-CAfile", issuer, "-noout")
        said = run("certtool", "--verify-crl", "--load-ca-certificate", issuer, "--infile", path)
        assert "Verification output: Verified" in said, said
