"""Connections to the database that are cut in the middle of a commit: the server does not know whether it happened, says
503, and the client's next try under the same Idempotency-Key gives the one certificate."""

import secrets
import threading

import pytest

import integrity
from installation import ONCE
from load import Client, Load, distinct
from tcp_proxy import CuttingProxy

pytestmark = ONCE

CLIENTS = 6
CERTIFICATES = 6
CUTS = 10
TRIES = 50


@pytest.fixture
def cut_line(install, shared_cluster):
    with CuttingProxy(shared_cluster.port) as proxy:
        installation = install(shared_cluster, url=proxy.url_of(shared_cluster)).start()
        installation.proxy = proxy
        yield installation
        installation.clean_up()


def post(client, zone, request, key):
    return client.ask("POST", f"/client/v4{zone.path()}", {"csr": request, "validity_days": 30}, {"Idempotency-Key": key})


@pytest.mark.parametrize("moment, stored", [("before", 0), ("after", 1)])
def test_a_commit_that_is_cut_is_answered_503_and_the_same_key_gives_one_certificate(cut_line, moment, stored):
    zone, client = cut_line.zone, Client(cut_line.server)
    request, key = distinct("cut"), secrets.token_hex(16)
    # Nothing else may commit at that moment, so the cut is armed until it has met this request.
    cut_line.proxy.arm(moment)
    refused = post(client, zone, request, key)
    assert cut_line.proxy.made == [moment]
    assert refused.status == 503 and int(refused.headers["retry-after"]) > 0, refused
    count = "SELECT COUNT(*) FROM certificates"
    assert cut_line.database.rows(count) == [(str(stored),)], "what the cut was to leave behind"

    answers = [post(client, zone, request, key) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3, answers
    [first, *others] = [answer.body["result"] for answer in answers]
    assert others == [first, first] and zone.get(first["id"]) == first
    assert cut_line.database.rows(count) == [("1",)]


def test_commits_that_are_cut_under_load_double_and_lose_nothing(cut_line, tmp_path):
    zone, proxy = cut_line.zone, cut_line.proxy
    results, faults, tries = {}, [], []

    def persist(number):
        client = Client(cut_line.server)
        for _ in range(CERTIFICATES):
            request, key = distinct(f"keyed-{number}"), secrets.token_hex(16)
            for _ in range(TRIES):
                answer = post(client, zone, request, key)
                tries.append(answer.status)
                if answer.status == 200:
                    results[key] = answer.body["result"]
                    break
                if answer.status != 503:
                    faults.append(answer)

    with Load(cut_line, workers=2) as load:
        load.wait_for(5)
        proxy.arm(*["before", "after"] * (CUTS // 2))
        threads = [threading.Thread(target=persist, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        load.wait_for(5)
    assert faults == [] and 503 in tries
    assert len(proxy.made) == CUTS, proxy.made
    assert len({result["id"] for result in results.values()}) == len(results) == CLIENTS * CERTIFICATES
    assert zone.total(common_name="keyed") == len(results), "a repeated request made a second certificate"
    load.issued |= {result["id"]: result for result in results.values()}
    integrity.check(cut_line, load, tmp_path)
