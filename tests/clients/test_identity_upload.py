"""Certificates and keys that others made are taken in every form that people hold them in."""

import base64
import itertools

import pytest

import identity_pki as pki
from identity_api import Identities, messages
from identity_pki import PASSPHRASE, encode

KINDS = ["rsa2048", "p256", "p384", "p521", "ed25519"]
ODD_PASSPHRASES = {
    "non-ASCII": "pässwörd Ω 密码", "astral": "🔑 key", "quotes": "a\"b'c\\d", "long": "long pass " * 30}


@pytest.fixture
def vault(shared_server):
    return Identities.of_new_account(shared_server)


def assert_kept(answer, held, vault):
    """The whole chain is kept, the leaf first, and openssl finds a way from it to the root."""
    assert answer.status_code == 200, answer.text
    kept = answer.json()["result"]
    assert kept["certificates"] == held.whole_chain
    pki.openssl_verify(kept["certificates"], held.root)
    assert vault.show(kept["id"]) == kept
    assert "PRIVATE KEY" not in answer.text
    return kept


# certificate and key in PEM


PARTS = {"leaf": lambda held: held.certificate, "chain": lambda held: held.chain, "root": lambda held: held.root,
         "key": lambda held: held.key}


@pytest.mark.parametrize("kind", KINDS)
def test_certificate_and_key_may_come_as_two_texts(vault, kind):
    held = pki.client(kind)
    answer = vault.upload(certificates=held.whole_chain, private_key=held.key)
    kept = assert_kept(answer, held, vault)
    assert (kept["key_type"], kept["common_name"], kept["ca"]) == (kind, "client", False)
    assert messages(answer) == []


@pytest.mark.parametrize("field", ["certificates", "private_key"])
@pytest.mark.parametrize("order", list(itertools.permutations(["leaf", "chain", "key"])), ids="-".join)
def test_one_text_may_hold_everything_in_any_order_in_either_field(vault, field, order):
    held = pki.client()
    assert_kept(vault.upload(**{field: "".join(PARTS[part](held) for part in order)}), held, vault)


def test_the_chain_may_stand_beside_the_key(vault):
    held = pki.client()
    assert_kept(vault.upload(certificates=held.certificate, private_key=held.chain + held.key), held, vault)


def test_certificates_that_are_not_of_the_chain_are_left_out_and_named(vault):
    held, stranger = pki.client(), pki.self_signed("/CN=Stranger")
    answer = vault.upload(certificates=stranger.certificate + held.chain + held.certificate, private_key=held.key)
    assert_kept(answer, held, vault)
    assert any("Stranger" in message for message in messages(answer)), messages(answer)


def test_a_root_that_is_sent_along_stays_behind_the_chain_or_is_named(vault):
    held = pki.client()
    answer = vault.upload(certificates=held.root + held.whole_chain, private_key=held.key)
    assert answer.status_code == 200, answer.text
    certificates = pki.split(answer.json()["result"]["certificates"])
    assert certificates[:2] == pki.split(held.whole_chain)
    assert certificates[2:] in ([], [held.root])
    assert certificates[2:] or any("Partner Root" in message for message in messages(answer))


LINE_ENDS = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "tabs before each line": lambda text: "".join(f"\t\t{line}\n" for line in text.splitlines()),
    "blanks before and after each line": lambda text: "".join(f"    {line}  \n" for line in text.splitlines()),
    "literal backslash-n": lambda text: text.replace("\n", "\\n"),
    "literal backslash-r-backslash-n": lambda text: text.replace("\n", "\\r\\n"),
    "no line end at the end": lambda text: text.rstrip("\n"),
    "blank lines between": lambda text: text.replace("-----\n-----", "-----\n\n\n-----"),
    "words before": lambda text: "Bag Attributes\n    friendlyName: client\nsubject=CN = client\n" + text,
    "byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("changed", LINE_ENDS.values(), ids=LINE_ENDS)
def test_line_ends_indentation_and_words_around_do_not_matter(vault, changed):
    held = pki.client("rsa2048")
    answer = vault.upload(certificates=changed(held.whole_chain), private_key=changed(held.key))
    assert_kept(answer, held, vault)


def test_what_openssl_writes_with_text_is_read(vault):
    held = pki.client("p384")
    shown = pki.openssl("x509", "-in", "leaf", "-text", files={"leaf": held.certificate}).decode()
    assert_kept(vault.upload(certificates=shown + held.chain, private_key=held.key), held, vault)


# private keys in every form


@pytest.mark.parametrize(("kind", "form"), [(k, f) for f in pki.PLAIN_FORMS for k in KINDS if pki.fits(f, k)])
def test_plain_keys_are_read_in_every_form(vault, kind, form):
    held = pki.client(kind)
    answer = vault.upload(certificates=held.whole_chain, private_key=pki.PLAIN_FORMS[form](held.key))
    assert_kept(answer, held, vault)


