"""Identities as Cloudflare's clients know them: its SDKs and wrangler; and the rules of that face."""

import json
import os
import pathlib
import subprocess

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare

import identity_pki as pki
from api import NUL, codes
from identity_api import UNKNOWN_ID, Identities, faults, keep, kept, messages

HERE = pathlib.Path(__file__).parent
CLIENTS = HERE.parent / ".venv"
# Nobody listens there, and nothing is called: checks without an interval run by hand.
SOMEWHERE = "https://www.acme.com/"


@pytest.fixture
def vault(shared_server):
    return Identities.of_new_account(shared_server)


# Cloudflare's Python SDK


def sdk(vault, token=None):
    return Cloudflare(base_url=f"{vault.server.url}/client/v4", api_token=token or vault.token, max_retries=vault.server.retries,
                      _strict_response_validation=True)


def test_the_python_sdk_uploads_lists_reads_and_deletes(vault):
    client, held = sdk(vault).mtls_certificates, pki.client("rsa2048")
    made = client.create(account_id=vault.account, ca=False, certificates=held.whole_chain, private_key=held.key,
                         name="by-python")
    assert (made.ca, made.name, made.type) == (False, "by-python", "custom")
    assert made.certificates == held.whole_chain
    assert made.issuer == "CN=Partner Issuing,O=Partner" and made.signature == "SHA256WithRSA"
    shown = pki.openssl("x509", "-noout", "-serial", "-in", "leaf", files={"leaf": held.certificate}).decode()
    assert made.serial_number == str(int(shown.strip().removeprefix("serial="), 16))
    bundle = client.create(account_id=vault.account, ca=True, certificates=held.root)
    assert (bundle.ca, bundle.name) == (True, "Partner Root")
    read = client.get(made.id, account_id=vault.account)
    assert (read.id, read.expires_on, read.uploaded_on) == (made.id, made.expires_on, made.uploaded_on)
    assert [one.id for one in client.list(account_id=vault.account)] == [made.id, bundle.id]
    assert list(client.associations.get(made.id, account_id=vault.account)) == []
    assert client.delete(made.id, account_id=vault.account).id == made.id
    assert [one.id for one in client.list(account_id=vault.account)] == [bundle.id]
    assert "private_key" not in made.model_dump() and "private_key" not in read.model_dump()


def test_the_python_sdk_sees_who_relies_on_an_identity(vault):
    client, made = sdk(vault).mtls_certificates, keep(vault)
    vault.check(SOMEWHERE, name="partner is up", identity=made["id"])
    [use] = client.associations.get(made["id"], account_id=vault.account)
    assert (use.service, use.status) == ("partner is up", "active")
    with pytest.raises(cloudflare.BadRequestError) as caught:
        client.delete(made["id"], account_id=vault.account)
    assert [error.code for error in caught.value.errors] == [1473]
    assert "while in use" in str(caught.value) and "partner is up" in str(caught.value)


def test_the_python_sdk_raises_what_callers_catch(vault):
    client, held = sdk(vault).mtls_certificates, pki.client()
    good = {"account_id": vault.account, "ca": False, "certificates": held.whole_chain, "private_key": held.key}
    client.create(**good)
    with pytest.raises(cloudflare.BadRequestError) as caught:
        client.create(**good)
    assert [error.code for error in caught.value.errors] == [1471]
    with pytest.raises(cloudflare.BadRequestError) as caught:
        client.create(account_id=vault.account, ca=False, certificates="nothing of the kind")
    assert {error.code for error in caught.value.errors} == {1400}
    for call in (client.get, client.delete):
        with pytest.raises(cloudflare.NotFoundError) as caught:
            call(UNKNOWN_ID, account_id=vault.account)
        assert [error.code for error in caught.value.errors] == [1472]
    for token, account in (("x" * 40, vault.account), (vault.token, "0" * 32)):
        with pytest.raises(cloudflare.PermissionDeniedError):
            list(sdk(vault, token).mtls_certificates.list(account_id=account))


