"""``subscribers/history_get``: lookups, days, shapes of rows, formats."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from defusedxml import ElementTree

AT = datetime(2024, 9, 27, 15, 52, 57, 4000, tzinfo=UTC)
PUSH = {"channel": "push", "provider": "android-firebase", "subscription_id": "abc"}
CUSTOM = {"channel": "telegram_bot", "custom_fields": {"tg_id": 12}}
ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
def people(altcraft_api):
    """Ann with everything, and Bob, whose subscriptions are other than his profile says."""
    ann = altcraft_api.add_profile(
        email=ANN,
        phone="+79000000001",
        custom={"CRM_ID": 7},
        subscriptions=[
            {"channel": "email", "email": "ann.sub@example.com"},
            {"channel": "sms", "phone": "+79000000002"},
            PUSH,
            CUSTOM,
        ],
    )
    bob = altcraft_api.add_profile(email=BOB, phone="+79000000003")
    altcraft_api.add_event(ann, "form_post", at=AT)
    altcraft_api.add_event(bob, "click", at=AT)
    return ann, bob


@pytest.mark.parametrize(
    ("lookup", "found"),
    [
        ({"email": ANN}, "ann"),
        ({"matching": "email", "email": "ann.sub@example.com"}, "ann"),
        ({"matching": "email", "email": "nobody@example.com"}, None),
        ({"matching": "email_profile", "email": ANN}, "ann"),
        ({"matching": "email_profile", "email": "ann.sub@example.com"}, None),
        ({"matching": "email_sub", "email": "ann.sub@example.com"}, "ann"),
        ({"matching": "email_sub", "email": ANN}, None),
        ({"matching": "email_sub", "email": BOB}, "bob"),
        ({"matching": "phone", "phone": "+79000000001"}, "ann"),
        ({"matching": "phone", "phone": "+79000000002"}, "ann"),
        ({"matching": "phone_sub", "phone": "+79000000002"}, "ann"),
        ({"matching": "phone_sub", "phone": "+79000000001"}, None),
        ({"matching": "push_sub", "provider": "android-firebase", "subscription_id": "abc"}, "ann"),
        ({"matching": "push_sub", "provider": "ios", "subscription_id": "abc"}, None),
        ({"matching": "custom", "field_name": "CRM_ID", "field_value": 7}, "ann"),
        ({"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}, "ann"),
        ({"matching": "custom", "field_name": "CRM_ID", "field_value": "8"}, None),
        ({"matching": "custom_sub", "field_name": "tg_id", "field_value": "12"}, "ann"),
        ({"matching": "email_phone", "email": ANN}, "ann"),
        ({"matching": "email_phone", "phone": "+79000000003"}, "bob"),
        ({"matching": "email_phone", "email": "nobody@example.com", "phone": "+79000000003"}, "bob"),
        ({"matching": "email_phone_sub", "email": ANN, "phone": "+79000000002"}, "ann"),
        ({"matching": "email_phone_sub", "email": ANN, "phone": "+79000000001"}, None),
    ],
)
def test_lookup(history, people, lookup, found):
    expected = {"ann": ["form_post"], "bob": ["click"], None: []}
    assert [row["action"] for row in history(**lookup)] == expected[found]


def test_lookup_by_identifiers(history, people):
    ann, bob = people
    assert [row["xxh"] for row in history(xxh=ann.xxh)] == [ann.xxh]
    assert [row["profile_id"] for row in history(matching="profile_id", profile_id=bob.profile_id)] == [bob.profile_id]
    assert history(xxh="0" * 16) == []


def test_a_new_row(altcraft_api, history, people):
    ann, bob = people
    row = altcraft_api.add_event(bob, "open", at=AT, message_id=5, campaign_id=137, message_name="testing")
    assert row in history(xxh=bob.xxh)
    assert {name: row[name] for name in ("list_id", "datetime", "message_id", "campaign_id", "message_name")} == {
        "list_id": 1,
        "datetime": "2024-09-27T15:52:57.004Z",
        "message_id": 5,
        "campaign_id": 137,
        "message_name": "testing",
    }
    assert row["channel"] == "email"
    assert row["subscription"]["email"] == BOB
    assert [one["channel"] for one in row["subscriptions"]] == ["email", "sms"]
    assert len(row["smid"]) == 28
    assert len(row["event_id"]) == 24
    bare = altcraft_api.add_event(ann, "open_push", message_id=None, campaign_id=None, event_id=...)
    assert bare["subscription"] == PUSH
    assert not {"message_id", "message_name", "smid", "campaign_id", "campaign_name", "event_id"} & bare.keys()


@pytest.mark.parametrize("altcraft_api", [{"style": "old"}], indirect=True)
def test_an_old_row(altcraft_api, history, people):
    ann, _ = people
    assert history(xxh=ann.xxh) == [
        {
            "action": "form_post",
            "count": 1,
            "datetime": "2024-09-27T15:52:57Z",
            "email": ANN,
            "list_id": 1,
            "message_id": 1,
            "xxh": ann.xxh,
        }
    ]
    assert altcraft_api.add_event(ann, "click", campaign_id=3)["campaign_id"] == 3


@pytest.mark.parametrize("altcraft_api", [{"list_id_name": "db_id"}], indirect=True)
def test_list_id_may_be_called_db_id(history, people):
    (row,) = history(email=ANN)
    assert row["db_id"] == 1
    assert "list_id" not in row


@pytest.mark.parametrize(
    ("micros", "written"), [(0, "57Z"), (500_000, "57.5Z"), (4000, "57.004Z"), (123_456, "57.123456Z")]
)
def test_fraction_of_a_second(altcraft_api, people, micros, written):
    at = AT.replace(microsecond=micros)
    assert altcraft_api.add_event(ANN, "open", at=at)["datetime"] == f"2024-09-27T15:52:{written}"


def test_time_zone_of_an_event(altcraft_api, people):
    moscow = datetime(2024, 9, 28, 2, tzinfo=datetime.strptime("+0300", "%z").tzinfo)
    assert altcraft_api.add_event(ANN, "open", at=moscow)["datetime"] == "2024-09-27T23:00:00Z"
    with pytest.raises(ValueError, match="no time zone"):
        altcraft_api.add_event(ANN, "open", at=datetime(2024, 9, 28))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("action", "channel"),
    [
        ("hbounce", "email"),
        ("click_sms", "sms"),
        ("deliv_push", "push"),
        ("telegram_bot_send", "telegram_bot"),
        ("viber_read", "viber"),
        ("import_push", None),
        ("pixel_open", None),
        ("no_such_action", None),
    ],
)
def test_channel_of_an_action(altcraft_api, people, action, channel):
    assert altcraft_api.add_event(ANN, action).get("channel") == channel


def test_rows_out_of_the_ordinary(altcraft_api, history, people):
    """A row of another profile, two alike in one second, unknown action and field, the future, a broken time."""
    ann, bob = people
    rows = [
        altcraft_api.add_event(ann, "open", xxh=bob.xxh),
        altcraft_api.add_event(ann, "click", at=AT, event_id="same"),
        altcraft_api.add_event(ann, "click", at=AT, event_id="same"),
        altcraft_api.add_event(ann, "web_version_save", colour="red"),
        altcraft_api.add_event(ann, "send", at=datetime.now(UTC) + timedelta(days=9)),
        altcraft_api.add_event(ann, "send", datetime="soon", count=None),
    ]
    served = history(xxh=ann.xxh)
    assert all(row in served for row in rows)
    assert rows[1] == rows[2]
    assert served.count(rows[1]) == 2


def test_a_late_event(altcraft_api, history, people):
    never = altcraft_api.add_event(ANN, "read", at=AT, visible_after=3600)
    soon = altcraft_api.add_event(ANN, "click", at=AT, visible_after=0.2)
    until = time.monotonic() + 0.2
    while soon not in (rows := history(email=ANN)):
        assert time.monotonic() < until + 10
    assert time.monotonic() >= until
    assert never not in rows
    assert never in list(altcraft_api.events())


@pytest.mark.parametrize(
    ("knobs", "day", "found"),
    [
        ({}, ("2024-09-27", "2024-09-27"), True),
        ({}, ("2024-09-28", None), False),
        ({}, (None, "2024-09-26"), False),
        ({"date_to_inclusive": False}, ("2024-09-27", "2024-09-27"), False),
        ({"date_to_inclusive": False}, ("2024-09-27", "2024-09-28"), True),
        ({"timezone": timezone(timedelta(hours=9))}, ("2024-09-27", "2024-09-27"), False),
        ({"timezone": timezone(timedelta(hours=9))}, ("2024-09-28", "2024-09-28"), True),
        ({"timezone": timezone(timedelta(hours=-16))}, ("2024-09-26", "2024-09-26"), True),
    ],
)
def test_days(altcraft_api, history, people, knobs, day, found):
    for name, value in knobs.items():
        setattr(altcraft_api, name, value)
    asked = {name: value for name, value in zip(("date_from", "date_to"), day, strict=True) if value}
    assert bool(history(email=ANN, **asked)) is found


def test_order(altcraft_api, history, people):
    for action in ("open", "click", "read"):
        altcraft_api.add_event(ANN, action, at=AT)
    oldest = ["form_post", "open", "click", "read"]
    assert [row["action"] for row in history(email=ANN)] == oldest[::-1]
    altcraft_api.order = "oldest"
    assert [row["action"] for row in history(email=ANN)] == oldest
    altcraft_api.order = "shuffled"
    shuffled = [row["action"] for row in history(email=ANN)]
    assert sorted(shuffled) == sorted(oldest)
    assert shuffled not in (oldest, oldest[::-1])


@pytest.mark.parametrize(("knob", "expected"), [("list", {"data": []}), ("null", {"data": None}), ("absent", {})])
def test_no_events(altcraft_api, call, people, knob, expected):
    altcraft_api.empty_data = knob
    answer = call("subscribers/history_get", list_id=1, email="nobody@example.com").json()
    assert answer == {"error": 0, "error_text": "Successful operation"} | expected


def test_xml(altcraft_api, call, people):
    altcraft_api.add_event(ANN, "open", note="a < b & \x00c", nothing=None, yes=True, **{"1 odd name": 1})
    answer = call("subscribers/history_get", list_id=1, email=ANN, format="xml")
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    root = ElementTree.fromstring(answer.content)
    assert root.tag == "xml"
    assert root.findtext("error") == "0"
    first, second = root.findall("data")
    assert second.findtext("action") == "form_post"
    assert first.findtext("note") == "a < b & c"
    assert first.findtext("yes") == "true"
    assert first.findtext("_1_odd_name") == "1"
    assert first.find("nothing") is None
    assert len(first.findall("subscriptions")) == 4
    assert first.findtext("subscription/email") == "ann.sub@example.com"


def test_xml_of_nothing_and_of_an_error(call):
    nothing = call("subscribers/history_get", list_id=1, email=ANN, format="xml")
    assert ElementTree.fromstring(nothing.content).find("data") is None
    refused = call("subscribers/history_get", list_id=1, email=5, format="xml")
    assert ElementTree.fromstring(refused.content).findtext("error") == "400"


def test_days_of_a_zone_with_summer_time(altcraft_api, history):
    altcraft_api.timezone = "Europe/Riga"
    ann = altcraft_api.add_profile(email="ann@example.com")
    # The clock goes on at 01:00 UTC on March 29: the day begins at 22:00 UTC and ends at 21:00.
    for hour in (21, 22, 44, 45):
        altcraft_api.add_event(ann, f"at_{hour}", at=datetime(2026, 3, 28, tzinfo=UTC) + timedelta(hours=hour))
    found = history(email="ann@example.com", date_from="2026-03-29", date_to="2026-03-29")
    assert [row["action"] for row in found] == ["at_44", "at_22"]


def test_digits_of_a_fraction(altcraft_api, history):
    ann = altcraft_api.add_profile(email="ann@example.com")
    at = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    for _ in range(2):
        altcraft_api.add_event(ann, "click", at=at)
    found = {}
    for digits in (None, 0, 3, 6, 9):
        altcraft_api.fraction_digits = digits
        found[digits] = {row["datetime"].removeprefix("2026-01-01T12:00:00") for row in history(email=ann.email)}
    assert (found[None], found[0], found[3], found[6]) == ({".123Z"}, {"Z"}, {".123Z"}, {".123000Z"})
    assert len(found[9]) == 2
    assert all(len(each) == len(".123000001Z") for each in found[9])


def test_an_event_can_be_backdated(altcraft_api, history):
    ann = altcraft_api.add_profile(email="ann@example.com")
    day = {"email": ann.email, "date_from": "2026-01-01", "date_to": "2026-01-01"}
    altcraft_api.add_event(ann, "open", at=datetime(2026, 1, 1, 9, tzinfo=UTC))
    assert [row["action"] for row in history(**day)] == ["open"]
    altcraft_api.add_event(ann, "goal", at=datetime(2026, 1, 1, 8, tzinfo=UTC))
    assert [row["action"] for row in history(**day)] == ["open", "goal"]
