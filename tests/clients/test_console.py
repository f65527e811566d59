"""The console in a real browser: its journeys, with and without scripts, judged by axe and photographed.

A new page is added to `pages`."""

import contextlib
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import csr
import person
from person import Person
from playwright.sync_api import expect

MOST_CLICKS = 14
FIRST_PAGE = 50_000
NAME = "pump-17.plant.example"
HOSTILE = "<script>alert(1)</script>"
MIRRORED = "\u202egnp.exe"
ACTS = ("Change", "Edit", "Rename", "Remove", "Replace", "Revoke", "Roll")
# Whether what is typed into does not stand in one line, though the fields begin in one.
UNEVEN = """[...document.querySelectorAll(".columns")].some(columns => {
    const rows = Map.groupBy([...columns.querySelectorAll(".field")], field => field.offsetTop);
    const top = field => field.querySelector("input, select, textarea").getBoundingClientRect().top;
    return [...rows.values()].some(row => row.some(field => Math.abs(top(field) - top(row[0])) > 1));
})"""


@pytest.fixture(scope="module")
def browser():
    with person.chromium() as browser:
        yield browser


@pytest.fixture
def somebody(browser, server):
    made = []

    def make(**context):
        made.append(Person(browser, server, **context))
        return made[-1]

    yield make
    for each in made:
        each.close()