@pytest.mark.parametrize(("kind", "form"), [(k, f) for f in pki.ENCRYPTED_FORMS for k in KINDS if pki.fits(f, k)])
def test_encrypted_keys_are_read_in_every_form(vault, kind, form):
    held = pki.client(kind)
    key = pki.ENCRYPTED_FORMS[form](held.key)
    assert held.key.splitlines()[1] not in key
    answer = vault.upload(certificates=held.whole_chain, private_key=key, passphrase=PASSPHRASE)
    assert_kept(answer, held, vault)


def test_an_old_encryption_is_told_of(vault):
    held = pki.client("rsa2048")
    key = pki.ENCRYPTED_FORMS["RSA traditional aes128"](held.key)
    answer = vault.upload(certificates=held.whole_chain, private_key=key, passphrase=PASSPHRASE)
    assert any("old PEM format" in message for message in messages(answer)), messages(answer)


def test_a_passphrase_for_a_plain_key_is_told_of_and_not_in_the_way(vault):
    held = pki.client()
    answer = vault.upload(certificates=held.whole_chain, private_key=held.key, passphrase=PASSPHRASE)
    assert_kept(answer, held, vault)
    assert any("nothing was encrypted" in message for message in messages(answer)), messages(answer)


# PKCS#12


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
@pytest.mark.parametrize("form", pki.PKCS12_FORMS)
def test_pkcs12_of_openssl_is_read(vault, form, kind):
    held = pki.client(kind)
    file = pki.pkcs12(held, *pki.PKCS12_FORMS[form])
    assert_kept(vault.upload(pkcs12=encode(file), passphrase=PASSPHRASE), held, vault)


@pytest.mark.parametrize("kind", KINDS)
def test_pkcs12_is_read_with_every_kind_of_key(vault, kind):
    held = pki.client(kind)
    assert_kept(vault.upload(pkcs12=encode(pki.pkcs12(held)), passphrase=PASSPHRASE), held, vault)


@pytest.mark.parametrize("form", ["modern", "legacy", "without MAC"])
@pytest.mark.parametrize("passphrase", ODD_PASSPHRASES.values(), ids=ODD_PASSPHRASES)
def test_pkcs12_is_read_with_every_passphrase(vault, form, passphrase):
    held = pki.client()
    file = pki.pkcs12(held, *pki.PKCS12_FORMS[form], passphrase=passphrase)
    assert_kept(vault.upload(pkcs12=encode(file), passphrase=passphrase), held, vault)


@pytest.mark.parametrize("sent", [{}, {"passphrase": ""}, {"passphrase": None}], ids=["none", "empty", "null"])
@pytest.mark.parametrize("form", ["modern", "legacy", "without MAC", "everything in the clear"])
def test_pkcs12_with_an_empty_passphrase_needs_none(vault, form, sent):
    held = pki.client()
    file = pki.pkcs12(held, *pki.PKCS12_FORMS[form], passphrase="")
    assert_kept(vault.upload(pkcs12=encode(file), **sent), held, vault)


def test_pkcs12_may_leave_the_chain_to_the_other_fields(vault):
    held = pki.client()
    file = pki.pkcs12(held, chain=False)
    answer = vault.upload(pkcs12=encode(file), passphrase=PASSPHRASE, certificates=held.chain)
    assert_kept(answer, held, vault)


def test_pkcs12_in_wrapped_base64_is_read(vault):
    held = pki.client()
    wrapped = base64.encodebytes(pki.pkcs12(held)).decode().replace("\n", "\r\n")
    assert_kept(vault.upload(pkcs12=wrapped, passphrase=PASSPHRASE), held, vault)


def test_pkcs12_of_keytool_is_read(vault):
    held = pki.client("rsa2048")
    assert_kept(vault.upload(pkcs12=encode(pki.java_store(held, "PKCS12")), passphrase=PASSPHRASE), held, vault)


def test_as_many_rounds_as_password_managers_take_are_done(vault):
    held = pki.client()
    file = pki.pkcs12(held, "-iter", "600000")
    assert_kept(vault.upload(pkcs12=encode(file), passphrase=PASSPHRASE), held, vault)


# certificates that are odd and usable


def test_what_is_not_valid_yet_and_what_ends_soon_is_kept_with_a_word(vault):
    for at, days, words in ((3, 90, "not valid before"), (None, 20, "expires soon")):
        held = pki.issued(pki.intermediate(), "/CN=odd", at=at, days=days)
        answer = vault.upload(certificates=held.whole_chain, private_key=held.key)
        assert answer.status_code == 200, answer.text
        assert any(words in message for message in messages(answer)), messages(answer)


def test_a_self_signed_client_certificate_is_an_identity(vault):
    held = pki.self_signed("/CN=alone", extensions=("basicConstraints=critical,CA:FALSE",))
    assert vault.keep(certificates=held.certificate, private_key=held.key)["certificates"] == held.certificate
