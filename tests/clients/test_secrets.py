"""Keys, tokens and the master key appear in no log, no database and no answer."""

import base64
import binascii
import re
import subprocess

import pytest

import csr
import der
import server as server_module
from api import Api

# How an unencrypted PKCS#8 or SEC 1 key begins, whatever the key itself is.
PLAIN_KEYS = {
    "PKCS#8 P-256": der.integer(0) + der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")) + b"\x04",
    "PKCS#8 P-384": der.integer(0) + der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.3.132.0.34")) + b"\x04",
    "PKCS#8 RSA": der.integer(0) + der.sequence(der.oid("1.2.840.113549.1.1.1"), der.null()) + b"\x04",
    "PKCS#8 Ed25519": der.integer(0) + der.sequence(der.oid("1.3.101.112")) + b"\x04",
    "PKCS#8 v2 Ed25519": der.integer(1) + der.sequence(der.oid("1.3.101.112")) + b"\x04",
    "SEC 1 of 256 bits": der.integer(1) + b"\x04\x20",
    "SEC 1 of 384 bits": der.integer(1) + b"\x04\x30",
    "PEM": b"PRIVATE KEY",
}


@pytest.fixture(params=["p256", "p384", "rsa2048", "ed25519"])
def used(request, make_server):
    """A server that has logged everything and seen a whole life."""
    server = make_server(COUNTERSIGN_LOG="trace", COUNTERSIGN_ROOT_KEY_TYPE=request.param,
                         COUNTERSIGN_ISSUING_KEY_TYPE=request.param).start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    server.minted = zone.create_token(["client_certificates:read"])["value"]
    Api(server, token=server.minted, zone=zone.zone).list()
    made = zone.issue(csr.by_openssl())
    zone.revoke(made["id"])
    zone.reactivate(made["id"])
    zone.post("no request")
    Api(server, token="z" * 40, zone=zone.zone).list()
    Api(server, headers={"Authorization": f"Basic {server.token}"}, zone=zone.zone).list()
    return server


def written(server):
    """Everything that the process wrote, by file or table, but for the two files that are there to hold a secret."""
    files = [path for path in server.folder.rglob("*") if path.is_file() and path.name not in ("master.key", "admin.token")]
    found = {path.name: path.read_bytes() for path in files} | server.store.octets()
    assert "stderr" in found and any(b"default" in octets for octets in server.store.octets().values())
    return found


def spellings(secret):
    """A secret's bytes as they might be written down."""
    return {secret, binascii.hexlify(secret), binascii.hexlify(secret).upper(), base64.b64encode(secret).rstrip(b"="),
            base64.urlsafe_b64encode(secret).rstrip(b"="), ", ".join(map(str, secret)).encode()}


def master_key_spellings(server):
    text = (server.data / "master.key").read_bytes().strip()
    found = spellings(text)
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        found |= spellings(binascii.unhexlify(text))
    elif re.fullmatch(rb"[A-Za-z0-9+/]{43}=?", text):
        found |= spellings(base64.b64decode(text.rstrip(b"=") + b"="))
    return found


def test_no_secret_is_written_anywhere(used):
    before_the_end = written(used)
    used.stop()
    for files in (before_the_end, written(used)):
        for name, content in files.items():
            assert not any(spelling in content for spelling in master_key_spellings(used)), f"the master key is in {name}"
            if name != "stdout":
                assert used.token.encode() not in content, f"the first token is in {name}"
            assert used.minted.encode() not in content, f"a minted token is in {name}"
            for kind, beginning in PLAIN_KEYS.items():
                assert beginning not in content, f"a plain key ({kind}) is in {name}"


def test_files_are_for_the_owner_alone(used):
    for name in ("master.key", "admin.token"):
        path = used.data / name
        if path.exists():
            assert path.stat().st_mode & 0o777 == 0o600, name
    for path in used.data.glob("countersign.db*"):
        assert path.stat().st_mode & 0o077 == 0 or used.data.stat().st_mode & 0o077 == 0, path.name


def test_answers_hold_no_private_key_and_no_token(zone, request_pem):
    texts = [zone.bundle().text, zone.call("GET", f"/zones/{zone.zone}/certificate_authorities").text,
             zone.post(request_pem).text, zone.post(csr.key_pem("p256").decode()).text]
    account = zone.default_zone()["account"]["id"]
    texts.append(zone.call("GET", f"/accounts/{account}/tokens").text)
    for malformed in ({"Authorization": f"Bearer {zone.server.token}."},
                      {"X-Auth-Email": "a@b.example", "X-Auth-Key": f"{zone.server.token}!"}):
        texts.append(Api(zone.server, headers=malformed, zone=zone.zone).list().text)
    for text in texts:
        assert "PRIVATE KEY" not in text and zone.server.token not in text
    key_line = csr.key_pem("p256").decode().splitlines()[1]
    assert not any(key_line in text for text in texts)


def test_the_master_key_may_come_from_the_environment_and_is_then_not_written(make_server):
    key_file = make_server().start()
    key_file.stop()
    text = (key_file.data / "master.key").read_text().strip()
    server = make_server(COUNTERSIGN_MASTER_KEY=text, COUNTERSIGN_LOG="trace").start()
    assert not (server.data / "master.key").exists()
    assert not any(text.encode() in content for content in written(server).values())


def test_the_command_line_names_no_token_in_its_errors(zone, tmp_path):
    token = "y" * 41
    done = subprocess.run(
        [server_module.BINARY, "list", "--url", zone.server.url, "--token", token], cwd=tmp_path, capture_output=True,
        text=True, env=zone.server.environment(), stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode != 0 and token not in done.stdout + done.stderr
