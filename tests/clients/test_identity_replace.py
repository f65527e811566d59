"""An upload that replaces what the account has: which identity that is, where several could be meant."""

import pytest

import identity_pki as pki
from identity_api import Identities, kept, messages

V1 = "/v1/client-certificates"


@pytest.fixture
def vault(shared_server):
    return Identities.of_new_account(shared_server)


def of_key(owner):
    """A certificate for the owner's key; each is another."""
    key = pki.key_of("p256", f"replace {owner}")
    return pki.issued(pki.intermediate(), f"/O=Partner/CN={owner}", key=key)


def with_one_key(vault, *names):
    """Identities of these names that share a key, as the other face lets them be kept."""
    held, made = of_key("shared"), []
    for number, name in enumerate(names):
        answer = vault.http.post(V1, json={"host": f"{number}.example", "cert": held.whole_chain, "key": held.key})
        assert answer.status_code == 201, answer.text
        made.append(kept(vault.edit(answer.json()["id"], name=name)))
    return made


def replace(vault, held, with_key=True, **body):
    key = {"private_key": held.key} if with_key else {}
    return vault.upload(certificates=held.whole_chain, replace=True, **key, **body)


@pytest.mark.parametrize("with_key", [True, False], ids=["with its key", "without a key"])
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_of_several_with_the_key_the_one_with_the_name_is_replaced(vault, chosen, with_key):
    made = with_one_key(vault, "first", "second", "third")
    replaced = kept(replace(vault, of_key("shared"), with_key, name=made[chosen]["name"]))
    assert (replaced["id"], replaced["version"]) == (made[chosen]["id"], made[chosen]["version"] + 1)
    assert (replaced["name"], replaced["hosts"]) == (made[chosen]["name"], made[chosen]["hosts"])
    made[chosen] = replaced
    assert vault.listed() == made, "the others stay as they were"


@pytest.mark.parametrize("with_key", [True, False], ids=["with its key", "without a key"])
@pytest.mark.parametrize("name", [{}, {"name": "of none"}], ids=["no name", "another name"])
def test_several_with_the_key_and_none_with_the_name_is_400_and_lists_them(vault, name, with_key):
    made = with_one_key(vault, "first", "second")
    made.append(vault.keep(certificates=of_key("stranger").whole_chain, private_key=of_key("stranger").key))
    answer = replace(vault, of_key("shared"), with_key, **name)
    assert answer.status_code == 400, answer.text
    assert [one["id"] in answer.text for one in made] == [True, True, False], answer.text
    assert vault.listed() == made


def test_the_only_one_with_the_key_comes_before_the_one_with_the_name(vault):
    [one] = with_one_key(vault, "first")
    other = vault.keep(certificates=of_key("other").whole_chain, private_key=of_key("other").key, name="other")
    for name in ({}, {"name": "of none"}, {"name": "other"}):
        assert kept(replace(vault, of_key("shared"), **name))["id"] == one["id"]
    assert vault.show(other["id"]) == other


def test_without_the_key_in_the_account_the_name_decides_and_without_either_it_is_added(vault):
    one, two = with_one_key(vault, "first", "second")
    assert kept(replace(vault, of_key("newcomer"), name="second"))["id"] == two["id"]
    answer = replace(vault, of_key("stranger"), name="of none")
    assert kept(answer)["id"] not in (one["id"], two["id"])
    assert any("it was added" in message for message in messages(answer)), messages(answer)


def test_a_managed_identity_is_replaced_by_nobody(vault):
    zone = vault.create_zone("partner")["id"]
    managed = kept(vault.upload(managed={"zone_id": zone, "common_name": "service"}, name="service"))
    held = of_key("stranger")
    for body in ({"certificates": held.whole_chain, "private_key": held.key}, {"certificates": held.whole_chain},
                 {"certificates": managed["certificates"]}):
        answer = vault.replace(managed["id"], **body)
        assert answer.status_code == 400 and "managed" in answer.text, answer.text
    assert vault.show(managed["id"]) == managed
