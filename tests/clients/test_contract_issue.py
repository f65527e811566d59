"""POST and GET of a certificate: what is accepted, and that every field follows from the certificate."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import csr
import der
from api import CERTIFICATE_FIELDS, EXTRA_FIELDS, codes, moment, pointers

FULL_SUBJECT = "/C=PT/ST=Lisboa/L=Alfama/O=Example Org/OU=Field devices/CN=device-0001"
PEM_FORMS = {
    "lf": lambda pem: pem,
    "literal backslash n": lambda pem: pem.replace("\n", "\\n"),
    "crlf": lambda pem: pem.replace("\n", "\r\n"),
    "no final newline": lambda pem: pem.rstrip("\n"),
    "several final newlines": lambda pem: pem + "\n\n\n",
    "indented": lambda pem: "".join(f"    {line}\n" for line in pem.splitlines()),
    "tabs": lambda pem: "".join(f"\t{line}\n" for line in pem.splitlines()),
    "new label": lambda pem: pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
}
SIGNATURES = {
    "p256": "ECDSAWithSHA256", "p384": "ECDSAWithSHA384", "rsa2048": "SHA256WithRSA", "rsa3072": "SHA256WithRSA",
    "ed25519": "Ed25519",
}


def parsed(certificate):
    return x509.load_pem_x509_certificate(certificate["certificate"].encode())


@pytest.mark.parametrize("form", PEM_FORMS)
def test_every_pem_form_is_accepted_and_echoed_with_lf(zone, request_pem, form):
    made = zone.issue(PEM_FORMS[form](request_pem))
    echoed = made["csr"]
    assert "\r" not in echoed and "\\" not in echoed
    assert echoed.endswith("-----\n")
    label = " NEW CERTIFICATE" if form == "new label" else " CERTIFICATE"
    expected = request_pem.replace(" CERTIFICATE", label)
    assert [line.strip() for line in echoed.splitlines()] == expected.splitlines()


def test_the_object_has_the_18_keys_in_order_and_then_the_extra_ones(zone, request_pem):
    made = zone.issue(request_pem)
    assert list(made)[:18] == CERTIFICATE_FIELDS
    assert list(made)[18:] == EXTRA_FIELDS
    assert list(zone.list().json()["result"][0]) == CERTIFICATE_FIELDS + EXTRA_FIELDS
    strings = set(CERTIFICATE_FIELDS) - {"certificate_authority", "validity_days"}
    assert all(isinstance(made[field], str) for field in strings)
    assert type(made["validity_days"]) is int


@pytest.mark.parametrize("days", [1, 30, 365, 3650, 5475])
def test_every_field_follows_from_the_certificate(zone, days):
    made = zone.issue(csr.by_openssl(subject=FULL_SUBJECT), days=days)
    certificate = parsed(made)
    ski = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    assert made["ski"] == ski.hex()
    assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest == ski
    assert made["fingerprint_sha256"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert made["serial_number"] == str(certificate.serial_number)
    assert made["serial_number_hex"] == f"{certificate.serial_number:040x}"
    assert 64 < certificate.serial_number.bit_length() <= 159
    assert moment(made["issued_on"]) == certificate.not_valid_before_utc
    assert moment(made["expires_on"]) == certificate.not_valid_after_utc
    assert moment(made["expires_on"]) - moment(made["issued_on"]) == timedelta(days=days)
    assert made["validity_days"] == days
    assert (made["common_name"], made["organization"], made["organizational_unit"]) == (
        "device-0001", "Example Org", "Field devices")
    assert (made["country"], made["state"], made["location"]) == ("PT", "Lisboa", "Alfama")
    assert made["status"] == "active" and made["revocation"] is None and made["profile"] == "client"


def test_issued_on_is_a_whole_minute_that_has_passed(zone, request_pem):
    issued_on = moment(zone.issue(request_pem)["issued_on"])
    assert issued_on.second == 0
    assert issued_on < datetime.now(UTC)


def test_the_certificate_is_a_leaf_alone_in_lf_pem(zone, request_pem):
    pem = zone.issue(request_pem)["certificate"]
    assert pem.count("-----BEGIN CERTIFICATE-----") == 1
    assert pem.endswith("-----END CERTIFICATE-----\n") and "\r" not in pem


def test_the_issuing_authority_is_named(zone, request_pem):
    made = zone.issue(request_pem)
    issuing, root = zone.authorities()
    assert made["certificate_authority"] == {"id": issuing["id"], "name": issuing["name"]}
    issuer = x509.load_pem_x509_certificate(issuing["certificate"].encode())
    parsed(made).verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(x509.load_pem_x509_certificate(root["certificate"].encode()))


def test_attributes_that_the_request_lacks_read_as_empty_strings(zone, request_pem):
    made = zone.issue(request_pem)
    empty = ["organization", "organizational_unit", "country", "state", "location"]
    assert [made[field] for field in empty] == [""] * 5


def test_several_values_of_one_attribute_are_joined_by_commas(zone):
    made = zone.issue(csr.by_openssl(subject="/O=Example/OU=first/OU=second/CN=device"))
    assert made["organizational_unit"] == "first,second"


def test_get_answers_what_post_answered(zone, request_pem):
    made = zone.issue(request_pem)
    assert zone.get(made["id"]) == made
    assert zone.list().json()["result"] == [made]


def test_the_same_request_can_be_signed_any_number_of_times(zone, request_pem):
    made = [zone.issue(request_pem) for _ in range(3)]
    assert len({c["id"] for c in made}) == len({c["serial_number"] for c in made}) == 3


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/octet-stream", None])
def test_the_body_is_read_as_json_whatever_its_label(zone, request_pem, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    body = json.dumps({"csr": request_pem, "validity_days": 1})
    assert zone.call("POST", zone.path(), content=body, headers=headers).status_code == 200


def test_unknown_keys_are_ignored(zone, request_pem):
    made = zone.issue(request_pem, reactivate=True, name="x", certificate_authority={"id": 1})
    assert made["status"] == "active"


@pytest.mark.parametrize("key_type", SIGNATURES)
def test_signature_names_the_algorithm_of_the_authority(zone, request_pem, key_type):
    made_zone = zone.create_zone(f"{zone.zone}-{key_type}", authority={"key_type": key_type})
    made = zone.in_zone(made_zone["id"]).issue(request_pem)
    assert made["signature"] == SIGNATURES[key_type]


def test_subject_alternative_names_are_copied_and_shown(zone):
    sans = "DNS:a.example,email:b@c.example,URI:spiffe://d.example/e,IP:192.0.2.1,IP:2001:db8::1"
    made = zone.issue(csr.by_openssl(sans=sans))
    names = parsed(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert names.get_values_for_type(x509.RFC822Name) == ["b@c.example"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://d.example/e"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    assert made["sans"] == [
        {"type": "dns", "value": "a.example"}, {"type": "email", "value": "b@c.example"},
        {"type": "uri", "value": "spiffe://d.example/e"}, {"type": "ip", "value": "192.0.2.1"},
        {"type": "ip", "value": "2001:db8::1"},
    ]


def test_names_of_the_body_are_added_to_those_of_the_request(zone):
    extra = [{"type": "dns", "value": "body.example"}, {"type": "ip", "value": "192.0.2.7"}]
    made = zone.issue(csr.by_openssl(sans="DNS:request.example"), subject_alternative_names=extra)
    assert made["sans"] == [{"type": "dns", "value": "request.example"}, *extra]
    names = parsed(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["request.example", "body.example"]


def test_a_certificate_without_names_says_so_in_messages(zone, request_pem):
    messages = zone.post(request_pem).json()["messages"]
    assert any("subject alternative name" in m["message"].lower() or "SAN" in m["message"] for m in messages)
    assert zone.post(csr.by_openssl(sans="DNS:a.example")).json()["messages"] == []


def test_extensions_that_were_left_out_are_named_in_messages(zone):
    asked = csr.by_openssl(sans="DNS:a.example", extensions=("1.2.3.4.5.6=ASN1:UTF8String:x",))
    answer = zone.post(asked)
    assert answer.status_code == 200
    assert any("1.2.3.4.5.6" in message["message"] for message in answer.json()["messages"])
    extensions = parsed(answer.json()["result"]).extensions
    assert "1.2.3.4.5.6" not in [extension.oid.dotted_string for extension in extensions]


def test_key_usages_come_from_the_profile_not_from_the_request(zone):
    asked = csr.by_openssl(
        sans="DNS:a.example", extensions=("keyUsage=keyEncipherment,keyCertSign", "extendedKeyUsage=serverAuth"))
    extensions = parsed(zone.issue(asked)).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature
    assert not usage.value.key_cert_sign and not usage.value.key_encipherment
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and not constraints.value.ca


def test_the_certificate_points_to_its_crl_and_its_issuer(zone, request_pem):
    extensions = parsed(zone.issue(request_pem)).extensions
    issuing = zone.authorities()[0]
    [point] = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for name in point.full_name] == [issuing["crl"]["url"]]
    assert zone.http.get(issuing["crl"]["url"]).content == zone.crl_der()
    access = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    [issuer_url] = [a.access_location.value for a in access if a.access_method.dotted_string == "1.3.6.1.5.5.7.48.2"]
    issuer = x509.load_der_x509_certificate(zone.http.get(issuer_url).content)
    assert issuer == x509.load_pem_x509_certificate(issuing["certificate"].encode())


def test_short_lived_certificates_say_that_no_revocation_is_available(zone, request_pem):
    made = zone.issue(request_pem, days=7, profile="short-lived")
    assert made["profile"] == "short-lived"
    present = {extension.oid.dotted_string for extension in parsed(made).extensions}
    assert "2.5.29.56" in present
    assert "2.5.29.31" not in present


def test_the_maximum_of_the_profile_is_in_the_message_that_refuses_more(zone, request_pem):
    for days, profile, maximum in ((5476, "client", "5475"), (8, "short-lived", "7")):
        answer = zone.post(request_pem, days, profile=profile)
        assert (answer.status_code, codes(answer), pointers(answer)) == (400, [1400], {"/validity_days"})
        assert maximum in answer.json()["errors"][0]["message"]


def test_the_subject_is_carried_byte_for_byte(zone):
    subject = der.name(("DC", der.ia5("example")), ("DC", der.ia5("test")), ("O", der.printable("Org")),
                       ("OU", "Zoë"), ("OU", der.tlv(0x1E, "Б".encode("utf-16-be"))),
                       [("CN", "one"), ("OU", "same RDN")])
    made = zone.issue(der.pem(csr.by_hand(subject)))
    assert parsed(made).subject.public_bytes() == subject
    assert made["organizational_unit"] == "Zoë,Б,same RDN"
