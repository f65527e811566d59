"""Weak keys, hostile names and extensions are refused; unusual but legal ones come out byte for byte."""

import pytest
from cryptography import x509

import csr
import der
import rsa_by_hand
from api import codes, pointers

WEAK_RSA = {
    "roca": (rsa_by_hand.roca, "ROCA"),
    "close primes": (lambda: rsa_by_hand.close_primes(2), ""),
    "primes found by Fermat within rounds": (lambda: rsa_by_hand.close_primes(1 << 515), ""),
    "small factor": (rsa_by_hand.small_factor, ""),
    "e = 3": (lambda: rsa_by_hand.exponent(3), "65537"),
    "e = 17": (lambda: rsa_by_hand.exponent(17), "65537"),
    "e = 2^32 + 1": (lambda: rsa_by_hand.exponent((1 << 32) + 1), "65537"),
    "1024 bits": (lambda: rsa_by_hand.exponent(65537, 1024), "2048"),
    "2040 bits": (lambda: rsa_by_hand.exponent(65537, 2040), "2048"),
}
DIGESTS = [("p256", "sha384"), ("p256", "sha512"), ("p384", "sha256"), ("p384", "sha512"), ("p521", "sha256"),
           ("p521", "sha384"), ("rsa2048", "sha384"), ("rsa2048", "sha512"), ("rsa3072", "sha256")]
LEGAL_SUBJECTS = {
    "two OUs": der.name(("OU", "a"), ("OU", "b"), ("CN", "x")),
    "DC=,DC=": der.name(("DC", der.ia5("example")), ("DC", der.ia5("com")), ("CN", "x")),
    "multi-valued RDN": der.name([("CN", "x"), ("OU", "b")], ("O", "o")),
    "CN first": der.name(("CN", "x"), ("O", "o"), ("C", der.printable("PT"))),
    "two CNs": der.name(("CN", "x"), ("CN", "y")),
    "serialNumber": der.name(("CN", "x"), ("2.5.4.5", der.printable("12345"))),
    "UTF-8": der.name(("CN", "Ωmega \U0001F600")),
    "BMPString": der.name(("CN", der.tlv(0x1E, "Бm".encode("utf-16-be")))),
    "markup": der.name(("CN", "<script>alert('x')</script>\"&,+=;#\\")),
}
HOSTILE_SUBJECTS = {
    "NUL in CN": der.name(("CN", "good.example\0.evil.example")),
    "NUL in O": der.name(("CN", "x"), ("O", "a\0b")),
    "line feed": der.name(("CN", "a\nb")),
    "escape": der.name(("CN", "\x1b[31mred")),
    "delete": der.name(("CN", "a\x7fb")),
    "C1 control": der.name(("CN", "a\u0085b")),
    "invalid UTF-8": der.name(("CN", b"\x0c\x02\xc3\x28")),
    "odd BMPString": der.name(("CN", der.tlv(0x1E, b"\0a\0"))),
    "not printable": der.name(("CN", der.tlv(0x13, b"a*b\xff"))),
    "empty RDN": der.sequence(der.set_of()),
    "empty CN": der.name(("CN", "")),
    "65 characters": der.name(("CN", "x" * 65)),
    "country of three letters": der.name(("CN", "x"), ("C", der.printable("PRT"))),
    "a name that is no sequence": der.set_of(der.attribute("CN", "x")),
}
HOSTILE_EXTENSIONS = {
    "CA:TRUE": [der.extension(der.BASIC_CONSTRAINTS, der.sequence(der.boolean(True)), critical=True)],
    "CA:TRUE, not critical": [der.extension(der.BASIC_CONSTRAINTS, der.sequence(der.boolean(True)))],
    "CA:TRUE with path length": [der.extension(
        der.BASIC_CONSTRAINTS, der.sequence(der.boolean(True), der.integer(0)), critical=True)],
    "unknown critical": [der.extension("1.2.3.4.5.6.7", der.null(), critical=True)],
    "critical name constraints": [der.extension("2.5.29.30", der.sequence(), critical=True)],
    "the same extension twice": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names("a.example"))] * 2,
    "NUL in a DNS name": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names(b"a.example\0.evil.example"))],
    "white space in a DNS name": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names("a b.example"))],
    "high byte in a DNS name": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names(b"caf\xe9.example"))],
    "empty DNS name": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names(""))],
    "IP of five bytes": [der.extension(
        der.SUBJECT_ALT_NAME, der.sequence(der.context(7, b"\1\2\3\4\5", constructed=False)))],
    "no names at all": [der.extension(der.SUBJECT_ALT_NAME, der.sequence())],
    "trailing bytes": [der.extension(der.SUBJECT_ALT_NAME, der.dns_names("a.example") + b"\0")],
    "noise for names": [der.extension(der.SUBJECT_ALT_NAME, b"\xff\xff\xff\xff")],
}