def asked_by(name):
    """A request for this common name."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def revoked_at_last(someone):
    someone.page.locator(".badge.revoked").first.wait_for()


def test_a_newcomer_issues_downloads_revokes_and_reactivates_in_few_clicks(somebody, own_zone):
    someone = somebody(accept_downloads=True).sign_in()
    someone.click("default")
    someone.click("Issue the first one")
    someone.type("Certificate signing request", asked_by(NAME))
    someone.sees("It keeps to the profile")
    assert NAME in someone.page.locator("#preview").inner_text()
    someone.press("Issue the certificate")
    someone.sees("The certificate is issued")
    assert someone.heading() == NAME
    with someone.page.expect_download() as download:
        someone.click("Download")
    [issued] = own_zone.result("GET", own_zone.path())
    assert download.value.path().read_text() == issued["certificate"]

    someone.click("Revoke …")
    someone.press("Revoke this certificate")
    # It looks again by itself until the receipt is there.
    revoked_at_last(someone)
    someone.sees("Receipt")
    assert own_zone.get(issued["id"])["status"] == "revoked"
    someone.press("Reactivate")
    someone.page.locator("main .badge.active").first.wait_for()
    assert own_zone.get(issued["id"])["status"] == "active"
    history = someone.page.locator("ol.history").inner_text()
    for act in ("Issued", "Revocation asked for", "Revoked: relying parties can see it", "Active again", "token admin", "127.0.0.1"):
        assert act in history, history
    assert not someone.complaints
    assert someone.clicks <= MOST_CLICKS, someone.clicks


def test_it_works_without_javascript(somebody, own_zone):
    someone = somebody(java_script_enabled=False, accept_downloads=True).sign_in()
    someone.click("default")
    someone.click("Issue the first one")
    request = asked_by(NAME)
    someone.page.get_by_label("Certificate signing request").fill(request)
    someone.page.get_by_label("Valid for, in days").fill("99999")
    someone.press("Check first")
    someone.sees("validity_days must be")
    assert "validity_days must be" in someone.page.locator("#days-fault").inner_text()
    assert someone.page.get_by_label("Certificate signing request").input_value() == request, "what was typed is kept"
    someone.page.get_by_label("Valid for, in days").fill("30")
    someone.press("Check first")
    someone.sees("It keeps to the profile")
    someone.press("Issue the certificate")
    someone.arrives_at(NAME)
    with someone.page.expect_download() as download:
        someone.click("PKCS#7")
    printed = csr.openssl("pkcs7", "-inform", "DER", "-in", download.value.path(), "-print_certs").stdout.decode()
    assert printed.count("BEGIN CERTIFICATE") == 3, printed
    someone.click("Revoke …")
    someone.page.get_by_label("Replaced by a newer certificate").check()
    someone.press("Revoke this certificate")
    someone.arrives_at(NAME)
    deadline = time.monotonic() + 60
    while someone.page.locator(".badge.revoked").count() == 0 and time.monotonic() < deadline:
        someone.page.reload()
    someone.sees("replaced by a newer certificate")
    assert someone.page.get_by_role("button", name="Reactivate").count() == 0, "it is final"
    someone.press("Sign out")
    someone.sees("You are signed out")
    someone.page.goto("/sessions")
    assert someone.heading() == "Sign in"


def test_every_page_is_for_everybody(browser, server, own_zone):
    """No violation of WCAG 2.2 AA in either colour scheme, nothing wider than a phone; and photographs to look at."""
    addresses = pages(own_zone)
    for scheme in ("light", "dark"):
        someone = Person(browser, server, color_scheme=scheme)
        try:
            someone.page.goto("/sign-in")
            faults = look(someone, "sign-in", scheme)
            someone.sign_in()
            for name, address in addresses.items():
                someone.page.goto(address)
                faults += look(someone, name, scheme)
            assert not faults, "\n".join(faults)
            assert not [said for said in someone.complaints if "404" not in said], someone.complaints
        finally:
            someone.close()


def pages(zone):
    """Every page, with something on it."""
    issued = [zone.issue(asked_by(name), days) for name, days in [(NAME, 30), (HOSTILE, 90), (MIRRORED, 365), ("pump-18", 5)]]
    zone.delete(issued[3]["id"])
    zone.wait_for(issued[3]["id"], "revoked")
    first = f"/zones/{zone.zone}/certificates/{issued[0]['id']}"
    hook = {"name": "partner", "url": "https://localhost:1/x", "kinds": ["certificate.revoked", "crl.published"]}
    webhook = zone.result("POST", f"/zones/{zone.zone}/webhooks", json=hook)
    zone.call("POST", f"/zones/{zone.zone}/webhooks/{webhook['id']}/test")
    gateways = zone.in_zone(zone.create_zone("gateways.example")["id"])
    gateways.issue(asked_by("gateway-1"), 20)
    [account] = zone.result("GET", "/accounts")
    token = zone.result("GET", f"/accounts/{account['id']}/tokens")[0]["id"]
    return {
        "overview": "/",
        "ending": "/ending",
        "ending-none": "/ending?from=2090-01-01",
        "zone": f"/zones/{zone.zone}",
        "certificates": f"/zones/{zone.zone}/certificates",
        "certificates-ending": f"/zones/{zone.zone}/certificates?order=ending",
        "certificates-none": f"/zones/{zone.zone}/certificates?q=nobody",
        "certificate": first,
        "certificate-hostile": f"/zones/{zone.zone}/certificates/{issued[1]['id']}",
        "certificate-revoked": f"/zones/{zone.zone}/certificates/{issued[3]['id']}",
        "revocation": f"{first}/revoke",
        "issue": f"/zones/{zone.zone}/issue",
        "authority": f"/zones/{zone.zone}/authority",
        "zone-name": f"/zones/{zone.zone}/name",
        "webhooks": f"/zones/{zone.zone}/webhooks",
        "webhook": f"/zones/{zone.zone}/webhooks/{webhook['id']}",
        "webhook-new": f"/zones/{zone.zone}/webhooks/new",
        "webhook-edit": f"/zones/{zone.zone}/webhooks/{webhook['id']}/edit",
        "webhook-remove": f"/zones/{zone.zone}/webhooks/{webhook['id']}/remove",
        "audit-zone": f"/zones/{zone.zone}/audit",
        "audit": "/audit",
        "audit-none": "/audit?who=nobody",
        "zones": "/zones",
        "zone-new": "/zones/new",
        "tokens": "/tokens",
        "token-new": "/tokens/new",
        "token": f"/tokens/{token}",
        "token-revoke": f"/tokens/{token}/revoke",
        "identities-of-all": "/identities",
        "checks-of-all": "/checks",
        "sessions": "/sessions",
        "fault": "/there-is-no-such-page",
    }


def test_pages_that_no_address_leads_to_are_for_everybody(browser, server, own_zone):
    """The same of what stands there at first, and of what follows a form."""
    faults, empty = [], f"/zones/{own_zone.zone}"
    first = {"overview-first": "/", "zone-first": empty, "certificates-first": f"{empty}/certificates", "webhooks-first": f"{empty}/webhooks"}
    for scheme in ("light", "dark"):
        someone = Person(browser, server, color_scheme=scheme).sign_in()
        for name, address in first.items():
            shown(someone, address)
            faults += look(someone, name, scheme)
        someone.close()
    for scheme in ("light", "dark"):
        someone = Person(browser, server, color_scheme=scheme, accept_downloads=True).sign_in()
        try:
            for name in after_forms(someone, own_zone, f"partner of {scheme}"):
                faults += look(someone, name, scheme)
            assert not someone.complaints, someone.complaints
        finally:
            someone.close()
    assert not faults, "\n".join(faults)


def after_forms(someone, zone, partner):
    """Goes from one to the next, and gives each its name."""
    page, base = someone.page, f"/zones/{zone.zone}"
    page.goto(f"{base}/issue")
    page.get_by_label("Certificate signing request").fill(asked_by(NAME))
    someone.sees("It keeps to the profile")
    yield "issue-good"
    page.get_by_label("Valid for, in days").fill("99999")
    page.locator("#days-fault .fault").wait_for()
    yield "issue-faults"
    page.goto(f"{base}/issue")
    page.get_by_text("Make the key in this browser").click()
    page.get_by_label("Common name").fill("laptop-3")
    someone.press("Make key and request")
    someone.sees("It keeps to the profile")
    yield "issue-key-made"
    someone.press("Issue the certificate")
    someone.sees("The certificate is issued")
    someone.press("Save PKCS#12")
    someone.sees("Give it a password")
    yield "issue-made"
    with page.expect_download():
        someone.press("Save the private key")
    page.goto(f"{base}/certificates?status=active")
    page.get_by_label("Choose all on this page").check()
    someone.press("Revoke the chosen ones")
    yield "chosen"
    page.get_by_label("No longer in use").check()
    someone.press("Revoke 1 certificate")
    someone.sees("Relying parties can see all of it")
    yield "job"
    page.goto("/tokens/new")
    page.get_by_label("Name", exact=True).fill(partner)
    page.get_by_label("In these zones only").check()
    someone.press("Make the token")
    someone.sees("choose at least one zone")
    yield "token-faults"
    page.get_by_label("client_certificates:issue").check()
    page.get_by_label("default").check()
    someone.press("Make the token")
    someone.sees("shown this once")
    yield "token-value"
    page.goto(f"{base}/webhooks/new")
    page.get_by_label("Name").fill(partner)
    page.get_by_label("Address").fill("http://localhost:1/")
    someone.press("Make the webhook")
    page.locator("#url-fault .fault").wait_for()
    yield "webhook-faults"
    page.get_by_label("Address").fill("https://localhost:1/")
    someone.press("Make the webhook")
    someone.sees("shown this once")
    yield "webhook-secret"
    someone.press("Sign out")
    someone.sees("You are signed out")
    yield "signed-out"
    page.get_by_label("API token").fill("x" * 40)
    someone.press("Sign in")
    page.locator("#token-fault").wait_for()
    yield "sign-in-refused"


@pytest.mark.only_on("sqlite", reason="the browser sees no difference, and the trigger is written for one")
def test_a_certificate_that_is_being_revoked_is_for_everybody(browser, server, own_zone):
    issued = own_zone.issue(asked_by(NAME), 30)
    faults = []
    with nothing_settles(server):
        own_zone.delete(issued["id"])
        for scheme in ("light", "dark"):
            someone = Person(browser, server, color_scheme=scheme).sign_in()
            for name, address in (("certificate-pending", f"/zones/{own_zone.zone}/certificates/{issued['id']}"), ("zone-pending", f"/zones/{own_zone.zone}")):
                someone.page.goto(address)
                someone.sees("Being revoked")
                faults += look(someone, name, scheme)
            someone.close()
    assert not faults, "\n".join(faults)


def test_a_title_names_what_the_page_is_of(somebody, own_zone):
    issued = own_zone.issue(asked_by(MIRRORED), 30)
    hook = own_zone.result("POST", f"/zones/{own_zone.zone}/webhooks", json={"name": "partner", "url": "https://localhost:1/x"})
    someone = somebody().sign_in()
    for address, title, heading in (
        ("/certificates", "Certificates · Zone default · Countersign", "Certificates"),
        (f"/certificates/{issued['id']}/revoke", "Revoke · [U+202E]gnp.exe · Certificates · Zone default · Countersign", "Revoke [U+202E]gnp.exe"),
        (f"/webhooks/{hook['id']}/edit", "Change · partner · Webhooks · Zone default · Countersign", "Change partner"),
        ("/name", "Rename · Zone default · Countersign", "Rename default"),
    ):
        someone.page.goto(f"/zones/{own_zone.zone}{address}")
        assert (someone.page.title(), someone.heading()) == (title, heading)


def look(someone, name, scheme):
    """What is wrong with the page, at each width."""
    faults = []
    if someone.heading() in ACTS:
        faults.append(f"the heading of {name} does not say what it is about")
    for width in person.WIDTHS:
        someone.page.set_viewport_size({"width": width, "height": 900})
        someone.photograph(f"{name}-{scheme}-{width}")
        faults += [f"{name}, {scheme}, {width}: {fault}" for fault in someone.violations()]
        wide = someone.page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            faults.append(f"{name} is {wide} pixels wide at {width}")
        sideways = "[...document.querySelectorAll('.table-wrap')].some(wrap => wrap.scrollWidth > wrap.clientWidth)"
        if someone.page.evaluate(sideways):
            faults.append(f"a table of {name} is too wide for {width}")
        if someone.page.evaluate(UNEVEN):
            faults.append(f"fields of {name} stand side by side at different heights at {width}")
    return faults


def test_a_hostile_name_is_text_everywhere(somebody, own_zone):
    issued = own_zone.issue(asked_by(HOSTILE), 30)
    someone = somebody().sign_in()
    for path in ("", "/certificates", f"/certificates/{issued['id']}", f"/certificates/{issued['id']}/revoke"):
        someone.page.goto(f"/zones/{own_zone.zone}{path}")
    assert HOSTILE in someone.heading()
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    someone.page.get_by_label("Certificate signing request").fill(asked_by(HOSTILE))
    someone.sees("It keeps to the profile")
    assert HOSTILE in someone.page.locator("#preview").inner_text()
    for oversized in ("x" * 65_536, with_organization("m" * 65_536)):
        someone.page.get_by_label("Certificate signing request").fill(oversized)
        someone.page.locator("#csr-fault .fault").first.wait_for()
        someone.sees("It cannot be issued like this")
        assert len(someone.page.locator("main").inner_text()) < 5000
        assert someone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        someone.page.get_by_label("Certificate signing request").fill(asked_by(NAME))
        someone.sees("It keeps to the profile")
    # What turns the direction of a text is written out, so that the name does not look like another one.
    mirrored = own_zone.issue(asked_by(MIRRORED), 30)
    someone.page.goto(f"/zones/{own_zone.zone}/certificates")
    assert someone.page.get_by_role("link", name="[U+202E]gnp.exe").get_attribute("href").endswith(mirrored["id"])
    assert not someone.complaints


def with_organization(name):
    """A request that holds more letters than any name has."""
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name, _validate=False)
    signed = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([organization])).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_a_key_made_in_the_browser_never_leaves_it(somebody, own_zone, tmp_path):
    someone = somebody(accept_downloads=True).sign_in()
    sent = []
    someone.page.on("request", lambda request: sent.append(request.post_data or ""))
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    someone.page.get_by_text("Make the key in this browser").click()
    someone.page.get_by_label("Common name").fill("laptop-3")
    someone.press("Make key and request")
    someone.sees("It keeps to the profile")
    someone.press("Issue the certificate")
    someone.sees("The certificate is issued")
    key = saved(someone, "Save the private key", tmp_path / "key.pem")
    chain = saved(someone, "Save the certificate with its chain", tmp_path / "chain.pem")
    public = csr.openssl("pkey", "-in", key, "-pubout").stdout
    assert csr.openssl("x509", "-in", chain, "-pubkey", "-noout").stdout == public
    someone.page.get_by_label("PKCS#12").fill("a pässword")
    someone.page.evaluate(OVERHEARD)
    both = saved(someone, "Save PKCS#12", tmp_path / "both.p12")
    someone.sees("The file is saved")
    making, saying = someone.page.evaluate("overheard")
    assert (making["said"][:22], making["busy"]) == ("The file is being made", "true"), making
    assert saying["said"].startswith("The file is saved"), saying
    expect(someone.page.get_by_role("button", name="Save PKCS#12")).not_to_have_attribute("aria-busy", "true")
    opened = csr.openssl("pkcs12", "-in", both, "-passin", "pass:a pässword", "-nodes").stdout
    assert opened.count(b"BEGIN CERTIFICATE") == 2 and b"BEGIN PRIVATE KEY" in opened
    assert csr.openssl("pkey", "-pubout", stdin=opened).stdout == public
    judged_by_others(someone, tmp_path)
    private = "".join(key.read_text().splitlines()[1:-1])
    assert sent and all(private[40:80] not in body for body in sent)
    assert not someone.complaints


# What the page says while it makes the file, which may be too short for a test to see.
OVERHEARD = """() => {
    const [said, button] = ["pkcs12-said", "save-pkcs12"].map(id => document.getElementById(id));
    window.overheard = [];
    const hear = () => { window.overheard.push({said: said.textContent, busy: button.getAttribute("aria-busy")}); };
    new MutationObserver(hear).observe(said, {childList: true});
}"""


def judged_by_others(someone, folder):
    """The same by those who read PKCS#12 in their own ways; the MAC is as slow to guess at as the encryption."""
    someone.page.get_by_label("PKCS#12").fill("plain words")
    both = saved(someone, "Save PKCS#12", folder / "plain.p12")
    said = csr.openssl("pkcs12", "-in", both, "-passin", "pass:plain words", "-info", "-noout").stderr.decode()
    assert "MAC: sha256, Iteration 210000" in said and said.count("AES-256-CBC, Iteration 210000") == 2, said
    gnutls = subprocess.run(["certtool", "--p12-info", "--inder", "--infile", both, "--password", "plain words"],
                            capture_output=True, text=True)
    assert gnutls.returncode == 0 and gnutls.stdout.count("BEGIN CERTIFICATE") == 2, gnutls
    assert "MAC" not in gnutls.stderr and "error" not in gnutls.stderr.lower(), gnutls.stderr
    java = subprocess.run(["keytool", "-list", "-keystore", both, "-storetype", "PKCS12", "-storepass", "plain words"],
                          capture_output=True, text=True)
    assert java.returncode == 0 and "PrivateKeyEntry" in java.stdout, java
    wrong = subprocess.run(["keytool", "-list", "-keystore", both, "-storetype", "PKCS12", "-storepass", "other words"],
                           capture_output=True, text=True)
    assert wrong.returncode != 0, "it looked at the MAC"


