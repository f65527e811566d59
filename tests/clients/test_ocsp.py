"""OCSP as relying parties use it: openssl, GnuTLS, `cryptography` and pkilint judge; nginx relies on it; bad input does no
harm."""

import base64
import os
import re
import secrets
import subprocess
import time
import urllib.parse
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

import csr
import der
from api import Api
from judges import TOOLS, Chain, lint_certificate, lint_pair, run
from server import Server
from test_nginx_mtls import SERVER, Nginx, write_identity

AUTHORITY_KEY_TYPES = ["p256", "p384", "rsa2048", "ed25519"]
CONTENT_TYPE = {"content-type": "application/ocsp-request"}
MALFORMED, TRY_LATER, UNAUTHORIZED = (bytes([0x30, 3, 0x0A, 1, code]) for code in (1, 3, 6))
NONCE = "1.3.6.1.5.5.7.48.1.2"
INVALIDITY_DATE = der.oid("2.5.29.24")
SHA1 = der.sequence(der.oid("1.3.14.3.2.26"), der.null())


class Asked:
    """A zone with its chain, and what is asked of its authority."""

    def __init__(self, folder, api):
        self.api = api
        self.chain = Chain(folder, api)
        self.authority = x509.load_pem_x509_certificate(self.chain.issuing.read_bytes())
        self.root = x509.load_pem_x509_certificate(self.chain.root.read_bytes())
        issuing, root = api.authorities()
        self.url, self.root_url = (f"{api.server.url}/pki/{item['id']}/ocsp" for item in (issuing, root))
        self.http = httpx.Client(timeout=60)

    def issue(self, name="leaf.pem", **options):
        made = self.api.issue(csr.fresh(), **options)
        return made, self.chain.write(name, made["certificate"])

    def request(self, certificate, issuer=None, algorithm=hashes.SHA256(), nonce=None):
        if isinstance(certificate, dict):
            certificate = x509.load_pem_x509_certificate(certificate["certificate"].encode())
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer or self.authority, algorithm)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), False)
        return builder.build().public_bytes(Encoding.DER)

    def post(self, body, url=None, headers=CONTENT_TYPE):
        return self.http.post(url or self.url, content=body, headers=headers)

    def get(self, body, **headers):
        return self.http.get(f"{self.url}/{urllib.parse.quote(base64.b64encode(body), safe='')}", headers=headers)

    def openssl(self, *options, url=None, issuer=None):
        return run("openssl", "ocsp", "-issuer", issuer or self.chain.issuing, "-CAfile", self.chain.root,
                   "-url", url or self.url, "-resp_text",
                   *options)


@pytest.fixture
def asked(zone, tmp_path):
    return Asked(tmp_path, zone)


@pytest.fixture(scope="module", params=AUTHORITY_KEY_TYPES)
def of_key_type(request, make_folder, tmp_path_factory):
    server = Server(make_folder(), COUNTERSIGN_ROOT_KEY_TYPE=request.param,
                    COUNTERSIGN_ISSUING_KEY_TYPE=request.param).start()
    plain = Api(server)
    yield Asked(tmp_path_factory.mktemp("chain"), plain.in_zone(plain.default_zone()["id"]))
    server.clean_up()


def said_of(said, path):
    return re.search(rf"^{re.escape(str(path))}: (\w+)$", said, re.M).group(1)


@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
def test_openssl_asks_and_verifies(asked, digest, nonce):
    (_, good), (revoked, path) = asked.issue("good.pem"), asked.issue("revoked.pem")
    asked.api.revoke(revoked["id"], "keyCompromise")
    for leaf, word in ((good, "good"), (path, "revoked")):
        said = asked.openssl(digest, "-cert", leaf, nonce)
        assert "Response verify OK" in said and said_of(said, leaf) == word, said
        assert ("WARNING: no nonce" in said) is False, said
    assert "Reason: keyCompromise" in said
    several = asked.openssl(digest, "-cert", good, "-cert", path, "-serial", "0x1234", nonce)
    assert (said_of(several, good), said_of(several, path), said_of(several, "0x1234")) == ("good", "revoked", "unknown")


