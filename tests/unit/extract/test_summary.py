"""The counts of a pull's events are those that a loop over all rows gives, and stay small whatever the rows are."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from airflow_provider.altcraft.extract._summary import OTHER, EventSummary
from airflow_provider.altcraft.schema import SCHEMA

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MOSCOW = ZoneInfo("Europe/Moscow")
ACTIONS = [("email", "send"), ("email", "open"), ("sms", "send_sms"), (None, "form_post"), ("push", "open")]


def row(at: dt.datetime, action: str = "open", channel: str | None = "email", **more: Any) -> dict[str, Any]:
    base = dict.fromkeys(SCHEMA.names)
    return base | {"action": action, "channel": channel, "count": 1, "datetime": at, "event_key": "k", **more}


def drawn(rows: int, days: int = 20, campaigns: int = 9, seed: int = 1) -> list[dict[str, Any]]:
    """Rows at random."""
    choose = random.Random(seed)
    found = []
    for _ in range(rows):
        channel, action = choose.choice(ACTIONS)
        campaign = choose.choice([None, *range(1, campaigns + 1)])
        at = START + dt.timedelta(seconds=choose.randrange(days * 86_400))
        name = None if campaign is None else f"Кампания {campaign}"
        found.append(row(at, action, channel, campaign_id=campaign, campaign_name=name))
    return found


def counted(rows: list[dict[str, Any]], zone: dt.tzinfo = dt.UTC, size: int = 37) -> EventSummary:
    summary = EventSummary(zone)
    for start in range(0, len(rows), size):
        summary.add(pa.RecordBatch.from_pylist(rows[start : start + size], SCHEMA))
    return summary


def result(*args: Any, **how: Any) -> dict[str, Any]:
    found = counted(*args, **how).result()
    assert json.loads(json.dumps(found)) == found
    return found


def by_time(found: dict[str, Any]) -> Counter[tuple[str, str]]:
    columns = found["by_time"]["events"]
    starts = found["by_time"]["starts"]
    return +Counter({
        (start, action): count
        for action, counts in columns.items()
        for start, count in zip(starts, counts, strict=True)
    })  # fmt: skip


@pytest.mark.parametrize("zone", [dt.UTC, MOSCOW, ZoneInfo("America/New_York")])
@pytest.mark.parametrize("size", [7, 1000])
def test_as_a_loop_counts(zone: dt.tzinfo, size: int) -> None:
    rows = drawn(1000, days=80)
    found = result(rows, zone, size=size)
    assert (found["events"], found["timezone"]) == (1000, str(zone))
    assert Counter({(each["channel"], each["action"]): each["events"] for each in found["by_action"]}) == Counter(
        (each["channel"], each["action"]) for each in rows
    )
    assert found["by_time"]["unit"] == "day"
    assert by_time(found) == Counter((str(each["datetime"].astimezone(zone).date()), each["action"]) for each in rows)
    assert Counter({each["id"]: each["events"] for each in found["by_campaign"]}) == Counter(
        each["campaign_id"] for each in rows if each["campaign_id"]
    )
    for campaign in found["by_campaign"]:
        own = [each for each in rows if each["campaign_id"] == campaign["id"]]
        assert campaign["actions"] == Counter(each["action"] for each in own)
        assert campaign["name"] == own[0]["campaign_name"]
    assert found["without_campaign"] == sum(each["campaign_id"] is None for each in rows)
    assert found["other_campaigns"] == {"campaigns": 0, "events": 0}


def test_no_rows() -> None:
    found = result([])
    assert (found["events"], found["by_action"], found["by_campaign"]) == (0, [], [])
    assert found["by_time"] == {"unit": "day", "starts": [], "events": {}, "earlier": 0}


def test_what_is_gone_on_with_is_counted_as_a_whole() -> None:
    rows = drawn(500, days=200)
    kept = counted(rows[:200], MOSCOW).state
    retry = EventSummary(MOSCOW)
    retry.resume(json.loads(json.dumps(kept)))
    retry.add(pa.RecordBatch.from_pylist(rows[200:], SCHEMA))
    assert retry.result() == result(rows, MOSCOW)


def test_days_of_another_zone_are_not_gone_on_with() -> None:
    """Then fewer are counted than were pulled, which the result shows."""
    retry = EventSummary(dt.UTC)
    retry.resume(counted(drawn(10), MOSCOW).state)
    assert retry.events == 0


@pytest.mark.parametrize(("days", "unit"), [(92, "day"), (200, "month"), (2700, "month"), (40_000, "year")])
def test_a_long_window_is_counted_by_months_or_years(days: int, unit: str) -> None:
    rows = [row(START + dt.timedelta(days=day), "click" if day % 3 else "open") for day in range(days)]
    found = result(rows, size=61)
    assert found["by_time"]["unit"] == unit
    assert len(found["by_time"]["starts"]) <= 92
    cut = {"day": 10, "month": 7, "year": 4}[unit]
    expected = Counter((str(each["datetime"].date())[:cut], each["action"]) for each in rows)
    last = {start[:cut] for start in found["by_time"]["starts"]}
    shown = Counter({(start[:cut], action): count for (start, action), count in by_time(found).items()})
    assert shown == Counter({key: count for key, count in expected.items() if key[0] in last})
    assert shown.total() + found["by_time"]["earlier"] == days


def test_the_ends_of_the_calendar_are_days_too() -> None:
    for at in (dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, tzinfo=dt.UTC)):
        assert by_time(result([row(at)], MOSCOW)).total() == 1
        assert by_time(result([row(at), *drawn(200, days=180)])).total() == 201


def test_campaigns_beyond_the_bounds_are_summed() -> None:
    rows = [row(START, campaign_id=number, campaign_name="n" * 500) for number in range(1, 1201)]
    rows += [row(START, campaign_id=7) for _ in range(5)]
    found = result(rows)
    assert [found["by_campaign"][0][name] for name in ("id", "events", "actions")] == [7, 6, {"open": 6}]
    assert [each["id"] for each in found["by_campaign"]] == [7, *range(1, 7), *range(8, 51)]
    assert len(found["by_campaign"][0]["name"]) == 80
    assert sum(each["events"] for each in found["by_campaign"]) + found["other_campaigns"]["events"] == 1205
    assert found["other_campaigns"]["campaigns"] is None  # nobody knows how many came after the first thousand
    assert result(rows[:60])["other_campaigns"] == {"campaigns": 10, "events": 10}


def test_words_of_a_broken_platform_are_summed() -> None:
    rows = [row(START, f"action {number}", f"channel {number % 40}") for number in range(2000)]
    summary = counted(rows)
    found = summary.result()
    assert sum(each["events"] for each in found["by_action"]) == 2000
    assert sum(each["events"] for each in found["by_action"] if each["action"] == OTHER) == 2000 - 28
    assert len(json.dumps(found)) < 30_000
    assert len(summary.state) < 200_000


def test_the_address_of_whom_a_campaign_is_for_is_left_out() -> None:
    found = result([row(START, campaign_id=1, campaign_name="For ann@example.com, 3rd", email="ann@example.com")])
    assert found["by_campaign"][0]["name"] == "For …@… 3rd"
    assert "ann@" not in json.dumps(found)


def test_an_address_is_left_out_where_the_name_is_cut_too() -> None:
    for before in (60, 70, 75, 79):
        name = "x" * before + " ann.smith@example.com"
        found = result([row(START, campaign_id=1, campaign_name=name)])
        assert "ann" not in found["by_campaign"][0]["name"]


def test_the_size_has_a_bound_whatever_the_rows_are() -> None:
    rows = [
        row(
            START + dt.timedelta(days=number // 2 % 92),
            f"{(number + campaign) % 20:02}".ljust(40, "a"),
            "c" * 40,
            campaign_id=10**9 + campaign,
            campaign_name="Имя" * 100,
        )
        for campaign in range(60)
        for number in range(184)
    ]
    rows += [row(START, f"{number}".ljust(5000, "a"), "c" * 5000 + str(number)) for number in range(100)]
    summary = counted(rows, size=5000)
    found = summary.result()
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 50_000
    assert {"channel": OTHER, "action": OTHER, "events": 100} in found["by_action"]
    assert len(summary.state) < 100_000


class ElsewhereZone(dt.tzinfo):
    """A zone that Python has by its package ``tzdata``, and this machine, where Arrow looks, has not."""

    def __str__(self) -> str:
        return "Mars/Base"


def test_days_of_a_zone_that_arrow_does_not_find_are_those_of_utc() -> None:
    found = result(drawn(10), ElsewhereZone())
    assert found["timezone"] == "UTC"
    assert by_time(found) == by_time(result(drawn(10)))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Call +7 (900) 123-45-67 back", "Call … back"),
        ("SMS 79001234567", "SMS …"),
        ("Autumn 20261128, 2026-11-28 to 2026-12-05", "Autumn 20261128, 2026-11-28 to 2026-12-05"),
        ("Top 100 000 of +5 %", "Top 100 000 of +5 %"),
    ],
)
def test_a_phone_in_a_campaigns_name_is_left_out(name: str, shown: str) -> None:
    assert result([row(START, campaign_id=1, campaign_name=name)])["by_campaign"][0]["name"] == shown