def test_a_key_made_by_somebody_who_may_only_issue_gets_its_certificate(somebody, own_zone, tmp_path):
    token = own_zone.create_token(["client_certificates:issue"], zones=[own_zone.zone])["value"]
    someone = somebody(accept_downloads=True).sign_in(token)
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    someone.page.get_by_text("Make the key in this browser").click()
    someone.page.get_by_label("Common name").fill("laptop-4")
    someone.press("Make key and request")
    early = saved(someone, "Keep the key in a file", tmp_path / "early.pem")
    someone.sees("It keeps to the profile")
    someone.press("Issue the certificate")
    someone.sees("The certificate is issued")
    key = saved(someone, "Save the private key", tmp_path / "key.pem")
    chain = saved(someone, "Save the certificate with its chain", tmp_path / "chain.pem")
    public = csr.openssl("pkey", "-in", key, "-pubout").stdout
    assert key.read_text() == early.read_text()
    assert csr.openssl("x509", "-in", chain, "-pubkey", "-noout").stdout == public
    assert not someone.page.get_by_role("link", name="Open the certificate").is_visible()
    assert not someone.complaints


def test_a_private_key_in_the_field_of_the_request_is_not_sent(somebody, own_zone):
    someone = somebody().sign_in()
    sent = []
    someone.page.on("request", lambda request: sent.append(request.post_data or ""))
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    field = someone.page.get_by_label("Certificate signing request")
    field.fill(csr.openssl("genpkey", "-algorithm", "ed25519").stdout.decode())
    someone.sees("That is a private key. It was not sent")
    assert field.input_value() == ""
    field.fill(asked_by(NAME))
    someone.sees("It keeps to the profile")
    assert someone.page.locator(".fault").get_by_text("That is a private key").count() == 0, "only what is read aloud still has it"
    assert any("csr=" in body for body in sent) and all("PRIVATE" not in body for body in sent)
    assert not someone.complaints


