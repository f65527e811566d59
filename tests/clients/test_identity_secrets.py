"""Private keys, passphrases and secret headers of identities and checks appear in no file, log, metric or answer."""

import base64
import binascii
import itertools

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import identity_pki as pki
from identity_api import Identities, kept
from test_secrets import PLAIN_KEYS, written
from server import Server
from tls_server import TlsServer, redirect, respond

PASSPHRASE = "a passphrase that nobody else has"
HEADER = "Bearer t0ken-of-the-partner-0123456789"
BODY = '{"password":"s3cret-in-the-body-0123456789"}'
ONCE = "Basic c2VjcmV0IG9mIGEgY2FsbA=="
ANSWER = "what-the-partner-answered-0123456789"
# So long a piece of a secret number is no accident.
PIECE = 16


def numbers(key_pem):
    """The secret numbers of a private key, big-endian, and the documents that hold them."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    private = key.private_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        found = [private.p, private.q, private.d, private.dmp1, private.dmq1, private.iqmp]
    else:
        found = [private.private_value]
    return [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in found]


def pieces(secret):
    """Beginning, middle and end, so that a part of it is found too."""
    middle = len(secret) // 2
    return {secret[:PIECE], secret[middle - PIECE // 2:middle + PIECE // 2], secret[-PIECE:]}


def spellings(secret):
    """Its bytes as they might be written down: raw, hexadecimal, decimal, and base64 in all three alignments."""
    found = {secret, binascii.hexlify(secret), binascii.hexlify(secret).upper(), ", ".join(map(str, secret)).encode(),
             ",".join(map(str, secret)).encode(), binascii.hexlify(secret, ":").upper()}
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + secret)
        # Only the characters that are made of this secret alone.
        inner = whole[(8 * shift + 5) // 6:(8 * (shift + len(secret))) // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


@pytest.fixture(scope="module")
def used(make_folder):
    """A server that logged everything while keys came in by every door and went out to a partner."""
    server = Server(make_folder(), COUNTERSIGN_EGRESS_ALLOW="127.0.0.1", COUNTERSIGN_LOG="trace").start()
    try:
        yield use(server)
    finally:
        server.clean_up()


def use(server):
    vault = Identities.of_new_account(server)
    vault.held = [pki.issued(pki.intermediate(), f"/CN=secret-{kind}", key=pki.key_of(kind, "secrets"))
                  for kind in ("rsa2048", "p256")]
    by_rsa, by_ec = vault.held
    vault.refusals = []
    # Uploads, good and bad, by every door.
    file = pki.pkcs12(by_rsa, passphrase=PASSPHRASE)
    vault.file = file
    encrypted = pki.openssl("pkcs8", "-topk8", "-in", "key", "-passout", f"pass:{PASSPHRASE}", files={"key": by_ec.key})
    by_host = vault.keep(pkcs12=pki.encode(file), passphrase=PASSPHRASE, hosts=["127.0.0.1"])
    primary = vault.keep(
        certificates=by_ec.whole_chain, private_key=encrypted.decode(), passphrase=PASSPHRASE, primary=True)
    rsa_id, ec_id = by_host["id"], primary["id"]
    for body in (
        {"certificates": by_ec.whole_chain, "private_key": by_ec.key},
        {"certificates": by_rsa.whole_chain, "private_key": by_ec.key},
        {"certificates": by_rsa.key, "private_key": by_ec.key + by_rsa.key, "passphrase": PASSPHRASE},
        {"certificates": by_rsa.whole_chain, "private_key": by_rsa.key[:-200]},
        {"certificates": by_ec.whole_chain, "private_key": by_ec.key.replace("PRIVATE", "SECRET")},
        {"certificates": by_ec.whole_chain, "private_key": by_ec.key.replace("-----", "")},
        {"certificates": "".join(by_ec.key.splitlines()[1:-1]), "private_key": "".join(by_rsa.key.splitlines()[1:-1])},
        {"certificates": by_ec.whole_chain, "private_key": encrypted.decode(), "passphrase": PASSPHRASE[:-1]},
        {"pkcs12": pki.encode(file), "passphrase": PASSPHRASE + "\n"},
        {"name": by_ec.key, "certificates": by_ec.certificate},
        {"passphrase": [PASSPHRASE], "private_key": [by_ec.key]},
        {"ca": True, "certificates": by_ec.root + by_ec.key}, {"trusted_ca": by_ec.key + by_rsa.key},
    ):
        answer = vault.upload(**body)
        assert answer.status_code == 400, answer.text
        vault.refusals.append(answer.content)
    vault.call("POST", vault.path(), content=b'{"certificates":"x","private_key":"' + by_ec.key.encode())
    vault.replace(rsa_id, certificates=by_rsa.whole_chain, private_key=by_rsa.key)
    vault.replace(ec_id, certificates=by_ec.whole_chain + by_rsa.key)
    # Out to a partner, by hand and by schedule.
    secrets = [{"name": "Authorization", "value": HEADER}, {"name": "X-Own", "value": HEADER[7:], "secret": True}]
    answers = {"/away": redirect("https://127.0.0.1:1/?a=" + ONCE[6:].rstrip("="))}
    vault.partner = TlsServer(lambda request: answers.get(request.target, respond(200, ANSWER.encode())),
                              client_ca=pki.root().certificate)
    vault.bundle = vault.keep(ca=True, certificates=pki.root().certificate)["id"]
    with vault.partner as partner:
        check = vault.check(partner.url, trusted_ca=vault.bundle, method="POST", headers=secrets, body=BODY,
                            secret_body=True, interval_seconds=30)["id"]
        vault.wait_for_runs(check, 1)
        for identity in (rsa_id, ec_id):
            called = vault.request(f"{partner.url}/away", identity=identity, trusted_ca=vault.bundle, method="POST",
                                   headers=[{"name": "Authorization", "value": ONCE}], body=BODY)
            assert called["identity"]["presented"] and called["status"] == 302
            vault.request(f"{partner.url}/?token={HEADER[7:]}", identity=identity, trusted_ca=vault.bundle)
        kept(vault.call("PATCH", vault.check_path(f"/{check}"), json={"name": "renamed"}))
        vault.define(name="x", url=f"https://user:{HEADER[7:]}@a.example", headers=secrets, body=BODY)
        vault.define(name="x", url="https://a.example", headers=[{"name": "X\n", "value": HEADER}])
        assert any(request.values("authorization") == [HEADER] and request.body == BODY.encode()
                   for request in partner.requests)
    zone = vault.result("POST", "/zones", json={"name": "zone"})["id"]
    vault.managed = vault.keep(managed={"zone_id": zone, "common_name": "managed"})
    vault.ids = Ids({"account_id": vault.account, "zone_id": zone, "mtls_certificate_id": rsa_id, "check_id": check,
                     "id": ec_id, "client_certificate_id": vault.managed["managed"]["client_certificate_id"],
                     "certificate_authority_id": vault.in_zone(zone).authorities()[0]["id"]})
    return vault


class Ids(dict):
    """What stands in paths; other parameters have a word that nothing is called by."""

    def __missing__(self, name):
        return "x"


def secrets_of(vault):
    """Each secret by what it is, in all its spellings."""
    found = {"the passphrase": spellings(PASSPHRASE.encode()), "a header": spellings(HEADER[7:].encode()),
             "a body": spellings(b"s3cret-in-the-body-0123456789"),
             "a header of one call": {ONCE[6:].encode().rstrip(b"=")},
             "an answer": {ANSWER.encode()}}
    for held in vault.held:
        for number, secret in enumerate(numbers(held.key)):
            found[f"number {number} of a key"] = found.get(f"number {number} of a key", set()) | set(
                itertools.chain.from_iterable(spellings(piece) for piece in pieces(secret)))
    # A PKCS#12 file with a weak passphrase is as good as its key.
    found["the PKCS#12 file"] = set(itertools.chain.from_iterable(spellings(piece) for piece in pieces(vault.file)))
    return found


def assert_no_secret(vault, texts):
    for what, spelled in secrets_of(vault).items():
        for name, content in texts.items():
            for spelling in spelled:
                assert spelling not in content, f"{what} is in {name}, as {spelling[:12]!r}…"


def test_the_search_itself_finds_keys_in_every_form():
    """A search that finds nothing proves nothing, unless it would have found something."""
    for kind in ("rsa2048", "p256"):
        key = pki.key_of(kind, "secrets")
        der = pki.openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", "key", files={"key": key})
        spelled = set(itertools.chain.from_iterable(
            spellings(piece) for number in numbers(key) for piece in pieces(number)))
        joined = "".join(key.splitlines()[1:-1]).encode()
        shifted = base64.urlsafe_b64encode(b"x" + der)
        for content in (der, joined, shifted, binascii.hexlify(der), str(list(der)).encode()):
            assert any(spelling in content for spelling in spelled)
        # In PEM with its line ends a piece may be cut, and another is not.
        assert any(spelling in key.encode() for spelling in spelled)


def test_no_key_passphrase_or_header_is_in_a_file_or_in_the_log(used):
    texts = {name: content for name, content in written(used.server).items()}
    assert "stderr" in texts and set(used.server.store.octets()) <= set(texts)
    assert_no_secret(used, texts)
    for name, content in texts.items():
        # Messages may speak of the line that a key begins with, so PEM is a key only with what follows.
        for kind, beginning in {**PLAIN_KEYS, "PEM": b"PRIVATE KEY-----\nM"}.items():
            assert beginning not in content, f"a plain key ({kind}) is in {name}"


def test_no_refusal_of_an_upload_repeats_a_secret(used):
    assert len(used.refusals) > 10
    assert_no_secret(used, {f"refusal {number}": text for number, text in enumerate(used.refusals)})


def test_no_secret_is_in_the_metrics(used):
    answer = httpx.get(f"{used.server.url}/metrics", headers=dict(used.http.headers))
    assert answer.status_code == 200
    assert_no_secret(used, {"metrics": answer.content})


def test_no_answer_to_any_get_holds_a_secret(used):
    document = httpx.get(f"{used.server.url}/openapi.json").json()
    reader = used.with_token("identities:read")
    texts, seen = {}, 0
    for path, operations in document["paths"].items():
        if "get" not in operations:
            continue
        concrete = path.format_map(used.ids)
        for who, client in (("the owner", used), ("a reader", reader)):
            # A stream has no end; its pages hold the same.
            params = {"host": "127.0.0.1"} if path.endswith("/match") else {"format": "json"} if path.endswith("/events") else None
            answer = client.http.get(concrete, params=params)
            assert answer.status_code < 500, (path, answer.text)
            texts[f"GET {path} of {who}"] = answer.content
            seen += answer.status_code == 200
            if "mtls_certificates" in path or "checks" in path or path.startswith("/v1/"):
                assert answer.status_code == 200, (path, who, answer.text)
                assert b"private_key" not in answer.content and b"PRIVATE KEY" not in answer.content
    assert seen > 15
    assert_no_secret(used, texts)


def test_what_a_redirect_carries_in_its_query_is_not_kept(used):
    token = "t0ken-in-a-redirect"
    answers = {"/": redirect(f"/next?token={token}")}
    with TlsServer(lambda request: answers.get(request.target, respond())) as partner:
        check = used.check(partner.url, trusted_ca=used.bundle, identity="none")["id"]
        assert used.run(check)["state"] == "passing" and partner.requests[-1].target == f"/next?token={token}"
    [run] = used.runs(check)
    assert [url.partition("?")[0] for url in run["redirects"]] == [f"{partner.url}/next"]
    assert token not in str(run)
    assert token not in str(used.report_rows(check))


def test_no_secret_is_left_after_everything_was_removed_and_the_server_stopped(used):
    for identity in used.listed():
        kept(used.remove(identity["id"], force="true"))
    for check in used.result("GET", used.check_path()):
        kept(used.call("DELETE", used.check_path(f"/{check['id']}")))
    assert used.server.stop() == 0
    assert_no_secret(used, {name: content for name, content in written(used.server).items()})
