"""Identities and checks by the command line, against servers that ask for client certificates."""

import http.server
import json
import os
import pathlib
import pty
import re
import ssl
import subprocess
import threading
import time
import types
import uuid

import pytest

import server as server_module
from judges import run
from server import Server
from test_cli import CommandLine
from test_readme import shell_blocks

EXTENSIONS = """
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


# More than the server hands out, and more than it reads.
LONG = 1024 * 1024 + 1


class Partner:
    """Somebody else's CA, made by openssl, with a server that it stands for."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "extensions").write_text(EXTENSIONS)
        self.ca, self.ca_key = folder / "partner-ca.pem", folder / "partner-ca.key"
        self.make_key(self.ca_key)
        run("openssl", "req", "-x509", "-new", "-key", self.ca_key, "-subj", "/O=Partner/CN=Partner CA", "-days", 3650,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.ca)
        self.server = self.issue("server", "server")

    def make_key(self, path):
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def issue(self, name, kind="client", days=90, key=None):
        """A certificate and the path of its key."""
        leaf, key_path = self.folder / f"{name}.pem", key or self.folder / f"{name}.key"
        if key is None:
            self.make_key(key_path)
        request = self.folder / f"{name}.csr"
        run("openssl", "req", "-new", "-key", key_path, "-subj", f"/O=Partner/CN={name}", "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial",
            "-days", days, "-extfile", self.folder / "extensions", "-extensions", kind, "-out", leaf)
        return leaf, key_path


class Answers(http.server.BaseHTTPRequestHandler):
    """Says what was seen; `/status/NUMBER` answers with that status, `/slow` after a while."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        certificate = self.connection.getpeercert() or {}
        subject = {key: value for pairs in certificate.get("subject", ()) for key, value in pairs}
        seen = {"client": subject.get("commonName"), "method": self.command, "body": self.rfile.read(length).decode(),
                "headers": {name.lower(): value for name, value in self.headers.items()}, "status": "ok"}
        self.server.seen.append(seen)
        if self.path == "/slow":
            time.sleep(0.3)
        fixed = {"/binary": b"\xff\x00\xfe", "/long": b"x" * LONG}
        body = fixed.get(self.path) or json.dumps(seen).encode()
        status = int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass


class TlsServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, partner, asks=ssl.CERT_REQUIRED):
        super().__init__(("127.0.0.1", 0), Answers)
        self.seen = []
        leaf, key = partner.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf, key)
        context.load_verify_locations(partner.ca)
        context.verify_mode = asks
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, *_):
        """A client that was refused is no news."""

    def end(self):
        self.shutdown()
        self.server_close()
        self.thread.join(5)


@pytest.fixture(scope="module")
def partner(tmp_path_factory):
    return Partner(tmp_path_factory.mktemp("partner"))


@pytest.fixture(scope="module")
def identity_server(make_folder):
    server = Server(make_folder(), COUNTERSIGN_EGRESS_ALLOW="127.0.0.1, ::1").start()
    yield server
    server.clean_up()


@pytest.fixture
def cli(identity_server, tmp_path):
    """The command line in an account of its own."""
    cli = CommandLine(types.SimpleNamespace(server=identity_server, zone="default"), tmp_path)
    account = cli.json("account", "create", f"tenant {uuid.uuid4().hex[:8]}")
    cli.environment["COUNTERSIGN_TOKEN"] = account["token"]
    return cli


@pytest.fixture
def asking(partner):
    server = TlsServer(partner)
    yield server
    server.end()


@pytest.fixture
def indifferent(partner):
    server = TlsServer(partner, ssl.CERT_NONE)
    yield server
    server.end()


@pytest.fixture
def known(cli, partner):
    """A partner's certificate, kept for localhost."""
    leaf, key = partner.issue("known")
    return cli.json("identity", "add", leaf, "--key", key, "--trusted-ca", partner.ca, "--name", "known",
                    "--host", "localhost")


