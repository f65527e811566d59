"""What makes the console comfortable, in a real browser: files to take along, values to copy, times of the reader's own, files that
are dropped, and everything from the keyboard."""

import pytest

import csr
from test_console import NAME, asked_by, browser, shown, somebody  # noqa: F401: fixtures

FOCUSABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"


def fingerprint(*arguments, stdin=None):
    return csr.openssl("x509", "-noout", "-fingerprint", "-sha256", *arguments, stdin=stdin).stdout


@pytest.mark.parametrize("with_script", [True, False], ids=["scripts", "no scripts"])
def test_each_download_is_what_it_is_called(with_script, somebody, own_zone):  # noqa: F811
    request = asked_by(NAME)
    issued = own_zone.issue(request, 30)
    someone = somebody(accept_downloads=True, java_script_enabled=with_script).sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/certificates/{issued['id']}")
    files = {}
    for name in ("PEM", "PEM with chain", "DER", "PKCS#7", "Request"):
        with someone.page.expect_download() as download:
            someone.page.locator("ul.files").get_by_role("link", name=name, exact=True).click()
        files[name] = download.value.path()
    own = fingerprint(stdin=issued["certificate"].encode())
    assert fingerprint("-in", files["PEM"]) == own and files["PEM"].read_text().count("BEGIN CERTIFICATE") == 1
    assert fingerprint("-inform", "DER", "-in", files["DER"]) == own
    assert fingerprint("-in", files["PEM with chain"]) == own, "its own comes first"
    assert files["PEM with chain"].read_text().count("BEGIN CERTIFICATE") == 2
    printed = csr.openssl("pkcs7", "-inform", "DER", "-in", files["PKCS#7"], "-print_certs").stdout
    assert printed.count(b"BEGIN CERTIFICATE") == 3
    assert files["Request"].read_text().split() == request.split()
    assert not someone.complaints


def test_values_are_copied_and_times_are_the_readers_own(somebody, own_zone):  # noqa: F811
    issued = own_zone.issue(asked_by(NAME), 30)
    someone = somebody(timezone_id="Asia/Tokyo", permissions=["clipboard-read", "clipboard-write"]).sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/certificates/{issued['id']}")
    for label, value in (("serial number in hex", issued["serial_number_hex"]), ("id", issued["id"])):
        someone.page.get_by_role("button", name=f"Copy the {label}", exact=True).click()
        someone.page.get_by_role("button", name=f"Copied the {label}", exact=True).wait_for()
        assert someone.page.evaluate("navigator.clipboard.readText()").lower() == value.lower()
    until = someone.page.locator("time").first
    assert until.inner_text().endswith("GMT+9")
    assert until.get_attribute("title").endswith(" UTC")
    someone.page.reload()
    assert someone.page.locator("time").first.inner_text().endswith("GMT+9")
    assert not someone.complaints


def test_without_javascript_times_are_utc_and_nothing_offers_what_it_cannot_do(somebody, own_zone):  # noqa: F811
    issued = own_zone.issue(asked_by(NAME), 30)
    someone = somebody(timezone_id="Asia/Tokyo", java_script_enabled=False).sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/certificates/{issued['id']}")
    assert someone.page.locator("time").first.inner_text().endswith(" UTC")
    assert not any(button.is_visible() for button in someone.page.locator("button[data-copy]").all())


def test_a_request_is_dropped_on_its_field(somebody, own_zone):  # noqa: F811
    someone = somebody().sign_in()
    someone.page.goto(f"/zones/{own_zone.zone}/issue")
    file = "text => { const files = new DataTransfer(); files.items.add(new File([text], 'device.csr')); return files; }"
    someone.page.dispatch_event("#csr", "drop", {"dataTransfer": someone.page.evaluate_handle(file, asked_by(NAME))})
    someone.sees("It keeps to the profile")
    assert NAME in someone.page.locator("#preview").inner_text()
    assert not someone.complaints


def test_everything_is_reached_from_the_keyboard(somebody, own_zone):  # noqa: F811
    own_zone.issue(asked_by(NAME), 30)
    someone = somebody().sign_in()
    keyboard = someone.page.keyboard
    for address in ("/", f"/zones/{own_zone.zone}", f"/zones/{own_zone.zone}/certificates", f"/zones/{own_zone.zone}/authority", "/audit"):
        shown(someone, address)
        keyboard.press("Tab")
        assert someone.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        keyboard.press("Enter")
        assert someone.page.evaluate("document.activeElement.id") == "main"
        someone.page.reload()
        shown(someone, address)
        there = someone.page.evaluate(
            "chosen => { window.left = new Set([...document.querySelectorAll(chosen)].filter(one => one.checkVisibility())); return left.size; }",
            FOCUSABLE)
        # A field for a date has several stops.
        for _ in range(there + 20):
            keyboard.press("Tab")
            someone.page.evaluate("left.delete(document.activeElement)")
        assert someone.page.evaluate("[...left].map(one => one.outerHTML)") == []
    assert not someone.complaints
