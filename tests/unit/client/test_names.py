"""Lookups, models, actions, and what the package exports."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider.altcraft import client
from airflow_provider.altcraft.client import Action, ActionGroup, HistoryEvent, ProfileLookup
from airflow_provider.altcraft.client._lookup import LOOKUP_FIELDS, MATCHING, check_lookup, lookup_text


def test_every_exported_name_is_there() -> None:
    assert set(client._MODULES) < set(client.__all__)
    for name in client.__all__:
        assert getattr(client, name).__module__.startswith("airflow_provider.altcraft.client")
    with pytest.raises(AttributeError, match="nothing"):
        client.nothing  # noqa: B018


def test_the_client_works_without_airflow() -> None:
    code = """
import sys
class No:
    def find_spec(self, name, path=None, target=None):
        if name == "airflow" or name.startswith("airflow."):
            raise ImportError(name)
sys.meta_path.insert(0, No())
import airflow_provider.altcraft.client as client
assert "httpx" not in sys.modules and "pydantic" not in sys.modules
[getattr(client, name) for name in client.__all__]
import airflow_provider.altcraft.schema, airflow_provider.altcraft.extract.profiles.pull
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class TestActions:
    """The documented actions."""

    def test_all_66(self) -> None:
        assert len(Action) == 66
        counts = {group: sum(action.group is group for action in Action) for group in ActionGroup}
        assert counts == {
            ActionGroup.EMAIL: 12,
            ActionGroup.SMS: 6,
            ActionGroup.PUSH: 7,
            ActionGroup.TELEGRAM_BOT: 5,
            ActionGroup.WHATSAPP: 6,
            ActionGroup.VIBER: 6,
            ActionGroup.ALL_CHANNELS: 2,
            ActionGroup.IMPORT: 6,
            ActionGroup.UNSUBSCRIBE: 2,
            ActionGroup.PIXEL: 1,
            ActionGroup.PROMOCODE: 3,
            ActionGroup.SEGMENT: 2,
            ActionGroup.RELATION: 3,
            ActionGroup.FORM: 5,
        }

    @pytest.mark.parametrize(
        ("action", "channel"),
        [("send", "email"), ("click_sms", "sms"), ("open_push", "push"), ("viber_read", "viber"), ("form_post", None),
         ("import_push", None), ("offence", None), ("confirm", "email"), ("unsub_api", None)],
    )  # fmt: skip
    def test_channels(self, action: str, channel: str | None) -> None:
        assert Action(action).channel == channel
        assert HistoryEvent(action=action, datetime=dt.datetime.now(dt.UTC)).known_channel == channel

    def test_compares_to_the_rows_string(self) -> None:
        assert Action.FORM_POST == "form_post"
        assert f"{Action.FORM_POST}" == "form_post"


class TestLookups:
    """What fits, and what is refused and how."""

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"xxh": "9202595093f237d4"}, ("xxh", "9202595093f237d4")),
            ({"email": "a@b"}, ("email", "a@b")),
            ({"matching": "custom", "field_name": "CRM", "field_value": 7}, ("custom", "CRM=7")),
            ({"matching": "push_sub", "provider": "p", "subscription_id": "s=s"}, ("push_sub", "p=s=s")),
            ({"matching": "email_phone", "email": "a@b", "phone": "+79000"}, ("email_phone", "a@b +79000")),
            ({"matching": "email_phone", "phone": "+79000"}, ("email_phone", "+79000")),
        ],
    )
    def test_text(self, fields: dict[str, Any], text: tuple[str, str]) -> None:
        assert lookup_text(check_lookup(fields)) == text

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (5, "a profile is a string"),
            (None, "a profile is a string"),
            ("", "email: "),
            ("two@at@signs", "email: "),
            ({}, "email: missing"),
            ({"email": None}, "email: missing"),
            ({"email": 5}, "email: "),
            ({"emial": "a@b"}, "emial: no such field"),
            ({"xxh": "9202595093f237d4", "email": "a@b"}, "email: .*not by both"),
            ({"xxh": "9202595093f237d4", "matching": "email"}, "matching: .*not by both"),
            ({"xxh": "xyz"}, "xxh: expected 16 hexadecimal"),
            ({"matching": "xxh", "xxh": "9202595093f237d4"}, "not by both"),
            ({"matching": "nothing"}, "matching: expected one of email, .*, got another value"),
            ({"matching": ["email"]}, "matching: "),
            ({"matching": "phone", "email": "a@b"}, "email: not a field of matching 'phone'"),
            ({"matching": "phone", "phone": "a@b"}, "phone: "),
            ({"matching": "profile_id", "profile_id": "1"}, "profile_id: expected 24 hexadecimal"),
            ({"matching": "custom", "field_name": "a"}, "field_value: missing"),
            ({"matching": "custom", "field_name": "a=b", "field_value": 1}, "field_name: "),
            ({"matching": "custom", "field_name": "a", "field_value": True}, "field_value: "),
            ({"matching": "custom", "field_name": "a", "field_value": 1.5}, "field_value: "),
            ({"matching": "email_phone"}, "email: .*email, phone or both"),
            ({"matching": "push_sub", "provider": "p", "subscription_id": ""}, "subscription_id: "),
        ],
    )
    def test_refused(self, wrong: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            check_lookup(wrong)
        with pytest.raises(ValidationError, match=said):
            ProfileLookup.model_validate(wrong)

    @given(st.dictionaries(st.sampled_from(["matching", *LOOKUP_FIELDS]), st.sampled_from(
        [None, "a@b", "+79000000", "9202595093f237d4", "66f66973096b3b454bbbccec", "x", 7, *MATCHING])))  # fmt: skip
    def test_both_ways_to_check_agree(self, drawn: dict[str, Any]) -> None:
        try:
            checked = check_lookup(drawn)
        except ValueError:
            with pytest.raises(ValueError, match=r"\S"):
                ProfileLookup(**drawn)
        else:
            assert ProfileLookup(**drawn).fields == checked

    def test_different_lookups_have_different_texts_and_equal_ones_are_one(self) -> None:
        assert (
            len({ProfileLookup.of("a@b"), ProfileLookup(email="a@b"), ProfileLookup(matching="email", email="a@b")})
            == 1
        )


class TestEvents:
    """What a row may look like."""

    def test_other_forms_of_known_fields(self) -> None:
        event = HistoryEvent.model_validate(
            {"action": "x", "datetime": "2024-09-27T18:52:57.004123999+03:00", "db_id": "6", "count": None, "smid": 5,
             "message_id": "", "subscription": "", "subscriptions": {"a": 1}, "new": {"b": [None]}}
        )  # fmt: skip
        assert event.datetime == dt.datetime(2024, 9, 27, 15, 52, 57, 4123, tzinfo=dt.UTC)
        assert event.datetime.tzinfo is dt.UTC
        assert (event.list_id, event.count, event.smid, event.message_id) == (6, 1, "5", None)
        assert (event.subscription, event.subscriptions) == (None, [{"a": 1}])
        assert event.model_extra == {"new": {"b": [None]}}

    def test_no_zone_is_utc(self) -> None:
        assert HistoryEvent.model_validate({"action": "x", "datetime": "2024-09-27T15:52:57"}).datetime.tzinfo is dt.UTC

    @pytest.mark.parametrize("wrong", [{"message_id": 2**63}, {"count": []}, {"datetime": "soon"}, {"action": None}])
    def test_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            HistoryEvent.model_validate({"action": "x", "datetime": "2024-09-27T15:52:57Z"} | wrong)
