"""Webhooks over the real binary: signed, in order, again until they are taken, and to nobody else."""

import hashlib
import hmac
import json
import pathlib
import re
import secrets
import subprocess
import threading
import time

import pytest

import csr
import identity_pki as pki
import server as server_module
from api import Api, pointers
from identity_api import UNKNOWN_ID
from tls_server import Listener, TlsServer, redirect, respond

PATIENCE = 40
README = pathlib.Path(__file__).parents[2] / "README.md"


@pytest.fixture
def hooked(callers):
    """An empty zone on it."""
    return new_zone(callers)


def new_zone(server):
    api = Api(server)
    return api.in_zone(api.create_zone(f"zone-{secrets.token_hex(6)}")["id"])


class Receiver(TlsServer):
    """Takes what it is sent, or answers as it is told."""

    def __init__(self, answer=lambda _: respond(204), **options):
        super().__init__(answer, **options)

    def bodies(self):
        return [json.loads(request.body) for request in list(self.requests)]

    def events(self):
        return [event for body in self.bodies() for event in body["events"]]

    def wait(self, count, within=PATIENCE):
        wait_until(lambda: len(self.requests) >= count, lambda: f"{len(self.requests)} calls, not {count}", within)
        return self.requests[:count]


def wait_until(done, what, within=PATIENCE):
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def path(api, webhook="", rest=""):
    return f"/zones/{api.zone}/webhooks" + (f"/{webhook}" if webhook else "") + rest


def define(api, receiver, **body):
    body = {"name": f"receiver-{secrets.token_hex(4)}", "url": receiver.url, "trusted_ca": pki.root().certificate, **body}
    return api.result("POST", path(api), json=body)


def show(api, webhook):
    return api.result("GET", path(api, webhook["id"]))


def edit(api, webhook, **body):
    return api.call("PATCH", path(api, webhook["id"]), json=body)


def deliveries(api, webhook, **params):
    return api.result("GET", path(api, webhook["id"], "/deliveries"), params=params)


def issue(api, count=1):
    return [api.issue(csr.fresh())["id"] for _ in range(count)]


