"""`countersign migrate --from … --to …`: an installation moves from one kind of database into the other, whole."""

import json
import signal
import subprocess
import time
from contextlib import closing

import httpx
import pytest

import csr
import server as server_module
from api import crl_number
from databases import Postgres, Sqlite
from judges import Chain
from test_backup import Installation, newest_event, numbers

# It takes both kinds, whichever the others run on.
pytestmark = pytest.mark.only_on("sqlite", reason="a move has a database of each kind")

# Rows that nobody asks for, so that a move takes a while.
MANY = 150_000


@pytest.fixture
def here(make_server, tmp_path):
    return Installation(make_server, store=Sqlite(tmp_path / "here"))


@pytest.fixture
def there(make_server, here):
    """On PostgreSQL, with the key and the token of the other one."""
    store = Postgres()
    yield Installation(make_server, store=store, token=here.server.token, COUNTERSIGN_MASTER_KEY_FILE=key_of(here))
    store.clean_up()


@pytest.fixture
def back(make_server, here, tmp_path):
    return Installation(make_server, store=Sqlite(tmp_path / "back"), token=here.server.token,
                        COUNTERSIGN_MASTER_KEY_FILE=key_of(here))


@pytest.fixture
def password():
    return Postgres.cluster().password


def key_of(installation):
    return str(installation.server.data / "master.key")


def filled(installation):
    """An installation with something of everything."""
    api = installation.start()
    certificates = [api.issue(csr.fresh()) for _ in range(12)]
    for certificate in certificates[:4]:
        api.delete(certificate["id"])
    for certificate in certificates[:4]:
        api.wait_until(certificate["id"], lambda c: c["status"] == "revoked", "revoked")
    api.create_zone("second")
    api.create_token(["client_certificates:read"], name="größer")
    api.result("POST", f"/zones/{api.zone}/webhooks", json={"name": "w", "url": "https://off.example/", "enabled": False})
    return api, certificates


# Sessions of the console do not move: people sign in again.
LEFT_BEHIND = {"sessions", "spent_forms"}


def rows(installation):
    """How many there are in each table that holds data and moves."""
    return {n: c for n, c in installation.server.row_counts().items()
            if not n.startswith(("sqlite_", "__", "countersign_")) and n not in LEFT_BEHIND}


def move(one, other):
    return one.json("migrate", "--from", one.store.url, "--to", other.store.url)


def refused(one, other):
    return one.fails("migrate", "--from", one.store.url, "--to", other.store.url)


def test_an_installation_moves_to_postgres_and_goes_on_there(here, there, password, tmp_path):
    api, certificates = filled(here)
    seen, event_seen, before = numbers(api), newest_event(api), api.everything()
    here.server.stop()
    kept = rows(here)
    moved = move(here, there)
    assert password not in json.dumps(moved)
    assert {t["table"]: t["rows"] for t in moved["tables"]} == kept == rows(there)
    assert moved["rows"] == sum(kept.values()) and moved["continued_after"] == 0
    assert kept["certificates"] == 12 and kept["revocations"] == 4 and kept["webhooks"] == 1

    api = there.start()
    assert sorted(api.everything(), key=lambda c: c["id"]) == sorted(before, key=lambda c: c["id"])
    assert numbers(api) == seen
    fresh, revoked = api.issue(csr.fresh()), certificates[5]
    api.delete(revoked["id"])
    settled = api.wait_until(revoked["id"], lambda c: c["status"] == "revoked", "revoked")
    assert settled["receipt"]["crl_number"] == seen[settled["certificate_authority"]["id"]] + 1
    assert newest_event(api) > event_seen
    chain = Chain(tmp_path, api)
    chain.openssl_verify(chain.write("fresh.pem", fresh["certificate"]),
                         chain.write("old.pem", certificates[9]["certificate"]), crls=True)
    assert chain.openssl_says_revoked(chain.write("revoked.pem", revoked["certificate"]))
    # Two that sign for the same authorities: never.
    said = here.server.refuses_to_start()
    assert "was moved to postgres://127.0.0.1" in said and password not in said
    assert "holds an installation already" in refused(here, there)


def test_an_installation_moves_back(here, there, back):
    filled(here)
    here.server.stop()
    move(here, there)
    api = there.start()
    made, seen = api.issue(csr.fresh()), newest_event(api)
    assert "Stop every replica first" in refused(there, back)
    there.server.stop()
    moved = move(there, back)
    assert {t["table"]: t["rows"] for t in moved["tables"]} == rows(back)
    api = back.start()
    assert api.get(made["id"])["certificate"] == made["certificate"]
    api.issue(csr.fresh())
    assert newest_event(api) > seen
    assert "was moved to" in there.server.refuses_to_start()


def test_authorities_move_in_whatever_order_they_are_stored(here, there):
    """More of them than go in one batch, and each before its root: so a move from PostgreSQL leaves them, by their ids."""
    here.start()
    here.server.stop()
    with closing(here.server.database(writable=True)) as database:
        names = [row[1] for row in database.execute("PRAGMA table_info(authorities)")]
        copied = lambda **others: ", ".join(others.get(name, name) for name in names)
        database.execute(f"INSERT INTO authorities SELECT {copied(id='randomblob(16)', parent_id='zeroblob(16)')} FROM "
                         "authorities, (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2500) SELECT n "
                         "FROM c) WHERE parent_id IS NOT NULL")
        database.execute(f"INSERT INTO authorities SELECT {copied(id='zeroblob(16)')} FROM authorities WHERE parent_id IS NULL")
    moved = move(here, there)
    assert {t["table"]: t["rows"] for t in moved["tables"]}["authorities"] == 2503 == rows(there)["authorities"]


