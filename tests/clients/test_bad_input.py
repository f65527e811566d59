"""Bad input gets a 4xx envelope that names each fault and where it is; nothing is stored but its audit event."""

import json
import socket
import time

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

import csr
import der
import rsa_by_hand
from api import Api, check_envelope, codes, pointers
from server import Server

REFUSED = 400


@pytest.fixture(scope="module")
def bad_zone(make_folder):
    """A server of this file's own, so that its tables can be counted while nobody else writes."""
    server = Server(make_folder()).start()
    api = Api(server)
    api = api.in_zone(api.default_zone()["id"])
    api.crl()
    yield api
    server.clean_up()


@pytest.fixture
def refused(bad_zone):
    """Posts something, and sees it refused, nothing stored, and the service going on."""

    def post(status=REFUSED, pointer=None, **arguments):
        before, total = stored(bad_zone.server), bad_zone.total()
        answer = bad_zone.call("POST", bad_zone.path(), **arguments)
        assert answer.status_code == status, answer.text
        assert set(codes(answer)) == {1400}
        assert bad_zone.total() == total
        assert stored(bad_zone.server) == before
        assert bad_zone.server.alive()
        assert httpx.get(f"{bad_zone.server.url}/readyz").status_code == 200
        if pointer:
            wanted = {pointer} if isinstance(pointer, str) else set(pointer)
            assert pointers(answer) == wanted, answer.text
        return answer

    return post


def stored(server):
    return {table: rows for table, rows in server.row_counts().items() if "audit" not in table}


def audit_rows(server):
    return sum(rows for table, rows in server.row_counts().items() if "audit" in table)


def body(csr_pem, days=365, **extra):
    return {"csr": csr_pem, "validity_days": days, **extra}


def request_with(change):
    """The PEM of a good request whose DER was changed."""
    return der.pem(change(csr.der_of(csr.by_openssl())))


@pytest.mark.parametrize("content", [
    b"", b"{", b"no json", b"[]", b"null", b"17", b'"text"', b"{\"csr\": \"x\",}", b"\xff\xfe{\"csr\"", b"{} {}",
    b"{\"csr\": \"\xc3\x28\", \"validity_days\": 1}",
])
def test_a_body_that_is_no_json_object(refused, content):
    refused(content=content)


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_nested_ten_thousand_deep(refused, opening, closing):
    refused(content=b'{"csr": ' + opening * 10_000 + b"1" + closing * 10_000 + b', "validity_days": 1}')


def test_a_body_of_5_mb(refused):
    refused(status=413, json=body("A" * 5_000_000))


def test_a_body_of_5_mb_without_a_length(refused):
    refused(status=413, content=(b" " * 65536 for _ in range(80)))


def test_missing_fields_are_all_named(refused):
    refused(json={}, pointer=("/csr", "/validity_days"))
    refused(json={"csr": csr.by_openssl()}, pointer="/validity_days")
    refused(json={"validity_days": 1}, pointer="/csr")


@pytest.mark.parametrize("value", [None, 1, True, [], {}, ["-----BEGIN CERTIFICATE REQUEST-----"]])
def test_a_csr_of_a_wrong_type(refused, value):
    refused(json=body(value), pointer="/csr")


@pytest.mark.parametrize("value", [0, -1, 1.5, "365", 10**12, 10**40, None, True, [], {}, "", 5476])
def test_a_validity_that_is_no_whole_number_in_range(refused, value):
    refused(json=body(csr.by_openssl(), value), pointer="/validity_days")


@pytest.mark.parametrize("number", ["1e400", "NaN", "Infinity", "-0", "01"])
def test_a_validity_that_json_cannot_carry_or_is_not_one(refused, number):
    pem = json.dumps(csr.by_openssl())
    refused(content=f'{{"csr": {pem}, "validity_days": {number}}}'.encode())


def test_every_fault_of_one_request_is_named_at_once(refused):
    refused(json=body("no request", -1), pointer=("/csr", "/validity_days"))


@pytest.mark.parametrize("key, value, pointer", [
    ("profile", "unknown", "/profile"), ("profile", 1, "/profile"), ("profile", "../client", "/profile"),
    ("subject_alternative_names", "a.example", "/subject_alternative_names"),
    ("subject_alternative_names", [1], "/subject_alternative_names/0"),
    ("subject_alternative_names", [{"type": "dns", "value": "ok.example"}, {"type": "fax", "value": "1"}],
     "/subject_alternative_names/1"),
    ("subject_alternative_names", [{"type": "dns", "value": "white space"}], "/subject_alternative_names/0"),
    ("subject_alternative_names", [{"type": "ip", "value": "256.1.1.1"}], "/subject_alternative_names/0"),
    ("subject_alternative_names", [{"type": "email", "value": "nobody"}], "/subject_alternative_names/0"),
    ("subject_alternative_names", [{"type": "dns", "value": "a\0b.example"}], "/subject_alternative_names/0"),
    ("subject_alternative_names", [{"type": "dns"}], "/subject_alternative_names/0"),
])
def test_bad_extra_keys(refused, key, value, pointer):
    answer = refused(json=body(csr.by_openssl(), **{key: value}))
    assert all(found == pointer or found.startswith(f"{pointer}/") for found in pointers(answer)), answer.text
    assert pointers(answer)