def test_every_kind_of_authority_answers_to_every_judge(of_key_type, tmp_path):
    asked = of_key_type
    made, leaf = asked.issue()
    revoked, _ = asked.issue("revoked.pem")
    asked.api.delete(revoked["id"], "superseded")
    asked.api.wait_for(revoked["id"], "revoked")
    assert "Response verify OK" in asked.openssl("-cert", leaf)
    said = asked.openssl("-cert", asked.chain.issuing, issuer=asked.chain.root, url=asked.root_url)
    assert "Response verify OK" in said and said_of(said, asked.chain.issuing) == "good"
    for nonce in ("--nonce", "--no-nonce"):
        said = run("ocsptool", f"--ask={asked.url}", nonce, "--load-issuer", asked.chain.issuing, "--load-cert", leaf)
        assert "Certificate Status: good" in said and "Verifying OCSP Response: Success" in said, said
        assert ("Nonce:" in said) is (nonce == "--nonce"), said
    for url, subject, issuer, issuer_file in (
        (asked.url, made, asked.authority, asked.chain.issuing),
        (asked.url, revoked, asked.authority, asked.chain.issuing),
        (asked.root_url, asked.authority, asked.root, asked.chain.root),
    ):
        answer = asked.post(asked.request(subject, issuer), url)
        response = ocsp.load_der_ocsp_response(answer.content)
        [responder] = response.certificates
        responder.verify_directly_issued_by(issuer)
        path = tmp_path / "responder.pem"
        path.write_bytes(responder.public_bytes(Encoding.PEM))
        lint_certificate(path)
        lint_pair(issuer_file, path)
        run("openssl", "verify", "-x509_strict", "-purpose", "ocsphelper", "-CAfile", asked.chain.root,
            "-untrusted", asked.chain.issuing, path)
        text = run("openssl", "x509", "-in", path, "-noout", "-text")
        assert "OCSP Signing" in text and "OCSP No Check" in text and "CA:FALSE" in text
        file = tmp_path / "answer.der"
        file.write_bytes(answer.content)
        lint_answer(file)


REASONS = ["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn",
           "certificateHold"]


def test_pkilint_finds_nothing_in_any_kind_of_answer(asked, tmp_path):
    revoked = {reason: asked.issue(f"{reason}.pem")[0] for reason in REASONS}
    dated = {reason: asked.issue(f"dated-{reason}.pem")[0] for reason in ("keyCompromise", "certificateHold")}
    made, _ = asked.issue()
    for reason, certificate in revoked.items():
        asked.api.delete(certificate["id"], reason)
    for reason, certificate in dated.items():
        params = {"reason": reason, "invalidity_date": "2026-01-02T03:04:05Z"}
        asked.api.result("DELETE", asked.api.path(certificate["id"]), params=params)
    for certificate in [*revoked.values(), *dated.values()]:
        asked.api.wait_for(certificate["id"], "revoked")
    never = {"serial_number": str(secrets.randbits(150))}
    asks = {"good": (made,), "unknown": (never,), "several": (made, revoked["superseded"], never, dated["certificateHold"])}
    asks |= {reason: (certificate,) for reason, certificate in revoked.items()}
    asks |= {f"{reason} since": (certificate,) for reason, certificate in dated.items()}
    for kind, certificates in asks.items():
        for nonce in (None, secrets.token_bytes(32)):
            content = asked.post(by_hand(asked, *certificates, nonce=nonce)).content
            response = ocsp.load_der_ocsp_response(content)
            singles = list(response.responses)
            assert len(singles) == len(certificates) and len(response.extensions) == (nonce is not None), kind
            if kind.split()[0] in REASONS:
                assert singles[0].certificate_status == ocsp.OCSPCertStatus.REVOKED
                # Unspecified is told by leaving the reason out.
                told = singles[0].revocation_reason
                assert (told.value if told else "unspecified") == kind.split()[0]
            # The extension that `cryptography` does not show for one answer of several.
            assert (INVALIDITY_DATE in content) is ("since" in kind or kind == "several"), kind
            file = tmp_path / "answer.der"
            file.write_bytes(content)
            lint_answer(file)


