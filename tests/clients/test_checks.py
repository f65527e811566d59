"""API checks: their states, their runs, when they run, who may run them."""

import json
import threading
import time

import pytest

import csr
import identity_pki as pki
from api import codes, listed_serials, moment
from identity_api import UNKNOWN_ID, Identities, faults, kept
from test_expiry import LIBFAKETIME
from tls_server import JSON_OK, Silent, TlsServer, respond

SOMEWHERE = "https://127.0.0.1:1/"


def with_primary(server):
    vault = Identities.of_new_account(server)
    vault.keep_held(pki.client("p256", "checker"), primary=True)
    return vault


@pytest.fixture
def vault(callers):
    """An account with a primary identity that knows the CA of the servers here."""
    return with_primary(callers)


@pytest.fixture
def partner():
    """A server that wants a client certificate and answers as `partner.answer` says."""
    with TlsServer(client_ca=pki.root().certificate) as server:
        yield server


class Slow:
    """Answers once it is told to."""

    def __init__(self):
        self.arrived, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self, request):
        self.arrived.release()
        self.go.wait(20)
        return JSON_OK

    def wait_for_arrival(self):
        assert self.arrived.acquire(timeout=20), "nobody called"


# states


BODY = b'{"status":"ok","items":[{"id":7,"a/b":null}],"n":1.0,"text":"a fine day"}'
EXPECTATIONS = [
    # expect, status of the answer, state, words
    ({}, 200, "passing", None),
    ({}, 204, "passing", None),
    ({}, 199 + 101, "failing", "the status is 300, not 2xx"),
    ({}, 404, "failing", "the status is 404, not 2xx"),
    ({"status": [404]}, 404, "passing", None),
    ({"status": [201, "3xx"]}, 302, "passing", None),
    ({"status": [201, "3xx"]}, 200, "failing", "not 201 or 3xx"),
    ({"status": ["5xx"]}, 503, "passing", None),
    ({"headers": [{"name": "x-a"}]}, 200, "passing", None),
    ({"headers": [{"name": "X-A", "equals": "one two"}]}, 200, "passing", None),
    ({"headers": [{"name": "X-A", "contains": "two"}]}, 200, "passing", None),
    ({"headers": [{"name": "x-b"}]}, 200, "failing", "the header x-b is missing"),
    ({"headers": [{"name": "x-a", "equals": "one"}]}, 200, "failing", "the header x-a is not as expected"),
    ({"headers": [{"name": "x-a", "contains": "TWO"}]}, 200, "failing", "the header x-a"),
    ({"json": [{"path": "/status", "equals": "ok"}]}, 200, "passing", None),
    ({"json": [{"path": "$.status", "contains": "o"}]}, 200, "passing", None),
    ({"json": [{"path": "/items/0/id", "equals": 7}]}, 200, "passing", None),
    ({"json": [{"path": "$.items[0].id", "equals": 7.0}]}, 200, "passing", None),
    ({"json": [{"path": "/n", "equals": 1}]}, 200, "passing", None),
    ({"json": [{"path": "/items/0/a~1b", "equals": None}]}, 200, "passing", None),
    ({"json": [{"path": "/items", "equals": [{"id": 7, "a/b": None}]}]}, 200, "passing", None),
    ({"json": [{"path": ""}]}, 200, "passing", None),
    ({"json": [{"path": "/status", "equals": "OK"}]}, 200, "failing", "the value at /status is not as expected"),
    ({"json": [{"path": "/nowhere"}]}, 200, "failing", "the answer has nothing at /nowhere"),
    ({"json": [{"path": "/items/1"}]}, 200, "failing", "nothing at /items/1"),
    ({"json": [{"path": "/items/0/id", "contains": "7"}]}, 200, "failing", "not as expected"),
    ({"certificate_days_left": 3650}, 200, "degraded", "days left, less than the 3650 expected"),
    ({"certificate_days_left": 30}, 200, "passing", None),
    ({"latency_ms": 0}, 200, "degraded", "more than the 0 ms expected"),
    ({"latency_ms": 60_000}, 200, "passing", None),
    ({"latency_ms": 0, "status": [500]}, 200, "failing", "the status is 200"),
]


