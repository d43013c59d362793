"""What Airflow stores of a watcher's trigger: its arguments, however they are written, and none that cannot work."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers._watch_state import WatchProgress
from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger
from airflow_provider.altcraft.waiting.processed_keys import ProcessedKeys
from tests.unit.triggers.watching import (
    fired,
    keys,
    watcher,
)

pytestmark = pytest.mark.usefixtures("quick")

DAY = dt.timedelta(days=1)
FIXTURES = Path(__file__).parent / "fixtures"

STORED = json.loads((FIXTURES / "event_trigger.json").read_text())


@pytest.mark.parametrize("name", ["event_trigger.json", "0.1-event_trigger.json"])
def test_what_an_earlier_version_stored_makes_the_same_trigger(name: str) -> None:
    stored = json.loads((FIXTURES / name).read_text())
    module, _, name = stored["classpath"].rpartition(".")
    trigger = getattr(import_module(module), name)(**stored["kwargs"])
    assert trigger.serialize() == (STORED["classpath"], STORED["kwargs"])
    assert json.loads(json.dumps(trigger.serialize()[1])) == STORED["kwargs"]


def test_it_is_the_same_however_it_is_written() -> None:
    """Else each parse of the DAG file would make a new trigger."""
    trigger = AltcraftActionEventTrigger(
        actions=["form_post", "confirm", "form_post"],
        profiles=["ann@example.com", ProfileLookup(matching="custom", field_name="CRM_ID", field_value=7)],
        list_id=20,
        since=dt.date(2026, 1, 2),
        lookback=dt.timedelta(hours=1),
        poll_interval=dt.timedelta(seconds=30),
    )
    assert trigger.serialize() == (STORED["classpath"], STORED["kwargs"])


def test_the_days_of_a_zone() -> None:
    """A date of ``since`` is stored as the instant that it is, and the zone next to it."""
    trigger = watcher(since="2026-03-29", timezone="Europe/Berlin")
    _, stored = trigger.serialize()
    assert stored["since"] == "2026-03-28T23:00:00+00:00"
    assert stored.keys() - STORED["kwargs"].keys() == {"timezone"}
    assert AltcraftActionEventTrigger(**json.loads(json.dumps(stored))).serialize() == trigger.serialize()
    assert trigger._identity() == watcher(since="2026-03-28T23:00:00Z")._identity()


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 24), ("Europe/Berlin", 23)])
def test_a_day_of_lookback_where_the_clock_changes(zone: str, hours: int) -> None:
    noon = dt.datetime(2026, 3, 29, 10, tzinfo=dt.UTC)
    processed = ProcessedKeys(noon - 30 * DAY, noon)
    assert WatchProgress(processed, DAY, WatchTimes(), ZoneInfo(zone)).start == noon - dt.timedelta(hours=hours)


@pytest.mark.parametrize(("zone", "late"), [("UTC", 0), ("Europe/Berlin", 1)])
def test_a_late_one_counts_within_the_day_of_the_zone(zone: str, late: int, api: Emulator) -> None:
    """One that is 24 hours and a half old, where the clock went back during the night."""
    now = dt.datetime(2026, 10, 25, 12, tzinfo=dt.UTC)

    def come_late() -> None:
        api.add_event("ann@example.com", "form_post", at=now - DAY - dt.timedelta(minutes=30))

    with time_machine.travel(now):
        trigger = watcher(since=now - 30 * DAY, profiles="ann@example.com", timezone=zone)
        found = asyncio.run(fired(trigger, api, requests=2, then=come_late))
    assert len(keys(found)) == late


def test_the_connections_secrets_are_not_among_it(api: Emulator) -> None:
    assert api.token not in repr(watcher().serialize())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actions": []}, "actions: expected at least one, got none"),
        ({"actions": "{{ x }}"}, "actions: expected names of actions"),
        ({"profiles": []}, "profiles: expected at least one, got none"),
        ({"profiles": ["ann@example.com", "bob"]}, r"profiles\[1\]: email: expected an e-mail address"),
        ({"profiles": 7}, "profiles: expected one profile or a list of them, got int"),
        ({"list_id": 0}, "list_id: "),
        ({"since": "yesterday"}, "since: "),
        ({"since": "2026-01-01T00:00"}, "since: .* has no time zone"),
        ({"lookback": -DAY}, "lookback: expected a timedelta"),
        ({"poll_interval": 0}, "poll_interval: expected seconds, 0.1 or more, got 0"),
        ({"poll_interval": "60"}, "poll_interval: expected seconds"),
        ({"timezone": "Moscow"}, "timezone: expected the IANA name of a time zone"),
        ({"lookback": "soon"}, "lookback: expected a timedelta"),
        ({"lookback": 600}, "lookback: expected a timedelta.*got the number 600, which has no unit"),
        ({"lookback": float("inf")}, "lookback: expected a timedelta"),
        ({"lookback": float("nan")}, "lookback: expected a timedelta"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        watcher(**arguments)
