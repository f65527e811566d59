"""schemathesis reads /openapi.json and attacks: no 5xx, and every answer is as the document says."""

import json
import pathlib
import subprocess
import sys

import httpx

SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "response_headers_conformance,allow_header_conformance")
CONFIGURATION = """
[parameters]
"path.zone_id" = "{zone}"
"path.account_id" = "{account}"
"path.authority_id" = "{authority}"
"path.certificate_authority_id" = "{authority}"
"path.client_certificate_id" = "{certificate}"
"""


def test_every_answer_conforms_to_the_document(own_zone, request_pem, tmp_path):
    certificate = own_zone.issue(request_pem)["id"]
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(
        zone=own_zone.zone, account=own_zone.default_zone()["account"]["id"],
        authority=own_zone.authorities()[0]["id"], certificate=certificate))
    done = subprocess.run(
        [SCHEMATHESIS, "--no-color", "--config-file", tmp_path / "schemathesis.toml", "run",
         "--url", own_zone.server.url, "--header", f"Authorization: Bearer {own_zone.server.token}",
         "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1",
         # A stream has no end, and OCSP requests are DER: test_events.py listens to the one, test_ocsp.py writes the other.
         "--exclude-operation-id", "events-listen", "--exclude-operation-id", "ocsp",
         "--generation-database", "none", "--request-timeout", "30", "--workers", "1", "--continue-on-failure",
         f"{own_zone.server.url}/openapi.json"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert own_zone.server.alive() and "panicked" not in own_zone.server.output(last=10**6)


def test_the_document_is_openapi_31_and_lists_the_contract(shared_server):
    document = httpx.get(f"{shared_server.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    base = "/client/v4/zones/{zone_id}/client_certificates"
    found = {(method, path) for method, path in operations if path.startswith(base)}
    assert {method for method, path in found if path == base} == {"get", "post"}
    one = f"{base}/{{client_certificate_id}}"
    assert {method for method, path in found if path == one} == {"get", "patch", "delete"}
    text = json.dumps(document)
    assert all(str(code) in text for code in (1400, 1415, 6003, 7003, 9106, 10000))