# Cloudflare's Node SDK, and wrangler


def test_the_node_sdk_sees_the_whole_life_and_every_error_class(vault):
    held = pki.client("p384")
    environment = {
        "PATH": os.environ["PATH"], "NODE_PATH": str(CLIENTS / "node" / "node_modules"),
        "BASE_URL": f"{vault.server.url}/client/v4", "TOKEN": vault.token, "ACCOUNT": vault.account,
        "CERTIFICATES": held.whole_chain, "KEY": held.key, "ROOT": held.root,
    }
    done = subprocess.run(["node", HERE / "node" / "identities.cjs"], env=environment, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert saw["read"] == saw["created"]
    assert saw["created"]["certificates"] == held.whole_chain
    assert saw["listed"] == [saw["created"]["id"], saw["bundle"]["id"]]
    assert saw["associations"] == []
    assert saw["failures"] == {
        "duplicate": {"class": "BadRequestError", "status": 400, "codes": [1471]},
        "badRequest": {"class": "BadRequestError", "status": 400, "codes": [1400]},
        "denied": {"class": "PermissionDeniedError", "status": 403, "codes": [10000]},
        "notFound": {"class": "NotFoundError", "status": 404, "codes": [1472]},
    }
    assert saw["deleted"] == saw["created"]["id"] and saw["left"] == [saw["bundle"]["id"]]
    assert "private_key" not in done.stdout and "PRIVATE KEY" not in done.stdout


@pytest.fixture
def wrangler(vault, tmp_path):
    """Runs wrangler in a folder with the certificates in files; gives its exit code and what it said."""
    held = pki.client("rsa2048")
    for name, content in (("leaf.pem", held.whole_chain), ("leaf.key", held.key), ("ca.pem", held.root)):
        (tmp_path / name).write_text(content)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "CI": "1", "WRANGLER_SEND_METRICS": "false",
        "NODE_OPTIONS": f"--require={HERE / 'node' / 'wrangler' / 'without_native.cjs'}",
        "CLOUDFLARE_API_BASE_URL": f"{vault.server.url}/client/v4", "CLOUDFLARE_API_TOKEN": vault.token,
        "CLOUDFLARE_ACCOUNT_ID": vault.account,
    }

    def run(*arguments):
        program = CLIENTS / "wrangler" / "node_modules" / "wrangler" / "bin" / "wrangler.js"
        done = subprocess.run(["node", program, *arguments], cwd=tmp_path, env=environment, capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_wrangler_uploads_lists_and_deletes(vault, wrangler):
    leaf = ("--cert", "leaf.pem", "--key", "leaf.key", "--name", "w")
    code, said = wrangler("cert", "upload", "mtls-certificate", *leaf)
    [made] = vault.listed()
    assert code == 0 and made["id"] in said and "CN=Partner Issuing" in said, said
    code, said = wrangler("cert", "upload", "certificate-authority", "--ca-cert", "ca.pem", "--name", "w-ca")
    bundle = vault.listed()[1]
    assert code == 0 and bundle["id"] in said and bundle["ca"], said
    code, said = wrangler("cert", "list")
    assert code == 0 and made["id"] in said and bundle["id"] in said, said
    code, said = wrangler("cert", "delete", "--name", "w")
    assert code == 0 and [one["id"] for one in vault.listed()] == [bundle["id"]], said
    code, said = wrangler("mtls-certificate", "delete", "--id", bundle["id"])
    assert code == 0 and vault.listed() == [], said


# the rules behind Cloudflare's face


def test_the_same_certificate_twice_is_400_1471_and_names_the_one_that_is_there(vault):
    made = keep(vault)
    held = pki.client(name="client-0")
    for body in ({"certificates": held.whole_chain, "private_key": held.key, "name": "other", "hosts": ["a.example"]},
                 {"private_key": held.key.replace("\n", "\r\n") + held.chain + held.certificate},
                 {"pkcs12": pki.encode(pki.pkcs12(held)), "passphrase": pki.PASSPHRASE}):
        answer = vault.upload(**body)
        assert (answer.status_code, codes(answer)) == (400, [1471])
        assert made["id"] in answer.json()["errors"][0]["message"]
    assert [one["id"] for one in vault.listed()] == [made["id"]]
    other = Identities.of_new_account(vault.server)
    assert keep(other)["fingerprint_sha256"] == made["fingerprint_sha256"], "other accounts have their own"


@pytest.mark.parametrize("identity", [UNKNOWN_ID, "short", "0" * 32, UNKNOWN_ID.replace("-", ""), NUL, "é"])
def test_unknown_ids_are_404_1472(vault, identity):
    for method, rest, body in (
        ("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"name": "x"}), ("PUT", "", {"certificates": "x"}),
        ("GET", "/associations", None), ("PUT", "/associations/x", {}), ("DELETE", "/associations/x", None),
    ):
        answer = vault.call(method, vault.path(f"/{identity}{rest}"), json=body)
        assert (answer.status_code, codes(answer)) == (404, [1472]), (method, rest, answer.text)


def test_what_is_in_use_is_400_1473_with_the_uses_and_goes_by_force(vault):
    made = keep(vault)
    check = vault.check(SOMEWHERE, name="partner is up", identity=made["id"])
    using = kept(vault.call("PUT", vault.path(f"/{made['id']}/associations/nightly%20export"),
                            json={"kind": "workflow", "link": "https://ci.example/7"}))
    assert (using["service"], using["kind"], using["link"]) == ("nightly export", "workflow", "https://ci.example/7")
    assert [(one["service"], one["kind"]) for one in vault.uses(made["id"])] == [
        ("partner is up", "check"), ("nightly export", "workflow")]
    for force in ({}, {"force": "false"}):
        answer = vault.remove(made["id"], **force)
        assert (answer.status_code, codes(answer)) == (400, [1473])
        [message] = [entry["message"] for entry in answer.json()["errors"]]
        assert 'check "partner is up"' in message and 'workflow "nightly export"' in message and "force" in message
    assert vault.show(made["id"])["id"] == made["id"]
    assert vault.remove(made["id"], force="perhaps").status_code == 400
    assert kept(vault.remove(made["id"], force="true"))["id"] == made["id"]
    assert vault.listed() == []
    assert vault.show_check(check["id"])["identity"] == made["id"], "the check stays and says what is missing"


def test_what_is_used_no_longer_can_be_removed(vault):
    made = keep(vault)
    check = vault.check(SOMEWHERE, identity=made["id"])
    kept(vault.call("PUT", vault.path(f"/{made['id']}/associations/export")))
    kept(vault.call("DELETE", vault.path(f"/{made['id']}/associations/export")))
    assert vault.remove(made["id"]).status_code == 400
    kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"identity": "auto"}))
    assert vault.uses(made["id"]) == []
    kept(vault.remove(made["id"]))


