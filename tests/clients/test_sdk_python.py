"""The official Python SDK in strict mode: a wrong word, type or missing field in an answer raises."""

import asyncio
import time

import cloudflare
import pytest
from cloudflare import AsyncCloudflare, Cloudflare

import csr

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


def sdk(zone, **credentials):
    credentials = credentials or {"api_token": zone.server.token}
    return Cloudflare(
        base_url=f"{zone.server.url}/client/v4", max_retries=zone.server.retries, _strict_response_validation=True, **credentials)


@pytest.fixture
def client(zone):
    return sdk(zone)


def wait_for(client, zone, certificate_id, status):
    deadline = time.monotonic() + 60
    while (certificate := client.client_certificates.get(certificate_id, zone_id=zone.zone)).status != status:
        assert time.monotonic() < deadline, certificate
        time.sleep(0.02)
    return certificate


def test_a_created_certificate_is_active_and_reads_back_unchanged(client, zone, request_pem):
    made = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=365)
    assert made.status == "active"
    assert made.common_name == "device-0001"
    assert made.csr == request_pem
    assert client.client_certificates.get(made.id, zone_id=zone.zone) == made


def test_a_revoked_certificate_comes_back_by_edit(client, zone, request_pem):
    made = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=30)
    deleted = client.client_certificates.delete(made.id, zone_id=zone.zone)
    assert deleted.id == made.id and deleted.status == "pending_revocation"
    wait_for(client, zone, made.id, "revoked")
    edited = client.client_certificates.edit(made.id, zone_id=zone.zone, reactivate=True)
    assert edited.status in ("pending_reactivation", "active")
    wait_for(client, zone, made.id, "active")


def test_edit_without_an_argument_reactivates(client, zone, request_pem):
    made = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=30)
    client.client_certificates.delete(made.id, zone_id=zone.zone)
    wait_for(client, zone, made.id, "revoked")
    client.client_certificates.edit(made.id, zone_id=zone.zone)
    wait_for(client, zone, made.id, "active")


def test_the_paged_list_ends_after_every_certificate_was_seen_once(client, zone, request_pem):
    made = [client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=1).id for _ in range(7)]
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, per_page=5)] == made
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone)] == made
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, page=2.0, per_page=5.0)] == made[5:]


def test_limit_and_offset_list_a_window_and_end(client, zone, request_pem):
    made = [client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=1).id for _ in range(7)]
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, limit=3, offset=2)] == made[2:5]
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, limit=6, per_page=5)] == made[:6]
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, offset=5)] == made[5:]
    assert list(client.client_certificates.list(zone_id=zone.zone, limit=3, offset=7)) == []


@pytest.mark.parametrize("status", ["all", "active", "pending_reactivation", "pending_revocation", "revoked"])
def test_every_status_filters_the_list(client, zone, request_pem, status):
    kept = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=1).id
    gone = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=1).id
    client.client_certificates.delete(gone, zone_id=zone.zone)
    wait_for(client, zone, gone, "revoked")
    expected = {"all": [kept, gone], "active": [kept], "revoked": [gone]}.get(status, [])
    assert [c.id for c in client.client_certificates.list(zone_id=zone.zone, status=status)] == expected


def test_a_bad_request_raises_with_code_and_pointer(client, zone, request_pem):
    with pytest.raises(cloudflare.BadRequestError) as caught:
        client.client_certificates.create(zone_id=zone.zone, csr="no request", validity_days=365)
    assert [error.code for error in caught.value.errors] == [1400]
    assert caught.value.body["errors"][0]["source"]["pointer"] == "/csr"
    with pytest.raises(cloudflare.BadRequestError):
        client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=0)


def test_an_unknown_certificate_raises_not_found(client, zone):
    for call in (client.client_certificates.get, client.client_certificates.delete, client.client_certificates.edit):
        with pytest.raises(cloudflare.NotFoundError) as caught:
            call(UNKNOWN_ID, zone_id=zone.zone)
        assert [error.code for error in caught.value.errors] == [1415]