@pytest.mark.parametrize(("expect", "status", "state", "words"), EXPECTATIONS,
                         ids=[f"{json.dumps(one[0])} {one[1]}" for one in EXPECTATIONS])
def test_a_run_is_judged_by_every_expectation(vault, partner, expect, status, state, words):
    partner.answer = lambda _: respond(status, b"" if status == 204 else BODY, "X-A: one two")
    check = vault.check(partner.url, expect=expect)
    assert check["expect"] == expect and check["state"] is None
    run = vault.run(check["id"])
    assert run["state"] == state, run
    assert (run["findings"] == []) == (state == "passing")
    assert words is None or any(words in finding for finding in run["findings"]), run["findings"]
    after = vault.show_check(check["id"])
    assert after["state"] == state and after["last_run_on"] == run["started_on"] and after["state_since"] is not None


def test_all_that_is_not_as_expected_is_told(vault, partner):
    partner.answer = lambda _: respond(500, b"<html>")
    run = vault.run(vault.check(partner.url, expect={
        "status": [200], "headers": [{"name": "a"}, {"name": "b"}], "json": [{"path": "/x"}], "latency_ms": 0})["id"])
    assert run["state"] == "failing" and len(run["findings"]) == 5
    assert "the answer is no JSON" in run["findings"]


FAULTY = [
    ({"status": ["6xx"]}, "/expect/status/0"), ({"status": [99]}, "/expect/status/0"), ({"status": [1e6]}, "/expect"),
    ({"status": 200}, "/expect"), ({"statuses": [200]}, "/expect"), ({"headers": [{"name": ""}]}, "/expect/headers/0"),
    ({"headers": [{"value": "x"}]}, "/expect"), ({"json": [{"path": "a"}]}, "/expect/json/0/path"),
    ({"json": [{"path": "$..a"}]}, "/expect/json/0/path"), ({"json": [{}]}, "/expect"), ({"latency_ms": -1}, "/expect"),
    ({"certificate_days_left": 4000}, "/expect/certificate_days_left"), ({"status": [200] * 51}, "/expect"),
    ([], "/expect"), ("2xx", "/expect"), ({"headers": [{"name": "x", "equals": "y" * 3000}]}, "/expect/headers/0"),
]


@pytest.mark.parametrize(("expect", "pointer"), FAULTY)
def test_expectations_that_are_none_are_400_at_their_place(vault, expect, pointer):
    answer = vault.define(name="x", url=SOMEWHERE, expect=expect)
    assert answer.status_code == 400 and [place for place, _ in faults(answer)] == [pointer], answer.text


def test_a_failure_to_call_is_failing_with_its_stage(vault):
    run = vault.run(vault.check(SOMEWHERE)["id"])
    assert (run["state"], run["failure"]["stage"], run["status"]) == ("failing", "connect", None)
    assert run["findings"] == [run["failure"]["message"]] and "response" not in run


# what a run tells