def saved(someone, button, path):
    with someone.page.expect_download() as download:
        someone.press(button)
    download.value.save_as(path)
    return path


def test_a_form_after_the_end_of_the_session_leads_to_the_sign_in_and_back(somebody, own_zone):
    issued = own_zone.issue(asked_by(NAME), 30)
    someone = somebody().sign_in()
    address = f"/zones/{own_zone.zone}/certificates/{issued['id']}/revoke"
    someone.page.goto(address)
    other = somebody().sign_in()
    other.page.goto("/sessions")
    other.page.get_by_role("button", name="End").last.click()
    other.sees("The session is ended")
    someone.press("Revoke this certificate")
    someone.arrives_at("Sign in")
    someone.type("API token", someone.server.token)
    someone.press("Sign in")
    someone.page.wait_for_url(f"**{address}")
    assert own_zone.get(issued["id"])["status"] == "active"


@pytest.mark.only_on("sqlite", reason="the browser sees no difference, and the trigger is written for one")
@pytest.mark.parametrize("with_script", [True, False], ids=["scripts", "no scripts"])
def test_a_form_that_could_not_be_done_just_now_is_sent_again(somebody, server, own_zone, with_script):
    someone = somebody(java_script_enabled=with_script).sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    someone.page.get_by_label("Certificate signing request").fill(asked_by(NAME))
    someone.page.get_by_label("Valid for, in days").fill("30")
    server.tamper("CREATE TRIGGER no_issuance BEFORE INSERT ON certificates BEGIN SELECT RAISE(ABORT, 'refused by a test'); END")
    someone.press("Issue the certificate")
    someone.arrives_at("Not just now")
    for width in person.WIDTHS:
        someone.page.set_viewport_size({"width": width, "height": 900})
        someone.photograph(f"again-{'light' if with_script else 'no-script'}-{width}")
    if with_script:
        assert not someone.violations()
    someone.page.reload()
    someone.arrives_at("Not just now")
    server.tamper("DROP TRIGGER no_issuance")
    if with_script:
        someone.press("Send it again")
    else:
        someone.page.reload()
    someone.arrives_at(NAME)
    someone.sees("The certificate is issued")
    assert len(own_zone.result("GET", own_zone.path())) == 1
    assert not [said for said in someone.complaints if "status of 503" not in said], someone.complaints


