"""The console's pages of what belongs to an account and to a zone as a whole, in a real browser; and the servers' own word on
the pieces of configuration that it hands out."""

import csv
import io
import json
import shutil
import subprocess

import pytest

import csr
import identity_pki as pki
import server as server_module
from api import Api
from person import Person
from test_console import browser, saved, somebody  # noqa: F401: fixtures
from test_nginx_mtls import Nginx
from tls_server import TlsServer, respond

SHOWN_ONCE = "shown this once"


def test_a_token_is_made_used_and_revoked(somebody, own_zone):  # noqa: F811
    someone = somebody().sign_in()
    someone.click("Tokens")
    someone.page.get_by_role("link", name="Make a token").first.click()
    someone.type("Name", "pump controller")
    someone.page.get_by_label("client_certificates:issue").check()
    someone.page.get_by_label("In these zones only").check()
    someone.press("Make the token")
    someone.sees("choose at least one zone")
    assert someone.page.get_by_label("Name", exact=True).input_value() == "pump controller"
    assert someone.page.get_by_label("client_certificates:issue").is_checked()
    someone.page.get_by_label("default").check()
    someone.press("Make the token")
    someone.sees(SHOWN_ONCE)
    value = someone.page.locator("#value").inner_text()
    assert not someone.violations()
    machine = Api(someone.server, token=value).in_zone(own_zone.zone)
    assert machine.call("POST", machine.path(), json={"csr": csr.fresh(), "validity_days": 30}).status_code == 200
    someone.click("I have it")
    someone.click("Revoke …")
    someone.sees("is refused within a second")
    assert not someone.violations()
    someone.press("Revoke the token pump controller")
    someone.sees("The token is revoked")
    refused = machine.call("POST", machine.path(), json={"csr": csr.fresh(), "validity_days": 30})
    assert refused.status_code in (400, 401, 403) and not refused.json()["success"]
    assert value not in someone.page.content()
    assert not someone.complaints


