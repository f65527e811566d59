"""Identities and checks in the console, in a real browser: brought, chosen, replaced, removed; made, run, changed."""

import pytest

import identity_pki as pki
import person
from identity_api import Identities
from person import Person
from test_console import look
from tls_server import TlsServer, respond

SECRET = "a-secret-that-nobody-reads"


@pytest.fixture
def vault(callers):
    """An account of its own, with nothing in it."""
    return Identities.of_new_account(callers)


@pytest.fixture(scope="module")
def browser():
    with person.chromium() as browser:
        yield browser


@pytest.fixture
def somebody(browser, vault):
    made = []

    def make(**context):
        made.append(Person(browser, vault.server, **context))
        return made[-1].sign_in(vault.token)

    yield make
    for each in made:
        each.close()


@pytest.fixture
def partner():
    """A server that wants a client certificate."""
    with TlsServer(client_ca=pki.root().certificate) as server:
        yield server


def test_an_identity_is_brought_chosen_replaced_and_removed(somebody, vault, tmp_path):
    someone = somebody()
    file = tmp_path / "client.p12"
    file.write_bytes(pki.pkcs12(pki.client(name="journey")))
    someone.click("Identities")
    someone.click("Bring the first one")
    someone.page.locator("#files").set_input_files(file)
    beside = someone.page.locator("#passphrase-fault")
    beside.get_by_text("is encrypted; send its passphrase").wait_for()
    someone.type("Passphrase", "wrong")
    beside.get_by_text("does not open").wait_for()
    someone.press("Keep it")
    # It is not sent like this, so that the file is still in the page.
    someone.page.locator("#passphrase:focus").wait_for()
    assert vault.listed() == [] and someone.page.url.endswith("/identities/new")
    someone.type("Passphrase", pki.PASSPHRASE)
    someone.sees("It can be kept")
    assert "CN=journey" in someone.page.locator("#preview").inner_text()
    someone.type("Hosts that it is for", "*.partner.example, api.other.example")
    someone.press("Keep it")
    someone.arrives_at("journey")
    someone.sees("It is kept")
    [kept] = vault.listed()
    assert kept["hosts"] == ["*.partner.example", "api.other.example"]

    someone.click("Identities")
    someone.page.locator("#host").fill("https://www.partner.example/path")
    someone.press("Tell me")
    someone.sees("its pattern *.partner.example matches")
    someone.page.locator("#host").fill("elsewhere.example")
    someone.press("Tell me")
    someone.sees("none is presented")
    someone.click("Rename journey")
    someone.type("Name", "partner's key")
    someone.press("Save")
    someone.arrives_at("partner's key")
    someone.press("Make it the primary")
    someone.sees("It is the primary now")
    someone.page.goto("/identities?host=elsewhere.example")
    someone.sees("it is the primary identity")

    someone.page.locator("tbody th a").first.click()
    someone.click("Replace …")
    newer = tmp_path / "newer.crt"
    newer.write_text(pki.issued(pki.intermediate(), "/O=Partner/CN=journey", days=300).whole_chain)
    someone.page.locator("#files").set_input_files(newer)
    someone.sees("It can be kept")
    someone.press("Put it in place")
    someone.sees("The new certificate is in place")
    [replaced] = vault.listed()
    assert (replaced["id"], replaced["name"], replaced["primary"]) == (kept["id"], "partner's key", True)
    assert replaced["serial_number"] != kept["serial_number"]

    someone.page.get_by_text("Note who relies on it").click()
    someone.page.locator("#name").fill("billing")
    someone.press("Note it")
    someone.sees("billing")
    assert [use["service"] for use in vault.uses(kept["id"])] == ["billing"]
    someone.click("Remove …")
    someone.sees("1 use would lose it")
    assert not someone.violations()
    someone.page.locator("#name").fill("partner")
    someone.press("Remove it")
    someone.sees("Type the name exactly")
    assert someone.page.locator("#name").input_value() == "partner"
    assert len(vault.listed()) == 1
    someone.page.locator("#name").fill("partner's key")
    someone.press("Remove it")
    someone.sees("The identity and its private key are gone")
    assert vault.listed() == []
    assert not someone.complaints


