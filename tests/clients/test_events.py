"""The stream of events over the real binary: it goes on where it was left, and ends when it must."""

import json
import subprocess
import threading
import time

import httpx
import pytest

import csr
import server as server_module
from api import Api, check_envelope, codes

PATIENCE = 30


class Stream:
    """What a listener hears, read in the background."""

    def __init__(self, api, last_event_id=None, header=None, **params):
        headers = {**api.http.headers, "Accept": "text/event-stream"}
        if header is not None:
            headers["Last-Event-ID"] = str(header)
        if last_event_id is not None:
            params["last_event_id"] = last_event_id
        self.http = httpx.Client(timeout=httpx.Timeout(60, connect=10))
        request = self.http.build_request(
            "GET", f"{api.server.url}/client/v4/zones/{api.zone}/events", headers=headers, params=params)
        self.answer = self.http.send(request, stream=True)
        self.text, self.events, self.ended = "", [], threading.Event()
        if self.answer.status_code == 200:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for part in self.answer.iter_text():
                self.text += part
                *whole, _ = self.text.split("\n\n")
                self.events = [read for block in whole if (read := message(block))]
        except httpx.TransportError:
            pass
        self.ended.set()

    def wait(self, count):
        wait_until(lambda: len(self.events) >= count, lambda: f"{len(self.events)} events, not {count}: {self.text}")
        return self.events[:count]

    def close(self):
        self.answer.close()
        self.http.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def message(block):
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    return (int(fields["id"]), fields["event"], json.loads(fields["data"])) if "data" in fields else None


def wait_until(done, what, within=PATIENCE):
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def issue(api, count=1):
    return [api.issue(csr.fresh())["id"] for _ in range(count)]


