"""Rows and lookups at the edges: numbers, texts and nesting that few send, and the same rules in both checks."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from airflow_provider.altcraft.client import (
    AltcraftClient,
    HistoryEvent,
    ProfileLookup,
    Response,
    Retry,
    UnreadableAnswerError,
)
from airflow_provider.altcraft.client._lookup import LOOKUP_FIELDS, MATCHING, check_lookup

ROW = {"action": "x", "datetime": "2026-01-01T00:00:00Z"}


class Canned:
    def __init__(self, body: str | bytes, content_type: str) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type = content_type

    def send(self, *_: Any) -> Response:
        return Response(200, {"content-type": self.content_type}, self.body)

    def close(self) -> None:
        """Nothing is open."""


def read(body: str | bytes, content_type: str = "application/json") -> list[HistoryEvent]:
    """The events that the client makes of a body."""
    canned = Canned(body, content_type)
    with AltcraftClient("https://e.com", "t0ken", list_id=1, transport=canned, retry=Retry(attempts=1)) as asking:
        return asking.get_history("a@b")


def read_row(**fields: Any) -> HistoryEvent:
    (event,) = read(json.dumps({"error": 0, "data": [ROW | fields]}))
    return event


def deep(levels: int) -> Any:
    value: Any = "here"
    for _ in range(levels):
        value = [value]
    return value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
UNKNOWN = st.text(max_size=10).filter(lambda name: name not in {*HistoryEvent.model_fields, "db_id"})


class TestRows:
    """What the platform may send."""

    @given(st.dictionaries(UNKNOWN, JSON, max_size=4))
    def test_unknown_fields_stay_as_they_are(self, fields: dict[str, Any]) -> None:
        assert read_row(**fields).model_extra == fields

    @pytest.mark.parametrize("name", ["model_extra", "model_config", "known_channel", "json", "copy", "__class__"])
    def test_also_under_the_models_own_names(self, name: str) -> None:
        event = read_row(**{name: "mine"})
        assert event.model_extra == {name: "mine"}
        assert event.known_channel is None

    @pytest.mark.parametrize("text", ["🧡", "e\u0301", "\u202eabc", "a\0b", "\ufeffx", "Ünïcödé", "\u2028", ""])
    def test_odd_texts(self, text: str) -> None:
        event = read_row(message_name=text, other=text)
        assert (event.message_name, event.model_extra) == (text, {"other": text})

    @pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
    def test_numbers_of_64_bits(self, number: int) -> None:
        event = read_row(message_id=number, campaign_id=str(number), list_id=number, event_id=number, other=number * 10)
        assert (event.message_id, event.campaign_id, event.list_id) == (number, number, number)
        assert event.event_id == str(number)
        assert event.model_extra == {"other": number * 10}

    @pytest.mark.parametrize("name", ["message_id", "campaign_id", "list_id", "count"])
    @pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**4000, 1.5, "x", [], {}])
    def test_other_numbers_are_unreadable_and_named(self, name: str, number: Any) -> None:
        with pytest.raises(UnreadableAnswerError, match=rf"data\[0\]\.{name}: ") as caught:
            read_row(**{name: number})
        assert caught.value.http_status == 200

    def test_both_names_of_the_list(self) -> None:
        assert read_row(db_id=6).list_id == 6
        event = read_row(db_id=6, list_id=5)
        assert (event.list_id, event.model_extra) == (5, {"db_id": 6})

    @pytest.mark.parametrize("levels", [1, 50, 150])
    def test_nested_deep(self, levels: int) -> None:
        event = read_row(other=deep(levels), subscription={"a": deep(levels)}, subscriptions=[{"a": deep(levels)}])
        assert event.model_extra == {"other": deep(levels)}
        assert event.subscription == {"a": deep(levels)}
        assert event.subscriptions == [{"a": deep(levels)}]

    @pytest.mark.parametrize(
        "time",
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
         "2026-01-01T00:00:61Z", "", 1e300, [], True],
    )  # fmt: skip
    def test_times_that_are_none(self, time: Any) -> None:
        with pytest.raises(UnreadableAnswerError, match=r"data\[0\]\.datetime"):
            read_row(datetime=time)

    @pytest.mark.parametrize(
        ("time", "microseconds"),
        [("15:52:57Z", 0), ("15:52:57.004Z", 4000), ("15:52:57.123456789Z", 123456), ("18:52:57.5+03:00", 500_000)],
    )
    def test_times(self, time: str, microseconds: int) -> None:
        event = read_row(datetime=f"2026-01-01T{time}")
        assert event.datetime == dt.datetime(2026, 1, 1, 15, 52, 57, microseconds, tzinfo=dt.UTC)

    @pytest.mark.parametrize(
        ("elements", "expected"),
        [
            ("", None),
            ("<subscriptions/>", None),
            ("<subscriptions><a>1</a></subscriptions>", [{"a": "1"}]),
            ("<subscriptions/><subscriptions><a>1</a></subscriptions>", [{}, {"a": "1"}]),
            ("<subscriptions><a>1</a><a>2</a></subscriptions>", [{"a": ["1", "2"]}]),
        ],
    )
    def test_subscriptions_in_xml(self, elements: str, expected: Any) -> None:
        row = f"<data><action>x</action><datetime>2026-01-01T00:00:00Z</datetime><count/>{elements}</data>"
        (event,) = read(f"<xml><error>0</error>{row}</xml>", "application/xml")
        assert (event.subscriptions, event.count) == (expected, 1)

    @pytest.mark.parametrize(
        ("encode", "content_type"),
        [
            ("utf-8", "application/xml"),
            ("utf-8-sig", "application/xml"),
            ("utf-16", "application/xml"),
            ("windows-1251", "application/xml; charset=windows-1251"),
            ("windows-1251", "application/xml;charset='windows-1251'"),
        ],
    )
    @pytest.mark.parametrize("declared", ["", '<?xml version="1.0" encoding="UTF-8"?>\n'])
    def test_what_the_server_names_is_the_charset(self, encode: str, content_type: str, declared: str) -> None:
        """Whatever the document says of itself, as a proxy may have recoded it."""
        row = "<action>x</action><datetime>2026-01-01T00:00:00Z</datetime><message_name>Письмо</message_name>"
        body = f"{declared}<xml><error>0</error><data>{row}</data></xml>".encode(encode)
        assert [event.message_name for event in read(body, content_type)] == ["Письмо"]

    def test_the_document_names_it_where_the_server_does_not(self) -> None:
        row = "<data><action>ж</action><datetime>2026-01-01T00:00:00Z</datetime></data>"
        body = f"<?xml version='1.0' encoding='windows-1251'?><xml><error>0</error>{row}</xml>".encode("windows-1251")
        assert [event.action for event in read(body, "application/xml")] == ["ж"]

    @pytest.mark.parametrize("charset", ["nonsense", "hex", "rot13", "undefined", "utf-7", "idna", "ascii", "é"])
    def test_charsets_that_do_not_fit(self, charset: str) -> None:
        with pytest.raises(UnreadableAnswerError):
            read('{"error": 0, "data": ["ж"]}', f"application/json; charset={charset}")

    @pytest.mark.parametrize("empty", ["<data/>", "<data></data>", "<data>\n  </data>", ""])
    def test_no_events_in_xml(self, empty: str) -> None:
        assert read(f"<xml>\n<error>0</error>\n{empty}\n</xml>", "application/xml") == []

    def test_xml_nested_without_end_is_unreadable(self) -> None:
        with pytest.raises(UnreadableAnswerError):
            read("<xml><error>0</error>" + "<a>" * 20_000 + "</a>" * 20_000 + "</xml>", "application/xml")

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_what_is_no_number_in_json_is_unreadable(self, number: str) -> None:
        with pytest.raises(UnreadableAnswerError):
            read(f'{{"error": 0, "data": [{{"action": "x", "datetime": "2026-01-01T00:00:00Z", "y": {number}}}]}}')

    def test_a_surrogate_without_its_half_is_unreadable(self) -> None:
        with pytest.raises(UnreadableAnswerError):
            read('{"error": 0, "data": [{"action": "\\ud800", "datetime": "2026-01-01T00:00:00Z"}]}')


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"email": "ann"}, "email: expected an e-mail address"),
        ({"emial": "ann@example.com"}, "emial: no such field; known are matching, xxh, email"),
        ({"matching": "custom", "field_name": "CRM_ID"}, "field_value: missing; matching 'custom' takes"),
        ({}, "email: missing; matching 'email' takes email"),
    ],
)
def test_a_wrong_lookup_is_refused_in_plain_words(fields: dict[str, Any], said: str) -> None:
    for make in (lambda: ProfileLookup(**fields), lambda: ProfileLookup.of(fields)):
        with pytest.raises(ValueError, match=f"^{re.escape(said)}") as caught:
            make()
        assert "\n" not in str(caught.value)


ODD = ["a@b", "a b@c", "+79000000", "\uff19\uff11\uff12\uff13\uff14\uff15", "9202595093F237D4",
       "66f66973096b3b454bbbccec", "x", "a=b", " ", "", "a\ud800@b", "\udfff", 7, 0, -(2**63), 2**63,
       10**5000, True, 1.5, None, [], {}, b"a@b", *MATCHING]  # fmt: skip
ANYTHING = st.sampled_from(ODD) | st.text(st.characters(), max_size=6) | st.integers()


def accepted(value: Any) -> Any:
    """What each of the three ways to check makes of it: fields, or a ValueError."""
    found = []
    for check in (check_lookup, lambda x: ProfileLookup.of(x).fields, TypeAdapter(ProfileLookup).validate_python):
        try:
            result = check(value)
        except ValueError as error:
            # One who has pydantic check a lookup gets pydantic's error; ours has no page of another project in it.
            assert isinstance(error, ValidationError) == (len(found) == 2)  # noqa: PT017
            assert len(found) == 2 or "https://" not in str(error)  # noqa: PT017
            found.append(None)
        else:
            found.append(result.fields if isinstance(result, ProfileLookup) else result)
    assert found[0] == found[1] == found[2]
    return found[0]


class TestLookups:
    """``check_lookup``, which needs no library, and ``ProfileLookup``."""

    @given(st.dictionaries(st.sampled_from(["matching", "more", *LOOKUP_FIELDS]), ANYTHING, max_size=4) | ANYTHING)
    def test_they_agree_on_anything(self, value: Any) -> None:
        accepted(value)

    @given(st.sampled_from(list(MATCHING)), st.data())
    def test_they_agree_on_what_nearly_fits(self, matching: str, data: Any) -> None:
        value = {"matching": matching} | {name: data.draw(ANYTHING) for name in MATCHING[matching]}
        fields = accepted(value)
        if fields is not None:
            assert fields == {name: item for name, item in value.items() if item is not None}
            json.dumps(fields).encode()  # what is accepted can be sent
            assert ProfileLookup.of(fields).fields == fields

    @pytest.mark.parametrize("text", ["a\ud800@b", "\udfff"])
    def test_half_a_surrogate_cannot_be_sent(self, text: str) -> None:
        for fields in (
            {"email": text},
            {"matching": "custom", "field_name": "x", "field_value": text},
            {"matching": "push_sub", "provider": text, "subscription_id": "x"},
        ):
            with pytest.raises(ValueError, match="expected "):
                check_lookup(fields)

    def test_numbers_of_64_bits(self) -> None:
        for number, fits in ((2**63 - 1, True), (2**63, False), (-(2**63), True), (-(2**63) - 1, False)):
            found = accepted({"matching": "custom", "field_name": "x", "field_value": number})
            assert (found is not None) == fits

    def test_within_a_model_of_the_users_own(self) -> None:
        class Mine(BaseModel):
            who: ProfileLookup

        lookup = ProfileLookup.of("a@b")
        assert Mine(who=lookup).who == Mine.model_validate({"who": {"email": "a@b"}}).who == lookup
        assert Mine.model_validate_json('{"who": "a@b"}').who == lookup
        assert Mine.model_validate(Mine(who=lookup).model_dump()).who == lookup