def test_replicas_that_are_called_otherwise_are_seen(here, there, back):
    filled(here)
    here.server.stop()
    move(here, there)
    there.server.settings["COUNTERSIGN_DATABASE_URL"] = f"{there.store.url}?application_name=ca-1"
    api = there.start()
    said = refused(there, back)
    assert "Stop every replica first" in said and "ca-1" in said
    # Nothing has happened to it; and who was killed is not there any more.
    api.issue(csr.fresh())
    there.server.kill()
    move(there, back)


def test_nobody_gets_at_a_database_that_is_being_moved_or_was(here, there, back, make_server):
    filled(here)
    here.server.stop()
    move(here, there)
    api = there.start()
    other = make_server(store=there.store, token=there.server.token, COUNTERSIGN_MASTER_KEY_FILE=key_of(here))
    cluster, name = there.store.cluster(), there.store.database
    # A replica that is cut off for a while, and not gone.
    there.server.process.send_signal(signal.SIGSTOP)
    cluster.psql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    with closing(there.server.database(writable=True)) as database:
        database.execute("BEGIN")
        database.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen([server_module.BINARY, "migrate", "--from", there.store.url, "--to", back.store.url],
                                   cwd=there.server.folder, env=there.server.environment(), stdout=subprocess.DEVNULL)
        cluster.wait_for(f"select count(*) from pg_stat_activity where datname = '{name}' and wait_event_type = 'Lock'", "1")
        # In the middle of it.
        process.send_signal(signal.SIGSTOP)
    try:
        before = rows(there)
        there.server.process.send_signal(signal.SIGCONT)
        assert_serves_nobody(there, api)
        assert "is being moved away" in other.refuses_to_start()
        assert rows(there) == before
    finally:
        process.send_signal(signal.SIGCONT)
        assert process.wait(120) == 0
    # And afterwards it meets the notice.
    assert_serves_nobody(there, api)
    assert "was moved to" in other.refuses_to_start()
    assert rows(there) == before == rows(back)
    assert back.start().total() == 12


def assert_serves_nobody(installation, api):
    assert installation.server.alive()
    assert api.post(csr.fresh(), 30).status_code == 503
    assert httpx.get(f"{installation.server.url}/readyz", timeout=30).status_code == 503


@pytest.mark.timeout(600)
def test_a_move_that_is_killed_goes_on(here, there):
    filled(here)
    here.server.stop()
    here.server.tamper(f"""
        INSERT INTO audit_events SELECT randomblob(16), n, (SELECT id FROM accounts), NULL, NULL, 'system', '', 'filler',
        hex(randomblob(16)), 0, '' FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {MANY})
        SELECT n FROM c)""")
    kept = rows(here)
    command = [server_module.BINARY, "migrate", "--from", here.store.url, "--to", there.store.url]
    copied = 0
    for _ in range(3):
        process = subprocess.Popen(command, cwd=here.server.folder, env=here.server.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        more = wait_for_more(there, process, copied)
        process.kill()
        process.wait()
        process.stderr.close()
        copied = more
        # Half an installation is served by nobody.
        assert "goes on where it stopped" in there.server.refuses_to_start()
    moved = move(here, there)
    assert moved["continued_after"] >= copied > 0
    assert {t["table"]: t["rows"] for t in moved["tables"]} == kept == rows(there)
    assert there.start().total() == 12


def wait_for_more(there, process, copied):
    """Waits until the move has come further, and says how far."""
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, (process.returncode, process.stderr.read())
        assert time.monotonic() < deadline
        with closing(there.server.database()) as database:
            if "audit_events" in there.store.tables():
                [(now,)] = database.execute("SELECT count(*) FROM audit_events").fetchall()
                if now > copied:
                    return now
        time.sleep(0.01)


def test_a_source_that_is_served_and_a_target_that_is_taken_are_left_alone(here, there, password):
    api, _ = filled(here)
    said = refused(here, there)
    assert "another countersign is using" in said
    api.issue(csr.fresh())
    here.server.stop()
    # Somebody else's.
    there.server.settings["COUNTERSIGN_MASTER_KEY_FILE"] = None
    there.start().issue(csr.fresh())
    there.server.stop()
    before = rows(there)
    said = refused(here, there)
    assert "holds an installation already" in said and password not in said
    assert rows(there) == before
    here.start().issue(csr.fresh())


def test_what_cannot_be_moved_is_said(here, there):
    said = refused(here, there)
    assert "there is no database" in said and not here.store.path.exists()
    assert "of one kind" in here.fails("migrate", "--from", here.store.url, "--to", "sqlite:other.db")
    assert "known scheme" in here.fails("migrate", "--from", "mysql://x/y", "--to", there.store.url)
    assert "--from" in here.fails("migrate", "--to", there.store.url)
    api = here.start()
    here.server.stop()
    nowhere = f"postgres://me:secret@127.0.0.1:{server_module.free_port()}/x"
    said = here.fails("migrate", "--from", here.store.url, "--to", nowhere)
    assert "cannot be used as a database" in said and "secret" not in said
    # Nothing has happened to it.
    here.server.start()
    assert crl_number(api.crl()) >= 1
