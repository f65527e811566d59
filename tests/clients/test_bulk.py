"""Bulk jobs over HTTP and the command line: many certificates at once, through kills, beside single requests."""

import re
import time
import uuid

import pytest

import csr
import seed
from api import Api, codes, listed_serials, moment, pointers
from test_cli import CommandLine

DONE_WITHIN = 240
FIELDS = {"id", "action", "reason", "invalidity_date", "filter", "state", "total", "processed", "changed", "unchanged",
          "refused", "waiting", "created_on", "started_on", "finished_on", "failure", "requested_by"}


def bulk(zone, body):
    return zone.call("POST", zone.path("bulk"), json=body)


def start(zone, **body):
    answer = bulk(zone, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def job(zone, job_id):
    return zone.result("GET", zone.path(f"bulk/{job_id}"))


def wait(zone, job_id, done=lambda shown: shown["state"] not in ("queued", "running", "publishing")):
    deadline = time.monotonic() + DONE_WITHIN
    while not done(shown := job(zone, job_id)):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    return shown


def totals(zone):
    return {status: zone.total(status=status) for status in ("active", "pending_revocation", "revoked")}


@pytest.fixture
def cli(zone, tmp_path):
    return CommandLine(zone, tmp_path)


def test_a_job_revokes_what_matches_and_is_completed_when_it_is_visible(zone):
    made = [zone.issue(csr.by_openssl(subject=f"/CN={name}")) for name in ("device-1", "device-2", "other")]
    created = start(zone, action="revoke", reason="superseded", filter={"common_name": "device-"})
    assert set(created) == FIELDS | {"unknown", "unknown_ids"}
    assert (created["total"], created["unknown"], created["filter"]) == (2, 0, {"common_name": "device-"})
    done = wait(zone, created["id"])
    assert set(done) == FIELDS
    assert (done["state"], done["changed"], done["refused"], done["waiting"]) == ("completed", 2, 0, 0)
    assert moment(done["created_on"]) <= moment(done["started_on"]) <= moment(done["finished_on"])
    assert done["requested_by"]["name"]
    listed = listed_serials(zone.crl())
    assert [int(certificate["serial_number"]) in listed for certificate in made] == [True, True, False]
    assert zone.get(made[0]["id"])["revocation"]["reason"] == "superseded"
    [first] = zone.result("GET", zone.path("bulk"))
    assert first == done


def test_holds_are_lifted_by_ids_and_unknown_ones_are_told(zone, request_pem):
    held, free = [zone.issue(request_pem)["id"] for _ in range(2)]
    zone.revoke(held)
    foreign = str(uuid.uuid4())
    preview = start(zone, action="reactivate", ids=[held, free, foreign], dry_run=True)
    assert (preview["total"], preview["would_change"], preview["would_stay"]) == (2, 1, 1)
    assert (preview["unknown"], preview["unknown_ids"]) == (1, [foreign])
    assert {sample["id"] for sample in preview["samples"]} == {held, free}
    assert zone.result("GET", zone.path("bulk")) == []
    done = wait(zone, start(zone, action="reactivate", ids=[held, free, foreign])["id"])
    assert (done["changed"], done["unchanged"], done["filter"]) == (1, 1, None)
    assert zone.get(held)["status"] == "active"


def test_a_compromised_key_is_revoked_wherever_it_is(shared_server, zone, request_pem):
    api = Api(shared_server)
    other = api.in_zone(api.create_zone(f"other-{uuid.uuid4().hex[:12]}")["id"])
    here, there = zone.issue(request_pem), other.issue(request_pem)
    since = "2026-01-01T00:00:00Z"
    answer = zone.call("DELETE", zone.path(here["id"]), params={"reason": "keyCompromise", "invalidity_date": since})
    assert answer.status_code == 200, answer.text
    revoked = other.wait_for(there["id"], "revoked")
    assert revoked["revocation"]["reason"] == "keyCompromise"
    assert revoked["revocation"]["invalidity_date"] == since
    [made] = other.result("GET", other.path("bulk"))
    assert list(made["filter"]) == ["spki_sha256"]
    assert codes(other.post(request_pem)) == [1400]


@pytest.mark.parametrize("body", [
    {}, {"action": "revoke"}, {"action": "erase", "filter": {"all": True}}, {"action": 5, "filter": {"all": True}},
    {"action": "revoke", "filter": {}}, {"action": "revoke", "filter": {"all": False}},
    {"action": "revoke", "filter": {"all": "yes"}}, {"action": "revoke", "filter": {"all": True, "common_name": "x"}},
    {"action": "revoke", "filter": []}, {"action": "revoke", "filter": {"common_name": ""}},
    {"action": "revoke", "filter": {"common_name": "a\0"}},
    {"action": "revoke", "filter": {"common_name": "x" * 257}}, {"action": "revoke", "filter": {"common_name": 5}},
    {"action": "revoke", "filter": {"issued_before": "soon"}}, {"action": "revoke", "filter": {"authority": "none"}},
    {"action": "revoke", "filter": {"spki_sha256": "abc"}}, {"action": "revoke", "filter": {"status": "expired"}},
    {"action": "revoke", "filter": {"issued_before": "2026-01-01", "issued_after": "2026-01-01"}},
    {"action": "revoke", "filter": {"comon_name": "x"}}, {"action": "revoke", "filter": {"all": True}, "dryrun": True},
    {"action": "revoke", "filter": {"all": True}, "ids": [str(uuid.UUID(int=0))]}, {"action": "revoke", "ids": []},
    {"action": "revoke", "ids": "all"}, {"action": "revoke", "ids": [5]}, {"action": "revoke", "ids": ["no id"]},
    {"action": "revoke", "filter": {"all": True}, "reason": "boredom"},
    {"action": "revoke", "filter": {"all": True}, "invalidity_date": "9999-01-01T00:00:00Z"},
    {"action": "reactivate", "filter": {"all": True}, "reason": "superseded"},
    {"action": "reactivate", "filter": {"all": True}, "invalidity_date": "2026-01-01"},
    {"action": "revoke", "filter": {"all": True}, "dry_run": "no"},
])
def test_a_request_without_sense_makes_no_job(zone, body):
    answer = bulk(zone, body)
    assert answer.status_code == 400, answer.text
    assert set(codes(answer)) == {1400}
    assert zone.result("GET", zone.path("bulk")) == []


def test_ids_are_bounded(zone):
    ids = [str(uuid.uuid4()) for _ in range(10_001)]
    assert pointers(bulk(zone, {"action": "revoke", "ids": ids})) == {"/ids"}
    created = start(zone, action="revoke", ids=ids[1:])
    assert (created["total"], created["unknown"], len(created["unknown_ids"])) == (0, 10_000, 20)
    assert wait(zone, created["id"])["state"] == "completed"


@pytest.mark.one_process(reason="nginx refuses NUL by itself")
def test_unknown_jobs_are_not_found(zone):
    for job_id in ("0d89c70d-ad9f-4843-b99f-6cc0252067e9", "x", "%00"):
        for method in ("GET", "DELETE"):
            assert codes(zone.call(method, zone.path(f"bulk/{job_id}"))) == [1416]


def test_a_token_that_only_revokes_sees_no_names(shared_server, zone, request_pem):
    zone.issue(request_pem)
    value = Api(shared_server).create_token(["client_certificates:revoke"])["value"]
    revoker = Api(shared_server, token=value, zone=zone.zone)
    preview = start(revoker, action="revoke", filter={"all": True}, dry_run=True)
    assert (preview["total"], preview["samples"]) == (1, [])


@pytest.mark.timeout(600)
def test_kills_in_the_middle_ask_nothing_twice(own_zone):
    server = own_zone.server
    first = own_zone.issue(csr.by_openssl())
    seed.copies(server, first["id"], 4999)
    created = start(own_zone, action="revoke", reason="cessationOfOperation", filter={"all": True})
    assert created["total"] == 5000
    for part in (500, 1500, 3000):
        wait(own_zone, created["id"], lambda shown: shown["processed"] >= part)
        server.kill()
        server.start()
    done = wait(own_zone, created["id"])
    assert (done["state"], done["processed"], done["changed"]) == ("completed", 5000, 5000)
    assert totals(own_zone) == {"active": 0, "pending_revocation": 0, "revoked": 5000}
    assert len(listed_serials(own_zone.crl())) == 5000
    log = server.database().execute
    asked = log("SELECT COUNT(*), COUNT(DISTINCT subject) FROM audit_events WHERE action = 'certificate.revoke'")
    assert asked.fetchone() == (5000, 5000)
    counted = log("SELECT COUNT(*), MIN(version), MAX(version) FROM certificates WHERE status = 2").fetchone()
    assert counted == (5000, 2, 2)


@pytest.mark.timeout(600)
def test_a_single_request_overtakes_a_large_job(own_zone):
    made = [own_zone.issue(csr.by_openssl()) for _ in range(2)]
    seed.copies(own_zone.server, made[0]["id"], 20_000, name="bulk-{:05}".format)
    created = start(own_zone, action="revoke", filter={"common_name": "bulk-"})
    assert created["total"] == 20_000
    wait(own_zone, created["id"], lambda shown: shown["changed"] >= 1000)
    own_zone.revoke(made[1]["id"])
    own_zone.issue(csr.by_openssl())
    assert job(own_zone, created["id"])["state"] == "running", "the job was over before it could be overtaken"
    cancelled = own_zone.result("DELETE", own_zone.path(f"bulk/{created['id']}"))
    assert cancelled["state"] == "cancelled"
    assert cancelled["changed"] < 20_000
    assert own_zone.result("DELETE", own_zone.path(f"bulk/{created['id']}"))["state"] == "cancelled"
    wait(own_zone, created["id"], lambda shown: shown["waiting"] == 0)
    assert totals(own_zone)["revoked"] == cancelled["changed"] + 1


def test_the_command_line_looks_before_it_revokes(cli):
    for name in ("pump-1", "pump-2", "valve"):
        cli.zone.issue(csr.by_openssl(subject=f"/CN={name}"))
    looked = cli.json("revoke", "--where", "common-name=pump-", "--dry-run")
    assert (looked["total"], looked["would_change"]) == (2, 2)
    said = cli.run("revoke", "--where", "common-name=pump-", "--dry-run")
    assert "pump-1" in said and "valve" not in said
    assert "--yes" in cli.fails("revoke", "--where", "all")
    assert cli.zone.total(status="active") == 3
    done = cli.json("revoke", "--where", "common-name=pump-", "--where", "status=active", "--reason", "superseded",
                    "--invalidity-date", "2026-01-01", "--yes")
    assert (done["state"], done["changed"], done["invalidity_date"]) == ("completed", 2, "2026-01-01T00:00:00Z")
    assert cli.zone.total(status="revoked") == 2
    # What is final is refused, and the command says so.
    assert "2 certificates could not be changed" in cli.fails("reactivate", "--where", "all", "--yes")


def test_the_command_line_lists_shows_and_cancels_jobs(cli, request_pem):
    cli.zone.issue(request_pem)
    made = cli.json("revoke", "--where", "all", "--yes", "--detach")
    shown = cli.json("bulk", "show", made["id"], "--wait")
    assert shown["state"] == "completed"
    assert [listed["id"] for listed in cli.json("bulk", "list")] == [made["id"]]
    assert "completed" in cli.run("bulk", "list")
    assert re.search("^certificates +all$", cli.run("bulk", "show", made["id"]), re.M)
    assert "nothing left to cancel" in cli.fails("bulk", "cancel", made["id"])
    nothing = cli.call("bulk", "cancel", "nothing")
    assert nothing.returncode == 2 and "UUID" in nothing.stderr
    nobody = ["revoke", "--where", f"authority={uuid.uuid4()}"]
    assert "the zone has no such authority" in cli.fails(*nobody, "--yes") + cli.fails(*nobody, "--dry-run")
    missed = cli.call("revoke", "--where", "common-name=nobody", "--yes", "--wait")
    assert missed.returncode == 0 and "no certificate of this zone matches" in missed.stderr
    for wrong in (["revoke"], ["revoke", "--where", "name=x", "--yes"], ["revoke", "--where", "all", made["id"]],
                  ["revoke", "--where", "status=active", "--where", "status=revoked", "--yes"], ["revoke", "x", "--yes"],
                  ["revoke", made["id"], "--dry-run"], ["revoke", made["id"], "--detach"]):
        assert cli.call(*wrong).returncode == 2, wrong


def test_a_single_revocation_takes_an_invalidity_date(cli, request_pem):
    made = cli.zone.issue(request_pem)
    revoked = cli.json("revoke", made["id"], "--reason", "keyCompromise", "--invalidity-date", "2026-02-03", "--wait")
    assert revoked["revocation"]["invalidity_date"] == "2026-02-03T00:00:00Z"
    assert "future" in cli.fails("revoke", made["id"], "--invalidity-date", "9999-01-01")
