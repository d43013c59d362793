"""Rows: columns, the identity of an event, and nothing lost."""

from __future__ import annotations

import datetime as dt
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import HistoryEvent
from airflow_provider.altcraft.schema import COLUMNS, SCHEMA, RowBuffer

NEW = {
    "xxh": "9202595093f237d4",
    "profile_id": "66f66973096b3b454bbbccec",
    "email": "example@example.com",
    "list_id": 66,
    "action": "send",
    "count": 1,
    "datetime": "2024-09-27T15:52:57.004Z",
    "message_id": 5,
    "campaign_id": 137,
    "event_id": "66f6aaa9da00a9db1c0b2683",
    "smid": "uBAhiRBRQhARg7y489hr5F2b2aXM",
    "campaign_name": "Autumn",
    "message_name": "testing",
    "channel": "email",
    "subscription": {"resource_id": 5, "cats": []},
    "subscriptions": [{"resource_id": 5}],
    "brand_new": {"deep": [1, None, "ж"]},
}
OLD = {
    "action": "click",
    "count": 1,
    "datetime": "2017-04-05T07:48:44Z",
    "email": "email@mail.roo",
    "list_id": 20,
    "message_id": 184,
    "xxh": "0eb51aefd919f90a",
}


def rows(*sent: dict, list_id: int = 66) -> list[dict]:
    buffer = RowBuffer()
    events = [HistoryEvent.model_validate(row) for row in sent]
    buffer.add(events, list_id=list_id, matching="email", lookup="example@example.com")
    assert len(buffer) == len(sent)
    batch = buffer.flush()
    assert batch.schema == SCHEMA
    assert len(buffer) == 0
    return batch.to_pylist()


def keys(*sent: dict, list_id: int = 66) -> list[str]:
    return [row["event_key"] for row in rows(*sent, list_id=list_id)]


def test_a_new_row_fills_every_column() -> None:
    (row,) = rows(NEW)
    assert tuple(row) == COLUMNS
    assert row["datetime"] == dt.datetime(2024, 9, 27, 15, 52, 57, 4000, tzinfo=dt.UTC)
    sent = {key: value for key, value in NEW.items() if key in COLUMNS and key != "datetime"}
    assert {key: row[key] for key in sent} == sent
    assert (row["matching"], row["lookup"]) == ("email", "example@example.com")
    assert json.loads(row["extra"]) == {key: NEW[key] for key in ("subscription", "subscriptions", "brand_new")}


def test_an_old_row_has_nulls_where_nothing_was_sent_and_the_channel_of_its_action() -> None:
    (row,) = rows(OLD, list_id=20)
    assert row["channel"] == "email"
    assert [key for key, value in row.items() if value is None] == [
        "profile_id",
        "message_name",
        "campaign_id",
        "campaign_name",
        "smid",
        "event_id",
        "extra",
    ]


def test_the_asked_database_stands_in_where_a_row_names_none() -> None:
    sent = {key: value for key, value in OLD.items() if key != "list_id"}
    assert rows(sent, list_id=20)[0]["list_id"] == 20
    assert keys(sent, list_id=20) == keys(OLD, list_id=20)
    assert keys({**sent, "db_id": 20}, list_id=1) == keys(OLD, list_id=20)


def test_two_events_alike_stay_two_and_the_same_answer_twice_stays_one() -> None:
    first, second = keys(NEW, NEW)
    assert first != second
    assert keys(NEW, NEW) == [first, second]
    assert keys(NEW) == [first]


def test_the_key_is_pinned() -> None:
    # Tables that exist hold these keys: another algorithm would double every event.
    assert keys(NEW) == ["6b3c9fabcdec7f5797102571da80b1a0"]
    assert keys(OLD, list_id=20) == ["3172ceff82840b79b7a246995df773f0"]


@pytest.mark.parametrize(
    "field", ["event_id", "list_id", "xxh", "action", "datetime", "message_id", "campaign_id", "smid"]
)
def test_each_field_of_the_identity_makes_another_key(field: str) -> None:
    other = {
        "event_id": "other",
        "list_id": 67,
        "xxh": "0000000000000000",
        "action": "open",
        "datetime": "2024-09-27T15:52:57.005Z",
        "message_id": 6,
        "campaign_id": 138,
        "smid": "other",
    }
    assert keys(NEW) != keys({**NEW, field: other[field]})


@pytest.mark.parametrize("field", ["count", "email", "profile_id", "campaign_name", "subscription", "brand_new"])
def test_what_may_change_later_is_not_part_of_the_identity(field: str) -> None:
    changed = {"count": 2, "subscription": {}, "brand_new": 1}
    assert keys(NEW) == keys({**NEW, field: changed.get(field, "changed")})


def test_profile_id_identifies_where_there_is_no_xxh() -> None:
    without = {key: value for key, value in NEW.items() if key != "xxh"}
    assert keys(without) != keys({**without, "profile_id": "another"})


def test_fields_do_not_run_into_each_other() -> None:
    assert keys({**NEW, "event_id": 'a","b', "smid": "c"}) != keys({**NEW, "event_id": "a", "smid": 'b","c'})
    assert keys({**NEW, "message_id": 1, "campaign_id": None}) != keys({**NEW, "message_id": None, "campaign_id": 1})


def test_the_fraction_of_a_second_may_be_written_or_not() -> None:
    assert keys({**OLD, "datetime": "2017-04-05T07:48:44.000Z"}) == keys(OLD)
    assert keys({**OLD, "datetime": "2017-04-05T10:48:44+03:00"}) == keys(OLD)


@given(st.permutations(range(8)))
def test_the_order_of_an_answer_does_not_matter(order: list[int]) -> None:
    answer = [{**OLD, "count": index // 4 + 1, "message_id": index % 2, "more": index // 2} for index in range(8)]
    assert rows(*(answer[index] for index in order)) == rows(*answer)


def test_rows_come_by_time() -> None:
    answer = [{**OLD, "datetime": f"2017-04-05T07:48:{second:02}Z"} for second in range(30)]
    shuffled = random.Random(1).sample(answer, len(answer))
    times = [row["datetime"] for row in rows(*shuffled)]
    assert times == sorted(times)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_unknown_fields_are_kept_as_they_were_sent(unknown: dict) -> None:
    unknown = {f"x{key}": value for key, value in unknown.items()}
    (row,) = rows({**OLD, **unknown})
    assert json.loads(row["extra"] or "{}") == unknown
