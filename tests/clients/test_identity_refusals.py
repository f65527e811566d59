"""Uploads that are wrong are refused with words that say what is wrong with which part; nothing of them is kept, and no
secret of them is told."""

import base64
import json
import os
import pathlib
import re
import time

import pytest

import der
import identity_pki as pki
from api import codes, pointers
from identity_api import Identities, faults
from identity_pki import PASSPHRASE, encode
from server import Server


class Vault(Identities):
    """Remembers every secret that it sent."""

    def upload(self, **body):
        self.server.sent |= secrets_of(body)
        return super().upload(**body)

    def refuses(self, pointer, *words, **body):
        """The upload is refused, one fault has this pointer and these words, nothing is kept, no secret is told."""
        before = self.listed()
        answer = self.upload(**body)
        assert answer.status_code == 400, answer.text
        assert set(codes(answer)) == {1400}
        fitting = [message for place, message in faults(answer)
                   if place == pointer and all(word.lower() in message.lower() for word in words)]
        assert fitting, f"no fault at {pointer} with {words}: {faults(answer)}"
        assert self.listed() == before
        for secret in secrets_of(body):
            assert secret not in answer.text
        return answer


def secrets_of(body):
    """What must not be repeated of an upload: lines of private keys, PKCS#12 files and passphrases."""
    text = "\n".join(value.replace("\\n", "\n") for name in ("certificates", "private_key")
                     if isinstance(value := body.get(name), str))
    found = set()
    for block in re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text, re.DOTALL):
        found |= {line.strip() for line in block.splitlines() if len(line.strip()) >= 40}
    if isinstance(file := body.get("pkcs12"), str):
        pieces = re.findall("[A-Za-z0-9+/]{60}", file)
        found |= {pieces[place] for place in (0, len(pieces) // 2, -1) if pieces}
    if isinstance(passphrase := body.get("passphrase"), str) and len(passphrase) > 6:
        found |= {passphrase, json.dumps(passphrase).strip('"')}
    return found


@pytest.fixture(scope="module")
def vaults(make_folder):
    """A server that logs everything: what it must not tell, it must not log either."""
    server = Server(make_folder(), COUNTERSIGN_LOG="trace").start()
    server.sent = set()
    yield server
    server.clean_up()


@pytest.fixture
def vault(vaults):
    return Vault.of_new_account(vaults)


# what is refused


def test_a_wrong_passphrase_is_refused_at_the_passphrase(vault):
    held = pki.client("rsa2048", "refused")
    for form, write in pki.ENCRYPTED_FORMS.items():
        if pki.fits(form, "rsa2048"):
            vault.refuses("/passphrase", "passphrase does not open", "private key", certificates=held.whole_chain,
                          private_key=write(held.key), passphrase="not the passphrase")


def test_a_wrong_passphrase_of_pkcs12_is_refused_at_the_passphrase(vault):
    held = pki.client("p256", "refused")
    for options in pki.PKCS12_FORMS.values():
        vault.refuses("/passphrase", "passphrase does not open", "PKCS#12",
                      pkcs12=encode(pki.pkcs12(held, *options)), passphrase="not the passphrase")


def test_a_missing_passphrase_is_asked_for(vault):
    held = pki.client("p256", "refused")
    key = pki.ENCRYPTED_FORMS["PBES2 aes256"](held.key)
    for sent in ({}, {"passphrase": None}):
        vault.refuses("/passphrase", "encrypted", "send its passphrase", certificates=held.whole_chain,
                      private_key=key, **sent)
        vault.refuses("/passphrase", "encrypted", "send its passphrase", pkcs12=encode(pki.pkcs12(held)), **sent)


def test_a_line_end_behind_the_passphrase_is_told_of(vault):
    held = pki.client("p256", "refused")
    vault.refuses("/passphrase", "ends with a line break", certificates=held.certificate, passphrase=PASSPHRASE + "\n",
                  private_key=pki.ENCRYPTED_FORMS["PBES2 aes256"](held.key))


def test_the_key_of_another_certificate_is_refused_at_the_key(vault):
    held, other = pki.client("p256", "refused"), pki.client("rsa2048", "refused")
    vault.refuses("/private_key", "does not belong", "p256", "rsa2048", certificates=held.whole_chain,
                  private_key=other.key)


def test_an_expired_certificate_is_refused_with_its_date(vault):
    held = pki.issued(pki.intermediate(), "/CN=late", at=-40, days=10)
    [expiry] = re.findall("notAfter=(.*) GMT", pki.openssl(
        "x509", "-noout", "-enddate", "-in", "leaf", files={"leaf": held.certificate}).decode())
    day = time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(expiry, "%b %d %H:%M:%S %Y"))
    vault.refuses("/certificates", "expired", day, "CN=late", certificates=held.whole_chain, private_key=held.key)
    vault.refuses("/pkcs12", "expired", day, pkcs12=encode(pki.pkcs12(held)), passphrase=PASSPHRASE)


def test_a_ca_certificate_is_refused_as_an_identity(vault):
    for authority in (pki.root(), pki.intermediate()):
        vault.refuses("/certificates", "CA certificate", "client's own", certificates=authority.certificate,
                      private_key=authority.key)


def test_two_different_keys_are_refused_and_one_key_twice_is_not(vault):
    held, other = pki.client("p256", "refused"), pki.client("p384", "refused")
    vault.refuses("/private_key", "two different private keys", certificates=held.whole_chain,
                  private_key=held.key + other.key)
    vault.keep(certificates=held.whole_chain + held.key, private_key=held.key)


def test_a_missing_certificate_and_a_missing_key_are_asked_for(vault):
    held = pki.client("p256", "refused")
    vault.refuses("/certificates", "no certificate", private_key=held.key)
    vault.refuses("/private_key", "no private key", certificates=held.whole_chain)
    answer = vault.refuses("/certificates", "no certificate")
    assert pointers(answer) == {"/certificates", "/private_key"}
    alone = pki.openssl("pkcs12", "-export", "-nokeys", "-in", "leaf", "-passout", f"pass:{PASSPHRASE}",
                        files={"leaf": held.certificate})
    vault.refuses("/private_key", "no private key", pkcs12=encode(alone), passphrase=PASSPHRASE)
    alone = pki.openssl("pkcs12", "-export", "-nocerts", "-inkey", "key", "-passout", f"pass:{PASSPHRASE}",
                        files={"key": held.key})
    vault.refuses("/certificates", "no certificate", pkcs12=encode(alone), passphrase=PASSPHRASE)


def test_der_where_pem_is_due_is_told_apart(vault):
    held = pki.client("p256", "refused")
    certificate = pki.openssl("x509", "-outform", "DER", "-in", "leaf", files={"leaf": held.certificate})
    key = pki.openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", "key", files={"key": held.key})
    for text in (certificate.decode("latin-1"), certificate.decode(errors="replace")):
        vault.refuses("/certificates", "binary", "PEM", certificates=text, private_key=held.key)
    vault.refuses("/private_key", "binary", "PEM", certificates=held.certificate, private_key=key.decode("latin-1"))
    vault.refuses("/certificates", "BEGIN CERTIFICATE", certificates=encode(certificate), private_key=held.key)
    vault.refuses("/private_key", "BEGIN PRIVATE KEY", certificates=held.certificate, private_key=encode(key))
    vault.refuses("/certificates", "PKCS#12", "pkcs12", certificates=encode(pki.pkcs12(held)), private_key=held.key)
    vault.refuses("/pkcs12", "PEM", pkcs12=encode(held.key.encode()), passphrase=PASSPHRASE)
    vault.refuses("/pkcs12", "base64", pkcs12=held.key, passphrase=PASSPHRASE)


def test_requests_public_keys_and_ssh_keys_are_told_apart(vault):
    held = pki.client("p256", "refused")
    request = pki.openssl("req", "-new", "-key", "key", "-subj", "/CN=x", files={"key": held.key}).decode()
    vault.refuses("/certificates", "signing request", certificates=request, private_key=held.key)
    public = pki.openssl("pkey", "-pubout", "-in", "key", files={"key": held.key}).decode()
    vault.refuses("/private_key", "public key", certificates=held.certificate, private_key=public)
    vault.refuses("/private_key", "OpenSSH", "ssh-keygen", certificates=held.certificate,
                  private_key=der.pem(b"openssh-key-v1\0" + bytes(80), "OPENSSH PRIVATE KEY"))


@pytest.mark.parametrize("part", ["certificates", "private_key"])
def test_what_was_cut_or_changed_is_refused(vault, part):
    held = pki.client("rsa2048", "refused")
    whole = {"certificates": held.certificate, "private_key": held.key}
    lines = whole[part].splitlines(keepends=True)
    for broken in ("".join(lines[:5]), "".join(lines[:5] + lines[-1:]), "".join(lines[:3] + lines[5:]),
                   whole[part].replace("M", "*", 1), whole[part].replace("-----END", "-----FIN"),
                   "".join(lines[:1] + ["AAAA" * 16 + "\n"] + lines[1:])):
        vault.refuses(f"/{part}", **{**whole, part: broken})


def test_pkcs12_that_was_cut_or_changed_is_refused(vault):
    file = pki.pkcs12(pki.client("p256", "refused"))
    middle = len(file) // 2
    for broken in (file[:-20], file[:40], b"", file[:middle] + bytes([file[middle] ^ 1]) + file[middle + 1:],
                   file + b"more", bytes(1000)):
        answer = vault.upload(pkcs12=encode(broken), passphrase=PASSPHRASE)
        assert answer.status_code == 400, (len(broken), answer.text)
        assert pointers(answer) & {"/pkcs12", "/passphrase", "/certificates"}, answer.text
    assert vault.listed() == []


def test_a_certificate_for_servers_only_is_refused(vault):
    held = pki.server()
    vault.refuses("/certificates", "extendedKeyUsage lacks clientAuth", certificates=held.whole_chain,
                  private_key=held.key)


def test_keys_that_tls_does_not_use_are_refused_with_those_that_it_does(vault):
    for kind, words in (("rsa1024", "1024 bits"), ("secp256k1", "secp256k1"), ("ed448", "ed448"), ("p224", "224")):
        held = pki.client(kind, "refused")
        vault.refuses("/private_key", words, "usable are RSA of 2048 to 8192 bits", certificates=held.whole_chain,
                      private_key=held.key)


def test_all_faults_are_told_at_once(vault):
    held = pki.client("p256", "refused")
    answer = vault.refuses(
        "/passphrase", "does not open", certificates=held.certificate, passphrase="not the passphrase",
        private_key=pki.ENCRYPTED_FORMS["PBES2 aes256"](held.key), trusted_ca=held.certificate,
        hosts=["a.example", "https://b.example/"], labels={"a b": "c"}, name="x" * 200)
    assert pointers(answer) == {"/passphrase", "/trusted_ca", "/hosts/1", "/labels", "/name"}


def test_a_leaf_or_a_key_is_no_ca_bundle(vault):
    held = pki.client("p256", "refused")
    vault.refuses("/certificates", "no CA certificate", ca=True, certificates=held.certificate)
    vault.refuses("/certificates", "private key among the CA", ca=True, certificates=pki.root().certificate + held.key)
    vault.refuses("/private_key", "CA bundle", ca=True, certificates=held.root, private_key=pki.root().key)
    vault.refuses("/hosts", "CA bundle", ca=True, certificates=held.root, hosts=["a.example"])
    vault.refuses("/primary", "CA bundle", ca=True, certificates=held.root, primary=True)
    bundle = vault.keep(ca=True, certificates=held.root + pki.intermediate().certificate)
    assert bundle["ca"] is True and pki.split(bundle["certificates"]) == [held.root, pki.intermediate().certificate]


def test_a_java_key_store_of_the_old_type_is_refused_with_the_way_to_convert_it(vault):
    vault.refuses("/pkcs12", "Java key store", "-deststoretype pkcs12",
                  pkcs12=encode(pki.java_store(pki.client("rsa2048"), "JKS")), passphrase=PASSPHRASE)


# what would cost too much


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def cheap(vaults):
    """The test costs the server some seconds of a core at most."""
    before = cpu_seconds(vaults)
    yield
    assert cpu_seconds(vaults) - before < 4


def test_pkcs12_that_asks_for_too_many_rounds_is_refused_at_once(vault, cheap):
    held = pki.client("p256", "refused")
    for options in ([], ["-nomac"], ["-legacy"], ["-legacy", "-nomac"]):
        file = pki.pkcs12(held, "-iter", "2047", *options)
        changed = pki.with_rounds(file, 2047, 10**9)
        assert changed != file and pki.with_rounds(changed, 10**9, 2047) == file
        vault.refuses("/pkcs12", "1000000000 rounds", pkcs12=encode(changed), passphrase=PASSPHRASE)


@pytest.mark.parametrize("rounds", [0, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, 10**30])
def test_keys_that_ask_for_odd_numbers_of_rounds_are_refused_at_once(vault, cheap, rounds):
    held = pki.client("p256", "refused")
    key = pki.openssl("pkcs8", "-topk8", "-iter", "2047", "-passout", f"pass:{PASSPHRASE}", "-in", "key", "-outform",
                      "DER", files={"key": held.key})
    key = der.pem(pki.with_rounds(key, 2047, rounds), "ENCRYPTED PRIVATE KEY")
    vault.refuses("/private_key", certificates=held.certificate, private_key=key, passphrase=PASSPHRASE)


@pytest.mark.parametrize(("before", "after"), [(16384, 2**30), (16384, 2**20), (8, 2**24), (1, 2**24)],
                         ids=["N of 2^30", "N of 2^20", "r of 2^24", "p of 2^24"])
def test_scrypt_that_asks_for_too_much_is_refused_at_once(vault, cheap, before, after):
    held = pki.client("p256", "refused")
    key = pki.openssl("pkcs8", "-topk8", "-scrypt", "-passout", f"pass:{PASSPHRASE}", "-in", "key", "-outform", "DER",
                      files={"key": held.key})
    key = der.pem(pki.with_rounds(key, before, after), "ENCRYPTED PRIVATE KEY")
    vault.refuses("/private_key", certificates=held.certificate, private_key=key, passphrase=PASSPHRASE)


REFUSED_HOSTS = {
    "scheme": ("https://www.acme.com", "https"),
    "port": ("www.acme.com:8443", "port"),
    "path": ("www.acme.com/api", "/"),
    "user": ("user@www.acme.com", "@"),
    "query": ("www.acme.com?a=b", ""),
    "negation": ("!www.acme.com", "negates"),
    "double negation": ("!!www.acme.com", "negates"),
    "negation of a group": ("!(www).acme.com", "negat"),
    "negation inside": ("x.!(www).acme.com", "negat"),
    "comment": ("#acme.com", "comment"),
    "nothing": ("", "missing"),
    "blanks": ("   ", "missing"),
    "blank inside": ("www acme.com", ""),
    "line break": ("www.acme.com\nb.example", ""),
    "zero byte": ("www.acme.com\0", ""),
    "too long": ("a" * 2000, "bytes"),
    "too long a label": ("a" * 64 + ".com", ""),
    "empty label": ("a..b.example", ""),
    "nested braces": ("{" * 40 + "a,b" + "}" * 40 + "{c,d}" * 40, ""),
    "alternatives multiplied": ("{a,b}" * 40 + ".example", ""),
    "a range of a million": ("{1..1000000}.example", ""),
    "ranges multiplied": ("{1..99}{1..99}{1..99}.example", ""),
    "a range of enormous numbers": ("{1..99999999999999999999}.example", ""),
}


@pytest.mark.parametrize(("host", "word"), REFUSED_HOSTS.values(), ids=REFUSED_HOSTS)
def test_hosts_that_are_none_are_refused_at_once_at_their_place(vault, cheap, host, word):
    held = pki.client("p256", "refused")
    started = time.monotonic()
    vault.refuses("/hosts/1", word, certificates=held.whole_chain, private_key=held.key, hosts=["good.example", host])
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "?" * 250, "*?" * 100 + "x", "+(a|aa|aaa|aaaa)+(a|aa|aaa)b",
                                     "*(*(*(a)))b", "{*a,*b,*c}{*a,*b,*c}{*a,*b,*c}*d"])
