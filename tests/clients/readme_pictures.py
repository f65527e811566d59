"""Makes the two pictures of the README from a server that looks as if it had been in use for a month:

    COUNTERSIGN_BIN=target/debug/countersign tests/.venv/bin/python tests/clients/readme_pictures.py docs

No clock is turned: what is to be older than the server is copied past it, in SQLite, with earlier times."""

import datetime
import os
import pathlib
import random
import sys
import tempfile
import time
import uuid

import csr
import palette
import person
import seed
from api import Api
from person import Person
from server import Server
from playwright.sync_api import expect

DAYS = 30
DAY_MS = 86_400_000
KINDS = ("pump", "valve", "meter", "gateway", "camera")
REASONS = ("superseded", "cessationOfOperation", "keyCompromise")
NAME = "gateway-17.plant.example"
# As a README shows it: the width that pages are made for, and no more height than what is told of.
WIDTH = 1280
MOST = 120_000


def main(folder):
    with tempfile.TemporaryDirectory() as place:
        server = Server(pathlib.Path(place, "server"), COUNTERSIGN_PUBLIC_URL="http://ca.example.com").start()
        try:
            zone, shown = lived_in(server)
            with person.chromium() as browser:
                someone = Person(browser, server, color_scheme="light").sign_in()
                try:
                    photograph(someone, f"/zones/{zone.zone}", 810, folder / "console-zone.png")
                    photograph(someone, f"/zones/{zone.zone}/certificates/{shown}", 1130, folder / "console-certificate.png")
                finally:
                    someone.close()
        finally:
            server.clean_up()


def lived_in(server):
    """A zone with some hundred certificates of a month, and one of them that has something to tell."""
    chance = random.Random(17)
    api = Api(server)
    account = api.default_zone()["account"]["id"]
    zone = api.in_zone(api.create_zone("devices.example")["id"])
    for name in ("partners.example", "staff.example"):
        api.create_zone(name)
    [active, revoked] = [zone.issue(csr.by_openssl(subject="/CN=first"), 365)["id"] for _ in range(2)]
    zone.revoke(revoked, "superseded")
    for back in reversed(range(1, DAYS)):
        weekday = (datetime.date.today() - datetime.timedelta(days=back)).weekday()
        count = chance.randint(0, 3) if weekday > 4 else chance.randint(7, 19)
        of_day(server, active, back, count, chance)
        of_day(server, revoked, back, min(count, chance.choice((0, 0, 1, 1, 2, 4))), chance, is_revoked=True)
    backdated = zone.result("POST", f"/accounts/{account}/tokens", json={
        "name": "plant controller", "permissions": ["client_certificates:issue", "client_certificates:read", "client_certificates:revoke"]})
    controller = Api(server, token=backdated["value"], zone=zone.zone)
    shown = controller.issue(
        csr.by_openssl(subject="/CN=" + NAME + "/O=Example Works/OU=Line 3", sans=f"DNS:{NAME},URI:urn:example:asset:4711"), 90)["id"]
    zone.revoke(shown)
    zone.reactivate(shown)
    return zone, shown


def of_day(server, original, days_ago, count, chance, is_revoked=False):
    if count == 0:
        return
    name = lambda number: f"{chance.choice(KINDS)}-{chance.randint(1, 400):03}.plant.example"  # noqa: E731
    made = seed.copies(server, original, count, name, issued_before=days_ago * 86_400)
    now = int(time.time() * 1000)
    issued = now - days_ago * DAY_MS
    connection = server.database(writable=True)
    for identifier in made:
        # Many for a year, some for a quarter: most bars are of these.
        days = chance.choice((40, 60, 90, 90, 110, 120, 365, 365))
        key = bytes.fromhex(identifier.replace("-", ""))
        connection.execute("UPDATE certificates SET created_at = ?, not_before = ?, not_after = ? WHERE id = ?",
                           [issued, issued, issued + days * DAY_MS + chance.randint(0, DAY_MS), key])
    if is_revoked:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(audit_events)")]
        [event] = connection.execute(f"SELECT {', '.join(columns)} FROM audit_events WHERE action = 'certificate.revoked' LIMIT 1").fetchall()
        event = dict(zip(columns, event))
        for identifier in made:
            at = issued + chance.randint(0, max(0, days_ago - 1)) * DAY_MS
            own = {"id": seed.ordered_id(at, uuid.uuid4().int & 0xFFF), "at": at, "subject": identifier}
            connection.execute(f"INSERT INTO audit_events ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                               [{**event, **own}[column] for column in columns])
    connection.close()


def photograph(someone, address, height, path):
    someone.page.set_viewport_size({"width": WIDTH, "height": height})
    someone.page.goto(address)
    expect(someone.page.locator("body")).not_to_contain_text("being counted")
    path.write_bytes(palette.pack(someone.page.screenshot()))
    size = os.stat(path).st_size
    print(f"{path}: {size} bytes")
    assert size < MOST, "too large for a README"


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
