"""`Idempotency-Key`: a repeated POST answers with the first result, and nobody else's."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

import csr
from api import Api, codes


@pytest.fixture
def key():
    return {"Idempotency-Key": secrets.token_hex(16)}


def test_the_same_key_and_body_answer_the_same_certificate(zone, request_pem, key):
    first, again = (zone.post(request_pem, headers=key).json()["result"] for _ in range(2))
    assert first == again
    assert zone.total() == 1


def test_another_body_under_the_same_key_is_refused(zone, request_pem, key):
    zone.post(request_pem, headers=key)
    for arguments in ((request_pem, 30), (csr.by_openssl(subject="/CN=other"), 365)):
        answer = zone.post(*arguments, headers=key)
        assert (answer.status_code, codes(answer)) == (400, [1400])
        assert "Idempotency-Key" in answer.json()["errors"][0]["message"]
    assert zone.total() == 1


def test_many_at_once_under_one_key_make_one_certificate(zone, request_pem, key):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: zone.post(request_pem, headers=key), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["result"]["id"] for answer in answers}) == 1
    assert zone.total() == 1


def test_another_token_with_the_same_key_gets_its_own_certificate(zone, request_pem, key):
    token = zone.create_token(["client_certificates:issue"])
    other = Api(zone.server, token=token["value"], zone=zone.zone)
    first = zone.post(request_pem, headers=key).json()["result"]
    second = other.post(request_pem, headers=key).json()["result"]
    assert first["id"] != second["id"]


def test_another_zone_with_the_same_key_gets_its_own_certificate(zone, request_pem, key):
    other = zone.in_zone(zone.create_zone(f"{zone.zone}-e")["id"])
    first = zone.post(request_pem, headers=key).json()["result"]
    answer = other.post(request_pem, headers=key)
    assert answer.status_code == 400 or answer.json()["result"]["id"] != first["id"]


def test_a_refused_request_does_not_use_up_its_key(zone, request_pem, key):
    assert zone.post("no request", headers=key).status_code == 400
    assert zone.post(request_pem, headers=key).status_code == 200


@pytest.mark.parametrize("value", ["", "x" * 256, "with space", "tab\there", "é"])
def test_a_malformed_key_is_refused(zone, request_pem, value):
    answer = zone.post(request_pem, headers={"Idempotency-Key": value.encode()})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert zone.total() == 0


@pytest.mark.parametrize("value", ["x", "x" * 255, "!~/?\"{}"])
def test_every_visible_ascii_key_works(zone, request_pem, value):
    first, again = (zone.post(request_pem, headers={"Idempotency-Key": value}) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json()["result"]["id"] == again.json()["result"]["id"]
