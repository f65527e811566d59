"""Where outgoing calls may go, and what they take along: the caller names the address, so the address is hostile."""

import socket
import time

import pytest

import identity_pki as pki
from api import codes
from identity_api import Identities, faults
from server import Server
from tls_server import Listener, TlsServer, redirect, respond

SECRET = "Bearer s3cret-of-the-partner"


@pytest.fixture(scope="module")
def closed(make_folder):
    """A server that may call the Internet alone."""
    server = Server(make_folder(), COUNTERSIGN_EGRESS_ALLOW=None).start()
    yield server
    server.clean_up()


@pytest.fixture
def vault(callers):
    """An account on it, whose primary identity is presented everywhere and whose servers are ours."""
    vault = Identities.of_new_account(callers)
    vault.keep_held(pki.client(), primary=True)
    return vault


# nowhere but the Internet


INSIDE = {
    "loopback": "127.0.0.1", "another loopback": "127.9.9.9", "IPv6 loopback": "[::1]", "unspecified": "0.0.0.0",
    "IPv6 unspecified": "[::]", "mapped": "[::ffff:127.0.0.1]", "mapped in hexadecimal": "[::ffff:7f00:1]",
    "compatible": "[::127.0.0.1]", "NAT64": "[64:ff9b::7f00:1]", "6to4": "[2002:7f00:1::]", "decimal": "2130706433",
    "hexadecimal": "0x7f000001", "octal": "0177.0.0.1", "short": "127.1", "very short": "0",
    "hex parts": "0x7f.0.0.0x1",
    "full-width digits": "１２７.０.０.１", "circled digits": "①②⑦.⓪.⓪.①", "final dot": "127.0.0.1.",
    "percent-encoded": "%31%32%37.0.0.1", "name": "localhost", "NAME": "LocalHost", "name with a dot": "localhost.",
    "metadata": "169.254.169.254", "metadata as a number": "2852039166", "mapped metadata": "[::ffff:a9fe:a9fe]",
    "metadata by IPv6": "[fd00:ec2::254]", "Azure": "168.63.129.16", "private 10": "10.1.2.3",
    "private 172": "172.16.0.1", "private 192": "192.168.0.1", "carrier": "100.64.0.1", "link-local": "[fe80::1]",
    "unique local": "[fc00::1]", "multicast": "224.0.0.1", "broadcast": "255.255.255.255", "benchmark": "198.18.0.1",
    "documentation": "203.0.113.1",
}


@pytest.mark.parametrize("host", INSIDE.values(), ids=INSIDE)
def test_addresses_inside_are_refused_with_a_message_and_nobody_knocks(closed, host):
    vault = Identities.of_new_account(closed)
    with Listener() as listener:
        url = f"https://{host}:{listener.port}/"
        answer = vault.call("POST", vault.path("/request"), json={"url": url, "timeout_ms": 3000})
        if answer.status_code == 200:
            called = answer.json()["result"]
            assert called["response"] is None and called["status"] is None
            assert called["failure"]["stage"] in ("address", "dns"), called["failure"]
            assert called["address"] is None and called["timings_ms"]["connect"] is None
            said = called["failure"]["message"]
        else:
            assert (answer.status_code, codes(answer)) == (400, [1400])
            [(pointer, said)] = faults(answer)
            assert pointer == "/url"
        assert len(said) > 10
        assert listener.connections == 0


def test_the_refusal_says_how_the_operator_can_permit_it(closed):
    called = Identities.of_new_account(closed).request("https://127.0.0.1:1/")
    assert "loopback" in called["failure"]["message"] and "COUNTERSIGN_EGRESS_ALLOW" in called["failure"]["message"]


def test_a_name_that_leads_inside_is_refused_for_its_address(closed):
    called = Identities.of_new_account(closed).request("https://localhost:1/")
    assert called["failure"]["stage"] == "address"
    assert "localhost is" in called["failure"]["message"]


def test_a_check_is_refused_like_a_call(closed):
    vault = Identities.of_new_account(closed)
    with Listener() as listener:
        check = vault.check(f"https://127.0.0.1:{listener.port}/", interval_seconds=30)
        run = vault.wait_for_runs(check["id"], 1)[0]
        by_hand = vault.run(check["id"])
        assert run["state"] == by_hand["state"] == "failing"
        assert run["failure"]["stage"] == by_hand["failure"]["stage"] == "address"
        assert "loopback" in run["findings"][0]
        assert listener.connections == 0


