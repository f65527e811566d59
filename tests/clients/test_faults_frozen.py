"""A PostgreSQL that is frozen, its connections open, or away: nobody is kept waiting, CRLs age all the same, and it heals by
itself."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import integrity
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from installation import ONCE
from load import Load

pytestmark = ONCE
# Far more than the server takes to give up, and less than for ever.
PATIENCE = 60
# More than there are connections.
ASKED = 20


def test_a_postgresql_that_is_frozen_keeps_nobody_waiting(install, make_cluster, tmp_path):
    cluster = make_cluster().start()
    installation = install(cluster).start()
    server, zone = installation.server, installation.zone
    issuer = x509.load_pem_x509_certificate(zone.authorities()[0]["certificate"].encode())
    with Load(installation) as load:
        load.wait_for(20)
        certificate = next(iter(load.issued.values()))
        assert ocsp_says(server, certificate, issuer) == "SUCCESSFUL"
        cluster.freeze()
        try:
            with ThreadPoolExecutor(ASKED) as askers:
                said = list(askers.map(lambda _: ocsp_says(server, certificate, issuer), range(ASKED)))
            assert set(said) == {"TRY_LATER"}
            read = zone.http.get(f"/client/v4{zone.path(certificate['id'])}", timeout=PATIENCE)
            assert (read.status_code, read.headers["retry-after"]) == (503, "1")
            assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 503
            assert httpx.get(f"{server.url}/healthz", timeout=PATIENCE).status_code == 200
        finally:
            cluster.thaw()
        eventually("it answers again", lambda: ocsp_says(server, certificate, issuer) == "SUCCESSFUL")
        eventually("it is ready again", lambda: httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 200)
        load.wait_for(20)
    integrity.check(installation, load, tmp_path)


def test_crls_age_also_while_the_database_is_away(install, make_cluster):
    """Then most of all somebody watches how long they last."""
    cluster = make_cluster().start()
    server = install(cluster).start().server
    cluster.kill()
    names = ["countersign_crl_age_seconds", "countersign_crl_next_update_seconds"]
    age, left = (gauge(server, name) for name in names)
    eventually("they age", lambda: gauge(server, names[0]) > age and gauge(server, names[1]) < left)


def ocsp_says(server, certificate, issuer):
    """The status of the answer as a whole."""
    leaf = x509.load_pem_x509_certificate(certificate["certificate"].encode())
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build().public_bytes(Encoding.DER)
    answer = httpx.post(f"{server.url}/pki/{certificate['certificate_authority']['id']}/ocsp", content=request,
                        headers={"content-type": "application/ocsp-request"}, timeout=PATIENCE)
    return ocsp.load_der_ocsp_response(answer.content).response_status.name


def gauge(server, name):
    return float(re.search(rf"(?m)^{name} (\S+)$", httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text)[1])


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
