"""Whoever holds a certificate's key revokes it without a token: Python's cryptography signs, and our command line."""

import base64
import json
import pathlib
import re
import secrets
import subprocess
import sys

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

import csr
import server as server_module
from api import check_envelope, codes, listed_reason
from judges import run

KINDS = ["p256", "p384", "p521", "rsa2048", "ed25519"]
UNPROVEN = 1420
README = pathlib.Path(__file__).parents[2] / "README.md"


class Holder:
    """A certificate and its key, and messages signed with it. The token that issued it is not used any more."""

    def __init__(self, zone, kind="p256", key=None):
        self.key = key or serialization.load_pem_private_key(csr.key_pem(kind), None)
        self.made = zone.issue(request(key) if key else csr.by_openssl(kind))
        self.serial = self.made["serial_number"]
        self.address = f"{zone.server.url}/pki/{self.made['certificate_authority']['id']}/revocation"

    def challenge(self, serial=None):
        answer = httpx.post(f"{self.address}/challenge", json={"serial_number": serial or self.serial})
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def message(self, algorithm=None, header=(), challenge=None, key=None, **payload):
        challenge = challenge or self.challenge()
        key = key or self.key
        algorithm = algorithm or algorithms(key)[0]
        protected = {"alg": algorithm, "nonce": challenge["challenge"], "url": challenge["url"], **dict(header)}
        parts = [base64url(json.dumps(part).encode()) for part in (protected, {"serial_number": self.serial, **payload})]
        signature = sign(key, algorithm, ".".join(parts).encode())
        return {"protected": parts[0], "payload": parts[1], "signature": base64url(signature)}

    def send(self, message):
        answer = httpx.post(self.address, json=message)
        check_envelope(answer)
        return answer

    def revoke(self, **arguments):
        answer = self.send(self.message(**arguments))
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]


def request(key):
    """A CSR for a key that no other test shares: a compromised one is blocked in the whole account."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device-0001")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def base64url(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def algorithms(key):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [{256: "ES256", 384: "ES384", 521: "ES512"}[key.key_size]]
    return ["RS256", "PS256"] if isinstance(key, rsa.RSAPrivateKey) else ["EdDSA", "Ed25519"]


def sign(key, algorithm, message):
    """Signs as the key can, whatever the header says."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        length = (key.key_size + 7) // 8
        digest = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[key.key_size]()
        numbers = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return b"".join(number.to_bytes(length, "big") for number in numbers)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if algorithm == "PS256":
        return key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256())
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_and_algorithm_revokes(zone, kind):
    for algorithm in algorithms(serialization.load_pem_private_key(csr.key_pem(kind), None)):
        holder = Holder(zone, kind)
        result = holder.revoke(algorithm=algorithm, reason="superseded")
        assert set(result) == {"serial_number", "status", "revocation"}
        assert result["serial_number"] == holder.serial
        assert result["status"] in ("pending_revocation", "revoked")
        assert result["revocation"]["reason"] == "superseded"
        revoked = zone.wait_for(holder.made["id"], "revoked")
        assert listed_reason(zone.crl(), revoked).name == "superseded"


def test_a_repeated_message_is_answered_and_a_captured_one_is_worthless(zone):
    holder = Holder(zone)
    message = holder.message(reason="certificateHold")
    assert holder.send(message).status_code == 200
    zone.wait_for(holder.made["id"], "revoked")
    repeated = holder.send(message)
    assert (repeated.status_code, repeated.json()["result"]["status"]) == (200, "revoked")
    zone.reactivate(holder.made["id"])
    refused = holder.send(message)
    assert (refused.status_code, codes(refused)) == (403, [UNPROVEN])
    assert zone.get(holder.made["id"])["status"] == "active"


def test_the_reason_is_final_unless_another_is_named(zone):
    assert Holder(zone).revoke()["revocation"]["reason"] == "unspecified"
    holder = Holder(zone, key=ec.generate_private_key(ec.SECP256R1()))
    revocation = holder.revoke(reason="keyCompromise", invalidity_date="2026-01-31T00:00:00Z")["revocation"]
    assert (revocation["reason"], revocation["invalidity_date"]) == ("keyCompromise", "2026-01-31T00:00:00Z")
    again = zone.post(request(holder.key))
    assert again.status_code == 400 and "key" in again.text, "the key is blocked"


