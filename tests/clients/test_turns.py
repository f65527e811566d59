"""Turns for outgoing calls: how many an account may have under way, by hand and on schedule, and that others go on."""

import threading
import time

import pytest

import identity_pki as pki
from api import codes
from identity_api import Identities
from tls_server import Silent, TlsServer

BY_HAND, ON_SCHEDULE = 8, 24
MINUTE = 60_000


@pytest.fixture
def vault(callers):
    """An account with a primary identity that knows the CA of the servers here."""
    return account(callers)


def account(server):
    vault = Identities.of_new_account(server)
    vault.keep_held(pki.client("p256", "caller"), primary=True)
    return vault


@pytest.fixture
def partner():
    with TlsServer(client_ca=pki.root().certificate) as server:
        yield server


@pytest.fixture
def silent():
    with Silent() as server:
        yield server


def call_aside(vault, url, answers):
    """Makes a call in another thread; its answer will be in the list."""
    client = Identities(vault.server, vault.account, vault.token)

    def call():
        body = {"url": url, "timeout_ms": MINUTE}
        answers.append(client.call("POST", client.path("/request"), json=body))

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_an_account_with_eight_calls_under_way_is_told_to_come_again_and_others_are_served(vault, silent, partner):
    answers, refused = [], []
    calls = [call_aside(vault, silent.url, answers) for _ in range(BY_HAND)]
    silent.wait_for_connections(BY_HAND)
    ninth = call_aside(vault, partner.url, refused)
    other = account(vault.server)
    assert other.request(partner.url)["status"] == 200
    ninth.join()
    [refused] = refused
    assert (refused.status_code, codes(refused)) == (503, [1100]), refused.text
    assert int(refused.headers["retry-after"]) > 0
    assert other.request(partner.url)["status"] == 200 and len(partner.requests) == 2
    assert answers == [] and silent.connections == BY_HAND, "the eight wait as before"

    # Runs of checks by hand take the same turns.
    check = vault.check(partner.url)
    answer = vault.call("POST", vault.check_path(f"/{check['id']}/run"))
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0, answer.text

    silent.hung_up.set()
    for thread in calls:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * BY_HAND
    assert vault.request(partner.url)["status"] == 200, "and then it has turns again"


def test_the_worker_runs_at_most_twenty_four_checks_of_an_account_at_once(vault, silent, partner):
    for number in range(40):
        vault.check(silent.url, name=f"slow {number}", interval_seconds=3600, timeout_ms=MINUTE)
    silent.wait_for_connections(ON_SCHEDULE)
    other = account(vault.server)
    check = other.check(partner.url, interval_seconds=3600)
    assert other.wait_for_runs(check["id"], 1)[0]["state"] == "passing"
    # That took rounds in which more could have been started; here are some more.
    time.sleep(1.5)
    assert silent.connections == ON_SCHEDULE
    assert vault.request(partner.url)["status"] == 200, "calls by hand have turns of their own"

    silent.hung_up.set()
    silent.wait_for_connections(40)
    deadline = time.monotonic() + 30
    while len(vault.result("GET", vault.check_path(), params={"state": "failing", "per_page": 100})) < 40:
        assert time.monotonic() < deadline, "some were never run"
        time.sleep(0.1)
    assert silent.connections == 40, "each was run once"