def test_patterns_that_are_costly_elsewhere_are_matched_at_once_here(vault, cheap, pattern):
    held = pki.client("p256", "refused")
    started = time.monotonic()
    answer = vault.upload(certificates=held.whole_chain, private_key=held.key, hosts=[pattern])
    assert answer.status_code in (200, 400), answer.text
    for host in ("a" * 63 + "." + "a" * 63 + "." + "a" * 63 + "." + "a" * 61, "aab", "a.example"):
        vault.match(host)
    assert time.monotonic() - started < 3


def test_more_hosts_labels_and_certificates_than_anybody_needs_are_refused(vault, cheap):
    held = pki.client("p256", "refused")
    good = {"certificates": held.whole_chain, "private_key": held.key}
    vault.refuses("/hosts", "at most 100 hosts", hosts=[f"h{n}.example" for n in range(101)], **good)
    vault.refuses("/labels", "at most 50 labels", labels={f"l{n}": "" for n in range(51)}, **good)
    many = [pki.self_signed(f"/CN=Root {number}", key=pki.root().key).certificate for number in range(101)]
    for certificates in (many, [pki.root().certificate] * 201):
        text = "".join(certificates)
        vault.refuses("/certificates", "more than", private_key=held.key, certificates=held.certificate + text)
        vault.refuses("/certificates", "more than", ca=True, certificates=text)