def test_a_webhook_is_made_and_tested_without_javascript(browser, make_folder):  # noqa: F811
    server = server_module.Server(make_folder(), COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    someone = Person(browser, server, java_script_enabled=False)
    try:
        with TlsServer(lambda _: respond(204)) as receiver:
            someone.sign_in()
            someone.click("default")
            someone.click("Webhooks")
            someone.click("Make the first one")
            someone.type("Name", "partner")
            someone.type("Address", receiver.url)
            someone.page.get_by_text("Verify the receiver by CAs of its own").click()
            someone.type("CA certificates in PEM", pki.root().certificate)
            someone.press("Make the webhook")
            someone.sees(SHOWN_ONCE)
            assert someone.page.locator("#value").inner_text().startswith("whsec_")
            someone.click("I have it")
            someone.press("Send a test")
            someone.sees("The receiver took the test")
            assert len(receiver.requests) == 1
            assert "a test" in someone.page.locator("table").inner_text()
            receiver.answer = lambda _: respond(500)
            someone.press("Send a test")
            someone.sees("The test was not delivered")
            assert "the receiver answered 500" in someone.page.locator("table").inner_text()
            someone.click("Remove …")
            someone.press("Remove the webhook partner")
            someone.sees("Nobody is told")
    finally:
        someone.close()
        server.clean_up()


def test_the_audit_log_is_searched_and_exported(somebody, own_zone):  # noqa: F811
    issued = own_zone.issue(csr.fresh(), 30)
    own_zone.delete(issued["id"])
    someone = somebody(accept_downloads=True).sign_in()
    someone.page.goto("/audit")
    someone.page.get_by_label("On what").fill(issued["id"])
    someone.press("Show")
    rows = someone.page.locator("tbody tr")
    assert "certificate.issue" in rows.last.inner_text() and "admin" in rows.last.inner_text()
    files = {}
    for name, ending in (("Export as CSV", "csv"), ("Export as JSON Lines", "jsonl")):
        with someone.page.expect_download() as download:
            someone.click(name)
        files[ending] = download.value.path().read_text()
        assert download.value.suggested_filename == f"audit.{ending}"
    table = list(csv.DictReader(io.StringIO(files["csv"])))
    events = [json.loads(line) for line in files["jsonl"].splitlines()]
    for found in (table, events):
        actions = [event["action"] for event in found]
        assert {"certificate.issue", "certificate.revoke"} <= set(actions) and actions[-1] == "certificate.issue"
        assert {event["subject"] for event in found} == {issued["id"]}
    assert not someone.complaints


def piece(someone, server):
    return someone.page.locator(f"#{server} pre").text_content()


@pytest.mark.parametrize("name", ["nginx", "haproxy", "apache", "curl"])
def test_the_pieces_of_configuration_work(name, somebody, own_zone, tmp_path):  # noqa: F811
    """nginx, HAProxy and Apache judge theirs; what stands in curl's is done."""
    someone = somebody().sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/authority")
    text = piece(someone, name)
    issued = own_zone.issue(csr.fresh(), 30)
    (tmp_path / "device.pem").write_text(issued["certificate"])
    folder = {"nginx": "/etc/nginx", "haproxy": "/etc/haproxy", "apache": "/etc/apache2"}.get(name)
    if folder is None:
        steps = [line for line in text.splitlines() if line.startswith(("curl -fsS", "openssl"))]
        assert len(steps) == 3, text
        for step in steps:
            done = subprocess.run(step, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (step, done.stderr)
        assert "device.pem: OK" in done.stdout
        return
    for line in text.splitlines():
        if "curl -fsS" in line:
            fetch = line.lstrip("# ").replace(folder, str(tmp_path))
            subprocess.run(fetch, shell=True, check=True, timeout=60)
    crls = own_zone.server.url + f"/pki/{own_zone.zone}/crl-chain.pem"
    assert f"--zone {own_zone.zone} --url {own_zone.server.url}" in text
    subprocess.run(["curl", "-fsS", crls, "-o", tmp_path / "clients-crl.pem"], check=True, timeout=60)
    leaf = pki.server()
    both = name == "haproxy"
    (tmp_path / "server.pem").write_text(leaf.certificate + (leaf.key if both else ""))
    (tmp_path / "server.key").write_text(leaf.key)
    # A port that needs no right of root's.
    text = text.replace(folder, str(tmp_path)).replace("listen 443 ", f"listen 127.0.0.1:{server_module.free_port()} ")
    judge(name, text, tmp_path)
    # It is these very lines that are judged: without the CAs they are refused.
    with pytest.raises(AssertionError):
        judge(name, text.replace("clients-ca.pem", "missing.pem"), tmp_path)


class NginxOfThePage(Nginx):
    """nginx with the piece of configuration that the page of the authority hands out."""

    def __init__(self, folder, api, text):
        self.text = text
        super().__init__(folder, api)

    def server(self):
        # A folder, a port and an answer of the test's own.
        own = {"/etc/nginx": str(self.folder), "listen 443 ": f"listen 127.0.0.1:{self.port} ", "service.example.com": "localhost",
               "proxy_pass http://127.0.0.1:8000;": 'return 200 "$ssl_client_verify $ssl_client_s_dn";'}
        text = self.text
        for before, after in own.items():
            assert before in text
            text = text.replace(before, after)
        return text

    def fetch_crls(self):
        (self.folder / "clients-crl.pem").write_text(self.api.chain_crls())


def test_nginx_as_the_page_says_takes_what_the_browser_made_until_it_is_revoked(somebody, own_zone, tmp_path):  # noqa: F811
    someone = somebody(accept_downloads=True).sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/authority")
    text = piece(someone, "nginx")
    with someone.page.expect_download() as download:
        someone.click("Download the CA bundle")
    download.value.save_as(tmp_path / "clients-ca.pem")
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    someone.page.get_by_text("Make the key in this browser").click()
    someone.page.get_by_label("Common name").fill("laptop-7")
    someone.press("Make key and request")
    someone.sees("It keeps to the profile")
    someone.press("Issue the certificate")
    someone.sees("The certificate is issued")
    held = (saved(someone, "Save the certificate with its chain", tmp_path / "chain.pem"), saved(someone, "Save the private key", tmp_path / "key.pem"))
    someone.click("Open the certificate")
    nginx = NginxOfThePage(tmp_path, own_zone, text)
    try:
        assert nginx.request(*held) == (200, "SUCCESS CN=laptop-7")
        someone.click("Revoke …")
        someone.press("Revoke this certificate")
        someone.page.locator("main .badge.revoked").first.wait_for()
        nginx.reload()
        assert nginx.request(*held)[0] == 400
        someone.press("Reactivate")
        someone.page.locator("main .badge.active").first.wait_for()
        nginx.reload()
        assert nginx.request(*held) == (200, "SUCCESS CN=laptop-7")
    finally:
        nginx.stop()
    assert not someone.complaints


def judge(name, text, folder):
    path = folder / f"{name}.conf"
    if name == "nginx":
        path.write_text(f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n")
        command = [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-t", "-c", path, "-p", folder, "-e", "stderr"]
    elif name == "apache":
        modules = ["mpm_event", "authz_core", "ssl", "headers", "proxy", "proxy_http"]
        loaded = "".join(f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n" for module in modules)
        path.write_text(f"ServerRoot {folder}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n{loaded}{text}")
        command = [shutil.which("apache2", path="/usr/sbin:/usr/bin"), "-t", "-f", path]
    else:
        path.write_text(text)
        command = [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-c", "-f", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout
