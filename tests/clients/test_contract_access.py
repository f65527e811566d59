"""Credentials, permissions, zones and paths: who may do what, and what the refusals look like."""

import httpx
import pytest

from api import Api, check_envelope, codes

UNKNOWN_ZONE = "0123456789abcdef0123456789abcdef"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


def anonymous(server, headers):
    return Api(server, headers=headers)


def chain(answer):
    return [entry["code"] for error in answer.json()["errors"] for entry in error.get("error_chain", [])]


def test_no_credentials_are_400_9106(zone):
    answer = anonymous(zone.server, {}).call("GET", zone.path())
    assert (answer.status_code, codes(answer)) == (400, [9106])


@pytest.mark.parametrize("value", ["Bearer", "Bearer short", "Basic dXNlcjpwYXNz", "Bearer " + "x" * 81,
                                   "Bearer " + "é" * 40, "Bearer " + "x" * 39 + ".", "x" * 40])
def test_a_malformed_authorization_header_is_6003_6111(zone, value):
    answer = anonymous(zone.server, {"Authorization": value.encode()}).call("GET", zone.path())
    assert (answer.status_code, codes(answer), chain(answer)) == (400, [6003], [6111])


def test_a_malformed_key_is_6003_6103(zone):
    headers = {"X-Auth-Email": "user@example.com", "X-Auth-Key": "no key!"}
    answer = anonymous(zone.server, headers).call("GET", zone.path())
    assert (answer.status_code, codes(answer), chain(answer)) == (400, [6003], [6103])


@pytest.mark.parametrize("headers", [{"X-Auth-Email": "user@example.com"}, {"X-Auth-Key": "x" * 40}])
def test_half_a_pair_of_key_and_email_is_400(zone, headers):
    answer = anonymous(zone.server, headers).call("GET", zone.path())
    assert answer.status_code == 400 and codes(answer)[0] in (9106, 6003)


def test_an_unknown_token_is_403_10000(zone):
    for headers in ({"Authorization": "Bearer " + "x" * 40}, {"X-Auth-Email": "a@b.example", "X-Auth-Key": "x" * 40}):
        answer = anonymous(zone.server, headers).call("GET", zone.path())
        assert (answer.status_code, codes(answer)) == (403, [10000])


def test_email_and_key_work_like_a_token(zone):
    headers = {"X-Auth-Email": "user@example.com", "X-Auth-Key": zone.server.token}
    assert anonymous(zone.server, headers).call("GET", zone.path()).status_code == 200


def test_an_unknown_zone_is_403_and_a_malformed_one_404(zone, request_pem):
    for method, body in (("GET", None), ("POST", {"csr": request_pem, "validity_days": 1})):
        answer = zone.call(method, f"/zones/{UNKNOWN_ZONE}/client_certificates", json=body)
        assert (answer.status_code, codes(answer)) == (403, [10000])
    for malformed in ("short", UNKNOWN_ZONE.upper(), UNKNOWN_ZONE + "0", UNKNOWN_ID, "g" * 32):
        answer = zone.call("GET", f"/zones/{malformed}/client_certificates")
        assert (answer.status_code, codes(answer)) == (404, [7003, 7000])


@pytest.mark.parametrize("path", ["/nonsense", "/zones/x/y/z", "/client_certificates", ""])
def test_an_unknown_path_is_404_7003(zone, path):
    answer = zone.call("GET", path)
    assert (answer.status_code, codes(answer)) == (404, [7003, 7000])


def test_a_wrong_method_is_405_and_names_the_right_ones(zone):
    for path, allowed in ((zone.path(), {"GET", "POST"}), (zone.path(UNKNOWN_ID), {"GET", "PATCH", "DELETE"})):
        answer = zone.call("PUT", path)
        assert (answer.status_code, codes(answer)) == (405, [7001])
        assert allowed <= {method.strip() for method in answer.headers["allow"].split(",")}


@pytest.mark.parametrize("permissions, allowed", [
    (["client_certificates:read"], {"GET"}),
    (["client_certificates:issue"], {"POST"}),
    (["client_certificates:revoke"], {"PATCH", "DELETE"}),
    (["zones:read"], set()),
])
def test_a_token_does_only_what_its_permissions_say(zone, request_pem, permissions, allowed):
    made = zone.issue(request_pem)
    token = zone.create_token(permissions)
    limited = Api(zone.server, token=token["value"], zone=zone.zone)
    calls = {
        "GET": lambda: limited.call("GET", zone.path(made["id"])),
        "POST": lambda: limited.post(request_pem),
        "PATCH": lambda: limited.patch(made["id"]),
        "DELETE": lambda: limited.delete(made["id"]),
    }
    for method, call in calls.items():
        answer = call()
        if method in allowed:
            assert answer.status_code == 200, answer.text
        else:
            assert (answer.status_code, codes(answer)) == (403, [10000])


def test_a_token_for_one_zone_sees_no_other(zone, request_pem):
    other = zone.in_zone(zone.create_zone(f"{zone.zone}-c")["id"])
    token = zone.create_token(["client_certificates:read", "client_certificates:issue"], zones=[zone.zone])
    limited = Api(zone.server, token=token["value"], zone=zone.zone)
    assert limited.issue(request_pem)["status"] == "active"
    foreign, unknown = limited.in_zone(other.zone).list(), limited.in_zone(UNKNOWN_ZONE).list()
    assert foreign.status_code == unknown.status_code == 403
    assert foreign.json() == unknown.json()