def test_unknown_and_wrong_are_answered_alike(zone):
    holder, other = Holder(zone), Holder(zone, "p384")
    unknown = str(int.from_bytes(secrets.token_bytes(19), "big"))
    for_unknown = holder.challenge(unknown)
    assert set(for_unknown) == {"challenge", "expires_on", "url"} == set(holder.challenge())
    assert len(for_unknown["challenge"]) == len(holder.challenge()["challenge"])
    expired_looking = {**holder.challenge(), "challenge": "A" * 54}
    messages = [
        holder.message(challenge=for_unknown, serial_number=unknown),
        holder.message(challenge=for_unknown),
        holder.message(challenge=other.challenge()),
        holder.message(challenge=expired_looking),
        holder.message(key=ec.generate_private_key(ec.SECP256R1())),
        holder.message(key=ec.generate_private_key(ec.SECP384R1())),
        holder.message(serial_number=other.serial),
        {**holder.message(), "signature": base64url(b"\x01" * 64)},
        {**holder.message(), "payload": holder.message(reason="keyCompromise")["payload"]},
        holder.message(algorithm="ES384"),
        holder.message(algorithm="RS256"),
        holder.message(algorithm="EdDSA"),
    ]
    answers = {(answer.status_code, answer.text) for answer in map(holder.send, messages)}
    assert len(answers) == 1 and next(iter(answers))[0] == 403, answers
    assert zone.get(holder.made["id"])["status"] == zone.get(other.made["id"])["status"] == "active"


def test_no_message_chooses_its_key_or_does_without(zone):
    holder = Holder(zone)
    public = holder.key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": base64url(public.x.to_bytes(32, "big")), "y": base64url(public.y.to_bytes(32, "big"))}
    for header in ({"jwk": jwk}, {"kid": "1"}, {"x5c": []}, {"crit": ["exp"]}, {"alg": "none"}, {"alg": "HS256"}, {"alg": 7}, {"url": "https://other.example/"}):
        refused = holder.send(holder.message(header=header))
        assert (refused.status_code, codes(refused)) == (400, [1400]), (header, refused.text)
    assert zone.get(holder.made["id"])["status"] == "active"


def test_bad_bodies_are_told_and_never_bring_it_down(zone):
    holder = Holder(zone)
    message = json.dumps(holder.message())
    bodies = [
        b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{", message.encode() + b"x", message.encode() + b"{}",
        message.replace("{", '{"payload": "e30", ', 1).encode(), message.replace("{", '{"header": {}, ', 1).encode(),
        message.replace('"signature": "', '"signature": "=').encode(), message.replace('"payload": "', '"payload": "!').encode(),
        b'{"protected": "' + b"[" * 9000 + b'"}', b"[" * 10_000, b'{"a":' * 3000,
        json.dumps({"protected": base64url(b"[" * 5000), "payload": "e30", "signature": ""}).encode(),
        json.dumps({"protected": base64url(b'{"alg":"ES256","alg":"ES256","nonce":"","url":""}'), "payload": "e30", "signature": ""}).encode(),
    ]
    for address in (holder.address, f"{holder.address}/challenge"):
        for body in bodies:
            answer = httpx.post(address, content=body)
            check_envelope(answer)
            assert answer.status_code == 400, (body[:80], answer.text)
        assert httpx.post(address, content=b" " * 16_385).status_code == 413
    for body in ({"serial_number": 7}, {"serial_number": "x"}, {"serial_number": "0"}, {"serial_number": "9" * 100}, {"serial_number": "7", "more": 1}):
        assert httpx.post(f"{holder.address}/challenge", json=body).status_code == 400, body
    unknown = holder.address.replace(holder.made["certificate_authority"]["id"], "0d89c70d-ad9f-4843-b99f-6cc0252067e9")
    assert httpx.post(unknown, json=holder.message()).status_code == 404
    assert httpx.post(f"{unknown}/challenge", json={"serial_number": "7"}).status_code == 404
    assert httpx.get(holder.address).status_code == 405


class CommandLine:
    """A machine that has the certificate and its key, and no token."""

    def __init__(self, folder, zone, kind="p256", key=None):
        self.holder = Holder(zone, kind)
        self.folder = folder
        (folder / "device.pem").write_text(self.holder.made["certificate"])
        (folder / "device.key").write_bytes(key or csr.key_pem(kind))

    def call(self, *arguments, **environment):
        return subprocess.run(
            [server_module.BINARY, "revoke", "--certificate", "device.pem", "--key", "device.key", *map(str, arguments)],
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **environment})


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_revokes_with_the_key_alone(zone, tmp_path, kind):
    machine = CommandLine(tmp_path, zone, kind)
    done = machine.call("--reason", "cessationOfOperation", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["status"], result["revocation"]["reason"]) == ("revoked", "cessationOfOperation")
    assert zone.get(machine.holder.made["id"])["status"] == "revoked"
    again = machine.call()
    assert again.returncode == 0 and re.search(r"  revoked  by CRL \d+, with the reason cessationOfOperation$", again.stdout, re.M)

