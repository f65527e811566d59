"""Identities as Checkly's clients know them: calls as they were seen to be made, with the answers they expect."""

import json
import re
import uuid

import httpx
import pytest

import identity_pki as pki
from identity_api import UNKNOWN_ID, Identities, keep

SOMEWHERE = "https://www.acme.com/"
GO_ZERO = "0001-01-01T00:00:00Z"
V1 = "/v1/client-certificates"


@pytest.fixture
def vault(shared_server):
    return Identities.of_new_account(shared_server)


class Checkly:
    """Calls as Checkly's clients were seen to make them."""

    def __init__(self, vault):
        self.vault = vault
        self.http = httpx.Client(base_url=vault.server.url, timeout=60)
        self.account = str(uuid.UUID(vault.account))

    def call(self, method, path, token=None, account=None, body=None, content=None):
        headers = {"Authorization": f"Bearer {token or self.vault.token}", "x-checkly-account": account or self.account,
                   "x-checkly-source": "TF", "Content-Type": "application/json", "User-Agent": "Go-http-client/1.1"}
        headers = {name: value for name, value in headers.items() if not value.endswith("none")}
        content = content if content is not None else body if body is None else json.dumps(body)
        return self.http.request(method, path, headers=headers, content=content)

    def post(self, held=None, **body):
        held = held or pki.client("rsa2048")
        return self.call("POST", V1, body={
            "host": "*.acme.com", "cert": held.whole_chain, "key": held.key, "created_at": GO_ZERO, **body})


@pytest.fixture
def checkly(vault):
    return Checkly(vault)


def assert_v1(answer, status, held=None, host="*.acme.com", ca=None):
    """The status, and the JSON shape that goes with it."""
    assert answer.status_code == status, answer.text
    if status == 204:
        assert answer.content == b""
        return None
    body = answer.json()
    if status >= 400:
        assert set(body) == {"statusCode", "error", "message"} and body["statusCode"] == status, body
        assert isinstance(body["message"], str) and body["message"]
        assert body["error"] == {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
                                 405: "Method Not Allowed", 413: "Payload Too Large"}[status]
        return body["message"]
    assert set(body) == {"id", "host", "cert", "ca", "created_at"}, body
    assert str(uuid.UUID(body["id"])) == body["id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created_at"]) and body["created_at"] > "2026"
    assert (body["host"], body["ca"]) == (host, ca)
    assert body["cert"] == (held or pki.client("rsa2048")).whole_chain
    return body


def tabbed(text):
    return "".join(f"\t\t{line}\n" for line in text.splitlines())


def crlf(text):
    return text.replace("\n", "\r\n")


def accepted_posts():
    held = pki.client("rsa2048")
    plain = {"host": "*.acme.com", "cert": held.whole_chain, "key": held.key}
    encrypted = {**plain, "key": pki.ENCRYPTED_FORMS["PBES2 aes256"](held.key), "passphrase": pki.PASSPHRASE}
    return {
        "as the Go SDK sends it": {**plain, "created_at": GO_ZERO},
        "everything": {**encrypted, "ca": held.root, "created_at": GO_ZERO},
        "null where nothing is": {**plain, "ca": None, "passphrase": None},
        "empty where nothing is": {**plain, "ca": "", "passphrase": ""},
        "indented by tabs": {**{name: tabbed(text) for name, text in plain.items() if name != "host"},
                             "host": "*.acme.com", "ca": tabbed(held.root)},
        "CRLF": {**encrypted, "cert": crlf(held.whole_chain), "key": crlf(encrypted["key"]), "ca": crlf(held.root)},
        "certificate and key in one": {"host": "*.acme.com", "cert": held.whole_chain + held.key},
        "unknown keys": {**plain, "id": "x", "name": "y", "tags": [1], "created_at": None},
    }


@pytest.mark.parametrize("name", accepted_posts())
def test_checkly_posts_are_201(checkly, name):
    body = accepted_posts()[name]
    made = assert_v1(checkly.call("POST", V1, body=body), 201, ca=pki.root().certificate if body.get("ca") else None)
    assert assert_v1(checkly.call("GET", f"{V1}/{made['id']}"), 200, ca=made["ca"]) == made
    assert checkly.call("GET", V1).json() == [made]
    assert_v1(checkly.call("DELETE", f"{V1}/{made['id']}"), 204)
    assert_v1(checkly.call("DELETE", f"{V1}/{made['id']}"), 404)
    assert_v1(checkly.call("GET", f"{V1}/{made['id']}"), 404)
    assert checkly.call("GET", V1).json() == []