PEM_FAULTS = {
    "empty": lambda pem: "",
    "white space": lambda pem: " \n\t\n",
    "no label": lambda pem: "".join(pem.splitlines()[1:-1]),
    "no end": lambda pem: pem.split("-----END")[0],
    "wrong end": lambda pem: pem.replace("END CERTIFICATE REQUEST", "END CERTIFICATE"),
    "garbage inside": lambda pem: pem.replace("\n", "\n!§$%&\n", 2),
    "garbage characters": lambda pem: pem[:100] + "*" + pem[101:],
    "truncated base64": lambda pem: pem[:200] + "\n-----END CERTIFICATE REQUEST-----\n",
    "two requests": lambda pem: pem + pem,
    "nul byte": lambda pem: pem.replace("\n", "\0\n", 1),
    "not ascii": lambda pem: pem[:100] + "é" + pem[101:],
    "key label": lambda pem: pem.replace("CERTIFICATE REQUEST", "PRIVATE KEY"),
    "empty content": lambda pem: "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
}


@pytest.mark.parametrize("fault", PEM_FAULTS)
def test_pem_with_faults(refused, fault):
    refused(json=body(PEM_FAULTS[fault](csr.by_openssl())), pointer="/csr")


DER_FAULTS = {
    "truncated by one": lambda good: good[:-1],
    "truncated by half": lambda good: good[: len(good) // 2],
    "only a header": lambda good: good[:2],
    "trailing byte": lambda good: good + b"\0",
    "trailing request": lambda good: good + good,
    "trailing byte inside": lambda good: der.sequence(*der.split(good), der.null()),
    "indefinite length": lambda good: b"\x30\x80" + b"".join(der.split(good)) + b"\0\0",
    "length with a leading zero": lambda good: b"\x30\x83\0" + (len(good) - 4).to_bytes(2, "big")
    + b"".join(der.split(good)),
    "huge length": lambda good: b"\x30\x84\xff\xff\xff\xff" + good[4:],
    "a set for a sequence": lambda good: b"\x31" + good[1:],
    "nested sequences": lambda good: nested(5000),
    "noise": lambda good: bytes(range(256)),
}


def nested(depth):
    encoded = b""
    for _ in range(depth):
        encoded = der.sequence(encoded)
    return encoded


@pytest.mark.parametrize("fault", DER_FAULTS)
def test_der_with_faults(refused, fault):
    refused(json=body(request_with(DER_FAULTS[fault])), pointer="/csr")


def test_every_truncation_of_a_request_is_refused(bad_zone):
    good = csr.der_of(csr.by_openssl())
    before = stored(bad_zone.server)
    for size in range(0, len(good), 7):
        answer = bad_zone.post(der.pem(good[:size]))
        assert (answer.status_code, pointers(answer)) == (REFUSED, {"/csr"}), size
    assert stored(bad_zone.server) == before


def test_a_certificate_or_a_key_in_place_of_a_request(refused, bad_zone):
    certificate = bad_zone.authorities()[0]["certificate"]
    refused(json=body(certificate), pointer="/csr")
    refused(json=body(certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST")), pointer="/csr")
    key = csr.key_pem("p256").decode()
    answer = refused(json=body(key), pointer="/csr")
    assert key.splitlines()[1] not in answer.text


def test_a_wrong_signature(refused):
    refused(json=body(request_with(lambda good: good[:-1] + bytes([good[-1] ^ 1]))), pointer="/csr")
    name = der.name(("CN", "signed by another"))
    refused(json=body(der.pem(csr.by_hand(name, signed=b"something else"))), pointer="/csr")


def test_a_signature_algorithm_of_another_kind_of_key(refused):
    info, _, signature = der.split(csr.der_of(csr.by_openssl()))
    forged = der.sequence(info, rsa_by_hand.SHA256_WITH_RSA, signature)
    refused(json=body(der.pem(forged)), pointer="/csr")


def test_a_request_of_another_version(refused):
    refused(json=body(der.pem(csr.by_hand(der.name(("CN", "v2")), version=1))), pointer="/csr")


def test_a_refused_request_leaves_its_audit_event(bad_zone):
    before = audit_rows(bad_zone.server)
    assert bad_zone.post("no request").status_code == REFUSED
    deadline = time.monotonic() + 30
    while audit_rows(bad_zone.server) == before:
        assert time.monotonic() < deadline, "no audit event"
        time.sleep(0.05)


def test_half_a_request_and_raw_noise_do_no_harm(bad_zone):
    head = f"POST /client/v4{bad_zone.path()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bad_zone.server.token}\r\n"
    for noise in (head + "Content-Length: 100\r\n\r\n{", "\x16\x03\x01\x02\0\x01\0\x01\xfc", "GET\r\n\r\n", "\0" * 4096,
                  head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", head + "Content-Length: -5\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", bad_zone.server.port), timeout=20) as connection:
            connection.sendall(noise.encode("latin-1"))
    check_envelope(bad_zone.list())


def test_the_service_still_issues_after_all_of_it(bad_zone):
    made = bad_zone.issue(csr.by_openssl())
    assert serialization.load_pem_public_key(csr.openssl(
        "x509", "-pubkey", "-noout", stdin=made["certificate"].encode()).stdout)
    assert "panicked" not in bad_zone.server.output(last=10**6)
