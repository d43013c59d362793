"""A connection that names the account's time zone: what is asked then, as a ratio to the least, and that no event is
lost where the name is wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._days import AskedDays
from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.extract.database.pull import DatabasePull
from airflow_provider.altcraft.extract.database.ranges import of_days
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.waiting.audience import Audience, window_from
from airflow_provider.altcraft.window import DAY, UTC, Window
from tests.unit.operators.whole_database import Connect, held, pulled, run, seed, simple

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST = dt.datetime(2025, 1, 1, tzinfo=MOSCOW)
PER_DAY, PAGE = 500, 25
"""So many rows as make 20 pages a day: what a day of 20,000 rows in pages of 1,000 is."""


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    altcraft_api.timezone = "Europe/Moscow"
    connect(altcraft_api, timezone="Europe/Moscow")
    return altcraft_api


def steady(api: Emulator, days: int) -> None:
    """Events all day long, of four profiles."""
    people = [api.add_profile(email=f"{name}@example.com") for name in ("ann", "bob", "eve", "kim")]
    for number in range(days * PER_DAY):
        api.add_event(people[number % 4], "open", at=FIRST + number * DAY / PER_DAY, message_id=number)


def rows_of_days(api: Emulator) -> Counter[dt.date]:
    """How many rows there are of each of the platform's days."""
    return Counter(dt.datetime.fromisoformat(row["datetime"]).astimezone(MOSCOW).date() for row in api.events())


def days_asked(api: Emulator) -> list[tuple[dt.date, dt.date]]:
    """First and last day of each walk."""
    bodies = [request.body for request in api.requests if request.body["from_id"] == ""]
    return [(dt.date.fromisoformat(each["date_from"]), dt.date.fromisoformat(each["date_to"])) for each in bodies]


def rows_asked(api: Emulator, rows: Counter[dt.date]) -> int:
    return sum(
        rows[first + number * DAY] for first, last in days_asked(api) for number in range((last - first).days + 1)
    )


class TestRatios:
    """What is asked, against the least that gives all events."""

    @pytest.mark.parametrize(("days", "most", "before"), [(1, 1.1, 3.5), (7, 1.05, 1.4)])
    def test_requests_of_a_day_and_of_a_week(
        self, api: Emulator, connect: Connect, tmp_path: Path, days: int, most: float, before: float
    ) -> None:
        steady(api, 11)
        window = {"date_from": FIRST + 2 * DAY, "date_to": FIRST + (2 + days) * DAY, "page_size": PAGE}
        result = run(tmp_path, **window)
        least = math.ceil(result["rows"] / PAGE) + 1
        assert result["rows"] == PER_DAY * days
        assert len(api.requests) <= most * least
        assert result["pages"] == len(api.requests)
        assert result["asked_wider_because"] is None
        api.reset()
        connect(api)
        result = run(tmp_path, parallel_ranges=1, **window)
        assert len(api.requests) > before * least
        assert "asked_wider_because" not in result

    def test_a_single_day_asks_itself_alone(self, api: Emulator, tmp_path: Path) -> None:
        steady(api, 4)
        run(tmp_path, date_from=FIRST + DAY, date_to=FIRST + 2 * DAY)
        assert days_asked(api) == [(dt.date(2025, 1, 2), dt.date(2025, 1, 2))]

    def test_rows_of_a_years_nights_against_the_year_at_once(self, api: Emulator) -> None:
        ann = api.add_profile(email="ann@example.com")
        nights = [(FIRST + number * DAY).astimezone(UTC) for number in range(366)]
        for midnight in nights[:-1]:
            for minutes in (4, 600, 1438):
                api.add_event(ann, "open", at=midnight + dt.timedelta(minutes=minutes))
        rows = rows_of_days(api)
        with AltcraftClient(api.url, api.token, list_id=1, timezone="Europe/Moscow") as client:
            found = [
                event.datetime
                for night, after in pairwise(nights)
                for event in client.iter_database_history(date_from=night, date_to=after)
            ]
        assert len(found) == len(set(found)) == rows.total()
        assert rows_asked(api, rows) <= 1.05 * rows.total()

    def test_rows_by_as_many_ranges_as_connections(self, api: Emulator, connect: Connect, tmp_path: Path) -> None:
        connect(api, timezone="Europe/Moscow", max_connections=16)
        steady(api, 34)
        rows = rows_of_days(api)
        window = {"date_from": FIRST + 2 * DAY, "date_to": FIRST + 32 * DAY}
        for ranges, count in ((None, 15), (16, 16), (30, 30), (1, 1)):
            api.reset()
            result = run(tmp_path, parallel_ranges=ranges, page_size=1000, **window)
            assert len(result["ranges"]) == count
            assert rows_asked(api, rows) <= 1.05 * result["rows"]
            assert result["rows"] == PER_DAY * 30


