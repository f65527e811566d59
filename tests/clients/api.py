"""A plain HTTP client of one zone; it checks the envelope of every answer that it sees."""

import re
import secrets
import time
from datetime import UTC, datetime

import httpx
import pytest
from cryptography import x509

CERTIFICATE_FIELDS = [
    "id", "certificate_authority", "certificate", "csr", "ski", "serial_number", "signature", "common_name",
    "organization", "organizational_unit", "country", "state", "location", "expires_on", "issued_on",
    "fingerprint_sha256", "status", "validity_days",
]
EXTRA_FIELDS = ["serial_number_hex", "revocation", "receipt", "sans", "profile"]
STATUSES = {"active", "pending_reactivation", "pending_revocation", "revoked"}
SETTLES_WITHIN = 60
NUL = pytest.param("%00", marks=pytest.mark.one_process(reason="nginx refuses NUL by itself"))


class Api:
    def __init__(self, server, token=None, zone=None, headers=None):
        self.server = server
        if headers is None:
            headers = {"Authorization": f"Bearer {token or server.token}"}
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=60, transport=Repeating(server.retries))
        self.zone = zone

    def call(self, method, path, **arguments):
        """A request under /client/v4, its envelope checked."""
        answer = self.http.request(method, f"/client/v4{path}", **arguments)
        check_envelope(answer)
        return answer

    def result(self, method, path, **arguments):
        answer = self.call(method, path, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    # zones, accounts and tokens

    def default_zone(self):
        [zone] = self.result("GET", "/zones", params={"name": "default"})
        return zone

    def create_zone(self, name, **body):
        return self.result("POST", "/zones", json={"name": name, **body})

    def create_token(self, permissions, name="test", **body):
        account = self.default_zone()["account"]["id"]
        return self.result("POST", f"/accounts/{account}/tokens", json={"name": name, "permissions": permissions, **body})

    def in_zone(self, zone):
        return Api(self.server, zone=zone, headers=dict(self.http.headers))

    # certificates

    def path(self, certificate_id=""):
        return f"/zones/{self.zone}/client_certificates" + (f"/{certificate_id}" if certificate_id else "")

    def post(self, csr, days=365, headers=None, **extra):
        return self.call("POST", self.path(), json={"csr": csr, "validity_days": days, **extra}, headers=headers)

    def issue(self, csr, days=365, **extra):
        answer = self.post(csr, days, **extra)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def get(self, certificate_id):
        return self.result("GET", self.path(certificate_id))

    def patch(self, certificate_id, **arguments):
        return self.call("PATCH", self.path(certificate_id), **arguments)

    def delete(self, certificate_id, reason=None):
        params = {"reason": reason} if reason else None
        return self.call("DELETE", self.path(certificate_id), params=params)

    def list(self, **params):
        return self.call("GET", self.path(), params=params)

    def ids(self, **params):
        answer = self.list(**params)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["result"]]

    def total(self, **params):
        return self.list(**params).json()["result_info"]["total_count"]

    def everything(self, **params):
        """All certificates of the zone, page after page until the empty one."""
        found, page = [], 1
        while batch := self.list(page=page, per_page=1000, **params).json()["result"]:
            found += batch
            page += 1
        return found

    def wait_for(self, certificate_id, status):
        return self.wait_until(certificate_id, lambda certificate: certificate["status"] == status, status)

    def wait_until(self, certificate_id, done, what):
        deadline = time.monotonic() + SETTLES_WITHIN
        while not done(certificate := self.get(certificate_id)):
            assert time.monotonic() < deadline, f"not {what} after {SETTLES_WITHIN} s: {certificate}"
            time.sleep(0.02)
        return certificate

    def revoke(self, certificate_id, reason=None):
        answer = self.delete(certificate_id, reason)
        assert answer.status_code == 200, answer.text
        return self.wait_for(certificate_id, "revoked")

    def reactivate(self, certificate_id):
        answer = self.patch(certificate_id, json={"reactivate": True})
        assert answer.status_code == 200, answer.text
        return self.wait_for(certificate_id, "active")

    # authorities and what they publish

    def authorities(self):
        """The zone's authorities: issuing first, then the root."""
        return self.result("GET", f"/zones/{self.zone}/certificate_authorities")

    def bundle(self, form="pem"):
        answer = self.http.get(f"/client/v4/zones/{self.zone}/certificate_authorities/bundle", params={"format": form})
        assert answer.status_code == 200, answer.text
        return answer

    def crl_der(self, authority_id=None):
        authority_id = authority_id or self.authorities()[0]["id"]
        answer = httpx.get(f"{self.server.url}/pki/{authority_id}/crl", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.content

    def crl(self, authority_id=None):
        return x509.load_der_x509_crl(self.crl_der(authority_id))

    def chain_crls(self):
        """The CRLs of issuing authority and root, in one PEM."""
        answers = [httpx.get(f"{self.server.url}/pki/{a['id']}/crl.pem", timeout=60) for a in self.authorities()]
        assert all(answer.status_code == 200 for answer in answers)
        return "".join(answer.text for answer in answers)


class Repeating(httpx.HTTPTransport):
    """Repeats what was not answered, as the SDKs do: after a growing pause, an issuance under one Idempotency-Key."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def handle_request(self, request):
        if self.times and request.method == "POST" and request.url.path.endswith("/client_certificates"):
            request.headers.setdefault("Idempotency-Key", secrets.token_hex(16))
        for attempt in range(self.times):
            try:
                answer = super().handle_request(request)
            except httpx.TransportError:
                pass
            else:
                if answer.status_code not in (429, 502, 503, 504):
                    return answer
                answer.close()
            time.sleep(0.25 * 2**attempt)
        return super().handle_request(request)


def check_envelope(answer):
    assert answer.headers.get("content-type", "").split(";")[0] == "application/json", answer.headers
    body = answer.json()
    assert {"success", "errors", "messages", "result"} <= set(body) <= {
        "success", "errors", "messages", "result", "result_info"}, body
    for entry in body["errors"] + body["messages"]:
        assert isinstance(entry["code"], int) and 1000 <= entry["code"] <= 65535, entry
        assert isinstance(entry["message"], str) and entry["message"], entry
    if answer.is_success:
        assert body["success"] is True and body["errors"] == [], body
    else:
        assert 400 <= answer.status_code < 600, answer.status_code
        assert body["success"] is False and body["result"] is None and body["errors"], body
    if answer.status_code in (429, 503):
        assert "retry-after" in answer.headers


def codes(answer):
    return [entry["code"] for entry in answer.json()["errors"]]


def pointers(answer):
    return {entry["source"]["pointer"] for entry in answer.json()["errors"] if entry.get("source")}


def moment(text):
    """A time in the one format of the contract."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def crl_number(crl):
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def listed_serials(crl):
    return {entry.serial_number for entry in crl}


def listed_reason(crl, certificate):
    entry = crl.get_revoked_certificate_by_serial_number(int(certificate["serial_number"]))
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return x509.ReasonFlags.unspecified