def test_a_minted_token_has_the_shape_that_terraform_demands(zone):
    token = zone.create_token(["client_certificates:read"])
    assert 40 <= len(token["value"]) <= 80
    assert set(token["value"]) <= set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")
    account = zone.default_zone()["account"]["id"]
    shown = zone.result("GET", f"/accounts/{account}/tokens/{token['id']}")
    assert token["value"] not in str(shown) and shown["id"] == token["id"]


def test_a_revoked_token_is_refused_at_once(zone):
    token = zone.create_token(["client_certificates:read"])
    limited = Api(zone.server, token=token["value"], zone=zone.zone)
    assert limited.list().status_code == 200
    account = zone.default_zone()["account"]["id"]
    assert zone.result("DELETE", f"/accounts/{account}/tokens/{token['id']}")["id"] == token["id"]
    assert limited.list().status_code == 403


@pytest.mark.parametrize("dates", [{"expires_on": "2020-01-01T00:00:00Z"}, {"not_before": "2100-01-01T00:00:00Z"}])
def test_a_token_outside_its_time_is_refused_or_never_made(zone, dates):
    account = zone.default_zone()["account"]["id"]
    answer = zone.call("POST", f"/accounts/{account}/tokens",
                       json={"name": "t", "permissions": ["client_certificates:read"], **dates})
    if answer.status_code == 200:
        limited = Api(zone.server, token=answer.json()["result"]["value"], zone=zone.zone)
        assert limited.list().status_code == 403
    else:
        assert answer.status_code == 400


def test_tokens_verify_answers_both_ways(zone):
    account = zone.default_zone()["account"]["id"]
    for path in ("/user/tokens/verify", f"/accounts/{account}/tokens/verify"):
        answer = zone.call("GET", path)
        assert answer.status_code == 200 and answer.json()["result"]["status"] == "active"
        assert answer.json()["messages"][0]["code"] == 10000
        bad = anonymous(zone.server, {"Authorization": "Bearer " + "x" * 40}).call("GET", path)
        assert (bad.status_code, codes(bad)) == (401, [1000])


def test_zones_and_accounts_read_as_made(zone):
    made = zone.create_zone(f"{zone.zone}-d")
    assert zone.result("GET", f"/zones/{made['id']}") == made
    assert zone.result("GET", "/zones", params={"name": made["name"]}) == [made]
    assert made["status"] == "active" and len(made["id"]) == 32
    account = made["account"]
    assert zone.result("GET", f"/accounts/{account['id']}")["id"] == account["id"]
    assert account["id"] in [a["id"] for a in zone.result("GET", "/accounts")]
    assert made["id"] in [z["id"] for z in zone.result("GET", "/zones", params={"account.id": account["id"], "per_page": 1000})]


@pytest.mark.parametrize("form, content_type", [
    ("pem", "application/x-pem-file"), ("der", "application/octet-stream"), ("pkcs7", "application/x-pkcs7-certificates"),
])
def test_the_bundle_comes_in_every_form(zone, form, content_type):
    assert zone.bundle(form).headers["content-type"].split(";")[0] == content_type


def test_public_files_have_types_tags_and_answer_304(zone):
    issuing = zone.authorities()[0]
    types = {"ca.cer": "application/pkix-cert", "ca.pem": "application/x-pem-file", "bundle.pem": "application/x-pem-file",
             "bundle.p7b": "application/x-pkcs7-certificates", "crl": "application/pkix-crl",
             "crl.pem": "application/x-pem-file"}
    for name, content_type in types.items():
        url = f"{zone.server.url}/pki/{issuing['id']}/{name}"
        answer = httpx.get(url)
        assert answer.status_code == 200 and answer.headers["content-type"].split(";")[0] == content_type, name
        assert "max-age" in answer.headers["cache-control"], name
        head = httpx.head(url)
        assert head.status_code == 200 and head.content == b"" and head.headers["etag"] == answer.headers["etag"]
        same = httpx.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert same.status_code == 304 and same.content == b"", name


def test_public_files_of_unknown_authorities_are_404(zone):
    for path in (f"{UNKNOWN_ID}/crl", f"{zone.zone}/crl", "x/ca.cer", f"{zone.authorities()[0]['id']}/nonsense"):
        assert httpx.get(f"{zone.server.url}/pki/{path}").status_code == 404


@pytest.mark.one_process(reason="the proxy does not give the metrics of one replica")
def test_health_readiness_and_metrics_need_no_credentials(zone):
    for path in ("/healthz", "/readyz", "/metrics", "/docs/", "/openapi.json"):
        assert httpx.get(f"{zone.server.url}{path}", follow_redirects=True).status_code == 200, path


def test_the_documentation_page_loads_nothing_from_outside(zone):
    page = httpx.get(f"{zone.server.url}/docs/").text
    assert "src=\"http" not in page and "href=\"http" not in page and "//cdn" not in page


def test_a_header_line_too_many_or_too_long_is_refused_without_harm(zone):
    answer = httpx.get(f"{zone.server.url}/client/v4{zone.path()}", headers={"Authorization": "Bearer " + "x" * 20000})
    assert 400 <= answer.status_code < 500
    check_envelope(zone.list())