def test_a_run_tells_everything_about_the_call(vault, partner):
    [identity] = vault.listed()
    started = time.time()
    run = vault.run(vault.check(partner.named_url)["id"])
    timings = run["timings_ms"]
    assert all(timings[stage] > 0 for stage in ("dns", "connect", "tls", "first_byte", "total")), timings
    assert sum(timings[stage] for stage in ("dns", "connect", "tls", "first_byte")) <= timings["total"] + 1
    assert timings["total"] < 5000 and abs(moment(run["started_on"]).timestamp() - started) < 10
    assert (run["tls_version"], run["status"], run["body_length"]) == ("TLSv1.3", 200, 15)
    assert run["address"] == f"127.0.0.1:{partner.port}" and run["scheduled"] is False
    assert run["identity"] == {"id": identity["id"], "name": "checker", "presented": True,
                               "fingerprint_sha256": identity["fingerprint_sha256"],
                               "reason": "it is the primary identity, for hosts that no other is for"}
    fingerprint = pki.openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", "leaf",
                              files={"leaf": pki.server().certificate}).decode().strip().partition("=")[2]
    certificate = run["server_certificate"]
    assert certificate["fingerprint_sha256"] == fingerprint.replace(":", "").lower()
    assert (certificate["subject"], certificate["issuer"]) == ("CN=localhost", "CN=Partner Issuing,O=Partner")
    assert all(name in str(certificate["subject_alternative_names"]) for name in ("localhost", "127.0.0.1"))
    assert moment(certificate["issued_on"]) < moment(certificate["expires_on"])
    assert (run["redirects"], run["notes"], run["failure"]) == ([], [], None)


def test_the_body_is_in_the_answer_of_the_run_and_kept_nowhere(vault, partner):
    partner.answer = lambda _: respond(200, b"a body that is nobody else's", "X-Own: only here")
    check = vault.check(partner.url)
    run = vault.run(check["id"])
    assert run["response"]["body"] == "a body that is nobody else's"
    assert ["x-own", "only here"] in run["response"]["headers"]
    listed = vault.call("GET", vault.check_path(f"/{check['id']}/runs")).text
    assert run["id"] in listed and "response" not in listed
    [report] = vault.report_rows(check["id"])
    for text in (listed, report):
        assert "nobody else" not in text and "only here" not in text
    called = vault.request(partner.url)
    assert called["response"]["body"] == "a body that is nobody else's"
    assert "nobody else" not in str(vault.audit())


def test_runs_are_kept_newest_first_up_to_a_hundred(vault, partner):
    check = vault.check(partner.url)
    made = [vault.run(check["id"])["id"] for _ in range(103)]
    runs = vault.runs(check["id"], per_page=1000)
    assert [run["id"] for run in runs] == made[:2:-1]
    assert [run["id"] for run in vault.runs(check["id"], page=2, per_page=30)] == made[:2:-1][30:60]
    assert vault.runs(check["id"], page=5, per_page=30) == []
    assert len(vault.report_rows(check["id"])) == 100


def test_a_change_of_state_is_an_audit_event_and_a_repetition_is_none(vault, partner):
    answers = iter([200, 200, 500, 500, 200])
    partner.answer = lambda _: respond(next(answers))
    check = vault.check(partner.url, name="partner is up")
    for _ in range(5):
        vault.run(check["id"])
    rows = vault.audit("check.state")
    assert [row[1] for row in rows] == [check["id"]] * 3
    told = [json.loads(row[3]) for row in rows]
    assert [(one["from"], one["to"]) for one in told] == [
        (None, "passing"), ("passing", "failing"), ("failing", "passing")]
    assert told[1]["findings"] == ["the status is 500, not 2xx"]
    assert told[0]["check"] == {"id": check["id"], "name": "partner is up"}
    # Who ran it is recorded with what was called, before anybody knows what comes of it.
    runs = vault.audit("check.run")
    assert len(runs) == 5 and all((subject, result) == (check["id"], 0) for _, subject, result, _ in runs)
    assert all(f"GET {partner.url}" in what and "identity auto" in what for *_, what in runs)
    since = vault.show_check(check["id"])["state_since"]
    assert since >= vault.runs(check["id"])[0]["started_on"]


# defining


def test_a_check_has_sound_defaults_and_runs_by_hand_without_an_interval(vault, partner):
    check = vault.check(partner.url, name="  by hand  ")
    defaults = {
        "name": "by hand", "method": "GET", "headers": [], "body": None, "secret_body": False, "expect": {},
        "identity": "auto", "trusted_ca": None, "interval_seconds": None, "timeout_ms": 10_000, "enabled": True,
        "next_run_on": None}
    assert {name: check[name] for name in defaults} == defaults
    assert vault.show_check(check["id"]) == check
    time.sleep(0.8)
    assert partner.connections == 0 and vault.runs(check["id"]) == []