def lint_answer(path):
    done = subprocess.run([TOOLS / "lint_ocsp_response", "lint", "-s", "WARNING", path],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_certificates_name_the_responder_and_it_answers_there(asked):
    made, leaf = asked.issue()
    [url] = run("openssl", "x509", "-in", leaf, "-noout", "-ocsp_uri").split()
    assert url == asked.url
    [url] = run("openssl", "x509", "-in", asked.chain.issuing, "-noout", "-ocsp_uri").split()
    assert url == asked.root_url
    _, short = asked.issue("short.pem", days=7, profile="short-lived")
    assert run("openssl", "x509", "-in", short, "-noout", "-ocsp_uri").strip() == ""
    text = run("openssl", "x509", "-in", asked.chain.root, "-noout", "-text")
    assert "Authority Information Access" not in text


def test_the_answer_turns_with_the_api_and_the_crl(asked):
    made, _ = asked.issue()
    request = asked.request(made)
    status = lambda: ocsp.load_der_ocsp_response(asked.post(request).content).certificate_status
    for _ in range(3):
        assert status() == ocsp.OCSPCertStatus.GOOD
        assert asked.api.delete(made["id"]).status_code == 200
        while asked.api.get(made["id"])["status"] != "revoked":
            pass
        assert status() == ocsp.OCSPCertStatus.REVOKED
        response = ocsp.load_der_ocsp_response(asked.post(request).content)
        assert response.revocation_reason == x509.ReasonFlags.certificate_hold
        entry = asked.api.crl().get_revoked_certificate_by_serial_number(int(made["serial_number"]))
        assert entry.revocation_date_utc == response.revocation_time_utc
        asked.api.reactivate(made["id"])


@pytest.mark.one_process(reason="each replica signs answers of its own")
def test_get_and_post_give_the_same_answer_to_every_writing_of_the_address(asked):
    made, _ = asked.issue()
    # A serial number that puts all of base64's alphabet to use.
    request = asked.request(made, algorithm=hashes.SHA1())
    expected = asked.post(request).content
    text = base64.b64encode(request).decode()
    urlsafe = base64.urlsafe_b64encode(request).decode()
    spellings = {text, text.rstrip("="), urllib.parse.quote(text, safe=""), urllib.parse.quote(text, safe="/"), urlsafe,
                 "".join(f"%{octet:02X}" for octet in text.encode()), "/" + text}
    for spelling in spellings:
        answer = raw_get(asked, f"/{spelling}")
        assert answer.content == expected, spelling
        assert answer.headers["content-type"] == "application/ocsp-response"
    head = asked.http.head(f"{asked.url}/{urllib.parse.quote(text, safe='')}")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(expected)


def raw_get(asked, tail):
    """Without the client's own idea of how an address is written."""
    url = httpx.URL(asked.url)
    url = url.copy_with(raw_path=url.raw_path + tail.encode())
    return asked.http.get(url)


@pytest.mark.one_process(reason="each replica signs answers of its own")
def test_headers_let_caches_keep_what_is_shared_and_nothing_else(asked):
    made, _ = asked.issue()
    request = asked.request(made)
    for answer in (asked.get(request), asked.post(request)):
        response = ocsp.load_der_ocsp_response(answer.content)
        date = lambda name: datetime.strptime(answer.headers[name], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert date("last-modified") == response.this_update_utc
        assert date("expires") == response.next_update_utc
        assert response.next_update_utc - response.this_update_utc == timedelta(minutes=5)
        control = answer.headers["cache-control"].split(", ")
        assert control == ["max-age=10", "public", "no-transform", "must-revalidate"]
        assert re.fullmatch('"[0-9a-f]{64}"', answer.headers["etag"])
    tag = answer.headers["etag"]
    unchanged = asked.get(request, **{"if-none-match": tag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    assert asked.get(request, **{"if-none-match": '"other"'}).status_code == 200
    fresh = asked.request(made, nonce=secrets.token_bytes(32))
    unknown = asked.request(asked.authority, asked.authority)
    for body in (fresh, unknown, b"no request"):
        for answer in (asked.get(body), asked.post(body)):
            assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
            assert "etag" not in answer.headers
    answers = {asked.post(fresh).content for _ in range(3)}
    nonces = {ocsp.load_der_ocsp_response(a).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce for a in answers}
    assert nonces == {ocsp.load_der_ocsp_request(fresh).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce}


@pytest.mark.parametrize("length", [0, 1, 16, 32, 128, 129, 5000])
def test_nonces_have_1_to_128_octets(asked, length):
    made, _ = asked.issue()
    nonce = bytes(length)
    body = by_hand(asked, made, nonce=nonce)
    content = asked.post(body).content
    if 1 <= length <= 128:
        response = ocsp.load_der_ocsp_response(content)
        assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    else:
        assert content == MALFORMED


def cert_id(asked, serial, algorithm=SHA1):
    digest = hashes.Hash(hashes.SHA1())
    digest.update(asked.authority.subject.public_bytes())
    key_identifier = asked.authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return der.sequence(algorithm, der.octet_string(digest.finalize()), der.octet_string(key_identifier), der.integer(serial))


def by_hand(asked, *certificates, nonce=None, extensions=(), algorithm=SHA1, version=b"", before=b"", after=b"", count=1):
    requests = b"".join(der.sequence(cert_id(asked, int(c["serial_number"]), algorithm)) for c in certificates) * count
    if nonce is not None:
        extensions = [*extensions, extension(NONCE, der.octet_string(nonce))]
    wrapped = der.tlv(0xA2, der.sequence(*extensions)) if extensions else b""
    return der.sequence(der.sequence(version, before, der.sequence(requests), wrapped), after)


def extension(oid, value, critical=False):
    return der.sequence(der.oid(oid), der.boolean(True) if critical else b"", der.octet_string(value))


def test_what_is_accepted_beside_the_ordinary(asked):
    made, _ = asked.issue()
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    signature = der.tlv(0xA0, der.sequence(algorithm, der.bit_string(b"not checked")))
    requestor = der.tlv(0xA1, der.tlv(0xA4, der.sequence()))
    for body in (
        by_hand(asked, made, after=signature),
        by_hand(asked, made, before=requestor),
        by_hand(asked, made, extensions=[extension("1.2.3.4", b"\x05\x00")]),
        by_hand(asked, made, algorithm=der.sequence(der.oid("1.3.14.3.2.26"))),
        by_hand(asked, made, count=20),
    ):
        response = ocsp.load_der_ocsp_response(asked.post(body).content)
        assert all(single.certificate_status == ocsp.OCSPCertStatus.GOOD for single in response.responses)
    assert len(list(response.responses)) == 20
    for headers in ({}, {"content-type": "Application/OCSP-Request; x=y"}):
        assert asked.post(asked.request(made), headers=headers).status_code == 200


def bad_requests(asked, made):
    good = asked.request(made)
    yield from ((f"cut at {length}", good[:length], MALFORMED) for length in (0, 1, 2, 3, 10, len(good) // 2, len(good) - 1))
    yield "trailing", good + b"\0", MALFORMED
    yield "twice", good * 2, MALFORMED
    yield "text", b"MEowSDBG", MALFORMED
    yield "nested", b"\x30\x80" * 20_000, MALFORMED
    yield "nested definite", b"".join(b"\x30\x82" + (n * 4).to_bytes(2, "big") for n in range(15_000, 0, -1)), MALFORMED
    yield "long length", b"\x30\x84\xff\xff\xff\xff" + bytes(100), MALFORMED
    yield "random", secrets.token_bytes(5000), MALFORMED
    yield "700 CertIDs", by_hand(asked, made, count=700), MALFORMED
    yield "21 CertIDs", by_hand(asked, made, count=21), MALFORMED
    yield "no CertID", by_hand(asked), MALFORMED
    yield "version 2", by_hand(asked, made, version=der.tlv(0xA0, der.integer(1))), MALFORMED
    yield "critical", by_hand(asked, made, extensions=[extension("1.2.3.4", b"\x05\x00", True)]), MALFORMED
    yield "two nonces", by_hand(asked, made, nonce=b"a", extensions=[extension(NONCE, der.octet_string(b"b"))]), MALFORMED
    yield "many extensions", by_hand(asked, made, extensions=[extension(f"1.2.3.{n}", b"") for n in range(5000)]), MALFORMED
    yield "SHA-512", by_hand(asked, made, algorithm=der.sequence(der.oid("2.16.840.1.101.3.4.2.3"), der.null())), UNAUTHORIZED
    yield "MD5", by_hand(asked, made, algorithm=der.sequence(der.oid("1.2.840.113549.2.5"), der.null())), UNAUTHORIZED
    yield "another issuer", asked.request(asked.authority, asked.root), UNAUTHORIZED


def test_bad_requests_are_answered_as_such(asked):
    made, _ = asked.issue()
    for what, body, expected in bad_requests(asked, made):
        answer = asked.post(body)
        assert (answer.status_code, answer.content) == (200, expected), what
        if len(body) < 20_000:
            answer = asked.get(body)
            assert (answer.status_code, answer.content) == (200, expected), what
    for tail in ("%", "%zz", "%4", "!!!!", "A", "%FF%FE", "MEow%00", "%C0%AF", ""):
        answer = raw_get(asked, f"/{tail}")
        assert answer.status_code < 500 and (answer.status_code != 200 or answer.content == MALFORMED), tail
    assert asked.post(asked.request(made)).status_code == 200


@pytest.mark.one_process(reason="nginx refuses NUL by itself")
def test_what_is_wrong_with_the_transport_is_told_in_http(asked):
    made, _ = asked.issue()
    body = asked.request(made)
    too_long = asked.post(bytes(64 * 1024 + 1))
    assert too_long.status_code == 413 and too_long.json()["success"] is False
    assert asked.post(bytes(64 * 1024)).content == MALFORMED
    # The 10 000 CertIDs that would fit into no request.
    assert asked.post(by_hand(asked, made, count=10_000)).status_code == 413
    for wrong in ("text/plain", "application/ocsp-response", "application/json", "application/ocsp-requests", "\xff"):
        answer = asked.http.post(asked.url, content=body, headers=[(b"content-type", wrong.encode("latin-1"))])
        assert answer.status_code == 415 and "application/ocsp-request" in answer.json()["errors"][0]["message"], wrong
    for authority in ("0d89c70d-ad9f-4843-b99f-6cc0252067e9", "x", "%00"):
        nowhere = f"{asked.api.server.url}/pki/{authority}/ocsp"
        assert asked.post(body, nowhere).status_code == 404
        assert asked.http.get(f"{nowhere}/MEow").status_code == 404
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = asked.http.request(method, asked.url)
        assert answer.status_code == 405 and "POST" in answer.headers["allow"], method


def test_bad_requests_cost_no_memory(make_server, tmp_path):
    server = make_server().start()
    plain = Api(server)
    asked = Asked(tmp_path, plain.in_zone(plain.default_zone()["id"]))
    made, _ = asked.issue()
    bodies = [body for _, body, _ in bad_requests(asked, made)] + [bytes(70_000)]

    def resident():
        with open(f"/proc/{server.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))

    def rounds(number):
        for turn in range(number):
            unknown = by_hand(asked, {"serial_number": str(secrets.randbits(150))})
            assert asked.post(unknown).status_code == 200
            assert asked.post(bodies[turn % len(bodies)]).status_code in (200, 413)

    rounds(500)
    before = resident()
    rounds(2000)
    assert resident() - before < 16 * 1024, "kB"


def test_a_database_that_is_away_is_told_as_try_later(make_server, tmp_path):
    server = make_server().start()
    plain = Api(server)
    asked = Asked(tmp_path, plain.in_zone(plain.default_zone()["id"]))
    made, _ = asked.issue()
    request = asked.request(made)
    assert asked.post(request).status_code == 200
    server.tamper("alter table publications rename to away")
    answer = asked.post(request)
    assert (answer.status_code, answer.content) == (200, TRY_LATER)
    assert answer.headers["retry-after"] == "1" and answer.headers["cache-control"] == "no-store"
    server.tamper("alter table away rename to publications")
    assert asked.post(request).content != TRY_LATER


def test_answers_are_counted(server, tmp_path):
    plain = Api(server)
    asked = Asked(tmp_path, plain.in_zone(plain.default_zone()["id"]))
    made, _ = asked.issue()
    for _ in range(3):
        asked.post(asked.request(made))
    asked.post(b"")
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'countersign_ocsp_answers_total{status="good"} 3' in metrics
    assert 'countersign_ocsp_answers_total{status="malformedRequest"} 1' in metrics


@pytest.mark.parametrize("how", ["on", "leaf"])
def test_nginx_relies_on_ocsp_alone(zone, tmp_path, how, monkeypatch):
    """No CRL: nginx asks us about the client's certificate (and its issuer's) at each handshake."""
    without_crl = SERVER.replace("ssl_crl {folder}/crls.pem;", f"ssl_ocsp {how};")
    assert without_crl != SERVER
    monkeypatch.setattr("test_nginx_mtls.SERVER", without_crl)
    nginx = Nginx(tmp_path, zone)
    try:
        made = zone.issue(csr.by_openssl("p256", subject="/O=Example/CN=device-0001"))
        identity = write_identity(tmp_path, made["certificate"], csr.key_pem("p256"))
        assert nginx.request(*identity) == (200, "SUCCESS CN=device-0001,O=Example")
        zone.revoke(made["id"])
        status, body = nginx.request(*identity)
        assert status == 400 and "SSL certificate error" in body
        assert "certificate revoked" in (tmp_path / "error.log").read_text()
        zone.reactivate(made["id"])
        assert nginx.request(*identity)[0] == 200
    finally:
        nginx.stop()
