"""Names, hosts, labels and the primary; and which identity is presented to a host."""

import json
import threading

import pytest

import identity_pki as pki
from api import codes
from identity_api import Identities, faults, keep, kept, messages


@pytest.fixture
def vault(shared_server):
    return Identities.of_new_account(shared_server)


# names, hosts, labels and the primary


def test_a_patch_changes_what_it_names_and_nothing_else(vault):
    made = keep(vault, name="before", hosts=["a.example"], labels={"team": "a"})
    for body in ({"name": "after"}, {"hosts": ["*.b.example", "c.example"]}, {"labels": {"team/owner": "ü", "x": ""}},
                 {"primary": True}, {"hosts": []}, {"labels": {}}, {"primary": False}, {}, {"unknown": 1},
                 {"name": None, "hosts": None, "primary": None, "labels": None}):
        before = vault.show(made["id"])
        after = kept(vault.edit(made["id"], **body))
        expected = {**before, **{k: v for k, v in body.items() if k in before and v is not None}}
        assert {k: v for k, v in after.items() if k != "updated_at"} == {
            k: v for k, v in expected.items() if k != "updated_at"}
        assert vault.show(made["id"]) == after
    assert after["version"] == made["version"]


@pytest.mark.parametrize(("body", "pointer"), [
    ({"name": ""}, "/name"), ({"name": "x" * 121}, "/name"), ({"name": "a\nb"}, "/name"), ({"name": 7}, "/name"),
    ({"hosts": "a.example"}, "/hosts"), ({"hosts": ["a.example", "b:1"]}, "/hosts/1"), ({"hosts": [None]}, "/hosts"),
    ({"hosts": ["!a"]}, "/hosts/0"), ({"primary": "yes"}, "/primary"), ({"labels": ["a"]}, "/labels"),
    ({"labels": {"a": 1}}, "/labels"), ({"labels": {"": "x"}}, "/labels")])
def test_a_patch_that_is_wrong_changes_nothing(vault, body, pointer):
    made = keep(vault, hosts=["a.example"])
    answer = vault.edit(made["id"], **{"name": "other", "primary": True, **body})
    assert answer.status_code == 400 and [place for place, _ in faults(answer)] == [pointer], answer.text
    assert vault.show(made["id"]) == made


def test_lists_are_filtered(vault):
    first = keep(vault, 0, name="first", labels={"team": "a"}, primary=True)
    late = pki.issued(pki.intermediate(), "/CN=late", days=20)
    second = vault.keep(certificates=late.certificate, private_key=late.key, name="second", labels={"team": "b"})
    bundle = vault.keep(ca=True, certificates=pki.root().certificate, name="first")
    for params, expected in (
        ({}, [first, second, bundle]), ({"ca": "true"}, [bundle]), ({"ca": "false"}, [first, second]),
        ({"name": "first"}, [first, bundle]), ({"primary": "true"}, [first]), ({"label": "team"}, [first, second]),
        ({"label": "team=b"}, [second]), ({"label": "other"}, []), ({"expiring_within": "30"}, [second]),
        ({"expiring_within": "36h"}, []), ({"type": "custom"}, [first, second, bundle]),
        ({"type": "gateway_managed"}, []),
        ({"page": 2, "per_page": 2}, [bundle]), ({"page": 3, "per_page": 2}, []),
    ):
        assert vault.listed(**params) == expected, params
    for wrong in ({"ca": "x"}, {"primary": "2"}, {"expiring_within": "soon"}, {"page": 0}):
        assert vault.call("GET", vault.path(), params=wrong).status_code == 400, wrong


def primaries(vault):
    return [one["id"] for one in vault.listed() if one["primary"]]


def test_a_new_primary_demotes_the_one_before(vault):
    first, second = keep(vault, 0, primary=True), keep(vault, 1)
    assert primaries(vault) == [first["id"]]
    kept(vault.edit(second["id"], primary=True))
    assert primaries(vault) == [second["id"]]
    third = keep(vault, 2, primary=True)
    assert primaries(vault) == [third["id"]]
    kept(vault.edit(third["id"], primary=True))
    assert primaries(vault) == [third["id"]]
    kept(vault.edit(first["id"], primary=False))
    assert primaries(vault) == [third["id"]]
    kept(vault.remove(third["id"]))
    assert primaries(vault) == [], "nothing takes its place by itself"