def test_a_removal_names_the_checks_that_now_present_something_else(vault):
    first, second = keep(vault, 0, hosts=["*.acme.com"]), keep(vault, 1, hosts=["www.acme.com"])
    vault.check(SOMEWHERE, name="by host")
    [message] = messages(vault.remove(second["id"]))
    assert '"by host"' in message and "client-0" in message
    [message] = messages(vault.remove(first["id"]))
    assert '"by host"' in message and "no identity" in message


def test_no_answer_is_a_409_and_none_holds_a_key(vault):
    """The SDKs repeat a 409; and a key that was shown once is nobody's secret."""
    held = pki.client("p256", "seen")
    seen = []
    vault.http.event_hooks["response"] = [lambda answer: seen.append((answer.status_code, answer.read().decode()))]
    made = vault.keep(certificates=held.whole_chain, private_key=held.key, hosts=["www.acme.com"], primary=True)
    vault.upload(certificates=held.whole_chain, private_key=held.key)
    vault.upload(certificates=held.whole_chain, private_key=pki.client("p384").key)
    vault.check(SOMEWHERE, identity=made["id"])
    vault.remove(made["id"])
    vault.edit(made["id"], name="other", primary=False)
    vault.replace(made["id"], certificates=held.certificate + held.key)
    vault.replace(made["id"], certificates=held.certificate)
    vault.listed(), vault.show(made["id"]), vault.match("www.acme.com"), vault.uses(made["id"])
    v1 = httpx.get(f"{vault.server.url}/v1/client-certificates", headers=dict(vault.http.headers))
    seen.append((v1.status_code, v1.text))
    vault.remove(made["id"], force="true")
    assert len(seen) >= 12
    for status, text in seen:
        assert status in (200, 400), text
        assert "private_key" not in text.replace('"/private_key"', "") or status == 400
        assert "PRIVATE KEY" not in text and held.key.splitlines()[1] not in text


