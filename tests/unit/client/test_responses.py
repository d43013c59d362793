"""Answers that nobody scripted: whatever comes, it is events or one of our errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, Response, Retry, UnreadableAnswerError
from airflow_provider.altcraft.client._errors import redact
from airflow_provider.altcraft.client._responses import retry_after

ROW = {"action": "x", "datetime": "2026-01-01T00:00:00Z"}


class Canned:
    def __init__(self, answer: Response) -> None:
        self.answer = answer

    def send(self, url: str, headers: Any, body: bytes) -> Response:
        return self.answer

    def close(self) -> None:
        pass


def ask(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Any:
    answer = Response(status, {"content-type": content_type, **headers}, body)
    retry = Retry(attempts=1)
    with AltcraftClient("https://example.com", "s3cr3t", list_id=1, transport=Canned(answer), retry=retry) as asking:
        return asking.get_history("ann@example.com")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.dictionaries(st.sampled_from([*ROW, "count", "list_id", "db_id", "subscription", "subscriptions", "x"]), JSON)
DATA = JSON | st.lists(ROWS.map(lambda row: ROW | row))
ENVELOPES = st.fixed_dictionaries({}, optional={"error": JSON | st.just(0), "error_text": JSON, "data": DATA})


@given(ENVELOPES, st.sampled_from([200, 204, 302, 400, 404, 429, 500, 503]))
def test_any_envelope(envelope: Any, status: int) -> None:
    _events_or_our_error(json.dumps(envelope).encode(), status, "application/json")


@given(
    st.binary(max_size=200) | st.text(max_size=50).map(lambda text: f"<xml>{text}</xml>".encode()),
    st.integers(100, 599),
    st.sampled_from(["", "application/json", "text/html; charset=nonsense", "text/xml; charset=utf-16", ";;;charset="]),
)
def test_any_bytes(body: bytes, status: int, content_type: str) -> None:
    _events_or_our_error(body, status, content_type)


def _events_or_our_error(body: bytes, status: int, content_type: str) -> None:
    try:
        events = ask(body, status, content_type)
    except AltcraftError as error:
        assert "s3cr3t" not in str(error)  # noqa: PT017 - an error is one of the outcomes
    else:
        assert isinstance(events, list)


@pytest.mark.parametrize("zero", ["0", '"0"', '" 0 "'])
def test_error_0(zero: str) -> None:
    assert ask(b'{"error": ' + zero.encode() + b"}") == []


@pytest.mark.parametrize("odd", ["null", "false", "true", "0.0", '""', '"zero"', "[]", "{}"])
def test_what_is_no_number_is_no_success(odd: str) -> None:
    with pytest.raises(UnreadableAnswerError, match="no field 'error'"):
        ask(b'{"error": ' + odd.encode() + b"}")


@pytest.mark.parametrize("data", ["{}", "5", '"text"', "true"])
def test_data_that_is_no_array(data: str) -> None:
    with pytest.raises(UnreadableAnswerError, match="data"):
        ask(b'{"error": 0, "data": ' + data.encode() + b"}")


HOSTILE = {
    "entities": b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]><xml><error>0</error><data>&b;</data></xml>',
    "external": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hosts">]><xml><error>0</error><data>&a;</data></xml>',
    "dtd": b'<!DOCTYPE xml SYSTEM "http://127.0.0.1:1/x.dtd"><xml><error>0</error></xml>',
    "deep": b"<xml>" + b"<a>" * 100_000,
    "json": b'{"error": 0, "data": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        ask(body, content_type="text/xml")


def test_xml_as_the_platform_sends_it() -> None:
    fields = "<action>open</action><datetime>2026-01-01T00:00:00Z</datetime><db_id>6</db_id><message_id></message_id>"
    row = f"<data>{fields}</data>"
    wrap = "<?xml version='1.0'?>\n<xml><error>0</error><error_text>fine</error_text>{}</xml>"
    assert ask(wrap.format("").encode(), content_type="text/xml") == []
    for count in (1, 2, 3):
        events = ask(wrap.format(row * count).encode(), content_type="text/xml")
        assert [(event.action, event.list_id, event.message_id) for event in events] == [("open", 6, None)] * count
    with pytest.raises(AltcraftError, match="error 403: ж"):
        ask("<xml><error>403</error><error_text>ж</error_text></xml>".encode(), content_type="text/xml")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("5", 5.0), ("1.5", 1.5), ("-5", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_an_error_shows_no_row() -> None:
    with pytest.raises(UnreadableAnswerError) as caught:
        ask(json.dumps({"error": 0, "data": [ROW | {"email": "bob@example.com", "message_id": "bob"}]}).encode())
    assert "data[0].message_id" in str(caught.value)
    assert "bob" not in str(caught.value)


@given(st.text(min_size=4), st.text(), st.text())
def test_a_secret_is_masked_wherever_it_stands(secret: str, before: str, after: str) -> None:
    masked = redact(f"{before}{json.dumps(secret)[1:-1]}{after}", [secret])
    assert "***" in masked
    assert secret not in masked or secret in f"{before}***{after}"
    assert redact(before, []) == before