REFUSED_URLS = {
    "http": ("http://127.0.0.1/", "https"), "ftp": ("ftp://127.0.0.1/", "https"),
    "file": ("file:///etc/passwd", "https"),
    "no scheme": ("127.0.0.1", ""), "scheme alone": ("https://", ""), "no host": ("https://?x", ""), "text": ("x", ""),
    "user": ("https://user@a.example/", "user"), "user and password": ("https://user:hunter22@a.example/", "user"),
    "javascript": ("javascript:alert(1)", ""), "data": ("data:text/plain,x", ""), "nothing": ("", ""),
    "gopher": ("gopher://127.0.0.1:25/x", "https"), "a port that is none": ("https://a.example:99999/", ""),
    "line break in the host": ("https://a.example\r\n.b/", ""), "blank in the host": ("https://a b.example/", ""),
    "zone index": ("https://[fe80::1%25eth0]/", ""), "backslash user": ("https://a.example\\@127.0.0.1/", ""),
    "too long": ("https://a.example/" + "x" * 10_000, ""),
}


@pytest.mark.parametrize(("url", "word"), REFUSED_URLS.values(), ids=REFUSED_URLS)
def test_what_is_no_https_address_is_400_at_the_url(closed, url, word):
    vault = Identities.of_new_account(closed)
    for answer in (vault.call("POST", vault.path("/request"), json={"url": url}), vault.define(name="x", url=url)):
        if "\\" in url or "\r" in url:
            # The URL standard reads on past these; then it is the host that counts.
            assert answer.status_code in (200, 400)
            continue
        assert answer.status_code == 400, answer.text
        [(pointer, message)] = faults(answer)
        assert pointer == "/url" and word in message.lower(), message
        assert "hunter22" not in answer.text


def test_the_operators_network_is_called_and_its_neighbours_are_not(vault):
    with TlsServer() as server, Listener(host="127.0.0.2") as neighbour:
        assert vault.request(server.url)["status"] == 200
        for host in ("127.0.0.2", "[::1]"):
            assert vault.request(f"https://{host}:{neighbour.port}/")["failure"]["stage"] == "address"
        assert neighbour.connections == 0


def test_a_name_with_a_permitted_and_a_forbidden_address_goes_to_the_permitted_one(vault):
    with TlsServer() as server:
        called = vault.request(server.named_url)
        assert called["status"] == 200 and called["address"] == f"127.0.0.1:{server.port}"