def test_the_first_page_is_small(somebody, own_zone):
    own_zone.issue(asked_by(NAME), 30)
    someone = somebody()
    network = someone.context.new_cdp_session(someone.page)
    network.send("Network.enable")
    received = []
    someone.sign_in()
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    network.send("Network.clearBrowserCache")
    someone.page.goto("/", wait_until="networkidle")
    assert len(received) >= 4
    assert sum(received) < FIRST_PAGE, received


def test_the_first_page_of_an_account_with_many_zones_is_small_too(somebody, own_zone):
    for number in range(49):
        own_zone.create_zone(f"zone-{number:02}.example")
    own_zone.issue(asked_by(NAME), 30)
    someone = somebody().sign_in()
    shown(someone, "/")
    network = someone.context.new_cdp_session(someone.page)
    network.send("Network.enable")
    received = []
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    network.send("Network.clearBrowserCache")
    someone.page.goto("/", wait_until="networkidle")
    assert someone.page.locator("#standing tbody tr").count() == 50
    assert len(received) >= 4 and sum(received) < FIRST_PAGE, received
    assert not someone.violations()


def shown(someone, address):
    """The page, once it has counted."""
    someone.page.goto(address)
    expect(someone.page.locator("body")).not_to_contain_text("being counted")


def test_a_bar_of_the_account_leads_to_what_ends_in_a_zone(somebody, own_zone):
    gateways = own_zone.in_zone(own_zone.create_zone("gateways.example")["id"])
    for zone, name, days in [(own_zone, NAME, 30), (gateways, "gateway-1", 30), (gateways, "gateway-2", 300)]:
        zone.issue(asked_by(name), days)
    someone = somebody().sign_in()
    shown(someone, "/")
    plots = someone.page.locator("#activity")
    assert "issued 3" in plots.inner_text() and "revoked 0" in plots.inner_text()
    # What the tile counts is what it leads to.
    someone.page.get_by_role("link", name="2 end within 90 days").click()
    someone.arrives_at("Certificates that end")
    assert "2 certificates in 2 zones" in someone.page.locator("main").inner_text()
    shown(someone, "/")
    bars = plots.get_by_role("link", name="2 certificates from")
    assert bars.count() == 1
    bars.first.focus()
    someone.page.keyboard.press("Enter")
    someone.arrives_at("Certificates that end")
    assert "2 certificates in 2 zones" in someone.page.locator("main").inner_text()
    someone.page.get_by_role("link", name="1 of gateways.example").click()
    someone.arrives_at("Certificates")
    assert "gateway-1" in someone.page.locator("tbody").inner_text()
    assert "gateway-2" not in someone.page.locator("tbody").inner_text()
    # And the table behind the plot leads there as well.
    shown(someone, "/")
    someone.page.get_by_text("As a table").first.click()
    rows = someone.page.locator("#activity table").first.locator("tbody tr")
    assert rows.count() == 13 and sum(int(row.split()[-1]) for row in rows.all_inner_texts()) == 2
    assert not someone.complaints


