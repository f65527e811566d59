"""One INSERT of a batch fails, by a trigger: its neighbours are stored all the same, and nobody is told of what was not."""

from concurrent.futures import ThreadPoolExecutor

import integrity
from installation import ONCE
from load import Client, Load, distinct

pytestmark = ONCE

AT_ONCE = 32


def test_an_insert_that_fails_in_the_middle_of_a_batch_fails_alone(installation, tmp_path):
    installation.database.fail_inserts_of("poison")
    server, zone = installation.server, installation.zone
    requests = [("poison" if number % 8 == 3 else f"good-{number}") for number in range(AT_ONCE)]
    bodies = [{"csr": distinct(name), "validity_days": 30} for name in requests]

    def post(body):
        return Client(server).ask("POST", f"/client/v4{zone.path()}", body)

    with Load(installation, workers=2) as load:
        for _ in range(2):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(post, bodies))
            for name, answer in zip(requests, answers):
                if name == "poison":
                    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0, answer
                else:
                    assert answer.status == 200, answer
                    load.issued[answer.body["result"]["id"]] = answer.body["result"]
    assert load.count(status=503) == 0, "the neighbours of another client were refused"
    assert "pieces" in server.output(last=10**6), "no batch held several: this proves nothing"
    assert zone.total(common_name="poison") == 0
    integrity.check(installation, load, tmp_path)