def page(api, **params):
    answer = api.call("GET", f"/zones/{api.zone}/events", params={"format": "json", **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.one_process(reason="a stream ends with its replica")
def test_a_stream_tells_what_happens_with_number_kind_and_one_line_of_json(zone):
    with Stream(zone) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        assert stream.answer.headers["cache-control"] == "no-store"
        assert stream.answer.headers["x-accel-buffering"] == "no"
        certificate = zone.issue(csr.fresh())
        zone.delete(certificate["id"])
        (first, kind, told), (second, asked, _) = stream.wait(2)
        assert stream.text.startswith("retry: 1000\n\n")
        assert (kind, asked) == ("certificate.issued", "certificate.pending_revocation") and first < second
        assert told["event"] == kind and told["number"] == first and told["zone_id"] == zone.zone
        assert told["certificate"]["id"] == certificate["id"]
        assert told["certificate"]["serial_number"] == certificate["serial_number"]
        assert told["at"].endswith("Z") and len(told["at"]) == len("2027-01-15T08:00:00.123Z")


def test_each_event_comes_once_across_kill_and_restart(server):
    api = Api(server)
    api = api.in_zone(api.default_zone()["id"])
    with Stream(api, last_event_id=0) as stream:
        ids = issue(api, 3)
        heard = stream.wait(3)
        server.kill()
        assert stream.ended.wait(PATIENCE)
    last = heard[-1][0]
    server.start()
    ids += issue(api, 3)
    # The header of a client that comes again goes before the query that it came with.
    with Stream(api, last_event_id=0, header=last) as stream:
        heard += stream.wait(3)
        ids += issue(api)
        heard += stream.wait(4)[3:]
    assert [data["certificate"]["id"] for _, kind, data in heard if kind == "certificate.issued"] == ids
    numbers = [number for number, _, _ in heard]
    assert numbers == sorted(set(numbers))


@pytest.mark.one_process(reason="a stream ends with its replica")
def test_kinds_are_chosen_and_unknown_ones_refused(zone):
    [certificate] = issue(zone)
    zone.delete(certificate)
    with Stream(zone, last_event_id=0, kinds="certificate.pending_revocation, certificate.revoked") as stream:
        [(_, kind, _)] = stream.wait(1)
        assert kind == "certificate.pending_revocation"
    for params in ({"kinds": "certificate.*"}, {"last_event_id": "-1"}, {"since": "x"}, {"format": "xml"},
                   {"limit": "0", "format": "json"}, {"limit": "1001", "format": "json"}):
        answer = zone.call("GET", f"/zones/{zone.zone}/events", params=params)
        assert answer.status_code == 400 and codes(answer) == [1400], (params, answer.text)
    answer = zone.call("GET", f"/zones/{zone.zone}/events", headers={"Last-Event-ID": "yesterday"})
    assert answer.status_code == 400 and "Last-Event-ID" in answer.text


def test_pages_are_for_those_who_would_rather_ask(zone):
    start = page(zone)
    assert start["result"] == [] and start["result_info"]["more"] is False
    ids = issue(zone, 5)
    found, after = [], start["result_info"]["last_event_id"]
    while (read := page(zone, last_event_id=after, limit=2))["result"]:
        assert len(read["result"]) <= 2 and read["result_info"]["count"] == len(read["result"])
        found += read["result"]
        after = read["result_info"]["last_event_id"]
    assert [event["certificate"]["id"] for event in found] == ids
    answer = zone.http.get(f"/client/v4/zones/{zone.zone}/events", headers={"Accept": "application/json"})
    check_envelope(answer)


@pytest.mark.one_process(reason="a stream ends with its replica")
@pytest.mark.timeout(90)
def test_silence_is_broken_by_comments(zone):
    with Stream(zone) as stream:
        wait_until(lambda: stream.text.count("\n: ") >= 1, lambda: stream.text, within=20)
        assert stream.events == [] and not stream.ended.is_set()


@pytest.mark.one_process(reason="a stream ends with its replica")
def test_a_stream_ends_when_its_token_is_deleted(zone):
    made = zone.create_token(["client_certificates:read"], zones=[zone.zone])
    listener = Api(zone.server, token=made["value"], zone=zone.zone)
    with Stream(listener) as stream:
        account = zone.default_zone()["account"]["id"]
        zone.result("DELETE", f"/accounts/{account}/tokens/{made['id']}")
        assert stream.ended.wait(10), "it still listens"
    with Stream(listener) as again:
        assert again.answer.status_code == 403


@pytest.mark.one_process(reason="a stream ends with its replica")
def test_whoever_may_not_read_the_zone_hears_nothing(zone):
    other = zone.in_zone(zone.create_zone(f"other-{zone.zone[:8]}")["id"])
    made = zone.create_token(["client_certificates:read"], zones=[other.zone])
    with Stream(Api(zone.server, token=made["value"], zone=zone.zone)) as stream:
        assert stream.answer.status_code == 403
    with Stream(other, last_event_id=0) as stream, Stream(zone, last_event_id=0, kinds="certificate.issued") as heard:
        [certificate] = issue(zone)
        [(_, _, told)] = heard.wait(1)
        assert told["certificate"]["id"] == certificate
        time.sleep(0.5)
        assert not any(data.get("zone_id") == zone.zone for _, _, data in stream.events)


def test_streams_are_bounded_and_the_stop_waits_for_none(server):
    api = Api(server)
    api = api.in_zone(api.default_zone()["id"])
    streams = [Stream(api) for _ in range(8)]
    assert {stream.answer.status_code for stream in streams} == {200}
    with Stream(api) as ninth:
        assert ninth.answer.status_code == 503 and "retry-after" in ninth.answer.headers
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5
    for stream in streams:
        assert stream.ended.wait(5)
        stream.close()


def test_a_reader_that_takes_nothing_holds_up_nobody(server):
    api = Api(server)
    api = api.in_zone(api.default_zone()["id"])
    slow = httpx.Client(timeout=60)
    request = slow.build_request("GET", f"{server.url}/client/v4/zones/{api.zone}/events?since=0", headers=api.http.headers)
    answer = slow.send(request, stream=True)
    ids = issue(api, 50)
    with Stream(api, last_event_id=0) as quick:
        heard = quick.wait(50)
    assert [data["certificate"]["id"] for _, _, data in heard][:50] == ids
    answer.close()


def test_the_command_line_lists_and_follows(zone):
    environment = zone.server.environment(
        COUNTERSIGN_URL=zone.server.url, COUNTERSIGN_TOKEN=zone.server.token, COUNTERSIGN_ZONE=zone.zone)
    command = [server_module.BINARY, "events"]
    [first] = issue(zone)
    done = subprocess.run([*command, "--kinds", "certificate.issued"], env=environment, capture_output=True, text=True,
                          timeout=30, check=True)
    assert "certificate.issued" in done.stdout and first in done.stdout and done.stdout.count("\n") == 1
    following = subprocess.Popen([*command, "--follow", "--json", "--since", "0", "--kinds", "certificate.issued"], env=environment,
                                 stdout=subprocess.PIPE, text=True)
    try:
        lines = [json.loads(following.stdout.readline())]
        [second] = issue(zone)
        lines.append(json.loads(following.stdout.readline()))
        assert [line["certificate"]["id"] for line in lines] == [first, second]
    finally:
        following.kill()
        following.wait()
    wrong = subprocess.run([*command, "--kinds", "certificate.*"], env=environment, capture_output=True, text=True,
                           timeout=30, check=False)
    assert wrong.returncode == 2 and "certificate.issued" in wrong.stderr


def test_the_command_line_goes_on_after_a_restart(server):
    api = Api(server)
    api = api.in_zone(api.default_zone()["id"])
    environment = server.environment(COUNTERSIGN_URL=server.url, COUNTERSIGN_TOKEN=server.token)
    following = subprocess.Popen([server_module.BINARY, "events", "--follow", "--json", "--since", "0"], env=environment,
                                 stdout=subprocess.PIPE, text=True)
    try:
        ids = issue(api, 2)
        heard = [json.loads(following.stdout.readline()) for _ in range(2)]
        server.kill()
        server.start()
        ids += issue(api, 2)
        heard += [json.loads(following.stdout.readline()) for _ in range(2)]
        assert [event["certificate"]["id"] for event in heard] == ids
    finally:
        following.kill()
        following.wait()