def test_the_account_shows_how_each_zone_stands(somebody, own_zone):
    issued = own_zone.issue(asked_by(NAME), 30)
    someone = somebody().sign_in()
    shown(someone, "/")
    row = someone.page.locator("#standing tbody tr")
    cells = lambda: row.locator("td").all_inner_texts()  # noqa: E731
    assert cells()[:3] == ["1", "0", "0"] and cells()[3].startswith("fresh number 1,")
    own_zone.revoke(issued["id"])
    shown(someone, "/")
    assert cells()[:3] == ["0", "0", "1"] and cells()[3].startswith("fresh number 2,")
    assert not someone.complaints


def test_tables_break_no_short_word_and_take_any_long_one(somebody, own_zone):
    for name in (NAME, "m" * 64, "pump-18"):
        own_zone.issue(asked_by(name), 30)
    own_zone.create_token(["client_certificates:read"], name="W" * 100)
    own_zone.create_zone("x" * 200 + ".example")
    someone = somebody().sign_in()
    for width in person.WIDTHS:
        someone.page.set_viewport_size({"width": width, "height": 900})
        for address in ("/", "/audit", f"/zones/{own_zone.zone}/audit", f"/zones/{own_zone.zone}/certificates", "/tokens", "/zones", "/sessions"):
            shown(someone, address)
            assert someone.page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
            assert not broken(someone), (address, width, broken(someone))