def test_a_body_that_is_too_large_is_413_and_nothing_is_kept(vault, cheap):
    held = pki.client("p256", "refused")
    for size in (1024 * 1024, 8 * 1024 * 1024):
        answer = vault.upload(certificates=held.whole_chain + " " * size, private_key=held.key)
        assert answer.status_code == 413, answer.text
    assert vault.listed() == []


def test_large_bodies_that_fit_are_read_at_once(vault, cheap):
    held = pki.client("p256", "refused")
    room = 900 * 1024
    for filler in ("-----BEGIN CERTIFICATE-----\n" * (room // 28), "-" * room, "\n" * (room // 2), "A" * room,
                   "-----BEGIN A-----\n-----END A-----\n" * (room // 36), held.key * (room // len(held.key) - 1)):
        started = time.monotonic()
        answer = vault.upload(certificates=filler, private_key=held.key)
        assert answer.status_code == 400, answer.text
        assert len(answer.text) < 100_000
        assert time.monotonic() - started < 3
    answer = vault.upload(pkcs12="A" * room, passphrase=PASSPHRASE)
    assert (answer.status_code, pointers(answer)) == (400, {"/pkcs12"})


# what is no JSON of this kind


GARBAGE = [0, -1, 1.5, 10**400, True, "", "text", [], ["x"], [1], [None], [[]], {}, {"a": 1}, {"a": {"b": []}}]
FIELDS = ["ca", "certificates", "private_key", "pkcs12", "passphrase", "trusted_ca", "name", "hosts", "primary",
          "labels", "replace", "managed"]


@pytest.mark.parametrize("field", FIELDS)
def test_values_of_the_wrong_type_are_400_at_their_field(vault, field):
    held = pki.client("p256", "refused")
    good = {"certificates": held.whole_chain, "private_key": held.key}
    for number, value in enumerate(GARBAGE):
        body = {**good, "name": f"garbage {number}", field: value}
        answer = vault.call("POST", vault.path(), content=json.dumps(body))
        assert answer.status_code in (200, 400), (field, value, answer.text)
        if answer.status_code == 200:
            vault.remove(answer.json()["result"]["id"])
        elif value not in (10**400, True):
            assert any(place.startswith(f"/{field}") for place in pointers(answer)), (field, value, answer.text)
    assert vault.upload(**{**good, field: good.get(field)}).status_code == 200, "null is as good as left out"


MANAGED_FIELDS = ["zone_id", "common_name", "organization", "organizational_unit", "subject_alternative_names",
                  "key_type", "profile", "validity_days", "grace_seconds"]


@pytest.mark.parametrize("field", MANAGED_FIELDS)
def test_values_of_the_wrong_type_for_a_managed_identity_are_400_at_their_field(vault, field):
    zone = vault.result("POST", "/zones", json={"name": "managed", "account": {"id": vault.account}})["id"]
    good = {"zone_id": zone, "common_name": "client"}
    for value in [*GARBAGE, "x" * 100_000, 2**63, -2**63]:
        answer = vault.call("POST", vault.path(), content=json.dumps({"managed": {**good, field: value}}))
        assert answer.status_code in (200, 400, 403), (field, value, answer.text)
        if answer.status_code == 400 and pointers(answer):
            assert all(place.startswith("/managed") for place in pointers(answer)), (field, value, answer.text)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"1", b'"x"', b"{", b'{"ca":}', b"\xff\xfe", b'{"name":"\xff"}',
                                  b'{"a":' * 5000, b"[" * 100_000, b'{"ca":true,"ca":false}'])
def test_bodies_that_are_no_json_object_are_400(vault, body):
    answer = vault.call("POST", vault.path(), content=body)
    assert (answer.status_code, codes(answer)[0]) == (400, 1400)
    assert vault.listed() == []


# at the end: what all of the above left behind


def test_no_secret_that_was_sent_is_in_the_log_or_in_the_database(vaults):
    vaults.stop()
    files = {path.name: path.read_bytes() for path in [vaults.folder / "stderr", vaults.folder / "stdout"]}
    files |= vaults.store.octets()
    assert b"mtls_certificates" in files["stderr"] or not vaults.sent
    # Most lines of the log differ in their time alone.
    files["stderr"] = b"\n".join({line.partition(b",")[2] for line in files["stderr"].splitlines()})
    # The public half of a key stands in its certificate too, and now and then in lines of the same cut.
    public = b"".join(der.of_pem(certificate) for content in files.values() for certificate in re.findall(
        r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", content.decode("latin-1")))
    for secret in vaults.sent:
        for name, content in files.items():
            if secret.encode() in content:
                assert base64.b64decode(secret) in public, f"{secret[:12]}… is in {name}"