@pytest.mark.parametrize("with_script", [True, False], ids=["scripts", "no scripts"])
def test_an_identity_is_issued_by_a_zone_of_the_account(somebody, vault, with_script):
    someone = somebody(java_script_enabled=with_script)
    someone.page.goto("/identities/new/issued")
    someone.sees("No zone yet")
    made = [vault.result("POST", "/zones", json={"name": f"{name}.example", "account": {"id": vault.account}}) for name in ("first", "second")]
    someone.page.goto("/identities")
    someone.click("Have one issued")
    someone.page.get_by_label("Zone that issues it").select_option("second.example")
    someone.page.get_by_label("Common name", exact=True).fill("caller")
    someone.page.get_by_label("Hosts that it is for").fill("https://api.partner.example")
    someone.page.get_by_label("Valid for, in days").fill("99999")
    someone.press("Have it issued")
    someone.page.locator("#hosts-fault .fault").first.wait_for()
    assert someone.page.get_by_label("Valid for, in days").input_value() == "99999"
    someone.page.get_by_label("Hosts that it is for").fill("api.partner.example")
    someone.press("Have it issued")
    assert "validity_days must be" in someone.page.locator("#days-fault").inner_text()
    someone.page.get_by_label("Valid for, in days").fill("60")
    someone.press("Have it issued")
    someone.arrives_at("caller")
    someone.sees("It is issued and kept")
    [kept] = vault.listed()
    assert (kept["hosts"], kept["managed"]["zone_id"]) == (["api.partner.example"], made[1]["id"])
    someone.click("Open the certificate")
    someone.arrives_at("caller")
    assert not someone.complaints


def test_without_javascript_texts_are_pasted_and_keys_do_not_come_back(somebody, vault):
    someone = somebody(java_script_enabled=False)
    held = pki.client(name="pasted")
    secret = "".join(held.key.splitlines()[1:-1])[40:80]
    someone.page.goto("/identities/new")
    someone.page.get_by_label("Certificate and chain").fill(held.whole_chain)
    someone.page.get_by_label("Private key").fill(held.key)
    someone.page.get_by_label("Hosts that it is for").fill("https://api.partner.example/\napi.partner.example")
    someone.page.get_by_label("Name").fill("<b>pasted</b>")
    someone.press("Look at what it holds first")
    someone.sees("The files are good")
    assert secret not in someone.page.content()
    someone.page.get_by_label("Private key").fill(held.key)
    someone.press("Keep it")
    assert someone.page.locator("#hosts-fault .fault").count() > 0
    assert secret not in someone.page.content()
    assert someone.page.get_by_label("Name").input_value() == "<b>pasted</b>"
    assert someone.page.get_by_label("Certificate and chain").input_value().split() == held.whole_chain.split()
    someone.sees("are not sent back to your browser")
    someone.page.get_by_label("Private key").fill(held.key)
    someone.page.get_by_label("Hosts that it is for").fill("api.partner.example")
    someone.press("Keep it")
    someone.arrives_at("<b>pasted</b>")
    [kept] = vault.listed()
    assert (kept["name"], kept["hosts"]) == ("<b>pasted</b>", ["api.partner.example"])


def test_a_check_is_made_run_changed_and_removed(somebody, vault, partner):
    vault.keep_held(pki.client(name="checker"), primary=True)
    someone = somebody()
    someone.click("Checks")
    someone.click("Make the first one")
    someone.type("Name", "partner's health")
    someone.type("Address to call", f"{partner.url}/health")
    someone.page.get_by_label("Runs", exact=True).select_option("")
    someone.page.get_by_label("Degraded when slower than, in ms").fill("soon")
    someone.page.get_by_text("Headers and body of the request").click()
    someone.page.get_by_label("Headers", exact=True).fill(f"Accept: text/plain\nAuthorization: Bearer {SECRET}")
    someone.press("Make the check")
    someone.page.locator("#latency-fault").get_by_text("write the milliseconds as a whole number").wait_for()
    assert someone.page.locator(".faulty").count() == 1
    assert someone.page.get_by_label("Name").input_value() == "partner's health"
    assert SECRET not in someone.page.content()
    someone.page.get_by_label("Degraded when slower than, in ms").fill("60000")
    someone.page.get_by_label("Headers", exact=True).fill(f"Accept: text/plain\nAuthorization: Bearer {SECRET}")
    someone.press("Make the check")
    someone.arrives_at("partner's health")
    someone.press("Run it now")
    someone.sees("It has run")
    assert someone.badge().inner_text() == "Passing"
    assert "checker" in someone.page.locator("table").inner_text()
    assert partner.requests[-1].values("authorization") == [f"Bearer {SECRET}"]

    partner.answer = lambda request: respond(503, b"down")
    someone.press("Run it now")
    someone.sees("the status is 503, not 2xx")
    assert someone.badge().inner_text() == "Failing"
    assert not someone.violations()
    someone.click("Change …")
    assert SECRET not in someone.page.content()
    someone.page.get_by_label("Status").fill("5xx")
    someone.page.get_by_text("Its headers and its JSON").click()
    someone.page.get_by_label("Values in its JSON").fill("$.state=up\nstate=up")
    someone.press("Save")
    assert "a path is a JSON Pointer" in someone.page.locator("#expect-json-fault").inner_text()
    assert someone.page.get_by_label("Values in its JSON").input_value() == "$.state=up\nstate=up"
    assert not someone.violations()
    someone.page.get_by_label("Values in its JSON").fill("$.state=up")
    someone.press("Save")
    someone.sees("The check is changed")
    someone.sees("$.state in the JSON is")
    someone.press("Run it now")
    someone.sees("the answer is no JSON")
    partner.answer = lambda request: respond(503, b'{"state": "up"}')
    someone.press("Run it now")
    someone.page.locator(".card .row > .badge.active").first.wait_for()
    assert partner.requests[-1].values("authorization") == [f"Bearer {SECRET}"], "a sealed value stays"
    someone.click("Checks")
    assert someone.page.locator("svg.plot g").count() == 4
    someone.page.locator("tbody th a").first.click()
    someone.page.get_by_text("Remove this check").click()
    someone.press("Remove the check and its runs")
    someone.sees("No check yet")
    assert not someone.complaints


