"""A plain HTTP client of one account's identities and checks."""

import functools
import secrets
import time

import identity_pki as pki
from api import Api

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


class Identities(Api):
    """The identities and checks of an account, by a token that may do everything in it."""

    def __init__(self, server, account, token, headers=None):
        super().__init__(server, token=token, headers=headers)
        self.account, self.token = account, token

    @classmethod
    def of_new_account(cls, server):
        made = administrator(server).result("POST", "/accounts", json={"name": f"account-{secrets.token_hex(6)}"})
        return cls(server, made["id"], made["token"])

    def with_token(self, *permissions):
        """The same account by a token with these permissions only."""
        made = self.result("POST", f"/accounts/{self.account}/tokens",
                           json={"name": "test", "permissions": list(permissions)})
        return Identities(self.server, self.account, made["value"])

    # identities

    def path(self, rest=""):
        return f"/accounts/{self.account}/mtls_certificates{rest}"

    def upload(self, **body):
        return self.call("POST", self.path(), json=body)

    def keep(self, **body):
        return kept(self.upload(**body))

    def keep_held(self, held, **body):
        """Keeps a certificate of `identity_pki` with its chain and key; its servers are verified by its root."""
        return self.keep(certificates=held.whole_chain, private_key=held.key, trusted_ca=held.root, **body)

    def listed(self, **params):
        return self.result("GET", self.path(), params=params)

    def show(self, identity):
        return self.result("GET", self.path(f"/{identity}"))

    def edit(self, identity, **body):
        return self.call("PATCH", self.path(f"/{identity}"), json=body)

    def replace(self, identity, **body):
        return self.call("PUT", self.path(f"/{identity}"), json=body)

    def remove(self, identity, **params):
        return self.call("DELETE", self.path(f"/{identity}"), params=params)

    def uses(self, identity):
        return self.result("GET", self.path(f"/{identity}/associations"))

    def match(self, host):
        return self.result("GET", self.path("/match"), params={"host": host})

    def request(self, url, **body):
        """A call made once by the server."""
        return self.result("POST", self.path("/request"), json={"url": url, **body})

    # checks

    def check_path(self, rest=""):
        return f"/accounts/{self.account}/checks{rest}"

    def define(self, **body):
        return self.call("POST", self.check_path(), json=body)

    def check(self, url, name="check", **body):
        return kept(self.define(name=name, url=url, **body))

    def show_check(self, check):
        return self.result("GET", self.check_path(f"/{check}"))

    def run(self, check):
        return self.result("POST", self.check_path(f"/{check}/run"))

    def runs(self, check, **params):
        return self.result("GET", self.check_path(f"/{check}/runs"), params=params)

    def wait_for_runs(self, check, count, within=30):
        deadline = time.monotonic() + within
        while len(runs := self.runs(check)) < count:
            assert time.monotonic() < deadline, f"{len(runs)} runs after {within} s, not {count}"
            time.sleep(0.05)
        return runs

    # what the database holds

    def audit(self, action=None):
        """The account's audit events as (action, subject, result, detail), oldest first."""
        query = "select action, subject, result, detail from audit_events where account_id = ? order by id"
        rows = self.rows(query, bytes.fromhex(self.account))
        return [row for row in rows if action in (None, row[0])]

    def report_rows(self, check):
        """The reports of a check's runs, as they are stored."""
        query = "select report from check_runs where check_id = ?"
        return [report for (report,) in self.rows(query, bytes.fromhex(check.replace("-", "")))]

    def rows(self, query, *parameters):
        connection = self.server.database()
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()


@functools.cache
def administrator(server):
    return Api(server)


def kept(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def messages(answer):
    return [entry["message"] for entry in answer.json()["messages"]]


def faults(answer):
    """Each fault as (pointer, message)."""
    return [(entry.get("source", {}).get("pointer", ""), entry["message"]) for entry in answer.json()["errors"]]


def keep(vault, number=0, **body):
    """An identity with a certificate of its own."""
    held = pki.client(name=f"client-{number}")
    return vault.keep(certificates=held.whole_chain, private_key=held.key, **body)
