"""The official Node SDK against the running server, by a small script that reports what it saw."""

import json
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
MODULES = HERE.parent / ".venv" / "node" / "node_modules"


@pytest.fixture
def saw(zone, request_pem):
    environment = {
        "PATH": os.environ["PATH"], "NODE_PATH": str(MODULES), "BASE_URL": f"{zone.server.url}/client/v4",
        "TOKEN": zone.server.token, "ZONE": zone.zone, "CSR": request_pem,
        "RETRIES": str(zone.server.retries),
    }
    done = subprocess.run(
        ["node", HERE / "node" / "sdk.cjs"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_node_sdk_sees_the_whole_life_and_every_error_class(saw):
    assert saw["read"] == saw["created"]
    assert saw["created"]["status"] == "active"
    assert saw["paged"] == saw["made"]
    assert saw["window"] == saw["made"][2:5]
    first, revoked, back, active, again, edited, finally_active = saw["life"]
    assert (first, revoked, active) == ("pending_revocation", "revoked", "active")
    assert {back, edited} <= {"pending_reactivation", "active"}
    assert (again, finally_active) == ("pending_revocation", "active")
    assert saw["failures"] == {
        "badRequest": {"class": "BadRequestError", "status": 400, "codes": [1400]},
        "notFound": {"class": "NotFoundError", "status": 404, "codes": [1415]},
        "denied": {"class": "PermissionDeniedError", "status": 403, "codes": [10000]},
        "unauthenticated": {"class": "AuthenticationError", "status": 401, "codes": [1000]},
    }
    assert saw["byKey"] == saw["made"][0]
    assert saw["verified"] == "active"
