"""DELETE and PATCH: holds, final revocations, and everything that must change nothing."""

import pytest
from cryptography import x509

from api import NUL, codes, crl_number, listed_reason, listed_serials, moment, pointers

UNKNOWN_IDS = ["00000000-0000-4000-8000-000000000000", "0" * 32, "no-id", NUL, "x" * 300]
FINAL_REASONS = {
    "unspecified": "unspecified", "keyCompromise": "key_compromise", "cACompromise": "ca_compromise",
    "affiliationChanged": "affiliation_changed", "superseded": "superseded",
    "cessationOfOperation": "cessation_of_operation", "privilegeWithdrawn": "privilege_withdrawn",
    "aACompromise": "aa_compromise",
}
REACTIVATING = {"no body": {}, "empty object": {"json": {}}, "true": {"json": {"reactivate": True}},
                "true and more": {"json": {"reactivate": True, "csr": "x", "other": None}}}
CHANGING_NOTHING = {"false": {"json": {"reactivate": False}}, "null": {"json": {"reactivate": None}},
                    "only csr": {"json": {"csr": "x"}}, "unknown key": {"json": {"something": [1, {}]}}}
ACCEPTED = REACTIVATING | CHANGING_NOTHING


@pytest.fixture
def made(zone, request_pem):
    return zone.issue(request_pem)


@pytest.fixture
def revoked(zone, made):
    return zone.revoke(made["id"])


def without_status(certificate):
    return {k: v for k, v in certificate.items() if k not in ("status", "revocation", "receipt")}


def test_delete_answers_the_whole_certificate_as_pending(zone, made):
    answer = zone.delete(made["id"])
    assert answer.status_code == 200
    result = answer.json()["result"]
    assert result["status"] == "pending_revocation"
    assert without_status(result) == without_status(made)
    assert result["revocation"]["reason"] == "certificateHold"
    assert moment(result["revocation"]["requested_on"])
    assert result["revocation"]["revoked_on"] is None and result["revocation"]["crl_number"] is None


def test_revoked_carries_the_receipt_of_the_crl_that_lists_it(zone, revoked):
    crl = zone.crl()
    assert int(revoked["serial_number"]) in listed_serials(crl)
    assert revoked["receipt"]["status"] == "revoked"
    assert moment(revoked["receipt"]["published_on"])
    assert revoked["receipt"]["crl_number"] == revoked["revocation"]["crl_number"] <= crl_number(crl)
    assert moment(revoked["revocation"]["requested_on"]) <= moment(revoked["revocation"]["revoked_on"])


@pytest.mark.parametrize("body", REACTIVATING)
def test_patch_reactivates(zone, revoked, body):
    answer = zone.patch(revoked["id"], **REACTIVATING[body])
    assert answer.status_code == 200
    assert answer.json()["result"]["status"] in ("pending_reactivation", "active")
    active = zone.wait_for(revoked["id"], "active")
    assert active["receipt"]["status"] == "active"
    assert active["revocation"] is None
    assert int(active["serial_number"]) not in listed_serials(zone.crl())
    assert without_status(active) == without_status(revoked)


def test_patch_during_pending_revocation_ends_active(zone, made):
    zone.delete(made["id"])
    assert zone.patch(made["id"]).status_code == 200
    zone.wait_for(made["id"], "active")


@pytest.mark.parametrize("body", CHANGING_NOTHING)
def test_patch_with_other_keys_changes_nothing(zone, revoked, body):
    answer = zone.patch(revoked["id"], **CHANGING_NOTHING[body])
    assert answer.status_code == 200
    assert answer.json()["result"] == revoked
    assert zone.get(revoked["id"]) == revoked


@pytest.mark.parametrize("value", ["yes", 1, 0, "true", [], {}])
def test_a_reactivate_that_is_no_boolean_is_refused(zone, revoked, value):
    answer = zone.patch(revoked["id"], json={"reactivate": value})
    assert (answer.status_code, codes(answer), pointers(answer)) == (400, [1400], {"/reactivate"})
    assert zone.get(revoked["id"]) == revoked


@pytest.mark.parametrize("body", ["{", "[]", "\"x\"", "{\"reactivate\": tru}"])
def test_a_patch_that_is_no_object_is_refused(zone, revoked, body):
    answer = zone.patch(revoked["id"], content=body)
    assert (answer.status_code, codes(answer)) == (400, [1400])


@pytest.mark.parametrize("body", ACCEPTED)
def test_patch_of_an_active_certificate_changes_nothing(zone, made, body):
    answer = zone.patch(made["id"], **ACCEPTED[body])
    assert answer.status_code == 200
    assert answer.json()["result"] == made