def test_a_foreign_zone_and_an_unknown_token_raise_permission_denied(client, zone):
    with pytest.raises(cloudflare.PermissionDeniedError) as caught:
        client.client_certificates.get(UNKNOWN_ID, zone_id="0" * 32)
    assert [error.code for error in caught.value.errors] == [10000]
    with pytest.raises(cloudflare.PermissionDeniedError):
        list(sdk(zone, api_token="x" * 40).client_certificates.list(zone_id=zone.zone))


def test_a_malformed_token_raises_bad_request(zone):
    with pytest.raises(cloudflare.BadRequestError) as caught:
        list(sdk(zone, api_token="short").client_certificates.list(zone_id=zone.zone))
    assert [error.code for error in caught.value.errors] == [6003]


def test_token_verification_accepts_a_good_and_raises_for_a_bad_token(client, zone):
    assert client.user.tokens.verify().status == "active"
    with pytest.raises(cloudflare.AuthenticationError) as caught:
        sdk(zone, api_token="x" * 40).user.tokens.verify()
    assert [error.code for error in caught.value.errors] == [1000]


def test_a_token_is_given_another_value(client, zone):
    token = zone.create_token(["client_certificates:read"])
    account = zone.default_zone()["account"]["id"]
    value = client.accounts.tokens.value.update(token["id"], account_id=account)
    assert value != token["value"]
    assert sdk(zone, api_token=value).user.tokens.verify().id == token["id"]


def test_email_and_key_are_credentials_too(zone, request_pem):
    client = sdk(zone, api_email="user@example.com", api_key=zone.server.token)
    made = client.client_certificates.create(zone_id=zone.zone, csr=request_pem, validity_days=1)
    assert client.client_certificates.get(made.id, zone_id=zone.zone).id == made.id


def test_a_base_url_with_a_final_slash_works(zone):
    client = Cloudflare(base_url=f"{zone.server.url}/client/v4/", api_token=zone.server.token, max_retries=zone.server.retries)
    assert list(client.client_certificates.list(zone_id=zone.zone)) == []


def test_a_literal_backslash_n_request_as_in_the_sdk_sample_is_accepted(client, zone, request_pem):
    made = client.client_certificates.create(
        zone_id=zone.zone, csr=request_pem.replace("\n", "\\n"), validity_days=3650)
    assert made.csr == request_pem


def test_the_asynchronous_client_does_the_same(zone):
    async def life():
        async with AsyncCloudflare(
            base_url=f"{zone.server.url}/client/v4", api_token=zone.server.token, max_retries=zone.server.retries,
            _strict_response_validation=True,
        ) as client:
            certificates = client.client_certificates
            made = await asyncio.gather(*(
                certificates.create(zone_id=zone.zone, csr=csr.by_openssl(), validity_days=1) for _ in range(7)))
            listed = [c.id async for c in certificates.list(zone_id=zone.zone, per_page=5)]
            assert sorted(listed) == sorted(c.id for c in made)
            assert (await certificates.delete(made[0].id, zone_id=zone.zone)).status == "pending_revocation"
            while (await certificates.get(made[0].id, zone_id=zone.zone)).status != "revoked":
                await asyncio.sleep(0.02)
            await certificates.edit(made[0].id, zone_id=zone.zone, reactivate=True)
            while (await certificates.get(made[0].id, zone_id=zone.zone)).status != "active":
                await asyncio.sleep(0.02)
            with pytest.raises(cloudflare.NotFoundError):
                await certificates.get(UNKNOWN_ID, zone_id=zone.zone)

    asyncio.run(life())


def test_the_two_variables_of_the_sdk_are_enough(zone, monkeypatch):
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", f"{zone.server.url}/client/v4")
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", zone.server.token)
    assert Cloudflare(max_retries=zone.server.retries).zones.get(zone_id=zone.zone).id == zone.zone