WRONG = [
    ({"name": ""}, "/name"), ({"name": "x" * 121}, "/name"), ({"name": None}, "/name"), ({"name": 7}, "/name"),
    ({"url": None}, "/url"), ({"url": "http://a.example"}, "/url"), ({"url": ["x"]}, "/url"),
    ({"method": "CONNECT"}, "/method"),
    ({"interval_seconds": 29}, "/interval_seconds"), ({"interval_seconds": 0}, "/interval_seconds"),
    ({"interval_seconds": -30}, "/interval_seconds"), ({"interval_seconds": 86_401}, "/interval_seconds"),
    ({"interval_seconds": "60"}, "/interval_seconds"), ({"interval_seconds": 30.5}, "/interval_seconds"),
    ({"interval_seconds": 10**30}, "/interval_seconds"), ({"timeout_ms": 99}, "/timeout_ms"),
    ({"timeout_ms": 60_001}, "/timeout_ms"),
    ({"timeout_ms": None, "enabled": "yes"}, "/enabled"), ({"identity": UNKNOWN_ID}, "/identity"),
    ({"identity": "x"}, "/identity"),
    ({"trusted_ca": UNKNOWN_ID}, "/trusted_ca"), ({"trusted_ca": "x"}, "/trusted_ca"), ({"headers": "x"}, "/headers"),
    ({"headers": [{"name": "X"}]}, "/headers/0/value"), ({"headers": [{"name": "Host", "value": "x"}]}, "/headers/0"),
    ({"headers": [{"name": "X", "value": 1}]}, "/headers/0"),
    ({"headers": [{"name": "X", "value": "x"}] * 51}, "/headers"),
    ({"body": 1}, "/body"), ({"body": "x" * 70_000}, "/body"), ({"secret_body": 1}, "/secret_body"),
]


@pytest.mark.parametrize(("body", "pointer"), WRONG, ids=[str(one)[:50] for one, _ in WRONG])
def test_checks_that_are_wrong_are_400_at_their_field_and_not_made(vault, body, pointer):
    answer = vault.define(**{"name": "x", "url": SOMEWHERE, **body})
    assert (answer.status_code, set(codes(answer))) == (400, {1400})
    assert [place for place, _ in faults(answer)] == [pointer], answer.text
    assert vault.result("GET", vault.check_path()) == []
    check = vault.check(SOMEWHERE)
    if not (body.get("name", 7) is None or body.get("url", 7) is None):
        assert vault.call("PATCH", vault.check_path(f"/{check['id']}"), json=body).status_code == 400
    assert vault.show_check(check["id"]) == check


def test_a_ca_bundle_is_no_identity_and_an_identity_no_bundle(vault):
    [identity], bundle = vault.listed(), vault.keep(ca=True, certificates=pki.root().certificate)
    for body, pointer in (({"identity": bundle["id"]}, "/identity"), ({"trusted_ca": identity["id"]}, "/trusted_ca")):
        answer = vault.define(name="x", url=SOMEWHERE, **body)
        assert [place for place, _ in faults(answer)] == [pointer]


def test_intervals_from_thirty_seconds_to_a_day_are_taken(vault):
    for seconds in (30, 86_400, 60.0):
        check = vault.check(SOMEWHERE, interval_seconds=seconds)
        assert check["interval_seconds"] == seconds and check["next_run_on"] is not None


