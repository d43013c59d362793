"""Answers into Arrow by both ways: without objects, and by the models. Rows, keys and refusals are the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import AltcraftError
from airflow_provider.altcraft.client._core import HISTORY, Call, ClientSettings, Core, in_window
from airflow_provider.altcraft.client.transport._httpx import Response
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.schema import batch_of_events
from airflow_provider.altcraft.window import Window

ALWAYS = Window.of(None, None)
CORE = Core(ClientSettings("http://platform", "t"))
CALL = Call(HISTORY, {})
HOW: dict[str, Any] = {"list_id": 66, "matching": "email", "lookup": "a@example.com"}

OLDEST = {
    "action": "click",
    "count": 1,
    "datetime": "2017-04-05T07:48:44Z",
    "email": "email@mail.roo",
    "list_id": 20,
    "message_id": 184,
    "xxh": "0eb51aefd919f90a",
}
SUBSCRIPTION = {"resource_id": 5, "email": "é\u2028@example.com", "custom_fields": {"b": 1.5, "a": None}, "cats": []}
NEWEST = OLDEST | {
    "profile_id": "66f66973096b3b454bbbccec",
    "datetime": "2024-09-27T15:52:57.004Z",
    "campaign_id": 137,
    "event_id": "66f6aaa9da00a9db1c0b2683",
    "smid": "uBAhiRBRQhARg7y489hr5F2b2aXM",
    "campaign_name": "Осень 😀",
    "message_name": 'a "name" \\ \n',
    "channel": "email",
    "subscription": SUBSCRIPTION,
    "subscriptions": [SUBSCRIPTION, {}],
}


def body(*rows: Any) -> bytes:
    return json.dumps({"data": rows, "error": 0, "error_text": ""}).encode()


def fast(content: bytes, window: Window = ALWAYS) -> pa.RecordBatch | None:
    sent = RowReader().read(content, "")
    return None if sent is None or not sent.data else fast_batch(sent.data, window, **HOW)


def models(content: bytes, window: Window = ALWAYS) -> pa.RecordBatch:
    events = CORE.events_of(CALL, Response(200, {}, content)).rows
    return batch_of_events(in_window(events, window), **HOW)


def check_alike(content: bytes, window: Window = ALWAYS) -> bool:
    """Whether the fast way took the answer; then the models take it too, and give the same."""
    found = fast(content, window)
    if found is None:
        return False
    wanted = models(content, window)
    assert found.schema == wanted.schema
    assert found.to_pylist() == wanted.to_pylist()
    assert found.equals(wanted)
    return True


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


TAKEN: dict[str, Sequence[dict[str, Any]]] = {
    "the oldest shape": [OLDEST],
    "the newest shape": [NEWEST],
    "both in one answer": [NEWEST, OLDEST],
    "the least": [{"action": "open", "datetime": "2017-04-05T07:48:44Z"}],
    "the database's other name": [without(OLDEST, "list_id") | {"db_id": 5}],
    "a field nobody knows": [OLDEST | {"brand_new": {"deep": [1, None, "ж"]}}, OLDEST | {"other new": None}],
    "the fields of a profile": [NEWEST | {"fields": {"b": 1, "a": [1.0, 1e300, True]}}],
    "nulls": [dict.fromkeys(NEWEST) | {"action": "a", "datetime": OLDEST["datetime"], "count": 2}],
    "numbers beyond 64 bits in extra": [OLDEST | {"big": 2**70, "less": -(2**70)}],
    "the least and the greatest number": [OLDEST | {"list_id": -(2**63), "message_id": 2**63 - 1}],
    "rows alike": [OLDEST, OLDEST, OLDEST | {"count": 2}, OLDEST],
    "rows of one instant": [NEWEST | {"action": action, "datetime": "2020-01-01T00:00:00Z"} for action in "cabca"],
    "fractions of each length": [OLDEST | {"datetime": f"2017-04-05T07:48:44.{'12345'[:n]}6Z"} for n in range(6)],
    "finer than a microsecond": [
        OLDEST | {"datetime": f"2017-04-05T07:48:44.{'123456789'[:n]}Z"} for n in (9, 7, 8, 9)
    ],
    "a fraction and none": [OLDEST | {"datetime": f"2017-04-05T07:48:4{text}Z"} for text in ("5", "4.5", "4", "4.25")],
    "the first and the last year": [OLDEST | {"datetime": f"{year}-01-01T00:00:00Z"} for year in ("0001", "9999")],
}
LEFT: dict[str, Sequence[Any]] = {
    "no row": [],
    "a row that is none": [OLDEST, 5],
    "a row that is an array": [["action"]],
    "no action": [without(OLDEST, "action")],
    "no time": [without(OLDEST, "datetime")],
    "a time with an offset": [OLDEST | {"datetime": "2017-04-05T07:48:44+03:00"}],
    "a time without a zone": [OLDEST | {"datetime": "2017-04-05T07:48:44"}],
    "a time as a number": [OLDEST | {"datetime": 1491378524}],
    "a day that is none": [OLDEST | {"datetime": "2017-02-30T07:48:44Z"}],
    "a 25th hour": [OLDEST | {"datetime": "2017-02-20T25:48:44Z"}],
    "a leap second": [OLDEST | {"datetime": "2016-12-31T23:59:60Z"}],
    "the year 0": [OLDEST | {"datetime": "0000-01-01T00:00:00Z"}],
    "a space for the T": [OLDEST | {"datetime": "2017-04-05 07:48:44Z"}],
    "a comma for the point": [OLDEST | {"datetime": "2017-04-05T07:48:44,123Z"}],
    "an offset before the Z": [OLDEST | {"datetime": "2017-04-05T07:48:44+03Z"}],
    "a Z during the fraction": [OLDEST | {"datetime": "2017-04-05T07:48:44.1Z3Z"}],
    "a line break in a time": [OLDEST | {"datetime": "2017-04-05T07:48:\n4Z"}],
    "a time cut short, another too long": [OLDEST | {"datetime": f"2017-04-05T07:48:4{end}Z"} for end in ("", "44")],
    "digits of another script": [OLDEST | {"datetime": "2017-04-05T07:48:4٤Z"}],
    "letters beyond a microsecond": [OLDEST | {"datetime": "2017-04-05T07:48:44.123456abcZ"}],
    "digits of another script beyond a microsecond": [OLDEST | {"datetime": "2017-04-05T07:48:44.12345678٤Z"}],
    "ten digits of a fraction": [OLDEST | {"datetime": "2017-04-05T07:48:44.1234567890Z"}],
    "a number as text": [OLDEST | {"message_id": "5"}],
    "a text as number": [OLDEST | {"xxh": 5}],
    "a whole fraction": [OLDEST | {"message_id": 5.0}],
    "a fraction": [OLDEST | {"message_id": 5.5}],
    "true as a number": [OLDEST | {"count": True}],
    "no count": [OLDEST | {"count": None}],
    "a number beyond 64 bits": [OLDEST | {"message_id": 2**63}],
    "a number further below": [OLDEST | {"count": -(2**63) - 1}],
    "a number as text, empty": [OLDEST | {"campaign_id": ""}],
    "both names of the database": [OLDEST | {"db_id": 5}],
    "a subscription that is none": [OLDEST | {"subscription": "a"}],
    "an empty subscription of XML": [OLDEST | {"subscription": ""}],
    "one subscription instead of an array": [OLDEST | {"subscriptions": {"a": 1}}],
    "subscriptions that are none": [OLDEST | {"subscriptions": [1]}],
    "more new fields than there can be": [OLDEST | {f"new_{number}": 1 for number in range(40)}],
}
BROKEN = {
    "cut off": body(OLDEST)[:-1],
    "more after the end": body(OLDEST) + b"x",
    "not UTF-8": body(OLDEST).replace(b"email@", b"\xff@"),
    "not UTF-8 in extra": body(OLDEST | {"new": "here"}).replace(b"here", b"\xff"),
    "half a pair": body(OLDEST).replace(b"email@", b"\\ud800@"),
    "half a pair in extra": body(OLDEST | {"new": "here"}).replace(b"here", b"\\ud800"),
    "a control character": body(OLDEST).replace(b"email@", b"\x01@"),
    "no such escape in extra": body(OLDEST | {"new": "here"}).replace(b"here", b"\\q"),
    "NaN in extra": body(OLDEST | {"new": "here"}).replace(b'"here"', b"NaN"),
    "a trailing comma": body(OLDEST).replace(b"}]", b"},]"),
    "no word on success": b'{"data":[]}',
    "a failure": body(OLDEST).replace(b'"error": 0', b'"error": 400'),
    "a failure after a success": body(OLDEST).replace(b'"error_text": ""', b'"error": 403'),
    "success in the rows only": json.dumps({"data": [OLDEST | {"error": 0}]}).encode(),
    "nothing": b"",
    "a page": b"<html></html>",
    "data that is none": b'{"error":0,"data":5}',
}


@pytest.mark.parametrize("rows", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_is_what_the_models_make_of_it(rows: Sequence[dict[str, Any]]) -> None:
    assert check_alike(body(*rows))


@pytest.mark.parametrize("rows", LEFT.values(), ids=LEFT)
def test_what_is_left_to_the_models(rows: Sequence[Any]) -> None:
    """They put some of it right and refuse some; it is for them to say."""
    assert fast(body(*rows)) is None


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_the_client_refuses_is_never_taken(content: bytes) -> None:
    assert fast(content) is None
    with pytest.raises(AltcraftError):
        models(content)


@pytest.mark.parametrize("charset", ["utf-16", "latin-1"])
def test_another_charset_is_left_to_the_client(charset: str) -> None:
    content = body(OLDEST).decode().encode(charset)
    assert RowReader().read(content, f"application/json; charset={charset}") is None


def test_fields_are_learnt_once() -> None:
    """What one answer taught serves for the next, which may lack it; a shape that is odd is forgotten."""
    reader = RowReader()
    answers: list[list[Any]] = [
        [OLDEST],
        [OLDEST | {"one": 1}],
        [OLDEST | {"other": [2]}],
        [OLDEST],
        [without(OLDEST, "list_id") | {"db_id": 7, "one": {}}],
        [OLDEST | {f"new_{number}": 1 for number in range(40)}],
        [5],
        [OLDEST | {"db_id": 7}],
        [NEWEST | {"one": 1}],
        [without(OLDEST, "list_id") | {"db_id": 7}],
    ]
    for rows in answers:
        sent = reader.read(body(*rows), "")
        if rows == [5] or len(rows[0]) > 40 or {"db_id", "list_id"} <= rows[0].keys():
            assert sent is None
            continue
        assert sent is not None
        assert sent.data
        found = fast_batch(sent.data, ALWAYS, **HOW)
        assert found is not None
        assert found.equals(models(body(*rows)))


def test_a_row_goes_back_to_what_was_sent() -> None:
    """Where rows of a page that is read have to go to the models after all."""
    rows = [NEWEST | {"brand new": None, "count": 3}, OLDEST]
    sent = RowReader().read(body(*rows), "")
    assert sent is not None
    assert sent.data
    whole = [row.mapping() for row in sent.data]
    assert whole == [rows[0], without(OLDEST, "count")]  # a count of 1 goes without saying


def mutated(row: dict[str, Any], name: str, value: Any, absent: bool) -> dict[str, Any]:
    return without(row, name) if absent else row | {name: value}


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
INSTANT = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.builds(
    "{}-{:02}-{:02}T{:02}:{:02}:{:02}{}".format,
    st.sampled_from(["0000", "0001", "1969", "2024", "9999", "12024"]),
    st.integers(0, 13),
    st.integers(0, 32),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 61),
    st.sampled_from(["Z", "", "z", ".5Z", ".123456Z", ".1234567Z", "+03:00", ".Z", " Z", "-00:00"]),
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
NUMBER = st.sampled_from(
    [0, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**200, 1.0, 1.5, 1e300, "5", "", "x"]
)
VALUE = st.recursive(
    SCALAR | NUMBER, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
NAME = st.sampled_from([*NEWEST, "db_id", "fields", "extra", "error", "data", "other_0"]) | TEXT
LIKELY = st.builds(
    lambda row, at, action, number: row | {"datetime": at, "action": action, "message_id": number},
    st.sampled_from([OLDEST, NEWEST]),
    st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2023-12-31T23:59:59.999999Z"]) | INSTANT,
    st.sampled_from(["open", "send_sms", "unknown", ""]) | TEXT,
    st.integers(-3, 3) | st.none(),
)
ROW = st.builds(mutated, LIKELY, NAME, VALUE, st.booleans()) | LIKELY
WINDOW = st.sampled_from([ALWAYS, Window.of("2024-01-01", "2024-01-01"), Window.of(None, "2023-12-31")])


@given(st.lists(ROW, min_size=1, max_size=6), WINDOW)
@example([OLDEST | {"new": float("inf")}], ALWAYS)
def test_drawn_answers(rows: list[dict[str, Any]], window: Window) -> None:
    check_alike(body(*rows).replace(b"Infinity", b"1e999"), window)


@given(st.lists(LIKELY, min_size=1, max_size=4), st.data())
def test_drawn_answers_that_are_broken(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """Some bytes are overwritten, doubled or missing; what is still taken is what the models make of it."""
    content = body(*rows)
    at = data.draw(st.integers(0, len(content)))
    new = data.draw(st.sampled_from([b"", b'"', b"\\", b"}", b",", b"0", b"\xff", b"\x00", b"null", b"\\ud83d"]))
    check_alike(content[:at] + new + content[at + data.draw(st.integers(0, 3)) :])


@given(st.lists(LIKELY, min_size=1, max_size=4), st.lists(st.tuples(NAME, VALUE), max_size=3))
def test_drawn_answers_with_a_field_twice(rows: list[dict[str, Any]], more: list[tuple[str, Any]]) -> None:
    """The last one counts."""
    twice = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in more)
    check_alike(body(*rows).replace(b"}]", twice.encode() + b"}]").replace(b"Infinity", b"1e999"))
