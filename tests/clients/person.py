"""A person in front of the console: Chromium, driven by playwright, with every click counted."""

import contextlib
import os
import pathlib
import shutil

HERE = pathlib.Path(__file__).parent
AXE = HERE.parent / ".venv/node/node_modules/axe-core/axe.min.js"
# Test output, to be looked at; never in git.
SCREENSHOTS = pathlib.Path(os.environ.get("COUNTERSIGN_SCREENSHOTS", HERE.parents[1] / "target/screenshots"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1280, 390)


@contextlib.contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    # As root, as in a container, it has no sandbox of its own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """One browser context; whatever its pages complain about fails the test that asks for it."""

    def __init__(self, browser, server, **context):
        self.server = server
        self.clicks = 0
        self.complaints = []
        self.context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900}, **context)
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._interrupted)

    def _heard(self, message):
        # A refused form is told to the console too.
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.complaints.append(message.text)

    def _interrupted(self, dialog):
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def click(self, name, role="link"):
        self.clicks += 1
        self.page.get_by_role(role, name=name).last.click()

    def press(self, name):
        self.click(name, "button")

    def type(self, label, text):
        """A click into the field, then the keyboard."""
        self.clicks += 1
        self.page.get_by_label(label, exact=False).fill(text)

    def sign_in(self, token=None):
        self.page.goto("/")
        self.type("API token", token or self.server.token)
        self.press("Sign in")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)
        return self

    def heading(self):
        return self.page.get_by_role("heading", level=1).inner_text()

    def arrives_at(self, heading):
        self.page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()

    def sees(self, text):
        self.page.get_by_text(text).first.wait_for()

    def badge(self):
        return self.page.locator("main .badge").first

    def violations(self):
        """What axe finds on this page, in few words."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("rules => axe.run({runOnly: rules})", RULES)["violations"]
        return [f"{one['id']} ({one['impact']}): {node['html'][:200]}" for one in found for node in one["nodes"]]

    def photograph(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self):
        self.context.close()