def test_an_edit_changes_what_it_names_and_keeps_what_is_secret(vault, partner):
    check = vault.check(partner.url, method="POST", body="b0dy", secret_body=True, headers=[
        {"name": "Authorization", "value": "Bearer s3cret"}, {"name": "X-Plain", "value": "seen"},
        {"name": "X-Own", "value": "0wn", "secret": True}, {"name": "X-Api-Key", "value": "shown", "secret": False}])
    assert check["headers"] == [
        {"name": "Authorization", "value": None, "secret": True}, {"name": "X-Plain", "value": "seen", "secret": False},
        {"name": "X-Own", "value": None, "secret": True}, {"name": "X-Api-Key", "value": "shown", "secret": False}]
    assert (check["body"], check["secret_body"]) == (None, True)

    def edit(**body):
        return kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json=body))

    def sent():
        assert vault.run(check["id"])["state"] == "passing"
        request = partner.requests[-1]
        names = ("authorization", "x-plain", "x-own", "x-api-key")
        return [request.method, request.body, *(request.values(name) for name in names)]

    everything = ["POST", b"b0dy", ["Bearer s3cret"], ["seen"], ["0wn"], ["shown"]]
    assert sent() == everything
    edit(name="renamed")
    assert sent() == everything
    edited = edit(headers=[{"name": "x-own"}, {"name": "Authorization", "value": None}])
    assert [header["value"] for header in edited["headers"]] == [None, None]
    assert sent() == ["POST", b"b0dy", ["Bearer s3cret"], [], ["0wn"], []]
    edit(headers=[{"name": "Authorization", "value": "Bearer n3w"}], method="PUT")
    assert sent() == ["PUT", b"b0dy", ["Bearer n3w"], [], [], []]
    answer = vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"headers": [{"name": "X-Own"}]})
    assert [place for place, _ in faults(answer)] == ["/headers/0/value"], "what was taken away is gone"
    assert edit(body=None)["secret_body"] is False
    assert sent() == ["PUT", b"", ["Bearer n3w"], [], [], []]
    assert edit(body="plain")["body"] == "plain"
    assert edit(secret_body=True)["body"] is None
    assert sent()[1] == b"plain"


@pytest.mark.parametrize("edit", [{"headers": [{"name": "Authorization", "secret": False}]}, {"secret_body": False},
                                  {"headers": [{"name": "authorization", "value": None, "secret": False}]}], ids=str)
def test_what_is_sealed_is_not_shown_by_an_edit(vault, edit):
    """Who may write checks need not know what others sealed in them."""
    check = vault.check(SOMEWHERE, method="POST", body="s3cret body", secret_body=True,
                        headers=[{"name": "Authorization", "value": "Bearer s3cret"}])
    answer = vault.call("PATCH", vault.check_path(f"/{check['id']}"), json=edit)
    assert answer.status_code in (200, 400) and "s3cret" not in answer.text, answer.text
    assert "s3cret" not in json.dumps(vault.show_check(check["id"]))
    assert "s3cret" not in str(vault.rows("select headers, body from checks"))


def test_lists_show_the_oldest_first_and_one_state_alone(vault, partner):
    partner.answer = lambda request: respond(500 if request.target == "/bad" else 200)
    checks = [vault.check(f"{partner.url}{path}") for path in ("/", "/bad", "/never")]
    for check in checks[:2]:
        vault.run(check["id"])

    def listed(**params):
        return [one["id"] for one in vault.result("GET", vault.check_path(), params=params)]

    ids = [check["id"] for check in checks]
    assert listed() == ids and listed(per_page=2, page=2) == ids[2:]
    assert listed(state="passing") == ids[:1] and listed(state="failing") == ids[1:2] and listed(state="degraded") == []
    assert vault.call("GET", vault.check_path(), params={"state": "good"}).status_code == 400


def test_a_deleted_check_is_gone_with_its_runs(vault, partner):
    check = vault.check(partner.url)
    vault.run(check["id"])
    assert kept(vault.call("DELETE", vault.check_path(f"/{check['id']}"))) == {"id": check["id"]}
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/runs"), ("POST", "/run")):
        answer = vault.call(method, vault.check_path(f"/{check['id']}{rest}"))
        assert (answer.status_code, codes(answer)) == (404, [1416])
    assert vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"name": "x"}).status_code == 404
    assert vault.report_rows(check["id"]) == []
    assert vault.audit("check.delete")[0][1] == check["id"]