def test_a_repeated_delete_answers_the_same_object(zone, made):
    first = zone.delete(made["id"]).json()["result"]
    again = zone.delete(made["id"])
    assert again.status_code == 200 and without_status(again.json()["result"]) == without_status(first)
    revoked = zone.wait_for(made["id"], "revoked")
    assert zone.delete(made["id"]).json()["result"] == revoked
    assert zone.get(made["id"]) == revoked


@pytest.mark.parametrize("body", [None, b"", b"{}", b"no json"])
def test_delete_ignores_content_type_and_body(zone, made, body):
    answer = zone.call("DELETE", zone.path(made["id"]), content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


@pytest.mark.parametrize("reason", FINAL_REASONS)
def test_every_other_reason_is_final_and_reaches_the_crl(zone, made, reason):
    revoked = zone.revoke(made["id"], reason)
    assert revoked["revocation"]["reason"] == reason
    assert listed_reason(zone.crl(), revoked) == x509.ReasonFlags[FINAL_REASONS[reason]]
    answer = zone.patch(made["id"], json={"reactivate": True})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert reason in answer.json()["errors"][0]["message"]
    assert zone.get(made["id"]) == revoked


def test_a_hold_is_listed_as_certificate_hold(zone, revoked):
    assert listed_reason(zone.crl(), revoked) == x509.ReasonFlags.certificate_hold


def test_a_final_reason_turns_a_hold_into_a_final_revocation(zone, revoked):
    assert zone.delete(revoked["id"], "keyCompromise").status_code == 200

    def final_and_listed(certificate):
        return certificate["status"] == "revoked" and (
            listed_reason(zone.crl(), certificate) == x509.ReasonFlags.key_compromise)

    final = zone.wait_until(revoked["id"], final_and_listed, "final")
    assert final["revocation"]["reason"] == "keyCompromise"
    assert zone.patch(revoked["id"], json={"reactivate": True}).status_code == 400


def test_a_final_reason_is_never_turned_into_a_hold_or_another(zone, made):
    final = zone.revoke(made["id"], "keyCompromise")
    for reason in (None, "certificateHold", "superseded"):
        assert zone.delete(made["id"], reason).status_code == 200
        assert zone.wait_for(made["id"], "revoked")["revocation"]["reason"] == "keyCompromise"
    assert listed_reason(zone.crl(), final) == x509.ReasonFlags.key_compromise


def test_a_final_reason_given_while_a_hold_is_pending_wins(zone, made):
    zone.delete(made["id"])
    zone.delete(made["id"], "keyCompromise")
    final = zone.wait_until(
        made["id"], lambda c: c["status"] == "revoked" and c["revocation"]["reason"] == "keyCompromise", "final")
    assert zone.patch(final["id"]).status_code == 400


@pytest.mark.parametrize("reason", ["nonsense", "KEYCOMPROMISE!", "removeFromCRL", "1", "certificateHold,superseded"])
def test_an_unknown_reason_is_refused_by_name(zone, made, reason):
    answer = zone.delete(made["id"], reason)
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert "reason" in answer.json()["errors"][0]["message"]
    assert zone.get(made["id"])["status"] == "active"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("unknown", UNKNOWN_IDS)
def test_an_unknown_id_of_any_shape_is_404_1415(zone, method, unknown):
    answer = zone.call(method, zone.path(unknown))
    assert (answer.status_code, codes(answer)) == (404, [1415])


def test_a_certificate_of_another_zone_answers_like_an_unknown_one(zone, made):
    other = zone.in_zone(zone.create_zone(f"{zone.zone}-other")["id"])
    for method in ("GET", "PATCH", "DELETE"):
        answer = other.call(method, other.path(made["id"]))
        assert (answer.status_code, codes(answer)) == (404, [1415])
    assert zone.get(made["id"])["status"] == "active"


def test_a_life_of_many_turns_ends_where_the_last_turn_says(zone, made):
    for _ in range(5):
        zone.revoke(made["id"])
        zone.reactivate(made["id"])
    assert int(made["serial_number"]) not in listed_serials(zone.crl())
    assert zone.get(made["id"])["revocation"] is None


def test_crl_numbers_grow_and_updates_follow_each_other(zone, made):
    seen = [zone.crl()]
    for turn in (zone.revoke, zone.reactivate, zone.revoke):
        turn(made["id"])
        seen.append(zone.crl())
    numbers = [crl_number(crl) for crl in seen]
    assert numbers == sorted(set(numbers))
    updates = [crl.last_update_utc for crl in seen]
    assert updates == sorted(updates)
    assert all(crl.last_update_utc < crl.next_update_utc for crl in seen)