def at_a_terminal(cli, *arguments, answer):
    """Runs the command with a terminal and types one line into it; gives the exit code and what was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cli.folder)
        os.execve(server_module.BINARY, [server_module.BINARY, *map(str, arguments)], cli.environment)
    shown = b""
    typed = False
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
        if not typed and (b"passphrase: " in shown or b"[y/N] " in shown):
            # The echo is switched off after the question is written.
            time.sleep(0.2)
            os.write(terminal, answer.encode() + b"\n")
            typed = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_an_identity_is_added_from_pem_listed_and_shown(cli, partner):
    leaf, key = partner.issue("pump")
    made = cli.json("identity", "add", leaf, "--key", key, "--name", "pump", "--host", "api.example",
                    "--host", "*.eu.example", "--label", "team=billing", "--primary")
    assert made["hosts"] == ["api.example", "*.eu.example"]
    assert made["labels"] == {"team": "billing"} and made["primary"] is True
    assert cli.json("identity", "list") == [made]
    shown = cli.json("identity", "show", "pump")
    assert shown.pop("associations") == [] and shown == made
    table = cli.run("identity", "list")
    assert made["id"] in table and "api.example" in table and "primary" in table and "89 days" in table
    said = cli.run("identity", "show", made["id"])
    assert made["fingerprint_sha256"] in said and "Partner CA" in said
    assert cli.run("identity", "show", "pump", "--pem") == leaf.read_text()


def test_labels_are_given_and_taken_away_one_by_one(cli, partner):
    cli.run("identity", "add", *material(partner.issue("marked")), "--label", "team=billing", "--label", "stage=test")
    made = cli.json("identity", "label", "marked", "stage=production", "owner=a=b")
    assert made["labels"] == {"team": "billing", "stage": "production", "owner": "a=b"}
    done = cli.call("identity", "label", "marked", "--remove", "owner", "--remove", "nothing", "--json")
    assert json.loads(done.stdout)["labels"] == {"team": "billing", "stage": "production"}
    assert '"nothing"' in done.stderr and "owner" not in done.stderr
    assert cli.json("identity", "label", "marked", "--clear", "only=this")["labels"] == {"only": "this"}
    assert cli.json("identity", "label", "marked", "--clear")["labels"] == {}
    assert "KEY=VALUE" in cli.fails("identity", "label", "marked")
    assert "KEY=VALUE" in cli.fails("identity", "label", "marked", "team")
    cli.fails("identity", "label", "marked", "--clear", "--remove", "team")


def test_one_file_may_hold_everything_in_any_order(cli, partner):
    leaf, key = partner.issue("together")
    everything = key.read_text() + partner.ca.read_text() + leaf.read_text()
    made = subprocess.run(
        [server_module.BINARY, "identity", "add", "-", "--json"], input=everything, cwd=cli.folder,
        env=cli.environment, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["common_name"] == "together"


@pytest.mark.parametrize("how", ["file", "variable"])
def test_a_pkcs12_file_is_told_by_what_is_in_it(cli, partner, how):
    leaf, key = partner.issue("packed")
    packed = cli.folder / "packed.whatever"
    run("openssl", "pkcs12", "-export", "-in", leaf, "-inkey", key, "-passout", "pass:correct horse", "-out", packed)
    (cli.folder / "passphrase").write_text("correct horse\n")
    if how == "file":
        made = cli.json("identity", "add", packed, "--passphrase-file", "passphrase")
    else:
        done = cli.call("identity", "add", packed, "--json", COUNTERSIGN_PASSPHRASE="correct horse")
        made = json.loads(done.stdout)
    assert made["common_name"] == "packed"


def test_a_certificate_in_der_is_taken_too(cli, partner):
    leaf, key = partner.issue("binary")
    run("openssl", "x509", "-in", leaf, "-outform", "DER", "-out", cli.folder / "leaf.cer")
    assert cli.json("identity", "add", "leaf.cer", "--key", key)["common_name"] == "binary"


def test_an_encrypted_key_without_a_passphrase_is_refused_before_anything_is_sent(cli, partner):
    leaf, key = partner.issue("locked")
    run("openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:correct horse", "-out", cli.folder / "locked.key")
    said = cli.fails("identity", "add", leaf, "--key", "locked.key")
    assert "--passphrase-file" in said and "COUNTERSIGN_PASSPHRASE" in said
    said = cli.fails("identity", "add", leaf, "--key", "locked.key", COUNTERSIGN_PASSPHRASE="wrong secret")
    assert "/passphrase" in said and "wrong secret" not in said
    assert cli.json("identity", "list") == []


def test_a_passphrase_is_asked_for_on_a_terminal_and_not_shown(cli, partner):
    leaf, key = partner.issue("asked")
    run("openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:correct horse", "-out", cli.folder / "locked.key")
    code, shown = at_a_terminal(cli, "identity", "add", leaf, "--key", "locked.key", answer="correct horse")
    assert code == 0, shown
    assert "passphrase:" in shown and "correct horse" not in shown
    assert [one["common_name"] for one in cli.json("identity", "list")] == ["asked"]


def test_bundles_of_authorities_are_kept_beside(cli, partner, known):
    bundle = cli.json("identity", "add", "--ca", partner.ca, "--name", "partner-ca")
    assert bundle["ca"] is True
    assert cli.json("identity", "list", "--ca") == [bundle]
    assert cli.json("identity", "list", "--no-ca") == [known]
    cli.fails("identity", "add", "--ca", partner.ca, "--primary")


def test_the_list_is_filtered_by_expiry_and_label(cli, partner):
    soon = cli.json("identity", "add", *material(partner.issue("soon", days=10)), "--label", "team=a")
    late = cli.json("identity", "add", *material(partner.issue("late", days=100)), "--label", "team=b")
    assert cli.json("identity", "list", "--expiring-within", "30d") == [soon]
    assert cli.json("identity", "list", "--label", "team=b") == [late]
    assert cli.json("identity", "list", "--label", "team") == [soon, late]
    assert "no identity matches" in cli.call("identity", "list", "--label", "other").stderr


def material(issued):
    leaf, key = issued
    return leaf, "--key", key


def test_an_identity_is_renamed_moved_and_ranked(cli, known):
    assert cli.json("identity", "rename", "known", "partner")["name"] == "partner"
    assert cli.json("identity", "hosts", "partner", "a.example", "*.b.example")["hosts"] == ["a.example", "*.b.example"]
    assert cli.json("identity", "hosts", "partner", "--clear")["hosts"] == []
    assert cli.json("identity", "primary", "partner")["primary"] is True
    assert cli.json("identity", "primary", "partner", "--unset")["primary"] is False
    assert cli.json("identity", "show", known["id"])["name"] == "partner"


def test_a_renewed_certificate_takes_the_place_of_the_old_one(cli, partner, known):
    key = partner.folder / "known.key"
    renewed, _ = partner.issue("renewed", days=200, key=key)
    replaced = cli.json("identity", "replace", "known", renewed)
    assert replaced["id"] == known["id"] and replaced["hosts"] == known["hosts"]
    assert replaced["fingerprint_sha256"] != known["fingerprint_sha256"]
    again, _ = partner.issue("again", days=300, key=key)
    assert cli.json("identity", "add", again, "--key", key, "--replace")["id"] == known["id"]
    other = partner.issue("other")[0]
    cli.fails("identity", "replace", "known", other)


def test_a_name_that_several_have_is_not_guessed(cli, partner):
    ids = [cli.json("identity", "add", *material(partner.issue(name)), "--name", "twin")["id"] for name in ("a", "b")]
    said = cli.fails("identity", "show", "twin")
    assert all(one in said for one in ids)
    assert "nobody" in cli.fails("identity", "show", "nobody")
    assert cli.json("identity", "show", ids[0])["id"] == ids[0]


def test_match_tells_the_choice_and_the_runners_up(cli, partner, known):
    cli.run("identity", "add", *material(partner.issue("wide")), "--name", "wide", "--host", "local*")
    cli.run("identity", "add", *material(partner.issue("first")), "--name", "first", "--primary")
    found = cli.json("identity", "match", "localhost")
    assert found["choice"]["id"] == known["id"]
    assert [one["name"] for one in found["runners_up"]] == ["wide", "first"]
    said = cli.run("identity", "match", "localhost")
    assert re.search(r"presented\s+known .*exactly this host", said)
    assert said.index("wide") < said.index("first")
    assert "primary" in cli.run("identity", "match", "elsewhere.example")
    cli.fails("identity", "match", "https://localhost/")


def test_match_says_that_nothing_is_presented_in_the_words_of_a_call(cli, indifferent):
    why = "no identity is assigned to this host, and there is no primary"
    assert f"nothing: {why}" in cli.run("identity", "match", "localhost")
    assert f"none: {why}" in cli.call("identity", "test", indifferent.url).stdout


def test_a_call_shows_what_was_presented_and_why(cli, known, asking):
    said = cli.run("identity", "test", f"{asking.url}/health")
    assert re.search(r"identity\s+known .*exactly this host", said)
    assert re.search(r"presented\s+yes", said) and re.search(r"asked for\s+yes", said)
    assert re.search(r"status\s+200", said) and "127.0.0.1" in said and "TLSv1.3" in said and "CN=server" in said
    assert asking.seen[0]["client"] == "known"


def test_a_server_that_does_not_ask_is_presented_nothing(cli, known, indifferent):
    said = cli.run("identity", "test", indifferent.url)
    assert re.search(r"presented\s+no", said) and re.search(r"asked for\s+no", said)


def test_a_call_carries_method_headers_and_body(cli, known, asking):
    (cli.folder / "order.json").write_text('{"n": 1}')
    (cli.folder / "token").write_text("Bearer hunter2\n")
    done = cli.call("identity", "test", asking.url, "--identity", "known", "--body", "order.json", "--header",
                    "X-Trace: 1", "--header", "Authorization@token", "--body-out", "-")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["method"] == "POST" and seen["body"] == '{"n": 1}'
    assert seen["headers"]["x-trace"] == "1" and seen["headers"]["authorization"] == "Bearer hunter2"
    assert "by its id" in done.stderr
    cli.run("identity", "test", asking.url, "--method", "PUT", "--body", "order.json", "--body-out", "answer.json")
    assert json.loads((cli.folder / "answer.json").read_text())["method"] == "PUT"
    cli.run("identity", "test", f"{asking.url}/binary", "--body-out", "answer.bin")
    assert (cli.folder / "answer.bin").read_bytes() == b"\xff\x00\xfe"


def test_a_long_body_is_said_to_be_cut(cli, known, asking):
    assert re.search(r"body\s+1048576 bytes, cut", cli.run("identity", "test", f"{asking.url}/long"))
    assert "cut" not in cli.run("identity", "test", asking.url)


def test_a_call_fails_for_scripts_where_the_answer_is_no_good(cli, known, asking):
    done = cli.call("identity", "test", f"{asking.url}/status/503")
    assert done.returncode == 1 and re.search(r"status\s+503", done.stdout)
    done = cli.call("identity", "test", asking.url, "--identity", "none", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failure"] is not None
    done = cli.call("identity", "test", f"{asking.url}/slow", "--timeout", "100ms")
    assert done.returncode == 1 and "failure" in done.stdout
    assert "/url" in cli.fails("identity", "test", "http://localhost/")


def test_a_bundle_by_name_verifies_the_server(cli, partner, asking):
    cli.run("identity", "add", *material(partner.issue("bare")), "--name", "bare", "--host", "localhost")
    done = cli.call("identity", "test", asking.url)
    assert done.returncode == 1 and "failure" in done.stdout
    cli.run("identity", "add", "--ca", partner.ca, "--name", "partner-ca")
    cli.run("identity", "test", asking.url, "--trusted-ca", "partner-ca")
    assert "CA bundle" in cli.fails("identity", "test", asking.url, "--trusted-ca", "bare")


def test_who_relies_on_an_identity_is_told_and_taken_back(cli, known):
    name = "nightly sync/eu"
    made = cli.json("identity", "associate", "known", name, "--kind", "workflow", "--link", "https://ci.example/1")
    assert made["service"] == name and made["kind"] == "workflow"
    assert cli.json("identity", "uses", "known") == [made]
    assert name in cli.run("identity", "uses", "known") and name in cli.run("identity", "show", "known")
    assert name in cli.fails("identity", "remove", "known")
    cli.run("identity", "dissociate", "known", name)
    assert cli.json("identity", "uses", "known") == []
    assert re.search(r"used by\s+nothing", cli.run("identity", "show", "known"))
    cli.fails("identity", "associate", "known", "..")


def test_what_is_removed_is_gone(cli, known):
    cli.run("identity", "associate", "known", "sync")
    assert "(code 1473); --force removes it all the same" in cli.fails("identity", "remove", "known", "--yes")
    assert "removed" in cli.run("identity", "remove", "known", "--force")
    assert cli.json("identity", "list") == []


def test_on_a_terminal_a_removal_is_asked_about(cli, known):
    code, shown = at_a_terminal(cli, "identity", "remove", "known", answer="")
    assert code == 1 and "nothing was removed" in shown
    assert cli.json("identity", "list") == [known]
    code, shown = at_a_terminal(cli, "identity", "remove", "known", answer="y")
    assert code == 0, shown
    assert cli.json("identity", "list") == []


def test_a_managed_identity_is_issued_by_the_zone(cli):
    zone = cli.json("zone", "create", "services")
    made = cli.json("identity", "add", "--managed", "--zone", "services", "--common-name", "billing",
                    "--organization", "Example", "--organizational-unit", "Billing", "--san", "dns:billing.example",
                    "--key-type", "p384", "--days", 30, "--grace", "12h", "--host", "ledger.example", "--name", "billing")
    assert made["managed"]["zone_id"] == zone["id"] and made["managed"]["grace_seconds"] == 43200
    assert made["managed"]["validity_days"] == 30 and made["key_type"] == "p384"
    assert "billing.example" in " ".join(made["subject_alternative_names"])
    assert made["managed"]["client_certificate_id"] in [c["id"] for c in cli.json("list", "--zone", "services")]
    assert "managed" in cli.run("identity", "list")
    assert "FILE" in cli.fails("identity", "add", "--managed", "--common-name", "x", "y.pem")
    cli.fails("identity", "add", "--managed")
    cli.fails("identity", "add")


def test_a_check_is_made_run_and_looked_at(cli, known, asking):
    made = cli.json("check", "create", "health", f"{asking.url}/health", "--manual", "--status", "200,3xx",
                    "--expect-header", "Content-Type: json", "--expect-json", "/status=ok", "--certificate-days", 5,
                    "--latency", "5s", "--timeout", "3s", "--identity", "known")
    assert made["interval_seconds"] is None and made["timeout_ms"] == 3000 and made["identity"] == known["id"]
    assert made["expect"] == {
        "status": [200, "3xx"], "headers": [{"name": "Content-Type", "contains": "json"}],
        "json": [{"path": "/status", "equals": "ok"}], "certificate_days_left": 5, "latency_ms": 5000}
    assert "not run yet" in cli.run("check", "list")
    ran = cli.run("check", "run", "health")
    assert re.search(r"state\s+passing", ran) and re.search(r"presented\s+yes", ran)
    [listed] = cli.json("check", "runs", "health")
    assert listed["state"] == "passing" and listed["scheduled"] is False
    table = cli.run("check", "runs", made["id"])
    assert "passing" in table and "hand" in table and "known" in table
    assert "passing" in cli.run("check", "show", "health")
    assert [one["id"] for one in cli.json("check", "list", "--state", "passing")] == [made["id"]]
    assert cli.json("check", "list", "--state", "failing") == []
    assert "health" in cli.fails("identity", "remove", "known")


def test_a_failing_check_ends_with_an_exit_code_and_its_findings(cli, known, asking):
    cli.run("check", "create", "picky", asking.url, "--manual", "--expect-json", "$.status=closed")
    done = cli.call("check", "run", "picky")
    assert done.returncode == 1
    assert re.search(r"state\s+failing", done.stdout) and "$.status is not as expected" in done.stdout
    assert "$.status" in cli.run("check", "runs", "picky")
    assert [one["name"] for one in cli.json("check", "list", "--state", "failing")] == ["picky"]


def test_a_check_with_an_interval_runs_by_itself(cli, known, asking):
    made = cli.json("check", "create", "regular", asking.url, "--every", "30s")
    assert made["interval_seconds"] == 30
    deadline = time.monotonic() + 30
    while not cli.json("check", "runs", "regular") and time.monotonic() < deadline:
        time.sleep(0.2)
    [first] = cli.json("check", "runs", "regular")
    assert first["scheduled"] is True and first["state"] == "passing"
    disabled = cli.json("check", "disable", "regular")
    assert disabled["enabled"] is False and disabled["next_run_on"] is None
    assert "disabled" in cli.run("check", "list")
    assert cli.json("check", "enable", "regular")["enabled"] is True
    assert cli.json("check", "create", "usual", asking.url)["interval_seconds"] == 60


def test_a_check_is_edited_and_what_is_not_spoken_of_stays(cli, partner, known, asking):
    cli.run("identity", "add", "--ca", partner.ca, "--name", "partner-ca")
    (cli.folder / "body").write_text("ping")
    cli.run("check", "create", "edited", asking.url, "--manual", "--latency", "5s", "--status", "200",
            "--header", "X-Kind: a", "--body", "body", "--trusted-ca", "partner-ca")
    edited = cli.json("check", "edit", "edited", "--name", "changed", "--every", "5m", "--latency", "2s")
    assert edited["name"] == "changed" and edited["interval_seconds"] == 300
    assert edited["expect"] == {"status": [200], "latency_ms": 2000}
    assert edited["headers"] == [{"name": "X-Kind", "value": "a", "secret": False}]
    assert edited["body"] == "ping" and edited["method"] == "POST" and edited["trusted_ca"]
    cleared = cli.json("check", "edit", "changed", "--manual", "--method", "GET", "--clear", "headers", "--clear", "body",
                       "--clear", "expectations", "--clear", "trusted-ca")
    assert cleared["headers"] == [] and cleared["body"] is None and cleared["expect"] == {}
    assert cleared["trusted_ca"] is None and cleared["interval_seconds"] is None
    cli.run("check", "remove", "changed")
    assert cli.json("check", "list") == []


def test_a_check_is_given_an_address_of_its_own_beside_that_of_the_server(cli, identity_server):
    nowhere = f"http://127.0.0.1:{server_module.free_port()}"
    done = cli.call("check", "create", "far", "https://localhost", "--manual", "--url", identity_server.url,
                    COUNTERSIGN_URL=nowhere)
    assert done.returncode == 0, done.stderr
    [made] = cli.json("check", "list")
    assert made["url"].startswith("https://localhost")


def test_secrets_of_a_check_are_sent_and_not_shown(cli, known, asking):
    (cli.folder / "token").write_text("Bearer hunter2\n")
    (cli.folder / "body").write_text("swordfish")
    cli.run("check", "create", "secret", asking.url, "--manual", "--secret-header", "X-Plain-Name@token",
            "--header", "Accept: */*", "--secret-body", "body")
    for shown in (cli.run("check", "show", "secret"), cli.run("check", "show", "secret", "--json")):
        assert "hunter2" not in shown and "swordfish" not in shown and "X-Plain-Name" in shown
    cli.run("check", "run", "secret")
    assert asking.seen[-1]["headers"]["x-plain-name"] == "Bearer hunter2" and asking.seen[-1]["body"] == "swordfish"
    cli.run("check", "edit", "secret", "--name", "still secret")
    cli.run("check", "run", "still secret")
    assert asking.seen[-1]["headers"]["x-plain-name"] == "Bearer hunter2" and asking.seen[-1]["body"] == "swordfish"


def test_nothing_secret_is_written_by_the_server(cli, identity_server, partner):
    leaf, key = partner.issue("discreet")
    lines = [line for line in key.read_text().splitlines() if "-----" not in line]
    cli.run("identity", "add", leaf, "--key", key)
    assert not any(line in identity_server.output(10**6) for line in lines)


def test_what_is_wrong_is_said_with_the_way_out(cli, partner):
    leaf, key = partner.issue("wrong")
    assert "nowhere.pem" in cli.fails("identity", "add", "nowhere.pem")
    (cli.folder / "noise").write_bytes(os.urandom(300) + b"\xff")
    assert "neither PEM nor PKCS#12" in cli.fails("identity", "add", "noise")
    run("openssl", "pkey", "-in", key, "-outform", "DER", "-out", cli.folder / "key.der")
    assert "openssl pkey -inform DER" in cli.fails("identity", "add", leaf, "--key", "key.der")
    assert "private key" in cli.fails("identity", "add", leaf)
    assert "stdin" in cli.fails("identity", "add", "-", "--key", "-")
    assert "no check is named" in cli.fails("check", "run", "nobody")
    assert "/url" in cli.fails("check", "create", "bad", "ftp://localhost")
    assert "--body-out" in cli.fails("identity", "test", "https://localhost", "--json", "--body-out", "-")


def test_a_token_that_may_only_use_is_told_to_give_the_id(cli, known, asking):
    token = cli.json("token", "create", "caller", "--permission", "identities:use")["value"]
    assert "identities:read" in cli.fails("identity", "test", asking.url, "--identity", "known", "--token", token)
    cli.run("identity", "test", asking.url, "--identity", known["id"], "--token", token)


def test_the_section_of_the_readme_does_what_it_says(cli, partner, asking):
    partner.issue("partner")
    for name in ("partner.pem", "partner.key", "partner-ca.pem"):
        (cli.folder / name).write_bytes((partner.folder / name).read_bytes())
    [lines] = shell_blocks("Identities: certificates that others issued to you")
    lines = lines.replace("https://api.partner.example", asking.url).replace("api.partner.example", "localhost")
    (cli.folder / "bin").mkdir()
    (cli.folder / "bin" / "countersign").symlink_to(pathlib.Path(server_module.BINARY))
    done = subprocess.run(
        ["bash", "-euc", lines], cwd=cli.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env={**cli.environment, "PATH": f"{cli.folder / 'bin'}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exactly this host" in done.stdout and re.search(r"status\s+200", done.stdout)
    assert "partner-health" in done.stdout and asking.seen[0]["client"] == "partner"