def test_each_permission_allows_its_own_acts_alone(vault):
    one = vault.path(f"/{keep(vault)['id']}")
    acts = {
        "identities:read": [("GET", vault.path()), ("GET", one), ("GET", f"{one}/associations"),
                            ("GET", vault.path("/match?host=a.example")), ("GET", vault.check_path())],
        "identities:write": [("POST", vault.path()), ("PATCH", one), ("PUT", one), ("DELETE", one)],
        "identities:use": [("POST", vault.path("/request")), ("PUT", f"{one}/associations/x"),
                           ("DELETE", f"{one}/associations/x"), ("POST", vault.check_path()),
                           ("POST", vault.check_path(f"/{UNKNOWN_ID}/run"))],
    }
    for permission in acts:
        client = vault.with_token(permission)
        for needed, calls in acts.items():
            for method, path in calls:
                answer = client.call(method, path, json=None if method == "GET" else {"url": "no url"})
                assert (answer.status_code == 403) == (needed != permission), (permission, method, path, answer.text)


def test_a_token_for_a_zone_reaches_no_identity(vault):
    zone = vault.result("POST", "/zones", json={"name": "zone"})["id"]
    token = vault.result("POST", f"/accounts/{vault.account}/tokens", json={
        "name": "zone", "permissions": ["identities:read", "identities:write", "identities:use"], "zones": [zone]})
    client = Identities(vault.server, vault.account, token["value"])
    for method, path in (("GET", vault.path()), ("POST", vault.path()), ("GET", vault.check_path())):
        assert client.call(method, path, json={} if method == "POST" else None).status_code == 403


def test_accounts_see_nothing_of_each_other(vault):
    made = keep(vault, hosts=["www.acme.com"], primary=True)
    check = vault.check(SOMEWHERE)
    other = Identities.of_new_account(vault.server)
    assert other.listed() == [] and other.match("www.acme.com")["choice"] is None
    for method in ("GET", "DELETE", "PATCH", "PUT"):
        answer = other.call(method, other.path(f"/{made['id']}"), json={} if method.startswith("P") else None)
        assert (answer.status_code, codes(answer)) == (404, [1472])
        answer = other.call(method, vault.path(f"/{made['id']}"), json={} if method.startswith("P") else None)
        assert (answer.status_code, codes(answer)) == (403, [10000])
    assert other.call("GET", other.check_path(f"/{check['id']}")).status_code == 404
    assert other.define(name="x", url=SOMEWHERE, identity=made["id"]).status_code == 400
    answer = other.call("POST", other.path("/request"), json={"url": SOMEWHERE, "identity": made["id"]})
    assert (answer.status_code, faults(answer)[0][0]) == (400, "/identity")
    keep(other, primary=True)
    assert vault.show(made["id"])["primary"] is True, "each account has a primary of its own"
