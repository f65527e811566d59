"""The folder of profiles is followed by every process that sees it; a fault in it changes nothing but the log."""

import pathlib
import re
import subprocess
import time

import httpx
import pytest

import csr
from api import Api
from server import BINARY

PROFILES = pathlib.Path(__file__).parents[2] / "ca" / "profiles"
SOON = 30
IN_FORCE_WITHIN = 1


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    for path in PROFILES.glob("*.toml"):
        (folder / path.name).write_text(path.read_text())
    return folder


def eventually(what, condition, within=SOON):
    """What is asked must hold by the end of it."""
    deadline = time.monotonic() + within
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert asked < deadline, what
        time.sleep(0.05)


def most_days(folder, days):
    path = folder / "client.toml"
    text, changed = re.subn(r"(?m)^max_validity_days *=.*$", f"max_validity_days = {days}", path.read_text())
    assert changed == 1
    path.write_text(text)


def metric(server, name):
    return re.search(rf"(?m)^{name} (\S+)$", httpx.get(f"{server.url}/metrics", timeout=SOON).text)[1]


def test_an_edited_profile_is_in_force_on_every_process(make_server, folder):
    servers = [make_server(COUNTERSIGN_PROFILES_DIR=str(folder)).start() for _ in range(2)]
    zones = []
    for server in servers:
        api = Api(server)
        zones.append(api.in_zone(api.default_zone()["id"]))
    assert all(zone.post(csr.fresh(), days=365).status_code == 200 for zone in zones)
    most_days(folder, 30)
    for zone in zones:
        eventually("the new bound holds", lambda zone=zone: zone.post(csr.fresh(), days=365).status_code == 400,
                   within=IN_FORCE_WITHIN)
        assert zone.post(csr.fresh(), days=30).status_code == 200


def test_a_fault_leaves_the_former_profiles_in_force_and_is_told(make_server, folder):
    server = make_server(COUNTERSIGN_PROFILES_DIR=str(folder)).start()
    api = Api(server)
    zone = api.in_zone(api.default_zone()["id"])
    assert metric(server, "countersign_profiles_faulty") == "0"
    good = (folder / "client.toml").read_text()
    (folder / "client.toml").write_text(good.replace("description", "descripton", 1))
    eventually("the fault is told", lambda: metric(server, "countersign_profiles_faulty") == "1")
    assert zone.post(csr.fresh()).status_code == 200
    assert httpx.get(f"{server.url}/readyz", timeout=SOON).status_code == 200
    eventually("the log names it", lambda: "client.toml" in server.output() and "descripton" in server.output())
    time.sleep(2)
    told = [line for line in server.output().splitlines() if "hold a fault" in line]
    assert len(told) == 1, told

    said = subprocess.run([BINARY, "doctor"], env=server.environment(COUNTERSIGN_URL=server.url), cwd=server.folder,
                          capture_output=True, text=True, timeout=SOON * 2)
    assert said.returncode == 1
    [line] = [line for line in said.stdout.splitlines() if " profiles: " in line]
    assert line.startswith("fail") and "client.toml" in line and "descripton" in line

    (folder / "client.toml").write_text(good)
    eventually("it is mended", lambda: metric(server, "countersign_profiles_faulty") == "0")