def verify_signature(secret, header, body):
    """What the README tells a receiver to do."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


def test_what_happens_is_told_signed_and_in_order(hooked):
    with Receiver() as receiver:
        webhook = define(hooked, receiver)
        assert re.fullmatch(r"whsec_[0-9A-Za-z_-]{43}", webhook["secret"])
        ids = issue(hooked, 12)
        wait_until(lambda: len(receiver.events()) >= 12, lambda: receiver.events())
        for request, body in zip(list(receiver.requests), receiver.bodies(), strict=False):
            assert (request.method, request.values("content-type")) == ("POST", ["application/json"])
            [signature] = request.values("countersign-signature")
            assert verify_signature(webhook["secret"], signature, request.body)
            assert not verify_signature("whsec_another", signature, request.body)
            assert not verify_signature(webhook["secret"], signature, request.body + b" ")
            assert request.values("countersign-delivery") == [body["delivery_id"]]
            assert request.values("user-agent")[0].startswith("countersign/")
            assert body["webhook_id"] == webhook["id"] and 1 <= len(body["events"]) <= 100
        events = receiver.events()
        assert [event["certificate"]["id"] for event in events] == ids
        numbers = [event["number"] for event in events]
        assert numbers == sorted(set(numbers)) and {event["zone_id"] for event in events} == {hooked.zone}
        wait_until(lambda: show(hooked, webhook)["last_event_id"] == numbers[-1], lambda: show(hooked, webhook))


def test_the_readmes_lines_verify_a_signature(hooked):
    section = README.read_text().split("## Hear of it: events and webhooks\n")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.S)
    with Receiver() as receiver:
        webhook = define(hooked, receiver)
        issue(hooked)
        [request] = receiver.wait(1)
    names = {}
    exec(code, names)
    [signature] = request.values("countersign-signature")
    assert names["is_from_countersign"](webhook["secret"], signature, request.body) is True
    assert names["is_from_countersign"](webhook["secret"], signature, request.body + b" ") is False
    assert names["is_from_countersign"]("whsec_x", signature, request.body) is False


def test_failures_are_tried_again_with_the_same_events_first(hooked):
    answers = iter([respond(500), respond(503), None])
    with Receiver(lambda _: next(answers, respond(200))) as receiver:
        webhook = define(hooked, receiver)
        ids = issue(hooked, 2)
        receiver.wait(4)
        wait_until(lambda: len({event["number"] for event in receiver.events()}) == 2, lambda: receiver.events())
        firsts = [body["events"][0]["certificate"]["id"] for body in receiver.bodies()[:4]]
        assert firsts == ids[:1] * 4
        wait_until(lambda: show(hooked, webhook)["failing_since"] is None, lambda: show(hooked, webhook))
        log = deliveries(hooked, webhook)[::-1]
        assert [entry["attempt"] for entry in log[:4]] == [1, 2, 3, 4]
        assert [entry["status"] for entry in log[:4]] == [500, 503, None, 200]
        assert [entry["success"] for entry in log[:4]] == [False, False, False, True]
        assert "500" in log[0]["failure"] and log[2]["failure"].startswith("response: ")
        assert {entry["id"] for entry in log} == {body["delivery_id"] for body in receiver.bodies()}


@pytest.mark.timeout(120)
def test_nothing_is_lost_by_a_kill_in_the_middle(make_server):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    api = new_zone(server)
    held = threading.Event()

    def answer(_):
        held.wait(PATIENCE)
        return respond(200)

    with Receiver(answer) as receiver:
        define(api, receiver)
        ids = issue(api, 3)
        receiver.wait(1)
        server.kill()
        held.set()
        server.start()
        ids += issue(api, 2)
        wait_until(lambda: len({event["number"] for event in receiver.events()}) == 5, lambda: receiver.events())
        # Whoever knows an event by its number hears each one once, and in order.
        heard, last = [], 0
        for event in receiver.events():
            if event["number"] > last:
                heard.append(event["certificate"]["id"])
                last = event["number"]
        assert heard == ids
        assert len(receiver.requests) >= 2, "what was under way was delivered again"


def test_redirects_are_refused(hooked):
    with Receiver() as elsewhere, Receiver(lambda _: redirect("/other")) as receiver:
        webhook = define(hooked, receiver)
        issue(hooked)
        wait_until(lambda: deliveries(hooked, webhook), lambda: "no delivery")
        last = deliveries(hooked, webhook)[-1]
        assert last["status"] == 302 and "redirects are not followed" in last["failure"]
        assert {request.target for request in receiver.requests} == {"/"} and elsewhere.connections == 0
        assert show(hooked, webhook)["failing_since"] is not None


def test_addresses_inside_are_refused_by_default(zone):
    with Listener() as listener:
        refused = zone.call("POST", path(zone), json={"name": "x", "url": f"https://127.0.0.1:{listener.port}/"})
        assert refused.status_code == 400 and pointers(refused) == {"/url"}
        assert "127.0.0.1 is a loopback address" in refused.text and "COUNTERSIGN_EGRESS_ALLOW" in refused.text
        # What a name stands for is judged when it is called.
        webhook = zone.result("POST", path(zone), json={"name": "x", "url": f"https://localhost:{listener.port}/"})
        outcome = zone.result("POST", path(zone, webhook["id"], "/test"))
        assert outcome["success"] is False and outcome["status"] is None
        assert outcome["failure"].startswith("address: ") and "COUNTERSIGN_EGRESS_ALLOW" in outcome["failure"]
        assert listener.connections == 0


def test_a_receiver_that_others_vouch_for_is_not_called(hooked):
    with Receiver() as receiver:
        webhook = define(hooked, receiver, trusted_ca=None)
        outcome = hooked.result("POST", path(hooked, webhook["id"], "/test"))
        assert outcome["failure"].startswith("certificate: ") and receiver.requests == []
        assert edit(hooked, webhook, trusted_ca=pki.root().certificate).status_code == 200
        assert hooked.result("POST", path(hooked, webhook["id"], "/test"))["success"] is True


def test_a_test_is_a_ping_at_once_and_in_the_log(hooked):
    with Receiver() as receiver:
        webhook = define(hooked, receiver, enabled=False)
        outcome = hooked.result("POST", path(hooked, webhook["id"], "/test"))
        assert outcome["success"] is True and outcome["status"] == 204 and outcome["first_event_id"] == 0
        [request] = receiver.requests
        [event] = json.loads(request.body)["events"]
        assert (event["event"], event["number"], event["zone_id"]) == ("ping", 0, hooked.zone)
        assert verify_signature(webhook["secret"], request.values("countersign-signature")[0], request.body)
        assert [entry["id"] for entry in deliveries(hooked, webhook)] == [outcome["id"]]


def test_kinds_are_chosen(hooked):
    with Receiver() as receiver:
        define(hooked, receiver, kinds=["certificate.pending_revocation"])
        [certificate] = issue(hooked)
        hooked.delete(certificate)
        wait_until(receiver.events, lambda: "nothing came")
        time.sleep(1)
        assert {event["event"] for event in receiver.events()} == {"certificate.pending_revocation"}


def test_disabled_ones_are_silent_and_catch_up_when_they_are_enabled(hooked):
    with Receiver() as receiver:
        webhook = define(hooked, receiver)
        assert edit(hooked, webhook, enabled=False).json()["result"]["enabled"] is False
        ids = issue(hooked, 3)
        time.sleep(1.5)
        assert receiver.connections == 0
        edit(hooked, webhook, enabled=True)
        wait_until(lambda: len(receiver.events()) >= 3, lambda: receiver.events())
        assert [event["certificate"]["id"] for event in receiver.events()] == ids


def test_a_receiver_that_is_gone_is_left_alone(hooked):
    with Receiver(lambda _: respond(410)) as receiver:
        webhook = define(hooked, receiver)
        issue(hooked)
        wait_until(lambda: not show(hooked, webhook)["enabled"], lambda: show(hooked, webhook))
        shown = show(hooked, webhook)
        assert "410" in shown["disabled_reason"] and shown["failing_since"] and shown["next_attempt_on"] is None
        issue(hooked)
        time.sleep(1.5)
        assert len(receiver.requests) == 1


def test_the_secret_is_shown_once_and_stands_nowhere(make_server):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1", COUNTERSIGN_LOG="trace").start()
    api = new_zone(server)
    with Receiver(lambda _: respond(500)) as receiver:
        webhook = define(api, receiver)
        issue(api)
        receiver.wait(1)
        rotated = edit(api, webhook, rotate_secret=True).json()["result"]
        secrets_made = [webhook["secret"], rotated["secret"]]
        assert secrets_made[0] != secrets_made[1]
        api.result("POST", path(api, webhook["id"], "/test"))
        answers = [api.call("GET", path(api)), api.call("GET", path(api, webhook["id"])),
                   api.call("GET", path(api, webhook["id"], "/deliveries")), edit(api, webhook, name="x"),
                   api.call("DELETE", path(api, webhook["id"]))]
        last = receiver.requests[-1]
        assert verify_signature(secrets_made[1], last.values("countersign-signature")[0], last.body)
    for secret in secrets_made:
        core = secret.removeprefix("whsec_")
        assert not any(core in answer.text for answer in answers)
        assert core not in server.output(last=10**6)
        stored = [file.read_bytes() for file in server.data.iterdir() if file.is_file()]
        assert not any(core.encode() in octets for octets in [*stored, *server.store.octets().values()])


def test_another_server_takes_another_secret(hooked):
    with Receiver() as receiver, Receiver() as other:
        webhook = define(hooked, receiver)
        refused = edit(hooked, webhook, url=other.url)
        assert refused.status_code == 400 and pointers(refused) == {"/url"} and "rotate_secret" in refused.text
        moved = edit(hooked, webhook, url=other.url, rotate_secret=True).json()["result"]
        assert moved["secret"] != webhook["secret"]
        assert edit(hooked, webhook, url=f"{other.url}/below").status_code == 200


def test_another_zones_webhook_is_unknown(hooked):
    with Receiver() as receiver:
        webhook = define(hooked, receiver)
        other = new_zone(hooked.server)
        for identifier in (webhook["id"], UNKNOWN_ID, "x"):
            for method, rest, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None),
                                       ("POST", "/test", None), ("GET", "/deliveries", None)):
                answer = other.call(method, path(other, identifier, rest), json=body)
                assert answer.status_code == 404, (method, rest, answer.text)
        assert other.result("GET", path(other)) == []
        issue(other)
        time.sleep(1)
        assert receiver.connections == 0


def test_what_is_no_webhook_is_refused_with_every_fault(hooked):
    answer = hooked.call("POST", path(hooked), json={
        "name": "", "url": "http://a.example/", "kinds": ["x"], "trusted_ca": "x", "enabled": "yes"})
    assert answer.status_code == 400
    assert pointers(answer) == {"/name", "/url", "/kinds", "/trusted_ca", "/enabled"}
    assert hooked.call("POST", path(hooked), json={}).status_code == 400
    made = hooked.create_token(["zones:write"], zones=[hooked.zone])
    lesser = Api(hooked.server, token=made["value"], zone=hooked.zone)
    answer = lesser.call("POST", path(hooked), json={"name": "x", "url": "https://a.example/"})
    assert answer.status_code == 400 and "client_certificates:read" in answer.text


def test_the_command_line(hooked, tmp_path):
    environment = hooked.server.environment(
        COUNTERSIGN_URL=hooked.server.url, COUNTERSIGN_TOKEN=hooked.server.token, COUNTERSIGN_ZONE=hooked.zone)
    (tmp_path / "ca.pem").write_text(pki.root().certificate)

    def run(*arguments, code=0):
        done = subprocess.run([server_module.BINARY, "webhook", *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    with Receiver() as receiver:
        assert "no webhooks yet" in run("list")
        made = run("create", "partner", receiver.url, "--trusted-ca", "ca.pem", "--kind", "certificate.issued")
        assert "whsec_" in made and "shown this once" in made
        assert "nothing was delivered yet" in run("deliveries", "partner")
        assert "taken" in run("test", "partner")
        issue(hooked)
        receiver.wait(2)
        wait_until(lambda: run("deliveries", "partner").count("taken") == 2, lambda: run("deliveries", "partner"))
        shown = run("show", "partner")
        assert "whsec_" not in shown and "certificate.issued" in shown and "enabled" in shown
        assert "partner" in run("list") and json.loads(run("list", "--json"))[0]["name"] == "partner"
        assert "rotate_secret" in run("edit", "partner", "--address", "https://other.example/", code=1)
        assert "whsec_" in run("edit", "partner", "--rotate-secret", "--every-kind", "--disable")
        assert "disabled" in run("show", "partner")
        assert "no webhook is named" in run("show", "nobody", code=1)
        assert "already" in run("create", "partner", receiver.url, code=1)
        assert "--rotate-secret" in run("edit", "partner", code=2), "nothing to change"
        run("edit", "partner", "--kinds", "crl.published,certificate.issued")
        assert "certificate.issued,crl.published" in run("show", "partner")
        assert "deleted partner" in run("delete", "partner")
    with Listener() as silent:
        silent.serve = lambda connection: connection.close()
        run("create", "broken", f"https://127.0.0.1:{silent.port}/")
        assert "tls" in run("test", "broken", code=1)