REFUSED_CALLS = [
    # method, path, headers, body, status, word
    ("GET", V1, {"token": "none"}, None, 401, None),
    ("GET", V1, {"token": "short"}, None, 401, None),
    ("GET", V1, {"token": "x" * 40}, None, 401, None),
    ("POST", V1, {"token": "x" * 40}, {}, 401, None),
    ("GET", f"{V1}/{UNKNOWN_ID}", {"token": "x" * 40}, None, 401, None),
    ("GET", V1, {"account": UNKNOWN_ID}, None, 403, None),
    ("GET", V1, {"account": "0" * 32}, None, 403, None),
    ("GET", V1, {"account": "no account"}, None, 403, None),
    ("POST", V1, {"account": UNKNOWN_ID}, {}, 403, None),
    ("DELETE", f"{V1}/{UNKNOWN_ID}", {"account": UNKNOWN_ID}, None, 403, None),
    ("GET", f"{V1}/{UNKNOWN_ID}", {}, None, 404, None),
    ("DELETE", f"{V1}/{UNKNOWN_ID}", {}, None, 404, None),
    ("GET", f"{V1}/short", {}, None, 404, None),
    ("GET", "/v1/checks", {}, None, 404, None),
    ("PUT", f"{V1}/{UNKNOWN_ID}", {}, {}, 405, None),
    ("PATCH", f"{V1}/{UNKNOWN_ID}", {}, {}, 405, None),
    ("DELETE", V1, {}, None, 405, None),
    ("POST", V1, {}, {}, 400, "host is required"),
    ("POST", V1, {}, {"host": "a.example"}, 400, "cert is required"),
    ("POST", V1, {}, {"host": "a.example", "cert": "x"}, 400, "cert"),
    ("POST", V1, {}, {"host": "a.example", "cert": "x", "key": 7}, 400, "key must be a string"),
    ("POST", V1, {}, {"host": ["a.example"]}, 400, "host"),
    ("POST", V1, {}, [], 400, "JSON object"),
    ("POST", V1, {}, None, 400, "decode"),
    ("POST", V1, {}, {"host": "a" * 2_000_000}, 413, None),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "word"), REFUSED_CALLS,
                         ids=[f"{c[0]} {c[4]} {n}" for n, c in enumerate(REFUSED_CALLS)])
def test_checkly_refusals_have_its_shape(checkly, method, path, headers, body, status, word):
    message = assert_v1(checkly.call(method, path, body=body, **headers), status)
    assert word is None or word in message, message


def test_checkly_accounts_are_named_with_dashes_or_without_or_not_at_all(checkly):
    for account in (checkly.vault.account, checkly.account, checkly.account.upper(), "none"):
        assert checkly.call("GET", V1, account=account).json() == []


def test_checkly_faults_name_its_own_fields(checkly):
    held, other = pki.client("rsa2048"), pki.client("p256")
    for body, word in (
        ({"key": other.key}, "key: "), ({"key": "x"}, "key: "), ({"cert": "x"}, "cert: "), ({"ca": "x"}, "ca: "),
        ({"host": "https://a.example"}, "host: "), ({"host": "!a.example"}, "host: "),
        ({"key": pki.ENCRYPTED_FORMS["PBES2 aes256"](held.key), "passphrase": "wrong one"}, "passphrase"),
    ):
        message = assert_v1(checkly.post(**body), 400)
        assert word in message, message
        for foreign in ("/certificates", "/private_key", "/trusted_ca", "/hosts", "wrong one"):
            assert foreign not in message, message
    assert checkly.call("GET", V1).json() == []


def test_checkly_is_told_once_of_a_certificate_that_is_missing(checkly):
    message = assert_v1(checkly.call("POST", V1, body={"host": "*.a"}), 400)
    about_it = [part for part in message.split("; ") if part.startswith("cert")]
    assert len(about_it) == 1 and about_it[0].startswith("cert is required"), message
    assert "private_key" not in message, message


def test_checkly_permissions_are_403(checkly):
    reader = checkly.vault.with_token("identities:read").token
    assert checkly.call("GET", V1, token=reader).json() == []
    assert_v1(checkly.call("POST", V1, token=reader, body={}), 403)
    assert_v1(checkly.call("DELETE", f"{V1}/{UNKNOWN_ID}", token=reader), 403)


@pytest.mark.one_process(reason="the other replica chooses by it within a second")
def test_one_certificate_may_be_kept_for_two_hosts(checkly):
    made = [assert_v1(checkly.post(host=host), 201, host=host) for host in ("a.acme.com", "*.acme.com")]
    assert checkly.call("GET", V1).json() == made
    assert checkly.vault.match("a.acme.com")["choice"]["id"] == made[0]["id"]
    assert checkly.vault.match("b.acme.com")["choice"]["id"] == made[1]["id"]
    assert_v1(checkly.call("DELETE", f"{V1}/{made[0]['id']}"), 204)
    assert checkly.vault.match("a.acme.com")["choice"]["id"] == made[1]["id"]


def test_checkly_sees_identities_of_the_other_face_and_no_ca_bundles(checkly):
    vault = checkly.vault
    made = keep(vault, 0, hosts=["a.example", "*.b.example"])
    bare = keep(vault, 1)
    bundle = vault.keep(ca=True, certificates=pki.root().certificate)
    assert [(one["id"], one["host"]) for one in checkly.call("GET", V1).json()] == [
        (made["id"], "{a.example,*.b.example}"), (bare["id"], "")]
    assert_v1(checkly.call("GET", f"{V1}/{bundle['id']}"), 404)
    vault.check(SOMEWHERE, name="partner is up", identity=made["id"])
    message = assert_v1(checkly.call("DELETE", f"{V1}/{made['id']}"), 400)
    assert "in use" in message and "partner is up" in message


def test_checkly_removes_no_ca_bundle(checkly):
    bundle = checkly.vault.keep(ca=True, certificates=pki.root().certificate)
    assert_v1(checkly.call("DELETE", f"{V1}/{bundle['id']}"), 404)
    assert [one["id"] for one in checkly.vault.listed()] == [bundle["id"]]
