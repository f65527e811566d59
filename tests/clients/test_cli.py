"""The command line from end to end, against a running server."""

import json
import re
import subprocess
import time
import uuid

import pytest

import csr
import server as server_module
from api import listed_serials
from judges import run


class CommandLine:
    def __init__(self, zone, folder):
        self.zone, self.folder = zone, folder
        self.environment = zone.server.environment(
            COUNTERSIGN_URL=zone.server.url, COUNTERSIGN_TOKEN=zone.server.token, COUNTERSIGN_ZONE=zone.zone)

    def call(self, *arguments, **environment):
        return subprocess.run(
            [server_module.BINARY, *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
            env={**self.environment, **environment}, capture_output=True, text=True, timeout=120)

    def run(self, *arguments):
        done = self.call(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def fails(self, *arguments, **environment):
        done = self.call(*arguments, **environment)
        assert done.returncode != 0, done.stdout
        assert "panicked" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def cli(zone, tmp_path):
    return CommandLine(zone, tmp_path)


@pytest.fixture
def made(zone, request_pem):
    return zone.issue(request_pem)


def verify(cli, leaf):
    bundle = cli.folder / "verify-bundle.pem"
    bundle.write_text(cli.zone.bundle().text)
    run("openssl", "verify", "-purpose", "sslclient", "-CAfile", bundle, leaf)


def test_issue_signs_a_request(cli):
    (cli.folder / "device.csr").write_text(csr.by_openssl(sans="DNS:device.example"))
    cli.run("issue", "--csr", "device.csr", "--days", 30, "--out", "device.pem", "--san", "dns:more.example")
    verify(cli, cli.folder / "device.pem")
    text = run("openssl", "x509", "-in", cli.folder / "device.pem", "-noout", "-text")
    assert "DNS:device.example" in text and "DNS:more.example" in text
    [listed] = cli.zone.everything()
    assert listed["validity_days"] == 30


def test_issue_signs_under_a_named_profile(cli):
    (cli.folder / "device.csr").write_text(csr.by_openssl())
    made = cli.json("issue", "--csr", "device.csr", "--days", 2, "--profile", "short-lived")
    assert made["profile"] == "short-lived"


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048", "ed25519"])
def test_issue_makes_key_certificate_and_chain(cli, kind):
    cli.run("issue", "--common-name", "pump 1", "--organization", "Example", "--key-type", kind, "--days", 30,
            "--out", "pump")
    key, leaf, chain = (cli.folder / f"pump.{end}" for end in ("key", "pem", "chain.pem"))
    assert key.stat().st_mode & 0o777 == 0o600
    verify(cli, leaf)
    assert chain.read_text().count("BEGIN CERTIFICATE") == 3
    assert chain.read_text().startswith(leaf.read_text())
    assert run("openssl", "pkey", "-in", key, "-pubout") == run("openssl", "x509", "-in", leaf, "-noout", "-pubkey")
    assert "CN = pump 1" in run("openssl", "x509", "-in", leaf, "-noout", "-subject")


def test_issue_writes_a_pkcs12_that_openssl_opens(cli):
    (cli.folder / "password").write_text("correct horse\n")
    cli.run("issue", "--common-name", "pump", "--days", 30, "--out", "pump",
            "--pkcs12", "pump.p12", "--pkcs12-password-file", "password")
    opened = run("openssl", "pkcs12", "-in", cli.folder / "pump.p12", "-passin", f"file:{cli.folder / 'password'}", "-nodes")
    assert opened.count("BEGIN CERTIFICATE") == 3 and "PRIVATE KEY" in opened
    assert (cli.folder / "pump.p12").stat().st_mode & 0o777 == 0o600


def test_issue_writes_an_encrypted_key_that_openssl_opens(cli):
    (cli.folder / "passphrase").write_text("battery staple\n")
    cli.run("issue", "--common-name", "pump", "--days", 30, "--out", "pump", "--key-passphrase-file", "passphrase")
    key = cli.folder / "pump.key"
    assert "BEGIN ENCRYPTED PRIVATE KEY" in key.read_text()
    public = run("openssl", "pkey", "-in", key, "-passin", f"file:{cli.folder / 'passphrase'}", "-pubout")
    assert public == run("openssl", "x509", "-in", cli.folder / "pump.pem", "-noout", "-pubkey")


def test_issue_never_overwrites_a_key(cli):
    (cli.folder / "pump.key").write_text("precious")
    cli.fails("issue", "--common-name", "pump", "--days", 30, "--out", "pump")
    assert (cli.folder / "pump.key").read_text() == "precious"
    assert cli.zone.total() == 0


def test_list_and_show_read_for_people_and_for_scripts(cli, made):
    assert cli.json("list") == [made]
    assert cli.json("show", made["id"]) == made
    assert made["id"] in cli.run("list") and made["common_name"] in cli.run("list")
    assert made["fingerprint_sha256"] in cli.run("show", made["id"])
    assert cli.json("list", "--status", "revoked") == [] == cli.json("list", "--common-name", "nobody")


def test_list_pages_through_everything(cli, request_pem):
    made = [cli.zone.issue(request_pem)["id"] for _ in range(55)]
    assert [c["id"] for c in cli.json("list")] == made


def test_revoke_and_reactivate_wait_for_the_receipt(cli, made):
    revoked = cli.json("revoke", made["id"], "--wait")
    assert revoked["status"] == revoked["receipt"]["status"] == "revoked"
    assert int(made["serial_number"]) in listed_serials(cli.zone.crl())
    active = cli.json("reactivate", made["id"], "--wait")
    assert active["status"] == active["receipt"]["status"] == "active"
    assert int(made["serial_number"]) not in listed_serials(cli.zone.crl())


def test_a_final_revocation_cannot_be_taken_back(cli, made):
    assert cli.json("revoke", made["id"], "--reason", "keyCompromise", "--wait")["revocation"]["reason"] == "keyCompromise"
    assert "keyCompromise" in cli.fails("reactivate", made["id"])


def test_bundle_and_crl_come_in_every_form(cli, made):
    assert cli.run("bundle") == cli.zone.bundle().text
    cli.run("bundle", "--format", "der", "--out", "bundle.der")
    assert (cli.folder / "bundle.der").read_bytes() == cli.zone.bundle("der").content
    cli.run("bundle", "--format", "pkcs7", "--out", "bundle.p7b")
    assert (cli.folder / "bundle.p7b").read_bytes() == cli.zone.bundle("pkcs7").content
    cli.run("crl", "--format", "der", "--out", "zone.crl")
    assert (cli.folder / "zone.crl").read_bytes() == cli.zone.crl_der()
    chain = cli.run("crl", "--chain")
    assert chain.count("BEGIN X509 CRL") == 2 and cli.run("crl") in chain


def test_zones_are_created_listed_and_shown(cli):
    name = f"{cli.zone.zone}-cli"
    made = cli.json("zone", "create", name)
    assert made["name"] == name
    assert made["id"] in [zone["id"] for zone in cli.json("zone", "list")]
    assert cli.json("zone", "show", made["id"])["id"] == made["id"]
    assert cli.json("list", "--zone", name) == []


def test_a_zone_is_renamed_and_keeps_its_certificates(cli):
    name = f"{cli.zone.zone}-renamed"
    made = cli.json("zone", "create", name)
    assert cli.json("zone", "rename", name, f"{name}-2") == made | {"name": f"{name}-2"}
    assert "already" in cli.fails("zone", "rename", f"{name}-2", "default")
    assert cli.json("list", "--zone", f"{name}-2") == []
    cli.fails("list", "--zone", name)


def test_a_token_is_rolled_and_its_former_value_refused(cli):
    made = cli.json("token", "create", "reader", "--permission", "client_certificates:read")
    rolled = cli.json("token", "roll", made["id"])
    assert rolled["id"] == made["id"] and rolled["value"] != made["value"]
    assert cli.json("list", "--token", rolled["value"]) == []
    value = cli.run("token", "roll", made["id"]).strip()
    time.sleep(1.5)  # another replica hears of it within a second
    assert cli.json("token", "verify", "--token", value)["id"] == made["id"]
    for former in (made["value"], rolled["value"]):
        cli.fails("list", "--token", former)


def test_tokens_are_created_verified_listed_and_revoked(cli):
    made = cli.json("token", "create", "reader", "--permission", "client_certificates:read")
    assert cli.json("list", "--token", made["value"]) == []
    assert cli.json("token", "verify", "--token", made["value"])["status"] == "active"
    assert made["id"] in [token["id"] for token in cli.json("token", "list")]
    cli.run("token", "revoke", made["id"])
    time.sleep(1.5)  # another replica hears of it within a second
    cli.fails("list", "--token", made["value"])


def test_authorities_are_listed_and_shown(cli):
    authorities = cli.json("authority", "list")
    assert authorities == cli.zone.authorities()
    assert cli.json("authority", "show", authorities[0]["id"]) == authorities[0]


def test_an_authority_key_is_exported_encrypted_and_recorded(cli):
    server = cli.zone.server
    (cli.folder / "passphrase").write_text("correct horse\n")
    for authority in cli.zone.authorities():
        out = cli.folder / f"{authority['type']}.key"
        result = subprocess.run(
            [server_module.BINARY, "authority", "export-key", authority["id"], "--out", str(out),
             "--passphrase-file", str(cli.folder / "passphrase"), "--data-dir", str(server.data)],
            env=server.environment(), capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr
        assert out.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert out.stat().st_mode & 0o777 == 0o600
        public = run("openssl", "pkey", "-in", out, "-passin", "pass:correct horse", "-pubout")
        (cli.folder / "ca.pem").write_text(authority["certificate"])
        assert run("openssl", "x509", "-in", cli.folder / "ca.pem", "-noout", "-pubkey") == public


def test_accounts_are_made_and_live_apart(cli):
    name = f"tenant {uuid.uuid4().hex[:8]}"
    made = cli.json("account", "create", name)
    assert name in [account["name"] for account in cli.json("account", "list")]
    assert [account["name"] for account in cli.json("account", "list", "--token", made["token"])] == [name]
    assert cli.json("zone", "list", "--token", made["token"]) == []
    zone = cli.json("zone", "create", "default", "--token", made["token"])
    assert zone["account"]["id"] == made["id"]
    assert zone["id"] not in [own["id"] for own in cli.json("zone", "list")]


def test_mistakes_end_with_a_message_and_an_exit_code(cli):
    assert "certificate" in cli.fails("show", "nothing")
    assert "nowhere.csr" in cli.fails("issue", "--csr", "nowhere.csr", "--days", 1)
    assert "no-such-zone" in cli.fails("list", "--zone", "no-such-zone")
    (cli.folder / "bad.csr").write_text("no request")
    assert "/csr" in cli.fails("issue", "--csr", "bad.csr", "--days", 1)
    free = f"http://127.0.0.1:{server_module.free_port()}"
    assert free.removeprefix("http://") in cli.fails("list", COUNTERSIGN_URL=free)
    cli.fails("nonsense")


def test_openapi_prints_the_document_that_the_server_serves(cli):
    assert json.loads(cli.run("openapi")) == cli.zone.http.get("/openapi.json").json()


def test_help_explains_every_command(cli):
    said = cli.run("--help")
    for command in ("serve", "issue", "list", "show", "revoke", "reactivate", "bundle", "crl", "zone", "token",
                    "authority", "migrate", "backup", "restore", "doctor", "openapi"):
        assert re.search(rf"^\s+{command}\s+\S", said, re.M), command
        assert len(cli.run(command, "--help")) > 60


def test_doctor_finds_a_good_deployment_good(own_zone, tmp_path, syncing_database):
    cli = CommandLine(own_zone, tmp_path)
    cli.run("doctor")


def test_doctor_names_what_is_wrong_and_the_way_out(own_zone, tmp_path):
    cli = CommandLine(own_zone, tmp_path)
    own_zone.server.stop()
    (own_zone.server.data / "master.key").rename(own_zone.server.data / "master.key.away")
    assert "master" in cli.fails("doctor").lower()


def test_migrate_prepares_a_database_and_can_be_repeated(make_server, tmp_path):
    server = make_server()
    for _ in range(2):
        done = subprocess.run([server_module.BINARY, "migrate"], cwd=server.folder, env=server.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert server.row_counts()["__diesel_schema_migrations"] >= 1
    server.start()
