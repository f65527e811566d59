"""What a dashboard is made of: histograms with fixed buckets for each stage, and where the CRLs stand."""

import re

import httpx

import csr

STAGES = ["wait", "parse", "decide", "build", "lint", "sign", "commit"]


def values(server):
    text = httpx.get(f"{server.url}/metrics", timeout=30).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_each_stage_of_an_issuance_is_measured(server, own_zone):
    for _ in range(3):
        own_zone.issue(csr.fresh())
    found = values(server)
    for stage in STAGES:
        assert found[f'countersign_issuance_stage_seconds_count{{stage="{stage}"}}'] == 3, stage
        assert found[f'countersign_issuance_stage_seconds_bucket{{stage="{stage}",le="+Inf"}}'] == 3
        bounds = [name for name in found if name.startswith(f'countersign_issuance_stage_seconds_bucket{{stage="{stage}"')]
        assert len(bounds) > 10
    route = 'method="POST",route="/client/v4/zones/{zone_id}/client_certificates",status="200"'
    assert found[f"countersign_http_request_seconds_count{{{route}}}"] == 3
    assert found["countersign_write_batch_size_count"] >= 3
    assert found["countersign_connections_open"] >= 1
    assert found["countersign_request_bodies_bytes"] == 0


def test_a_revocation_leaves_its_lag_and_the_ages_of_crls(server, own_zone):
    own_zone.revoke(own_zone.issue(csr.fresh())["id"])
    found = values(server)
    assert found["countersign_transition_lag_seconds_count"] == 1
    week = 7 * 86_400
    assert 0 < found["countersign_crl_next_update_seconds"] <= week
    ages = {name: value for name, value in found.items() if name.startswith("countersign_authority_crl_age_seconds{")}
    assert len(ages) == len(own_zone.authorities()) and all(0 <= age < week for age in ages.values())
    assert all(re.fullmatch(r'.*\{authority="[0-9a-f-]{36}"\}', name) for name in ages)


def test_nothing_that_strangers_send_becomes_a_label(server):
    for path in ["/nowhere-1", "/nowhere-2", "/client/v4/zones/x/client_certificates/secret"]:
        httpx.request("BREW", server.url + path)
    text = httpx.get(f"{server.url}/metrics").text
    assert "nowhere" not in text and "BREW" not in text and "secret" not in text