def test_who_may_only_read_cannot_run_define_edit_or_delete(vault, partner):
    check = vault.check(partner.url)
    reader, user = vault.with_token("identities:read"), vault.with_token("identities:use")
    for method, rest, body in (("POST", f"/{check['id']}/run", None), ("POST", "", {"name": "x", "url": SOMEWHERE}),
                               ("PATCH", f"/{check['id']}", {"name": "x"}), ("DELETE", f"/{check['id']}", None)):
        answer = reader.call(method, vault.check_path(rest), json=body)
        assert (answer.status_code, codes(answer)) == (403, [10000])
    assert partner.connections == 0 and reader.show_check(check["id"]) == check
    assert user.run(check["id"])["state"] == "passing"
    assert user.call("GET", vault.check_path(f"/{check['id']}")).status_code == 403


# when


def test_a_check_with_an_interval_runs_at_once_and_by_itself(vault, partner):
    check = vault.check(partner.url, interval_seconds=60)
    [run] = vault.wait_for_runs(check["id"], 1)
    assert (run["state"], run["scheduled"]) == ("passing", True)
    after = vault.show_check(check["id"])
    wait = moment(after["next_run_on"]) - moment(run["started_on"])
    assert 29 <= wait.total_seconds() <= 91
    assert vault.run(check["id"])["scheduled"] is False
    assert [one["scheduled"] for one in vault.runs(check["id"])] == [False, True]
    # Whoever runs one by hand is in the audit log; what runs by itself is not.
    assert len(vault.audit("check.run")) == 1


def test_a_disabled_check_does_not_run_by_itself_until_it_is_enabled(vault, partner):
    check = vault.check(partner.url, interval_seconds=30, enabled=False)
    assert check["next_run_on"] is None
    time.sleep(1.2)
    assert partner.connections == 0
    assert vault.run(check["id"])["state"] == "passing", "by hand it does"
    assert vault.show_check(check["id"])["next_run_on"] is None
    kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"enabled": True}))
    assert vault.wait_for_runs(check["id"], 2)[0]["scheduled"] is True
    disabled = kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"enabled": False}))
    assert disabled["next_run_on"] is None
    by_hand = {"enabled": True, "interval_seconds": None}
    by_hand = kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json=by_hand))
    assert by_hand["next_run_on"] is None


def test_scheduled_runs_come_again_after_the_interval(make_server, partner):
    """The server's clock runs sixty times as fast."""
    assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1", LD_PRELOAD=str(LIBFAKETIME), FAKETIME="+0 x60",
                         FAKETIME_DONT_FAKE_MONOTONIC="1").start()
    vault = with_primary(server)
    check = vault.check(partner.url, interval_seconds=60)
    runs = vault.wait_for_runs(check["id"], 4)
    times = sorted(moment(run["started_on"]).timestamp() for run in runs[:4])
    gaps = [after - before for before, after in zip(times, times[1:])]
    # Due runs are looked for twice a second, which is half a minute of this clock; a gap is at least half the interval.
    assert all(29 <= gap <= 180 for gap in gaps), gaps


def run_aside(vault, check):
    """Runs a check in another thread; gives the thread and the list that its answer will be in."""
    answers = []
    client = Identities(vault.server, vault.account, vault.token)
    thread = threading.Thread(target=lambda: answers.append(client.call("POST", client.check_path(f"/{check}/run"))))
    thread.start()
    return thread, answers


def test_two_who_run_a_check_at_once_make_one_run(vault, partner):
    partner.answer = slow = Slow()
    check = vault.check(partner.url)
    thread, first = run_aside(vault, check["id"])
    slow.wait_for_arrival()
    second = vault.call("POST", vault.check_path(f"/{check['id']}/run"))
    assert (second.status_code, codes(second)) == (400, [1400])
    assert "being run at this moment" in second.text
    slow.go.set()
    thread.join()
    assert first[0].status_code == 200 and len(vault.runs(check["id"])) == 1 and len(partner.requests) == 1
    assert vault.run(check["id"])["state"] == "passing", "and then it can be run again"


