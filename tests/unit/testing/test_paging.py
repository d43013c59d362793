"""``history_get_all``, virtual data, and the lists of databases and profiles."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.testing.emulator.methods import history_get_all

ALL = "subscribers/history_get_all"
DAYS = {"list_id": 1, "date_from": "2026-01-01", "date_to": "2026-12-31"}
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def flat(pages):
    return [row for page in pages for row in page]


@pytest.fixture
def crowd(altcraft_api):
    """Seeded profiles, and others between and among them."""
    altcraft_api.seed(profiles=20, events_per_profile=12, days=5)
    first = altcraft_api.add_profile(email="first@example.com")
    between = altcraft_api.add_profile(xxh="00000000000000ff")
    for action in ("open", "click", "click", "click"):
        altcraft_api.add_event(first, action, at=AT)
        altcraft_api.add_event("user3@example.com", action, at=AT)
        altcraft_api.add_event(between, action, at=AT)
    return altcraft_api


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_exclusive_cursor(crowd, walk, limit):
    pages = walk(limit=limit)
    assert flat(pages) == list(crowd.events())
    assert {len(page) for page in pages[:-1]} <= {limit}


@pytest.mark.parametrize("altcraft_api", [{"cursor": "inclusive"}], indirect=True)
@pytest.mark.parametrize("limit", [2, 3, 7, 1000])
def test_inclusive_cursor_repeats_the_last_row(crowd, walk, limit):
    pages = walk(limit=limit)
    assert all(before[-1] == after[0] for before, after in pairwise(pages))
    assert flat([pages[0], *(page[1:] for page in pages[1:])]) == list(crowd.events())


@pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
@pytest.mark.parametrize("limit", [2, 3, 7, 1000])
def test_limit_may_count_profiles(crowd, walk, limit, cursor):
    crowd.limit_counts, crowd.cursor = "profiles", cursor
    pages = walk(limit=limit)
    again = 0 if cursor == "exclusive" else 1
    assert flat([pages[0], *(page[again:] for page in pages[1:])]) == list(crowd.events())
    assert {len({row["xxh"] for row in page}) for page in pages[:-1]} <= {limit}
    assert max(map(len, pages)) > limit or limit == 1000


def test_deleted(crowd, walk, call):
    everything = list(crowd.events())
    between = "00000000000000ff"
    page = call(ALL, **DAYS, limit=20 * 12 + 6).json()
    assert page["next_from_id"].startswith(between)
    crowd.delete_profile(between)
    crowd.delete_profile("user3@example.com")
    left = [row for row in everything if row["xxh"] not in {between, f"{3:016x}"}]
    assert flat(walk()) == list(crowd.events()) == left
    assert call("subscribers/history_get", list_id=1, xxh=between).json()["data"] == []
    assert f"{3:016x}" not in {row["id"][8:] for row in call("profiles/list", db_id=1).json()["data"]}
    assert call(ALL, **DAYS, from_id=page["next_from_id"]).json()["error"] == 0
    crowd.cursor_of_deleted = "refused"
    assert "from_id" in call(ALL, **DAYS, from_id=page["next_from_id"]).json()["error_text"]
    with pytest.raises(LookupError, match="no profile"):
        crowd.delete_profile(between)
    # It may come back, without its history.
    again = crowd.add_profile(xxh=between)
    assert crowd.add_event(again, "open", at=AT)["xxh"] == between
    assert sum(row["xxh"] == between for row in crowd.events()) == 1


def test_merged(crowd, walk, history):
    kept, other = crowd.add_profile(email="kept@example.com"), "user3@example.com"
    crowd.add_event(kept, "open", at=AT)
    ids = sorted(row["event_id"] for row in crowd.events())
    crowd.merge_profiles(kept, other)
    rows = flat(walk())
    assert rows == list(crowd.events())
    assert sorted(row["event_id"] for row in rows) == ids
    assert sum(row["xxh"] == kept.xxh for row in rows) == 12 + 4 + 1
    assert not any(row["xxh"] == f"{3:016x}" for row in rows)
    assert history(email=other) == history(email="kept@example.com")
    assert history(xxh=f"{3:016x}") == []


def test_rows_are_in_order(crowd):
    rows = list(crowd.events())
    assert rows == sorted(rows, key=lambda row: (row["xxh"], row["datetime"]))
    assert len(rows) == 20 * 12 + 3 * 4


def test_end(crowd, call):
    last = "ffffffffffffffff.20260101"
    answer = call(ALL, **DAYS, from_id=last).json()
    assert (answer["data"], answer["next_from_id"]) == ([], last)
    crowd.empty_data = "absent"
    assert "data" not in call(ALL, **DAYS, from_id=last).json()


def test_composed_cursor(crowd, walk):
    everything = list(crowd.events())
    assert flat(walk(from_id="0000000000000000.20010101")) == everything
    for xxh, time_, last_before in (
        ("0000000000000005", "20260103", "2026-01-03T00:00:01"),
        ("00000000000000ff", "20260301115959", "2026-03-01T12"),
        # A cursor that names no place in its second has the whole second behind it.
        ("00000000000000ff", "20260301120000", "2026-03-01T12:00:01"),
    ):
        expected = [row for row in everything if (row["xxh"], row["datetime"]) >= (xxh, last_before)]
        assert flat(walk(from_id=f"{xxh}.{time_}")) == expected


def test_cursor_is_written_as_seen_and_with_a_place_only_during_a_second(crowd, call):
    start = "00000000000000fe.20260101"
    cursors = [call(ALL, **DAYS, from_id=start, limit=limit).json()["next_from_id"] for limit in (1, 3, 4)]
    second = "00000000000000ff.20260301120000"
    assert cursors == [f"{second}.1", f"{second}.3", second]


def test_days_and_fields(crowd, call, walk):
    rows = flat(walk(date_from="2026-01-02", date_to="2026-01-03"))
    assert rows == list(crowd.events(date_from=date(2026, 1, 2), date_to=date(2026, 1, 3)))
    assert {row["datetime"][:10] for row in rows} == {"2026-01-02", "2026-01-03"}
    rows = call(ALL, **DAYS, limit=1, fields=["CRM_ID", "email", "shoe size"]).json()["data"]
    assert rows[0]["fields"] == {"CRM_ID": "0", "email": "user0@example.com"}


def test_outside_of_the_seeded_days_are_only_the_events_that_were_added(crowd, walk):
    assert len(flat(walk(date_from="2026-02-01"))) == 12
    assert flat(walk(date_from="2026-05-01")) == []


def test_old_style_has_a_campaign_sometimes(crowd, walk):
    crowd.style = "old"
    seeded = [row for row in flat(walk()) if row["email"].startswith("user")]
    assert {"campaign_id" in row for row in seeded} == {True, False}
    assert all("." not in row["datetime"] for row in seeded)
    assert max(Counter(tuple(row.items()) for row in seeded).values()) > 1, "alike in all the old style shows"


def test_virtual_data_is_the_same_however_it_is_asked(altcraft_api, history):
    altcraft_api.seed(profiles=50, events_per_profile=23, seed=5)
    altcraft_api.order = "oldest"
    for number in (0, 7, 49):
        rows = [row for row in altcraft_api.events() if row["xxh"] == f"{number:016x}"]
        assert len(rows) == len({row["event_id"] for row in rows}) == 23
        for lookup in (
            {"xxh": f"{number:016x}"},
            {"email": f"user{number}@example.com"},
            {"matching": "email_sub", "email": f"user{number}@example.com"},
            {"matching": "phone_sub", "phone": f"+79{number:09d}"},
            {"matching": "profile_id", "profile_id": rows[0]["profile_id"]},
            {"matching": "custom", "field_name": "CRM_ID", "field_value": number},
        ):
            assert history(**lookup) == rows
    for stranger in (
        {"email": "user50@example.com"},
        {"email": "user07@example.com"},
        {"matching": "phone", "phone": "+7900000000"},
        {"matching": "profile_id", "profile_id": "0" * 24},
        {"matching": "custom", "field_name": "CRM_ID", "field_value": "x"},
        {"matching": "custom", "field_name": "shoe", "field_value": 4},
        {"matching": "push_sub", "provider": "ios", "subscription_id": "7"},
        {"xxh": "f" * 16},
    ):
        assert history(**stranger) == []


def test_seeds_differ_and_repeat():
    def made(seed):
        api = Emulator()
        api.seed(profiles=3, events_per_profile=10, seed=seed)
        return list(api.events())

    assert made(1) == made(1)
    assert made(1) != made(2)


@settings(max_examples=60, deadline=None)
@given(
    profiles=st.integers(0, 5),
    events=st.integers(0, 40),
    days=st.floats(0.5, 400),
    start=st.dates(date(1990, 1, 1), date(2080, 1, 1)),
    seed=st.integers(0, 9),
    cut=st.floats(0, 1),
)
def test_every_seeded_row_is_found_by_its_time(profiles, events, days, start, seed, cut):
    start = datetime.combine(start, datetime.min.time(), UTC) + timedelta(days=cut)
    api = Emulator()
    api.seed(profiles=profiles, events_per_profile=events, days=days, start=start, seed=seed)
    rows = list(api.events())
    assert len(rows) == profiles * events
    for row in rows:
        at = datetime.fromisoformat(row["datetime"])
        assert start - timedelta(milliseconds=1) <= at <= start + timedelta(days=days)
    day = (start + timedelta(days=days * cut)).date()
    early = list(api.events(date_to=day))
    late = list(api.events(date_from=day + timedelta(days=1)))
    assert Counter(map(repr, early + late)) == Counter(map(repr, rows))


def test_a_million_profiles_take_no_time(altcraft_api, call):
    began = time.perf_counter()
    altcraft_api.seed(profiles=1_000_000)
    for number in (0, 500_000, 999_999):
        rows = call(ALL, **DAYS, from_id=f"{number:016x}.20010101", limit=100).json()["data"]
        assert rows == list(islice(_from(altcraft_api, number), 100))
    assert call(ALL, **{**DAYS, "date_from": "2026-06-01"}).json()["data"] == []
    assert time.perf_counter() - began < 5


def _from(api, number):
    body = {**DAYS, "from_id": f"{number:016x}.20010101", "limit": 100}
    return history_get_all(api, body)["data"]


def test_seeding_is_refused_where_it_cannot_be(altcraft_api):
    altcraft_api.seed(profiles=1)
    with pytest.raises(ValueError, match="database 1 is seeded already"):
        altcraft_api.seed(profiles=1)
    altcraft_api.add_database(2)
    with pytest.raises(ValueError, match="too many events_per_profile for so few days"):
        altcraft_api.seed(list_id=2, profiles=1, events_per_profile=10**9, days=1)
    with pytest.raises(ValueError, match="must be from 0"):
        altcraft_api.seed(list_id=2, profiles=-1)
    with pytest.raises(ValueError, match="already has a profile"):
        altcraft_api.add_profile(xxh="0" * 16)


def test_databases(altcraft_api, call):
    altcraft_api.add_database(66, name="Main", description="Everybody")
    answer = call("databases/list/").json()
    assert answer["data"] == [
        {"id": 1, "name": "Database #1", "ui_tags": [], "Groups": [{"Id": 0, "Name": "main"}]},
        {"id": 66, "name": "Main", "ui_tags": [], "Groups": [{"Id": 0, "Name": "main"}]},
    ]
    assert (answer["next_from_id"], answer["total_count"]) == (66, 2)
    assert [each["id"] for each in call("databases/list/", limit=1).json()["data"]] == [1]
    assert [each["id"] for each in call("databases/list/", from_id=1).json()["data"]] == [66]
    end = call("databases/list/", from_id=66).json()
    assert (end["data"], end["next_from_id"]) == ([], 66)
    main = {"id": 66, "name": "Main", "description": "Everybody"}
    assert call("databases/get/", id=66).json()["data"] == main


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_profiles(altcraft_api, call, limit):
    altcraft_api.seed(profiles=6)
    own = [altcraft_api.add_profile(email=f"p{number}@example.com", custom={"n": number}) for number in range(9)]
    found, cursor = [], ""
    while page := (answer := call("profiles/list", db_id=1, limit=limit, from_id=cursor).json())["data"]:
        found += page
        cursor = answer["next_from_id"]
    assert answer["next_from_id"] == cursor
    assert [each["id"] for each in found] == sorted(each["id"] for each in found)
    assert {each["email"] for each in found} == {f"user{n}@example.com" for n in range(6)} | {p.email for p in own}
    assert found[0].keys() > {"id", "email"}


def test_profiles_by_fields_and_query(altcraft_api, call):
    altcraft_api.seed(profiles=5)
    only = call("profiles/list", db_id=1, fields=["CRM_ID", "shoe"], query={"email": "user3@example.com"}).json()
    assert only["data"] == [{"id": "66f669730000000000000003", "CRM_ID": "3"}]
    some = call("profiles/list", db_id=1, query={"CRM_ID": {"$in": ["0", "4", "9"]}}).json()["data"]
    assert [each["CRM_ID"] for each in some] == ["0", "4"]
    assert "only $in" in call("profiles/list", db_id=1, query={"CRM_ID": {"$gt": 1}}).json()["error_text"]


@pytest.mark.parametrize("after", ["0" * 24, "66f669720000000000000000", "66f669740000000000000000", "f" * 24])
def test_profiles_from_an_id_that_is_nobodys(altcraft_api, call, after):
    altcraft_api.seed(profiles=2)
    answer = call("profiles/list", db_id=1, from_id=after).json()
    assert len(answer["data"]) == (2 if after < "66f66973" else 0)
