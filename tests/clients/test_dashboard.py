"""The Grafana dashboard asks for what the server measures, and for all of it."""

import json
import pathlib
import re
import subprocess
import time

import httpx
import pytest

import csr
import identity_pki as pki
from api import Api
from identity_api import Identities

ROOT = pathlib.Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
METRIC = re.compile(r"\bcountersign_[a-z0-9_]+")
SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
NOBODY = "https://127.0.0.1:1/"
PATIENCE = 60
# Counted by a label whose values are not known before.
ONLY_WHEN_IT_GOES_WRONG = {"countersign_overload_refusals_total"}


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries():
    return [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.fixture
def busy_server(make_server, tmp_path):
    """One on which everything happened that is measured only when it happens."""
    server = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1").start()
    zone = Api(server)
    zone = zone.in_zone(zone.default_zone()["id"])
    certificate = zone.issue(csr.fresh())
    zone.revoke(certificate["id"])
    ask_ocsp(zone, certificate, tmp_path)
    webhook = zone.result("POST", f"/zones/{zone.zone}/webhooks", json={"name": "nobody", "url": NOBODY})
    zone.result("POST", f"/zones/{zone.zone}/webhooks/{webhook['id']}/test")
    slow = zone.create_zone("slow", authority={"key_type": "rsa2048"})
    zone.in_zone(slow["id"]).issue(csr.fresh())
    vault = Identities.of_new_account(server)
    vault.keep_held(pki.client("p256", "checker"), primary=True)
    vault.run(vault.check(NOBODY)["id"])
    return server


def ask_ocsp(zone, certificate, folder):
    issuing = zone.authorities()[0]
    for name, text in (("issuing.pem", issuing["certificate"]), ("leaf.pem", certificate["certificate"])):
        (folder / name).write_text(text)
    asked = subprocess.run(["openssl", "ocsp", "-issuer", folder / "issuing.pem", "-cert", folder / "leaf.pem", "-noverify",
                            "-url", f"{zone.server.url}/pki/{issuing['id']}/ocsp"], capture_output=True, text=True, check=True)
    assert "revoked" in asked.stdout


def exposed(server):
    """The series that a server shows, without labels, by the metric they are of; gauges are set from time to time."""
    deadline = time.monotonic() + PATIENCE
    while True:
        text = httpx.get(f"{server.url}/metrics").text
        kinds = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", text))
        if "countersign_identities_expiring" in kinds or time.monotonic() > deadline:
            return {name: {name + suffix for suffix in SERIES[kind]} for name, kind in kinds.items()}
        time.sleep(0.2)


def test_every_series_of_the_dashboard_is_exposed_and_every_metric_is_on_it(busy_server):
    metrics = exposed(busy_server)
    asked = {name for query in queries() for name in METRIC.findall(query)}
    asked |= {name for variable in DASHBOARD["templating"]["list"] for name in METRIC.findall(variable.get("definition", ""))}
    assert len(asked) > 10
    not_shown = {re.sub("_(bucket|sum|count)$", "", name) for name in asked - set().union(*metrics.values())}
    # What has its place in the table of metrics and is recorded nowhere yet may have its panel already.
    assert not_shown - ONLY_WHEN_IT_GOES_WRONG - (described() - recorded()) == set(), "the dashboard asks for what no server shows"
    assert not_shown <= described() | recorded(), "nothing in the source knows these"
    assert [name for name, series in metrics.items() if not series & asked] == [], "no panel shows these"


def described():
    return set(re.findall(r'"(countersign_\w+)"', (ROOT / "src/telemetry/metrics.rs").read_text()))


def recorded():
    """The metrics that the source records, whether or not it comes to that here."""
    macro = re.compile(r'(?:counter|gauge|histogram)!\(\s*"(countersign_\w+)"')
    return {name for path in (ROOT / "src").rglob("*.rs") for name in macro.findall(path.read_text())}


def test_every_label_that_the_dashboard_groups_by_is_there(busy_server):
    exposed(busy_server)
    text = httpx.get(f"{busy_server.url}/metrics").text
    for query in queries():
        for group in re.findall(r"\bby \(([^)]+)\)", query):
            # What Prometheus adds itself, and what every histogram has.
            for label in {name.strip() for name in group.split(",")} - {"instance", "le"}:
                [metric] = set(METRIC.findall(query))
                if metric not in text:
                    continue  # which may be missing, the test above says
                assert re.search(rf'(?m)^{metric}\{{[^}}]*\b{label}="', text), f"{metric} has no label {label}"


def test_the_dashboard_is_one_that_grafana_imports():
    assert DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["title"] and re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    known = {*variables, "__rate_interval", "__all"}
    for panel in panels():
        assert panel["title"] and panel["targets"], panel
        for holder in (panel, *panel["targets"]):
            assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= known, target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")"), target["expr"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_panel_lies_on_another():
    taken = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], (panel["title"], taken[x, y])