def test_a_run_by_schedule_and_one_by_hand_do_not_overlap(vault, partner):
    partner.answer = slow = Slow()
    check = vault.check(partner.url, interval_seconds=30)
    slow.wait_for_arrival()
    assert vault.call("POST", vault.check_path(f"/{check['id']}/run")).status_code == 400
    slow.go.set()
    [run] = vault.wait_for_runs(check["id"], 1)
    assert run["scheduled"] is True and len(partner.requests) == 1


def test_slow_servers_hold_up_no_other_check_and_no_revocation(vault):
    zone = vault.in_zone(vault.create_zone("partner")["id"])
    certificate = zone.issue(csr.fresh())
    with Silent() as silent, TlsServer(client_ca=pki.root().certificate) as other:
        slow = [vault.check(silent.url, interval_seconds=30, timeout_ms=60_000)["id"] for _ in range(3)]
        silent.wait_for_connections(3)
        check = vault.check(other.url, interval_seconds=30)
        assert vault.wait_for_runs(check["id"], 1)[0]["state"] == "passing"
        assert int(zone.revoke(certificate["id"])["serial_number"]) in listed_serials(zone.crl())
        assert [vault.runs(one) for one in slow] == [[], [], []], "they are still waiting"


def test_a_run_of_a_check_that_was_edited_meanwhile_is_not_recorded(vault, partner):
    partner.answer = slow = Slow()
    check = vault.check(partner.url)
    thread, answers = run_aside(vault, check["id"])
    slow.wait_for_arrival()
    kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"expect": {"status": [500]}}))
    slow.go.set()
    thread.join()
    assert answers[0].status_code == 200
    assert vault.runs(check["id"]) == [] and vault.show_check(check["id"])["state"] is None


def test_a_check_that_was_edited_during_a_run_can_be_run_once_that_has_ended(vault, partner):
    partner.answer = slow = Slow()
    check = vault.check(partner.url)
    thread, _ = run_aside(vault, check["id"])
    slow.wait_for_arrival()
    kept(vault.call("PATCH", vault.check_path(f"/{check['id']}"), json={"name": "renamed"}))
    slow.go.set()
    thread.join()
    assert vault.run(check["id"])["state"] == "passing"


def test_a_check_that_is_deleted_during_a_run_stays_deleted(vault, partner):
    partner.answer = slow = Slow()
    check = vault.check(partner.url)
    thread, answers = run_aside(vault, check["id"])
    slow.wait_for_arrival()
    kept(vault.call("DELETE", vault.check_path(f"/{check['id']}")))
    slow.go.set()
    thread.join()
    assert answers[0].status_code in (200, 404)
    assert vault.call("GET", vault.check_path(f"/{check['id']}/runs")).status_code == 404
    assert "panicked" not in vault.server.output()


def test_a_server_that_stops_during_a_run_does_not_wait_for_it(make_server, partner):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    partner.answer = slow = Slow()
    with_primary(server).check(partner.url, interval_seconds=30)
    slow.wait_for_arrival()
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5
    slow.go.set()


def test_a_check_that_was_cut_off_by_a_kill_runs_again(make_server, partner):
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    vault = with_primary(server)
    partner.answer = slow = Slow()
    check = vault.check(partner.url, interval_seconds=60)
    slow.wait_for_arrival()
    server.kill()
    slow.go.set()
    # Nobody can tell a run that was killed from one that takes long, until the longest has passed.
    assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
    server.start(LD_PRELOAD=str(LIBFAKETIME), FAKETIME="+180s", FAKETIME_DONT_FAKE_MONOTONIC="1")
    assert vault.wait_for_runs(check["id"], 1)[0]["state"] == "passing"
    assert len(vault.runs(check["id"])) == 1 and len(partner.requests) == 2