def test_these_pages_are_for_everybody(browser, vault, partner, tmp_path):
    """As the others: no violation of WCAG 2.2 AA in either colour scheme, nothing wider than a phone."""
    addresses = {"identities-none": "/identities", "checks-none": "/checks", "identity-issue-none": "/identities/new/issued"}
    faults = []
    for names in (lambda: addresses, lambda: pages(vault, partner)):
        shown = names()
        for scheme in ("light", "dark"):
            someone = Person(browser, vault.server, color_scheme=scheme).sign_in(vault.token)
            try:
                for name, address in shown.items():
                    someone.page.goto(address)
                    faults += look(someone, name, scheme)
                if "identity" in shown:
                    for name in after_forms(someone, shown["identity"], tmp_path):
                        faults += look(someone, name, scheme)
                assert not someone.complaints, someone.complaints
            finally:
                someone.close()
    assert not faults, "\n".join(faults)


def after_forms(someone, identity, folder):
    """What follows a form, or a file: goes from one to the next, and gives each its name."""
    page = someone.page
    (folder / "client.p12").write_bytes(pki.pkcs12(pki.client(name="journey")))
    page.goto("/identities/new")
    page.locator("#files").set_input_files(folder / "client.p12")
    page.locator("#passphrase-fault .fault").wait_for()
    yield "identity-new-locked"
    page.get_by_label("Passphrase").fill(pki.PASSPHRASE)
    someone.sees("It can be kept")
    yield "identity-new-good"
    (folder / "newer.crt").write_text(pki.issued(pki.intermediate(), "/O=Partner/CN=newer", days=300).whole_chain)
    page.goto(f"{identity}/replace")
    page.locator("#files").set_input_files(folder / "newer.crt")
    page.locator("#preview .note").first.wait_for()
    yield "identity-replacement-files"
    page.goto(f"{identity}/remove")
    page.locator("#name").fill("another")
    someone.press("Remove it")
    someone.sees("Type the name exactly")
    yield "identity-removal-refused"
    page.goto("/checks/new")
    page.get_by_label("Name").fill("partner")
    page.get_by_label("Address to call").fill("partner.example")
    page.get_by_label("Degraded when slower than, in ms").fill("soon")
    someone.press("Make the check")
    page.locator(".fault").first.wait_for()
    yield "check-faults"


def pages(vault, partner):
    first = vault.keep_held(pki.client(name="api.partner.example"), hosts=["*.partner.example", "api.other.example", "a.example", "b.example"], labels={})
    second = vault.keep_held(pki.issued(pki.intermediate(), "/CN=<script>alert(1)<\\/script>", days=5), primary=True)
    vault.keep(certificates=pki.root().certificate, ca=True, name="Partner's CAs")
    vault.call("PUT", vault.path(f"/{first['id']}/associations/billing"), json={"link": "https://billing.example/"})
    rules = {"headers": [{"name": "content-type", "contains": "json"}], "json": [{"path": "/state", "equals": "up"}]}
    check = vault.check(f"{partner.url}/health", name="partner's health", identity=first["id"], expect=rules)
    for status in (200, 200, 503, 200, 200, 200):
        partner.answer = lambda request, status=status: respond(status, b'{"state": "up"}', "Content-Type: application/json")
        vault.run(check["id"])
    vault.check("https://127.0.0.1:1/", name="not run yet")
    vault.result("POST", "/zones", json={"name": "plant.example", "account": {"id": vault.account}})
    identity = f"/identities/{first['id']}"
    return {
        "identities": "/identities",
        "identities-host": "/identities?host=www.partner.example",
        "identities-bundles": "/identities?kind=bundles",
        "identity": identity,
        "identity-primary": f"/identities/{second['id']}",
        "identity-new": "/identities/new",
        "identity-issue": "/identities/new/issued",
        "identity-edit": f"{identity}/edit",
        "identity-replacement": f"{identity}/replace",
        "identity-removal": f"{identity}/remove",
        "checks": "/checks",
        "check": f"/checks/{check['id']}",
        "check-new": "/checks/new",
        "check-edit": f"/checks/{check['id']}/edit",
    }