def broken(someone):
    """What stands on several lines though it is one short word."""
    return someone.page.evaluate("""() => [...document.querySelectorAll("main table :is(bdi:not(.long), code, time, .badge)")]
        .filter(one => one.checkVisibility() && !/[\\s-]/.test(one.textContent.trim()) && one.getClientRects().length > 1)
        .map(one => one.textContent)""")


def test_on_a_phone_each_cell_names_its_column_and_is_still_a_cell(somebody, own_zone):
    own_zone.issue(asked_by(NAME), 30)
    someone = somebody().sign_in()
    someone.page.set_viewport_size({"width": 390, "height": 900})
    someone.page.goto(f"/zones/{own_zone.zone}/certificates")
    assert someone.page.get_by_role("columnheader", name="Status").count() == 1
    assert someone.page.get_by_role("rowheader", name=NAME).count() == 1
    cell = someone.page.get_by_role("cell", name="Active", exact=True)
    assert cell.count() == 1 and cell.evaluate("cell => getComputedStyle(cell, '::before').content").startswith('"Status"')
    wrap = someone.page.locator(".table-wrap")
    assert wrap.evaluate("wrap => wrap.scrollWidth <= wrap.clientWidth"), "nothing to scroll sideways"


@pytest.mark.only_on("sqlite", reason="the browser sees no difference, and the trigger is written for one")
@pytest.mark.parametrize("with_script", [True, False], ids=["scripts", "no scripts"])
def test_a_pending_row_of_the_list_settles_by_itself(somebody, server, own_zone, with_script):
    issued = [own_zone.issue(asked_by(f"pump-{index}"), 30 - index) for index in range(3)]
    someone = somebody(java_script_enabled=with_script).sign_in()
    asked = []
    someone.page.on("request", lambda request: asked.append(request.url))
    with nothing_settles(server):
        own_zone.delete(issued[1]["id"])
        someone.page.goto(f"/zones/{own_zone.zone}/certificates?order=ending")
        row = someone.page.locator("tbody tr").nth(1)
        assert [row.locator("th").inner_text(), row.locator(".badge").inner_text()] == ["pump-1", "Being revoked"]
        ticks = [someone.page.get_by_label(f"Choose pump-{index}") for index in (1, 2)]
        for tick in ticks:
            tick.check()
        if with_script:
            with someone.page.expect_response(lambda answer: "/row?" in answer.url) as answer:
                pass
            assert answer.value.status == 204
    own_zone.wait_for(issued[1]["id"], "revoked")
    if with_script:
        row.locator(".badge.revoked").wait_for()
        assert all(tick.is_checked() for tick in ticks), "what was chosen stays so"
        assert "pump-1: Revoked" in someone.page.locator("#announce").inner_text()
        before = len(asked)
        someone.page.wait_for_timeout(3000)
        assert asked[before:] == [], "what is settled asks no more"
    else:
        assert row.locator(".badge").inner_text() == "Being revoked"
        someone.page.reload()
        row.locator(".badge.revoked").wait_for()
        assert not [url for url in asked if "/row" in url]
    names = someone.page.locator("tbody th")
    assert names.all_inner_texts() == ["pump-2", "pump-1", "pump-0"]
    someone.page.get_by_role("columnheader", name="Ends").get_by_role("link").click()
    someone.page.wait_for_url("**/certificates?order=lasting")
    assert names.all_inner_texts() == ["pump-0", "pump-1", "pump-2"]
    if with_script:
        assert not someone.violations()
    assert not someone.complaints


@contextlib.contextmanager
def nothing_settles(server):
    """No receipt is stored: what is pending stays so."""
    with contextlib.closing(server.database(writable=True)) as database:
        database.execute("CREATE TRIGGER no_receipt BEFORE UPDATE ON certificates WHEN NEW.receipt_published_at IS NOT NULL "
                         "BEGIN SELECT RAISE(ABORT, 'refused by a test'); END")
        try:
            yield
        finally:
            database.execute("DROP TRIGGER no_receipt")


def test_many_are_chosen_and_revoked(somebody, own_zone):
    for index in range(3):
        own_zone.issue(asked_by(f"pump-{index}"), 30)
    someone = somebody().sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/certificates")
    someone.page.get_by_label("Choose all on this page").check()
    someone.press("Revoke the chosen ones")
    someone.page.get_by_label("No longer in use").check()
    assert not someone.violations()
    someone.press("Revoke 3 certificates")
    someone.sees("Relying parties can see all of it")
    assert not someone.violations()
    listed = own_zone.result("GET", own_zone.path(), params={"status": "revoked"})
    assert {one["revocation"]["reason"] for one in listed} == {"cessationOfOperation"} and len(listed) == 3