def test_many_who_make_a_primary_at_once_leave_exactly_one(vault):
    made = [keep(vault, number)["id"] for number in range(6)]
    held = [pki.client(name=f"racer-{number}") for number in range(4)]
    start, wrong = threading.Barrier(10), []

    def promote(number):
        client = Identities(vault.server, vault.account, vault.token)
        start.wait()
        for turn in range(8):
            answer = client.edit(made[(number + turn) % 6], primary=True)
            if answer.status_code != 200 or not answer.json()["result"]["primary"]:
                wrong.append(answer.text)
            if len(primaries(client)) != 1:
                wrong.append("a list with another number of primaries than one")

    def add(number):
        client = Identities(vault.server, vault.account, vault.token)
        start.wait()
        answer = client.upload(certificates=held[number].certificate, private_key=held[number].key, primary=True)
        if answer.status_code != 200:
            wrong.append(answer.text)

    kept(vault.edit(made[0], primary=True))
    threads = [threading.Thread(target=promote, args=[number]) for number in range(6)]
    threads += [threading.Thread(target=add, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(primaries(vault)) == 1
    assert vault.match("anywhere.example")["choice"]["id"] == primaries(vault)[0]


# which one is presented


def ranked(vault, host):
    """The choice and the runners-up as (id, reason, pattern)."""
    found = vault.match(host)
    return [(one["id"], one["reason"], one["pattern"]) for one in [found["choice"], *found["runners_up"]] if one]


@pytest.mark.one_process(reason="the other replica chooses by it within a second")
def test_a_full_host_beats_patterns_and_the_newest_wins_in_its_class(vault):
    hosts = [["www.acme.com"], ["*.acme.com"], ["www.acme.com", "x.example"], ["w*.acme.com"], ["other.example"],
             ["{www,api}.acme.com"]]
    ids = [keep(vault, number, hosts=patterns)["id"] for number, patterns in enumerate(hosts)]
    primary = keep(vault, 6, primary=True)["id"]
    assert ranked(vault, "www.acme.com") == [
        (ids[2], "host_name", "www.acme.com"), (ids[0], "host_name", "www.acme.com"),
        (ids[5], "host_pattern", "{www,api}.acme.com"), (ids[3], "host_pattern", "w*.acme.com"),
        (ids[1], "host_pattern", "*.acme.com"), (primary, "primary", None)]
    assert ranked(vault, "api.acme.com") == [
        (ids[5], "host_pattern", "{www,api}.acme.com"), (ids[1], "host_pattern", "*.acme.com"),
        (primary, "primary", None)]
    assert ranked(vault, "a.b.acme.com") == [(ids[1], "host_pattern", "*.acme.com"), (primary, "primary", None)]
    assert ranked(vault, "acme.com") == ranked(vault, "nowhere.example") == [(primary, "primary", None)]
    kept(vault.remove(ids[2]))
    assert ranked(vault, "www.acme.com")[0] == (ids[0], "host_name", "www.acme.com")
    kept(vault.edit(ids[0], hosts=["elsewhere.example"]))
    assert ranked(vault, "www.acme.com")[0] == (ids[5], "host_pattern", "{www,api}.acme.com")
    kept(vault.edit(primary, primary=False))
    assert ranked(vault, "nowhere.example") == []


def test_a_primary_that_matches_by_itself_is_ranked_by_its_host(vault):
    primary = keep(vault, 0, primary=True, hosts=["www.acme.com"])["id"]
    newer = keep(vault, 1, hosts=["*.acme.com"])["id"]
    assert ranked(vault, "www.acme.com") == [
        (primary, "host_name", "www.acme.com"), (newer, "host_pattern", "*.acme.com")]
    assert ranked(vault, "x.acme.com") == [(newer, "host_pattern", "*.acme.com"), (primary, "primary", None)]


@pytest.mark.parametrize(("pattern", "host", "as_matched"), [
    ("www.acme.com", "WWW.Acme.COM", "www.acme.com"),
    ("WWW.ACME.COM", "www.acme.com", "www.acme.com"),
    ("www.acme.com", "www.acme.com.", "www.acme.com"),
    ("www.acme.com.", "www.acme.com", "www.acme.com"),
    ("*.ACME.com.", "A.acme.COM.", "a.acme.com"),
    ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "BÜCHER.example", "xn--bcher-kva.example"),
    ("*.bücher.example", "www.xn--bcher-kva.example", "www.xn--bcher-kva.example"),
    ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ("[::1]", "::1", "::1"),
    ("::1", "[0:0::1]", "::1"),
    (" www.acme.com ", "www.acme.com", "www.acme.com"),
])
def test_hosts_match_whatever_their_case_final_dot_and_alphabet(vault, pattern, host, as_matched):
    made = keep(vault, hosts=[pattern])
    found = vault.match(host)
    assert found["host"] == as_matched
    assert found["choice"] and found["choice"]["id"] == made["id"] and found["choice"]["pattern"] == pattern.strip()


@pytest.mark.parametrize("host", ["", " ", "https://www.acme.com", "www.acme.com:443", "www.acme.com/x", "*.acme.com",
                                  "a b", "user@a.example", "a..b", "a" * 300, "a\0b", "0177.1", "1.2.3.4.5", "[::1"])
def test_what_is_no_host_is_400(vault, host):
    answer = vault.call("GET", vault.path("/match"), params={"host": host})
    assert (answer.status_code, codes(answer)) == (400, [1400])


def test_a_match_without_a_host_is_400(vault):
    assert vault.call("GET", vault.path("/match")).status_code == 400


@pytest.mark.parametrize("pattern", ["*", "*acme.com", "*.com", "www.*", "{a}.example"])
def test_patterns_that_reach_strangers_or_nobody_are_kept_with_a_warning(vault, pattern):
    held = pki.client()
    answer = vault.upload(certificates=held.whole_chain, private_key=held.key, hosts=[pattern])
    assert answer.status_code == 200 and any(pattern in message for message in messages(answer)), answer.text
    assert messages(vault.edit(answer.json()["result"]["id"], hosts=[pattern])) != []


def test_a_pattern_that_stands_twice_counts_once(vault):
    made = keep(vault, hosts=["a.example", "b.example", "a.example"])
    assert made["hosts"] == ["a.example", "b.example"]


def test_among_ten_thousand_identities_the_right_one_is_chosen(make_server):
    server = make_server().start()
    vault = Identities.of_new_account(server)
    keep(vault, hosts=["seed.example"])
    server.stop()
    hosts = {7000: ["full.example"]}
    copy_identities(server, lambda number: hosts.get(number, [f"*.{number}.example", "w*.full.example"]))
    server.start()
    # The newest comes last: of those that match alike it is the choice.
    for host, name, reason, pattern in (
        ("a.1.example", "copy 1", "host_pattern", "*.1.example"),
        ("a.b.10000.example", "copy 10000", "host_pattern", "*.10000.example"),
        ("A.5432.Example.", "copy 5432", "host_pattern", "*.5432.example"),
        ("full.example", "copy 7000", "host_name", "full.example"),
        ("www.full.example", "copy 10000", "host_pattern", "w*.full.example"),
        ("seed.example", "client-0", "host_name", "seed.example"),
    ):
        found = vault.match(host)["choice"]
        assert (found["name"], found["reason"], found["pattern"]) == (name, reason, pattern)
    assert vault.match("a.10001.example")["choice"] is None
    followers = [one["name"] for one in vault.match("www.full.example")["runners_up"]]
    assert followers == [f"copy {number}" for number in range(9999, 9899, -1)], "at most a hundred are told"
    for number in (1, 9999):
        [one] = vault.listed(name=f"copy {number}")
        assert one["hosts"][0] == f"*.{number}.example"


def copy_identities(server, hosts_of):
    """Copies the only identity of a server that is stopped ten thousand times, each with hosts of its own."""
    connection = server.database(writable=True)
    asked = connection.execute("select * from identities")
    columns, [row] = [column[0] for column in asked.description], asked.fetchall()
    first = int.from_bytes(row[columns.index("id")])

    def copy(number):
        changed = {"id": (first + number).to_bytes(16), "name": f"copy {number}", "hosts": json.dumps(hosts_of(number))}
        return [changed.get(column, value) for column, value in zip(columns, row)]

    places = ", ".join("?" for _ in columns)
    connection.execute("begin")
    connection.executemany(f"insert into identities values ({places})", map(copy, range(1, 10_001)))
    connection.execute("commit")
    connection.close()