@pytest.fixture
def refused(zone):
    def post(pem):
        answer = zone.post(pem)
        assert (answer.status_code, set(codes(answer)), pointers(answer)) == (400, {1400}, {"/csr"}), answer.text
        assert zone.total() == 0
        return " ".join(error["message"] for error in answer.json()["errors"])

    return post


def issued(zone, pem):
    return x509.load_pem_x509_certificate(zone.issue(pem)["certificate"].encode())


@pytest.mark.parametrize("fault", WEAK_RSA)
def test_weak_rsa_keys_are_refused(refused, fault):
    make, named = WEAK_RSA[fault]
    assert named.lower() in refused(csr.by_rsa(make())).lower()


@pytest.mark.parametrize("kind", ["rsa1024", "p224", "secp256k1", "dsa", "ed448"])
def test_other_kinds_of_keys_are_refused(refused, kind):
    refused(csr.by_openssl(kind))


def test_a_point_that_is_not_on_the_curve_is_refused(refused):
    good = csr.spki_of(x509.load_pem_x509_csr(csr.by_openssl().encode()).public_key())
    refused(der.pem(csr.der_of(csr.by_openssl()).replace(good, good[:-1] + bytes([good[-1] ^ 1]))))


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_broken_digests_are_refused(refused, digest):
    refused(csr.by_openssl("rsa2048", digest=digest))


@pytest.mark.parametrize("kind, digest", DIGESTS)
def test_a_hash_of_another_strength_than_the_key_gives_the_right_key(zone, kind, digest):
    pem = csr.by_openssl(kind, digest=digest)
    assert csr.spki_of(issued(zone, pem).public_key()) == csr.spki_of(x509.load_pem_x509_csr(pem.encode()).public_key())


@pytest.mark.parametrize("fault", HOSTILE_SUBJECTS)
def test_hostile_names_are_refused(refused, fault):
    refused(der.pem(csr.by_hand(HOSTILE_SUBJECTS[fault])))


@pytest.mark.parametrize("form", LEGAL_SUBJECTS)
def test_unusual_names_are_carried_byte_for_byte(zone, form):
    pem = der.pem(csr.by_hand(LEGAL_SUBJECTS[form]))
    assert issued(zone, pem).subject.public_bytes() == LEGAL_SUBJECTS[form]


def test_an_empty_subject_without_names_is_refused(refused):
    refused(der.pem(csr.by_hand(der.name())))


def test_an_empty_subject_with_names_makes_them_critical(zone):
    names = issued(zone, csr.with_sans(["a.example"])).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical and names.value.get_values_for_type(x509.DNSName) == ["a.example"]


@pytest.mark.parametrize("fault", HOSTILE_EXTENSIONS)
def test_hostile_extensions_are_refused(refused, fault):
    refused(csr.with_extensions(*HOSTILE_EXTENSIONS[fault]))


def test_ten_thousand_names_are_refused(refused):
    refused(csr.with_sans([f"host-{number}.example" for number in range(10_000)], subject="many"))


def test_a_subject_of_a_thousand_attributes_is_refused(refused):
    refused(der.pem(csr.by_hand(der.name(*[("OU", f"unit {number}") for number in range(1000)]))))


def test_two_extension_requests_are_refused(refused):
    asked = der.extension_request(der.extension(der.SUBJECT_ALT_NAME, der.dns_names("a.example")))
    other = der.extension_request(der.extension(der.SUBJECT_ALT_NAME, der.dns_names("b.example")))
    refused(der.pem(csr.by_hand(der.name(("CN", "x")), asked, other)))


def test_two_values_in_one_extension_request_are_refused(refused):
    values = [der.sequence(der.extension(der.SUBJECT_ALT_NAME, der.dns_names(n))) for n in ("a.example", "b.example")]
    attribute = der.sequence(der.oid(der.EXTENSION_REQUEST), der.set_of(*values))
    refused(der.pem(csr.by_hand(der.name(("CN", "x")), attribute)))


def test_a_challenge_password_is_ignored(zone):
    password = der.sequence(der.oid("1.2.840.113549.1.9.7"), der.set_of(der.utf8("secret")))
    assert issued(zone, der.pem(csr.by_hand(der.name(("CN", "x")), password))).subject.rfc4514_string() == "CN=x"


def test_basic_constraints_of_an_end_entity_are_accepted(zone):
    asked = csr.with_extensions(der.extension(der.BASIC_CONSTRAINTS, der.sequence(), critical=True))
    assert not issued(zone, asked).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