class TestAskedWider:
    """Where rows do not prove the zone, or disprove it."""

    def test_a_sparse_day_says_why_its_neighbours_are_asked(
        self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        api.add_event(api.add_profile(), "open", at=FIRST + dt.timedelta(hours=36))
        result = run(tmp_path, date_from=FIRST + DAY, date_to=FIRST + 2 * DAY)
        assert result["rows"] == 1
        assert days_asked(api) == [(dt.date(2025, 1, day), dt.date(2025, 1, day)) for day in (2, 1, 3)]
        assert result["asked_wider_because"] == (
            "no event proves that 2025-01-02 begins by 2025-01-01T21:00:00+00:00: 2025-01-01 asked too; "
            "no event proves that 2025-01-02 is asked to 2025-01-02T21:00:00+00:00: 2025-01-03 asked too"
        )
        assert "Asked wider: no event proves that 2025-01-02 begins" in caplog.text
        assert "timezone:" not in caplog.text

    def test_a_wrong_zone_is_warned_of_and_costs_no_event(
        self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        seed(api)
        api.timezone = "America/New_York"
        assert simple(pulled(tmp_path)) == held(api)
        assert "events of the window came with the days around those of Europe/Moscow: check" in caplog.text

    def test_a_zone_that_is_none_is_refused(self, api: Emulator, connect: Connect, tmp_path: Path) -> None:
        connect(api, timezone="Moscow")
        with pytest.raises(Exception, match="timezone: expected the IANA name of a time zone, such as Europe/Moscow"):
            run(tmp_path)
        assert not api.requests

    def test_clients_ask_the_same_days(self, api: Emulator) -> None:
        seed(api)
        found: list[Any] = []
        with AltcraftClient(api.url, api.token, list_id=1, timezone="Asia/Tokyo") as client:
            found += client.iter_database_history(date_from="2026-01-05", date_to="2026-01-15")
        assert simple(event.model_dump() for event in found) == held(api)


class TestProfiles:
    """Many profiles are asked for the account's days alone, where the first of them prove these."""

    @pytest.fixture
    def many(self, api: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setattr(AltcraftHistoryOperator, "pull_sizes", PullSizes(probes=4, least_proved=20))
        steady(api, 4)
        emails = [f"user{number}@example.com" for number in range(16)]
        for number, email in enumerate(emails):
            api.add_event(api.add_profile(email=email), "open", at=FIRST + DAY + dt.timedelta(hours=number))
        return [f"{name}@example.com" for name in ("ann", "bob", "eve", "kim")] + emails

    def pull(self, tmp_path: Path, profiles: list[str]) -> dict[str, Any]:
        operator = AltcraftHistoryOperator(
            task_id="pull",
            profiles=profiles,
            date_from="2025-01-02",
            date_to="2025-01-02",
            timezone="Europe/Moscow",
            target=str(tmp_path / "day.parquet"),
        )
        result: dict[str, Any] = operator.execute({})
        return result

    def days(self, api: Emulator) -> Counter[tuple[str, str]]:
        return Counter((each.body["date_from"], each.body["date_to"]) for each in api.requests)

    def test_proved_by_the_first(self, api: Emulator, many: list[str], tmp_path: Path) -> None:
        result = self.pull(tmp_path, many)
        assert (result["rows"], result["asked_wider_because"]) == (PER_DAY + 16, None)
        assert self.days(api) == {("2025-01-02", "2025-01-02"): 24}

    @pytest.mark.parametrize("true", ["UTC", "Asia/Tokyo", "America/New_York"])
    @pytest.mark.parametrize("inclusive", [True, False])
    def test_disproved(self, api: Emulator, many: list[str], tmp_path: Path, true: str, inclusive: bool) -> None:
        api.timezone, api.date_to_inclusive = true, inclusive
        result = self.pull(tmp_path, many)
        assert result["rows"] == PER_DAY + 16
        assert result["asked_wider_because"]
        assert self.days(api) == {("2025-01-02", "2025-01-02"): 4, ("2024-12-31", "2025-01-04"): 20}

    def test_too_few_are_asked_as_without(self, api: Emulator, many: list[str], tmp_path: Path) -> None:
        result = self.pull(tmp_path, many[:19])
        assert result["asked_wider_because"] == "too few profiles to prove the days by: 19 of 20"
        assert self.days(api) == {("2024-12-31", "2025-01-04"): 19}


class TestPolls:
    """A watcher's poll of a whole database walks the days of its lookback and no others."""

    def poll(self, api: Emulator, zone: str | None) -> tuple[int, int]:
        """Events found of the last day, and requests made."""
        api.reset()
        # Half a quarter before or after: the first event proves the day where it lies in the quarter of the start.
        quarter, since = dt.timedelta(minutes=15), dt.datetime.now(UTC) - DAY
        since += quarter / 2 - (since - dt.datetime.min.replace(tzinfo=UTC)) % quarter

        async def once() -> int:
            async with AsyncAltcraftClient(api.url, api.token, timezone=zone) as client:
                window = window_from(since)
                return len(await Audience.of(None, 1).poll(client, ["open"], window))

        return asyncio.run(once()), len(api.requests)

    def test_pages(self, api: Emulator) -> None:
        ann = api.add_profile(email="ann@example.com")
        begin = dt.datetime.now(MOSCOW).replace(hour=0, minute=0, second=0, microsecond=0) - 3 * DAY
        minutes = int((dt.datetime.now(UTC) - begin) / dt.timedelta(minutes=1))
        for minute in range(minutes):  # 1,440 rows a day, to now
            api.add_event(ann, "open", at=begin + dt.timedelta(minutes=minute), message_id=minute)
        rows = rows_of_days(api)
        yesterday, today = (dt.datetime.now(MOSCOW).date() - number * DAY for number in (1, 0))
        found, requests = self.poll(api, "Europe/Moscow")
        ((first, last),) = days_asked(api)
        assert first == yesterday
        assert last >= today
        assert requests == math.ceil((rows[yesterday] + rows[today]) / 1000) + 1
        assert abs(found - 1440) <= 10
        assert self.poll(api, None)[1] >= requests + 1

    def test_few_events_cost_a_request_or_two(self, api: Emulator) -> None:
        assert self.poll(api, "Europe/Moscow")[1] - self.poll(api, None)[1] == 1
        api.add_event(api.add_profile(), "open", at=dt.datetime.now(UTC) - DAY / 2)
        found, requests = self.poll(api, "Europe/Moscow")
        assert found == 1
        assert 1 <= requests - self.poll(api, None)[1] <= 2


ZONES = ["UTC", "Europe/Moscow", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"]


@pytest.fixture(scope="module")
def platform() -> Iterator[Emulator]:
    with Emulator(record=False) as api:
        yield api


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    true=st.sampled_from(ZONES),
    said=st.sampled_from(ZONES),
    inclusive=st.booleans(),
    begin=st.sampled_from([dt.datetime(2026, 3, 7, tzinfo=UTC), dt.datetime(2026, 10, 31, tzinfo=UTC)]),
    dense=st.tuples(st.integers(-48, 120), st.integers(-48, 120)),
    sparse=st.lists(st.integers(-48 * 60, 120 * 60), max_size=6),
    window=st.tuples(st.integers(0, 60 * 24), st.integers(1, 60 * 72)),
    ranges=st.integers(1, 4),
    parts=st.sampled_from([[(0, 1)], [(0, 2), (1, 2)]]),
    cursor=st.sampled_from(["exclusive", "inclusive"]),
    stop=st.integers(0, 12),
)
def test_no_event_is_lost_whatever_is_true(
    platform: Emulator,
    true: str,
    said: str,
    inclusive: bool,
    begin: dt.datetime,
    dense: tuple[int, int],
    sparse: list[int],
    window: tuple[int, int],
    ranges: int,
    parts: list[tuple[int, int]],
    cursor: Any,
    stop: int,
) -> None:
    """Also by another attempt that goes on from where one was broken off."""
    list_id = max(platform.rights) + 1
    platform.add_database(list_id)
    platform.timezone, platform.date_to_inclusive, platform.cursor = true, inclusive, cursor
    minutes = [*sparse, *(60 * hour + 5 for hour in range(min(dense), max(dense)))]
    people = [platform.add_profile(list_id=list_id, xxh=f"{number:x}{0:015x}") for number in (1, 5, 9, 13)]
    instants = [begin + dt.timedelta(minutes=minute) for minute in minutes]
    for number, at in enumerate(instants):
        platform.add_event(people[number % 4], "open", at=at)
    wanted = Window(begin + dt.timedelta(minutes=window[0]), begin + dt.timedelta(minutes=sum(window)))
    found = asyncio.run(pulled_in_two(platform, list_id, wanted, said, ranges, parts, stop))
    assert sorted(found) == sorted(at for at in instants if at in wanted)


async def pulled_in_two(
    api: Emulator, list_id: int, window: Window, zone: str, ranges: int, parts: list[tuple[int, int]], stop: int
) -> list[dt.datetime]:
    found: list[dt.datetime] = []
    state: Any = None
    for last in (stop, math.inf):
        async with BulkClient(api.url, api.token, timezone=zone) as client:
            days = AskedDays.known(window, client.settings.zone, ranges)
            assert days
            pull = DatabasePull(client, list_id, window, of_days(days.asked, parts), days, page_size=5, concurrency=2)
            if state is not None:
                pull.resume(state)
            given: list[dt.datetime] = []
            number = 0
            async for piece in pull.batches():
                given += piece.batch["datetime"].to_pylist() if piece.batch else []
                number += 1
                if piece.state is not None and number > last:
                    state = json.loads(json.dumps(piece.state))
                    found, given = found + given, []
                    break
            else:
                return found + given
    raise AssertionError


def test_the_farthest_zone_is_covered(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    seed(api)
    for true, said in (("Pacific/Kiritimati", "Etc/GMT+12"), ("Etc/GMT+12", "Pacific/Kiritimati")):
        for inclusive in (True, False):
            api.timezone, api.date_to_inclusive = true, inclusive
            connect(api, timezone=said)
            assert simple(pulled(tmp_path, parallel_ranges=3)) == held(api)
            assert simple(pulled(tmp_path, parallel_partitions=3, page_size=40)) == held(api)
