"""A number in a field without a column stands in ``extra`` as it was sent, whichever way the row took."""

from __future__ import annotations

import copy
import math
import pickle

import pytest

from airflow_provider.altcraft.client import HistoryEvent, UnreadableAnswerError
from airflow_provider.altcraft.client._json import ExactFloat, decode, encode_sorted
from airflow_provider.altcraft.client._responses import read_envelope
from airflow_provider.altcraft.client.transport._httpx import Response
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.schema import batch_of_events
from airflow_provider.altcraft.window import Window

ROW = '{"action": "open", "datetime": "2026-01-01T00:00:00Z", %s}'


def answer(field: str) -> Response:
    return Response(200, {}, ('{"error": 0, "data": [' + ROW % field + "]}").encode())


@pytest.mark.parametrize(
    "number",
    [
        "1e400",
        "-1E+400",
        "1e-400",
        "1e9999999999999999999999",
        "0.12345678901234567890123",
        "9007199254740993.0",
        "123456789012345678901234567890",
        "0.1",
        "-0.0",
        "12.5",
    ],
)
@pytest.mark.parametrize(
    "field", ['"n": %s', '"n": {"deep": [%s]}', '"subscription": {"n": %s}', '"subscriptions": [{"n": %s}]']
)
def test_kept_as_sent(number: str, field: str) -> None:
    sent = answer(field % number)
    how = {"list_id": 1, "matching": "email", "lookup": "ann@example.com"}
    read = RowReader().read(sent.body, "")
    assert read is not None
    fast = fast_batch(read.data or (), Window(), **how)
    models = batch_of_events([HistoryEvent(**read_envelope(sent, [])["data"][0])], **how)
    assert fast == models
    assert models.column("extra")[0].as_py() == "{" + (field % number).replace(" ", "") + "}"


def test_what_a_float_holds_is_one() -> None:
    numbers = decode("[0.1, 1.10, 1E5, 2.5e-7, 1e400, 0.30000000000000004, 3.141592653589793238]")
    assert [type(each) for each in numbers] == [float] * 4 + [ExactFloat, float, ExactFloat]
    assert numbers[4] == math.inf
    for number in (numbers[4], numbers[6]):
        for again in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
            assert (again, again.text) == (number, number.text)


def test_nothing_else_is_let_through() -> None:
    with pytest.raises(TypeError, match="object is not JSON"):
        encode_sorted({"a": object()})


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (f'"n": {"1" * 5000}', "a whole number in it has too many digits"),
        (f'"n": {"[" * 5000}{"]" * 5000}', "it is nested too deeply"),
        ('"n": NaN', "JSON is malformed"),
    ],
)
def test_an_answer_that_cannot_be_read_says_why(field: str, said: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"^the answer cannot be read: {said}") as caught:
        read_envelope(answer(field), [])
    assert "host" not in str(caught.value)
    assert "111" not in str(caught.value)


def test_cut_off_deep_xml_and_no_utf_8() -> None:
    deep = b"<xml><error>0</error>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</xml>"
    for body, said in (
        (b'{"error": 0, "da', "truncated"),
        (deep, "nested too deeply"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ):
        with pytest.raises(UnreadableAnswerError, match=f"^the answer cannot be read: .*{said}"):
            read_envelope(Response(200, {}, body), [])


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"hello", b"[1]", b"<xml"])
def test_what_is_not_the_apis_asks_for_the_host(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError, match="is the connection's host right"):
        read_envelope(Response(200, {}, body), [])
