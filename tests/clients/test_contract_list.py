"""The list: filters, search, and paging that ends in every case."""

from datetime import timedelta

import pytest

import csr
from api import codes, moment


@pytest.fixture
def seven(zone, request_pem):
    return [zone.issue(request_pem, days=1)["id"] for _ in range(7)]


def info(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["result_info"]


def test_the_list_is_oldest_first_with_true_counts(zone, seven):
    answer = zone.list()
    assert [c["id"] for c in answer.json()["result"]] == seven
    assert info(answer) == {"page": 1, "per_page": 20, "count": 7, "total_count": 7, "total_pages": 1}


def test_an_empty_zone_lists_nothing(zone):
    assert info(zone.list()) == {"page": 1, "per_page": 20, "count": 0, "total_count": 0, "total_pages": 0}


def test_a_page_beyond_the_end_is_empty_and_no_error(zone, seven):
    for page in (3, 4, 1000, 10**9):
        answer = zone.list(page=page, per_page=5)
        assert answer.json()["result"] == []
        assert info(answer) == {"page": page, "per_page": 5, "count": 0, "total_count": 7, "total_pages": 2}


@pytest.mark.parametrize("page, per_page", [("1", "5"), ("1.0", "5.0"), ("1", "5.0")])
def test_page_numbers_may_come_as_floats(zone, seven, page, per_page):
    assert zone.ids(page=page, per_page=per_page) == seven[:5]
    assert info(zone.list(page=page, per_page=per_page))["page"] == 1


@pytest.mark.parametrize("name", ["page", "per_page"])
@pytest.mark.parametrize("value", ["0", "-1", "one", "", "1.5", "NaN", "inf", "0x1"])
def test_a_page_that_is_no_positive_whole_number_is_refused(zone, name, value):
    answer = zone.list(**{name: value})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert name in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("value", ["1e99", "9" * 40])
def test_a_page_beyond_all_numbers_is_as_empty_as_any_past_the_end(zone, seven, value):
    assert zone.list(page=value).json()["result"] == []
    assert info(zone.list(per_page=value))["per_page"] == 1000


@pytest.mark.parametrize("asked, effective", [(1, 1), (5, 5), (50, 50), (51, 51), (1000, 1000), (1001, 1000), (5000, 1000)])
def test_per_page_is_honoured_up_to_1000_and_the_effective_value_is_told(zone, seven, asked, effective):
    answer = zone.list(per_page=asked)
    assert info(answer)["per_page"] == effective
    assert len(answer.json()["result"]) == min(effective, 7)
    assert info(answer)["total_pages"] == -(-7 // effective)


@pytest.mark.parametrize("window, expected", [
    ({"limit": 3}, [slice(0, 3)]),
    ({"limit": 3, "offset": 2}, [slice(2, 5)]),
    ({"offset": 5}, [slice(5, 7)]),
    ({"limit": 10, "offset": 10}, []),
    ({"limit": 6, "per_page": 5}, [slice(0, 5), slice(5, 6)]),
    ({"limit": 5, "offset": 1, "per_page": 2}, [slice(1, 3), slice(3, 5), slice(5, 6)]),
])
def test_pages_run_inside_the_window_of_limit_and_offset_and_end(zone, seven, window, expected):
    pages, page = [], 1
    while ids := zone.ids(page=page, **window):
        pages.append(ids)
        page += 1
    assert pages == [seven[part] for part in expected]


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_a_limit_or_offset_that_is_no_whole_number_is_refused(zone, name, value):
    answer = zone.list(**{name: value})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert name in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("word", ["revoked", "REVOKED", "Revoked"])
def test_status_filters_in_any_case_and_counts_what_it_filters(zone, seven, word):
    zone.revoke(seven[2])
    answer = zone.list(status=word)
    assert [c["id"] for c in answer.json()["result"]] == [seven[2]]
    assert info(answer)["total_count"] == 1
    assert zone.ids(status="active") == [i for i in seven if i != seven[2]]
    assert zone.ids(status="All") == zone.ids() == seven
    assert zone.ids(status="pending_revocation") == zone.ids(status="pending_reactivation") == []


def test_an_unknown_status_is_refused(zone):
    answer = zone.list(status="expired")
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert "status" in answer.json()["errors"][0]["message"]


def test_unknown_query_parameters_are_ignored(zone, seven):
    assert zone.ids(colour="blue") == seven


def test_a_nul_in_a_filter_is_refused(zone):
    """PostgreSQL takes none in a text (22021), and SQLite would find nothing."""
    answer = zone.list(common_name="pump\0")
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert "common_name" in answer.json()["errors"][0]["message"]


def test_common_name_is_searched_by_prefix(zone):
    made = {name: zone.issue(csr.by_openssl(subject=f"/CN={name}"))["id"] for name in ("pump-1", "pump-2", "valve%", "valve_")}
    assert zone.ids(common_name="pump-") == [made["pump-1"], made["pump-2"]]
    assert zone.ids(common_name="valve%") == [made["valve%"]]
    assert zone.ids(common_name="valve_") == [made["valve_"]]
    assert zone.ids(common_name="ump") == []
    assert zone.total(common_name="pump-", per_page=1) == 2


def test_serial_number_and_fingerprint_find_one_certificate(zone, seven):
    made = zone.get(seven[3])
    assert zone.ids(serial_number=made["serial_number"]) == [made["id"]]
    assert zone.ids(serial_number=made["serial_number_hex"]) == [made["id"]]
    assert zone.ids(fingerprint_sha256=made["fingerprint_sha256"]) == [made["id"]]
    assert zone.ids(fingerprint_sha256="0" * 64) == zone.ids(serial_number="1") == []


def test_expiry_bounds_select_by_the_end_of_the_certificate(zone, request_pem):
    short, long = (zone.issue(request_pem, days=days) for days in (10, 20))
    between = (moment(short["expires_on"]) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert zone.ids(expires_before=between) == [short["id"]]
    assert zone.ids(expires_after=between) == [long["id"]]
    assert zone.ids(expires_before=between, expires_after=between) == []
    offset = between.replace("Z", "+00:00")
    assert zone.ids(expires_after=offset) == [long["id"]]


@pytest.mark.parametrize("name, value", [
    ("expires_before", "tomorrow"), ("expires_after", "2026-13-01T00:00:00Z"), ("serial_number", "xyz"),
    ("fingerprint_sha256", "12"),
])
def test_a_malformed_search_is_refused_by_name(zone, name, value):
    answer = zone.list(**{name: value})
    assert (answer.status_code, codes(answer)) == (400, [1400])
    assert name in answer.json()["errors"][0]["message"]


def test_filters_combine(zone, seven):
    zone.revoke(seven[0])
    assert zone.ids(status="revoked", common_name="device") == [seven[0]]
    assert zone.ids(status="active", common_name="device", limit=2, offset=1) == seven[2:4]


def test_pages_do_not_shift_while_certificates_are_added(zone, seven, request_pem):
    first = zone.ids(page=1, per_page=4)
    zone.issue(request_pem)
    assert first + zone.ids(page=2, per_page=4)[:3] == seven


def test_a_zone_lists_only_its_own(zone, seven, request_pem):
    other = zone.in_zone(zone.create_zone(f"{zone.zone}-b")["id"])
    made = other.issue(request_pem)
    assert other.ids() == [made["id"]]
    assert zone.ids() == seven
    assert other.ids(serial_number=zone.get(seven[0])["serial_number"]) == []