def test_an_environment_with_proxies_changes_nothing(make_server):
    with Listener() as proxy, TlsServer() as server:
        started = make_server(COUNTERSIGN_EGRESS_ALLOW="127.0.0.1", **{
            name: f"http://127.0.0.1:{proxy.port}" for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")})
        vault = Identities.of_new_account(started.start())
        vault.keep_held(pki.client(), primary=True)
        assert vault.request(server.url)["status"] == 200
        assert proxy.connections == 0


# redirects


HEADERS = [{"name": "Authorization", "value": SECRET}, {"name": "X-Api-Key", "value": "k3y"}]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_other_origins_are_not_followed_and_nothing_arrives_there(vault, status):
    with Listener() as elsewhere, TlsServer(lambda _: redirect(target, status)) as server:
        for target in (f"https://127.0.0.1:{elsewhere.port}/", f"https://localhost:{elsewhere.port}/",
                       f"http://127.0.0.1:{elsewhere.port}/", f"//127.0.0.1:{elsewhere.port}/x",
                       f"https://localhost:{server.port}/", f"http://127.0.0.1:{server.port}/",
                       "https://169.254.169.254/", "file:///etc/passwd", "https://user:hunter22@127.0.0.1:1/"):
            before = len(server.requests)
            called = vault.request(server.url, headers=HEADERS)
            assert called["status"] == status and called["redirects"] == []
            [note] = called["notes"]
            assert "not followed" in note and "hunter22" not in note
            assert len(server.requests) == before + 1
        assert elsewhere.connections == 0 and elsewhere.first_bytes == []


def test_redirects_on_the_same_origin_are_followed_with_headers_and_identity(vault):
    steps = {"/": "/second?q=1", "/second?q=1": "third", "/third": None}
    with TlsServer(lambda request: redirect(steps[request.target]) if steps[request.target] else respond(200, b"there"),
                   client_ca=pki.root().certificate) as server:
        called = vault.request(server.url, headers=HEADERS)
        assert (called["status"], called["response"]["body"]) == (200, "there")
        assert [url.partition("?")[0] for url in called["redirects"]] == [f"{server.url}/second", f"{server.url}/third"]
        assert [request.target for request in server.requests] == ["/", "/second?q=1", "/third"]
        for request in server.requests:
            assert request.values("authorization") == [SECRET] and request.certificate is not None


def test_a_post_that_is_redirected_loses_its_body_or_keeps_it_as_the_status_says(vault):
    whole = ("POST", b"payload")
    for status, then in ((302, ("GET", b"")), (303, ("GET", b"")), (307, whole), (308, whole)):
        with TlsServer(lambda request: redirect("/b", status) if request.target == "/a" else respond()) as server:
            vault.request(f"{server.url}/a", method="POST", body="payload")
            assert [(request.method, request.body) for request in server.requests] == [whole, then]


def test_redirect_loops_end(vault):
    for answer in (lambda _: redirect("/"), lambda request: redirect(request.target + "x")):
        with TlsServer(answer) as server:
            called = vault.request(server.url)
            assert called["status"] == 302 and "no more redirects" in called["notes"][0]
            assert len(called["redirects"]) == 5 and len(server.requests) == 6


ODD_LOCATIONS = [None, "", "https://", "\\\\127.0.0.1\\x", "https://[::", "\xff\xfe", "x" * 30_000]


@pytest.mark.parametrize("location", ODD_LOCATIONS, ids=lambda location: repr(location)[:20])
def test_odd_locations_are_notes(vault, location):
    headers = [] if location is None else [f"Location: {location}"]
    with TlsServer(lambda request: respond(302, b"", *headers) if request.target == "/" else respond(404)) as server:
        called = vault.request(server.url)
        assert called["failure"] is None and called["status"] in (302, 404)
        assert len(str(called["notes"])) < 2000


# answers without end


def test_an_endless_body_is_read_up_to_its_bound(vault):
    def endless(_):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"8000\r\n" + b"x" * 0x8000 + b"\r\n"

    with TlsServer(endless) as server:
        started = time.monotonic()
        called = vault.request(server.url)
        assert time.monotonic() - started < 5
        assert called["status"] == 200 and called["body_length"] == 1024 * 1024
        assert called["response"]["truncated"] is True and len(called["response"]["body"]) == 256 * 1024


def test_a_promise_of_an_enormous_body_costs_nothing(vault):
    with TlsServer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nshort") as server:
        called = vault.request(server.url, timeout_ms=2000)
        assert called["failure"]["stage"] in ("response", "timeout")


def test_endless_headers_are_a_failure(vault):
    def endless(_):
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X-Filler: " + b"x" * 1000 + b"\r\n"

    with TlsServer(endless) as server:
        called = vault.request(server.url)
        assert called["failure"]["stage"] == "response" and "header" in called["failure"]["message"]


def trickle(parts, pause=0.2):
    for part in parts:
        yield part
        time.sleep(pause)


SLOW = {
    "body": lambda _: trickle([b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 999]),
    "head": lambda _: trickle([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 90]),
    "interim answers": lambda _: trickle([b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000),
    "nothing": lambda _: trickle([b""] * 1000),
    "redirects": lambda request: trickle([b"", redirect("/")], 0.4),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_answers_end_at_the_time_limit(vault, name):
    with TlsServer(SLOW[name]) as server:
        started = time.monotonic()
        called = vault.request(server.url, timeout_ms=1000)
        assert 0.9 < time.monotonic() - started < 3
        assert called["failure"]["stage"] == "timeout", called["failure"]
        assert "1s" in called["failure"]["message"]
        assert 900 < called["timings_ms"]["total"] < 3000


def test_a_server_that_never_shakes_hands_is_left_at_the_time_limit(vault):
    with Listener() as silent:
        silent.serve = lambda connection: time.sleep(5)
        started = time.monotonic()
        called = vault.request(f"https://127.0.0.1:{silent.port}/", timeout_ms=500)
        assert time.monotonic() - started < 2
        assert called["failure"]["stage"] == "timeout" and "TLS" in called["failure"]["message"]


def test_a_port_where_nobody_listens_is_told(vault):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    called = vault.request(f"https://127.0.0.1:{port}/")
    assert called["failure"]["stage"] == "connect" and "nothing listens" in called["failure"]["message"]


# answers that lie


ODD_ANSWERS = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n", "nothing": b"", "half a head": b"HTTP/1.1 200 OK\r\nX",
    "binary": bytes(range(256)), "HTTP/2": b"HTTP/2 200\r\n\r\n", "HTTP/0.9": b"<html>", "zero bytes": b"\0" * 1000,
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "endless chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "status 999999": b"HTTP/1.1 999999 X\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_answers_that_are_no_http_are_failures_and_not_faults_of_ours(vault, name):
    with TlsServer(lambda _: ODD_ANSWERS[name]) as server:
        called = vault.request(server.url, timeout_ms=3000)
        if called["failure"] is None:
            assert name in ("101",), called
        else:
            assert called["failure"]["stage"] == "response", called["failure"]
    assert "ERROR" not in vault.server.output() and "panicked" not in vault.server.output()


def test_headers_of_the_answer_are_shown_as_they_are_and_stand_in_no_header_of_ours(vault):
    fields = ["Set-Cookie: a=b", "Set-Cookie: c=d", "X-Utf: \xfc", "Ratelimit: evil", "X-Empty:",
              "X-Script: <script>alert(1)</script>"]
    with TlsServer(lambda _: respond(200, b"<script>", "Content-Type: text/html", *fields)) as server:
        answer = vault.call("POST", vault.path("/request"), json={"url": server.url})
        assert answer.headers["content-type"].startswith("application/json")
        assert "set-cookie" not in answer.headers and "x-script" not in answer.headers
        headers = answer.json()["result"]["response"]["headers"]
        assert [value for name, value in headers if name == "set-cookie"] == ["a=b", "c=d"]
        assert ["x-script", "<script>alert(1)</script>"] in headers and ["x-empty", ""] in headers


def test_bodies_that_are_no_text_come_in_base64(vault):
    with TlsServer(lambda _: respond(200, b"\xff\x00\xfe")) as server:
        response = vault.request(server.url)["response"]
        assert (response["body"], response["body_base64"]) == (None, "/wD+")


# what is sent


SMUGGLED = [
    ({"name": "X\r\nEvil", "value": "x"}, "/headers/0"), ({"name": "X", "value": "a\r\nEvil: b"}, "/headers/0"),
    ({"name": "X", "value": "a\nEvil: b"}, "/headers/0"), ({"name": "X", "value": "a\0b"}, "/headers/0"),
    ({"name": "", "value": "x"}, "/headers/0"), ({"name": "X Y", "value": "x"}, "/headers/0"),
    ({"name": "X:", "value": "x"}, "/headers/0"), ({"name": "Host", "value": "evil.example"}, "/headers/0"),
    ({"name": "hOsT", "value": "evil.example"}, "/headers/0"), ({"name": "Content-Length", "value": "7"}, "/headers/0"),
    ({"name": "Transfer-Encoding", "value": "chunked"}, "/headers/0"),
    ({"name": "Connection", "value": "close"}, "/headers/0"),
    ({"name": "Upgrade", "value": "h2c"}, "/headers/0"), ({"name": "Proxy-Authorization", "value": "x"}, "/headers/0"),
    ({"name": "Expect", "value": "100-continue"}, "/headers/0"), ({"name": "TE", "value": "trailers"}, "/headers/0"),
]


@pytest.mark.parametrize(("header", "pointer"), SMUGGLED, ids=[repr(list(one.values())) for one, _ in SMUGGLED])
def test_headers_that_would_change_the_request_are_400_and_nothing_is_sent(vault, header, pointer):
    with TlsServer() as server:
        for answer in (vault.call("POST", vault.path("/request"), json={"url": server.url, "headers": [header]}),
                       vault.define(name="x", url=server.url, headers=[header])):
            assert answer.status_code == 400, answer.text
            assert [place for place, _ in faults(answer)] == [pointer], answer.text
        assert server.connections == 0


@pytest.mark.parametrize("body", [
    {"method": "CONNECT"}, {"method": "TRACE"}, {"method": "G E T"}, {"method": ""}, {"method": "GET\r\nX: y"},
    {"method": 7}, {"headers": {}}, {"headers": [1]}, {"headers": [{"name": "X"}] * 51}, {"body": {"a": 1}},
    {"body": "x" * 70_000}, {"timeout_ms": 0}, {"timeout_ms": 60_001}, {"timeout_ms": "5"}, {"identity": "some"},
    {"identity": 7}, {"trusted_ca": "x"}, {"url": 7}])
def test_calls_that_cannot_be_made_are_400_at_their_field(vault, body):
    answer = vault.call("POST", vault.path("/request"), json={"url": "https://127.0.0.1:1/", **body})
    assert answer.status_code == 400, answer.text
    [field] = body
    assert all(place.startswith(f"/{field}") for place, _ in faults(answer)), answer.text


@pytest.mark.parametrize("header", [{"name": "X-B"}, {"name": "X-B", "value": None}, {"name": "X-B", "secret": True}])
def test_a_header_without_a_value_is_400_at_its_value_and_nothing_is_sent(vault, header):
    with TlsServer() as server:
        headers = [{"name": "X-A", "value": ""}, header]
        answer = vault.call("POST", vault.path("/request"), json={"url": server.url, "headers": headers})
        assert (answer.status_code, codes(answer)) == (400, [1400]), answer.text
        assert [place for place, _ in faults(answer)] == ["/headers/1/value"]
        assert server.connections == 0


def test_the_request_is_sent_as_it_was_asked_for(vault):
    with TlsServer() as server:
        url = f"{server.url}/a%20b/../c?x=%C3%A4&y=1#fragment"
        vault.request(url, method="put", headers=[{"name": "X-One", "value": "1"}, {"name": "X-One", "value": "2"},
                                                  {"name": "User-Agent", "value": "mine"}], body="ü")
        [request] = server.requests
        assert (request.method, request.target, request.body) == ("PUT", "/c?x=%C3%A4&y=1", "ü".encode())
        assert request.values("x-one") == ["1", "2"] and request.values("user-agent") == ["mine"]
        assert request.values("host") == [f"127.0.0.1:{server.port}"]
        assert request.values("content-length") == ["2"]
        for own in ("cookie", "authorization", "x-forwarded-for", "via"):
            assert request.values(own) == []


# whom we speak to


def test_a_server_under_an_unknown_ca_gets_no_request(vault):
    stranger = pki.self_signed("/CN=localhost", extensions=pki.SERVER)
    with TlsServer(certificate=stranger) as server:
        called = vault.request(server.url, headers=HEADERS)
        assert called["failure"]["stage"] == "certificate" and "unknown CA" in called["failure"]["message"]
        assert server.requests == [] and called["identity"]["presented"] is False
        assert called["server_certificate"]["subject"] == "CN=localhost"


def test_a_server_with_another_name_or_an_expired_certificate_gets_no_request(vault):
    other_name = [*pki.SERVER[:3], "subjectAltName=DNS:elsewhere.example"]
    elsewhere = pki.issued(pki.intermediate(), "/CN=x", extensions=other_name)
    late = pki.issued(pki.intermediate(), "/CN=x", extensions=pki.SERVER, at=-40, days=10)
    client_only = pki.issued(pki.intermediate(), "/CN=x", extensions=[*pki.CLIENT, pki.SERVER[3]])
    for held, words in ((elsewhere, "elsewhere.example"), (late, "expired"), (client_only, "serverAuth")):
        with TlsServer(certificate=held) as server:
            called = vault.request(server.url, headers=HEADERS)
            assert called["failure"]["stage"] == "certificate" and words in called["failure"]["message"]
            assert server.requests == []


def test_another_bundle_verifies_the_server_but_never_in_place_of_the_identitys_own(vault):
    stranger = pki.self_signed("/CN=Stranger")
    held = pki.issued(stranger, "/CN=localhost", extensions=pki.SERVER)
    bundle = vault.keep(ca=True, certificates=stranger.certificate)["id"]
    with TlsServer(certificate=held) as server:
        assert vault.request(server.url)["failure"]["stage"] == "certificate"
        assert vault.request(server.url, trusted_ca=bundle, identity="none")["status"] == 200
        refused = vault.request(server.url, trusted_ca=bundle)
        assert refused["failure"]["stage"] == "certificate" and not refused["identity"]["presented"]
    with TlsServer() as server:
        assert vault.request(server.url, trusted_ca=bundle, identity="none")["failure"]["stage"] == "certificate"
        assert vault.request(server.url, trusted_ca=bundle)["status"] == 200


def test_a_port_that_speaks_no_tls_gets_no_header(vault):
    with Listener() as plain:
        def http(connection):
            plain.first_bytes.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        plain.serve = http
        called = vault.request(f"https://127.0.0.1:{plain.port}/", headers=HEADERS)
        assert called["failure"]["stage"] == "tls" and "not TLS" in called["failure"]["message"]
        assert plain.first_bytes and SECRET.encode() not in b"".join(plain.first_bytes)