def test_a_compromise_after_another_reason_is_told(zone, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    machine = CommandLine(tmp_path, zone, key=pem)
    (tmp_path / "device.pem").write_text(Holder(zone, key=key).made["certificate"])
    assert machine.call("--reason", "superseded").stderr == ""
    later = machine.call("--reason", "keyCompromise")
    assert later.returncode == 0 and "as superseded, which stays; the key is blocked" in later.stderr, later.stderr


def test_the_command_line_takes_encrypted_keys_and_other_addresses(zone, tmp_path):
    key = serialization.load_pem_private_key(csr.key_pem("rsa2048"), None)
    encrypted = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.BestAvailableEncryption(b"battery staple"))
    machine = CommandLine(tmp_path, zone, "rsa2048", encrypted)
    refused = machine.call()
    assert refused.returncode == 1 and "--passphrase-file" in refused.stderr
    refused = machine.call(COUNTERSIGN_PASSPHRASE="wrong")
    assert refused.returncode == 1 and "does not open" in refused.stderr
    (tmp_path / "passphrase").write_text("battery staple\n")
    authority = machine.holder.made["certificate_authority"]["id"]
    done = machine.call("--passphrase-file", "passphrase", "--authority", authority, COUNTERSIGN_URL=zone.server.url)
    assert done.returncode == 0 and "unspecified" in done.stdout, done.stderr


def test_the_command_line_says_what_is_wrong(zone, tmp_path):
    machine = CommandLine(tmp_path, zone, "p256", csr.key_pem("p384"))
    refused = machine.call()
    assert refused.returncode == 1 and "device.key is the key of another certificate than device.pem" in refused.stderr
    (tmp_path / "device.key").write_text("no key")
    assert machine.call().returncode == 1
    assert machine.call("0d89c70d-ad9f-4843-b99f-6cc0252067e9").returncode == 2
    # What only tells, asks or selects belongs to --where, and must not end in a revocation.
    for beside in (["--where", "all"], ["--where", "all", "--dry-run"], ["--dry-run"], ["--yes"], ["--detach"]):
        refused = machine.call(*beside)
        assert refused.returncode == 2 and "--certificate" in refused.stderr, (beside, refused.stderr)
    assert zone.get(machine.holder.made["id"])["status"] == "active"
    alone = subprocess.run([server_module.BINARY, "revoke", "--certificate", "device.pem"], cwd=tmp_path,
                           capture_output=True, text=True, timeout=30, env={"PATH": "/usr/bin:/bin"})
    assert alone.returncode == 2 and "--key" in alone.stderr
    nothing = subprocess.run([server_module.BINARY, "revoke"], cwd=tmp_path, capture_output=True, text=True, timeout=30,
                             env={"PATH": "/usr/bin:/bin"})
    assert nothing.returncode == 2


def test_a_certificate_without_a_crl_still_names_its_authority(zone, tmp_path):
    made = zone.issue(csr.by_openssl(), 2, profile="short-lived")
    (tmp_path / "device.pem").write_text(made["certificate"])
    (tmp_path / "device.key").write_bytes(csr.key_pem("p256"))
    text = run("openssl", "x509", "-in", tmp_path / "device.pem", "-noout", "-text")
    assert "CRL Distribution Points" not in text
    done = subprocess.run(
        [server_module.BINARY, "revoke", "--certificate", "device.pem", "--key", "device.key", "--wait"], cwd=tmp_path,
        capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert zone.get(made["id"])["status"] == "revoked"


def test_the_example_of_the_readme_revokes(zone, tmp_path):
    holder = Holder(zone)
    (tmp_path / "device-1.pem").write_text(holder.made["certificate"])
    (tmp_path / "device-1.key").write_bytes(csr.key_pem("p256"))
    section = README.read_text().split("## Revocation by whoever holds the key\n")[1].split("\n## ")[0]
    [example] = re.findall(r"```python\n(.*?)```", section, re.S)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "no_proxy": "127.0.0.1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("pending_revocation\n", "revoked\n")
    assert zone.wait_for(holder.made["id"], "revoked")["revocation"]["reason"] == "superseded"
