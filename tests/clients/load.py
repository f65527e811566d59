"""Load, and the memory of what it was told: threads that issue, revoke and reactivate without ever trying again, and
observers that read the CRL all the time. `integrity.check` holds the servers to what is remembered here."""

import http.client
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api import crl_number
from crowd import Crowd

# The server ends connections that have been idle for 75 s: those that are nearly so are not used again, so that every cut is
# a fault of the server.
REUSED_WITHIN = 60
ANSWERS_WITHIN = 60
PAUSE = 0.02


@dataclass
class Answer:
    """What a request was answered with; without a status when the connection was cut."""

    server: object
    method: str
    at: float
    status: int | None
    body: dict | None = None
    headers: dict = field(default_factory=dict)


class Client:
    """One connection to one server, kept while it can be. Nothing is ever sent twice."""

    def __init__(self, server, patience=ANSWERS_WITHIN):
        self.server, self.patience = server, patience
        self.connection, self.used = None, 0

    def ask(self, method, path, body=None, headers=None):
        if self.connection and time.monotonic() - self.used > REUSED_WITHIN:
            self.close()
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=self.patience)
        headers = {"Authorization": f"Bearer {self.server.token}", **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            read = answer.read()
        except TimeoutError:
            self.close()
            raise AssertionError(f"{method} {path} was not answered within {self.patience} s") from None
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(self.server, method, time.monotonic(), None)
        self.used = time.monotonic()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(self.server, method, self.used, answer.status, json.loads(read), found)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Load(Crowd):
    """Runs for the length of a `with` block. Any answer but success, or 503 with Retry-After, ends its thread with a fault;
    so does a cut connection, unless the servers are to be killed (`expects_cuts`)."""

    def __init__(self, installation, workers=6, expects_cuts=False, revokes=True):
        super().__init__()
        self.installation, self.expects_cuts, self.revokes = installation, expects_cuts, revokes
        self.path = f"/client/v4/zones/{installation.zone.zone}/client_certificates"
        self.authority = installation.authority
        self.issued = {}  # id -> the certificate as POST answered it
        # id -> True when the request was answered with success, None when its outcome is not known.
        self.revocations, self.reactivations = {}, {}
        self.answers = []
        self.crls = {}  # number -> the bytes of the CRL
        self.seen = {server.port: [] for server in installation.servers}  # CRL numbers in the order of reading
        for number in range(workers):
            self.add(self.work, number)
        for server in installation.servers:
            self.add(self.observe, server)

    # what the test waits for

    def count(self, status=200, since=0, server=None):
        return sum(answer.status == status and answer.at >= since and server in (None, answer.server)
                   for answer in list(self.answers))

    def wait_for(self, count, status=200, server=None, method="POST"):
        """Until so many more requests were answered so, all of them after this call."""
        since = time.monotonic()
        deadline = since + ANSWERS_WITHIN

        def found():
            return sum(a.status == status and a.at >= since and server in (None, a.server) and a.method == method
                       for a in list(self.answers))

        while (have := found()) < count:
            assert not self.faults, self.faults
            assert time.monotonic() < deadline, (
                f"{have} instead of {count} answers {status} within {ANSWERS_WITHIN} s: {self.tally(since)}")
            time.sleep(PAUSE)

    def tally(self, since=0):
        return Counter((answer.method, answer.status) for answer in list(self.answers) if answer.at >= since)

    # what the threads do

    def work(self, number):
        chance = random.Random(number)
        clients = [Client(server) for server in self.installation.servers]
        standing, revoked = [], []
        while not self.stopped.is_set():
            made = self.ask(chance.choice(clients), "POST", "", {"csr": distinct(f"load-{number}"), "validity_days": 365})
            if made.status == 200:
                result = made.body["result"]
                self.issued[result["id"]] = result
                standing.append(result["id"])
            if self.revokes and standing and chance.random() < 0.4:
                chosen = standing.pop(chance.randrange(len(standing)))
                self.revocations[chosen] = None
                if self.ask(chance.choice(clients), "DELETE", f"/{chosen}").status == 200:
                    self.revocations[chosen] = True
                    revoked.append(chosen)
            if revoked and chance.random() < 0.2:
                self.reactivate_one(chance, clients, revoked)
        for client in clients:
            client.close()

    def reactivate_one(self, chance, clients, revoked):
        chosen = revoked[0]
        found = self.ask(chance.choice(clients), "GET", f"/{chosen}")
        if found.status != 200 or found.body["result"]["status"] != "revoked":
            return
        revoked.pop(0)
        self.reactivations[chosen] = None
        if self.ask(chance.choice(clients), "PATCH", f"/{chosen}", {"reactivate": True}).status == 200:
            self.reactivations[chosen] = True

    def ask(self, client, method, path, body=None):
        answer = client.ask(method, self.path + path, body)
        self.answers.append(answer)
        if answer.status is None:
            assert self.expects_cuts, f"{method} {path} was cut off\n{client.server.output()}"
            self.stopped.wait(PAUSE)
        elif answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0, answer
            self.stopped.wait(PAUSE)
        else:
            assert answer.status == 200, answer
        return answer

    def observe(self, server):
        with httpx.Client(timeout=ANSWERS_WITHIN) as reader:
            while True:
                self.observe_once(server, reader)
                if self.stopped.wait(PAUSE):
                    return

    def observe_once(self, server, reader):
        try:
            answer = reader.get(f"{server.url}/pki/{self.authority}/crl")
        except httpx.TransportError:
            return  # what may be cut is judged by `ask`
        if answer.status_code != 200:
            assert answer.status_code == 503, answer
            return
        number = crl_number(x509.load_der_x509_crl(answer.content))
        assert self.crls.setdefault(number, answer.content) == answer.content, f"two CRLs with number {number}"
        self.seen[server.port].append(number)


def distinct(name, key=None):
    """A request with a key of its own."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
