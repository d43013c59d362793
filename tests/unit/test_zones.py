"""Days of a zone of one's own: 23, 24 or 25 hours, wherever a date, a path or a lookback says a day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import DAG
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft._arguments import window_of
from airflow_provider.altcraft.operators._ledger import Ledger
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.window import DAY, Window, back, day_of, midnight, zone_of
from tests.unit.operators.test_ledger import Store
from tests.unit.operators.whole_database import Connect
from tests.unit.sensors.modes import context as run_context

MOSCOW, RIGA = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Riga")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
ZONES = st.sampled_from(["UTC", "Europe/Moscow", "Europe/Riga", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Beirut"])
H = dt.timedelta(hours=1)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        ("2026-11-26", MOSCOW, "2026-11-25T21:00Z", 24),
        ("2026-03-29", RIGA, "2026-03-28T22:00Z", 23),
        ("2026-10-25", RIGA, "2026-10-24T21:00Z", 25),
        ("2018-11-04", SAO_PAULO, "2018-11-04T03:00Z", 23),  # there is no midnight on this day
        ("2018-02-17", SAO_PAULO, "2018-02-17T02:00Z", 25),
        ("2011-12-30", ZoneInfo("Pacific/Apia"), "2011-12-30T10:00Z", 0),  # a day that was left out
    ],
)
def test_a_day_is_the_zones(day: str, zone: ZoneInfo, start: str, hours: int) -> None:
    window = Window.of(day, day, zone)
    assert (window.start, window.end) == (at(start), at(start) + hours * H)
    assert [each.isoformat() for each in window.days()] == [day] * bool(hours)


@given(ZONES, st.dates(dt.date(2015, 1, 1), dt.date(2027, 1, 1)), st.integers(0, 10), st.integers(0, 5))
def test_days_of_a_window_are_those_given(name: str, day: dt.date, more: int, lookback: int) -> None:
    zone = zone_of(name)
    window = Window.of(day, day + more * DAY, zone).earlier(lookback)
    assert window.days() == [day + number * DAY for number in range(-lookback, more + 1)]
    assert window.start is not None
    assert day_of(window.start, zone) == day - lookback * DAY
    assert day_of(window.start - dt.timedelta.resolution, zone) == day - (lookback + 1) * DAY


def test_a_lookback_is_days_of_the_zone_and_hours_of_any() -> None:
    noon = at("2026-03-29T12:00+03:00")
    assert back(noon, DAY, RIGA) == at("2026-03-28T12:00+02:00")
    assert back(noon, 24 * H + H, RIGA) == at("2026-03-28T11:00+02:00")
    assert back(noon, 12 * H, RIGA) == at("2026-03-28T23:00+02:00")
    assert back(at("2018-11-04T01:00-02:00"), DAY, SAO_PAULO) == midnight(dt.date(2018, 11, 3), SAO_PAULO)


def test_instants_stay_instants() -> None:
    assert Window.of("2026-01-01T00:00Z", "2026-01-02T00:00Z", MOSCOW).start == at("2026-01-01T00:00Z")


class TestPartitionKeys:
    """What Airflow 3.3 calls a run's partition: a text without a zone, which is read in the argument's."""

    def test_a_key_is_the_zones_day(self) -> None:
        key = "2026-11-27T00:00:00"
        assert Window.of(key, key, MOSCOW) == Window.of("2026-11-27", "2026-11-27", MOSCOW)
        assert Window.of(key, "2026-11-28T00:00:00", MOSCOW) == Window.of("2026-11-27", "2026-11-27", MOSCOW)

    def test_of_hours(self) -> None:
        window = Window.of("2026-11-27T05:00:00", "2026-11-27T06:00:00", MOSCOW)
        assert (window.start, window.end) == (at("2026-11-27T02:00Z"), at("2026-11-27T03:00Z"))

    def test_without_a_zone_it_is_refused(self) -> None:
        with pytest.raises(ValueError, match="has no time zone"):
            Window.of("2026-11-27T00:00:00")

    @pytest.mark.parametrize("native", [False, True])
    @pytest.mark.parametrize(
        ("template", "zone"),
        [
            ("{{ partition_key }}", "Europe/Moscow"),
            ("{{ partition_date.in_timezone('Europe/Moscow') | ds }}", "Europe/Moscow"),
            ("{{ data_interval_start.in_timezone('Europe/Moscow') | ds }}", "Europe/Moscow"),
            ("{{ (partition_date + macros.timedelta(hours=3)) | ds }}", "{{ 'Europe/Moscow' }}"),
        ],
    )
    def test_templates(self, template: str, zone: str, native: bool) -> None:
        date = pendulum.datetime(2026, 11, 26, 21)
        self.rendered(template, zone, native, {"partition_key": "2026-11-27T00:00:00"}, date)

    @pytest.mark.parametrize("native", [False, True])
    def test_of_utc(self, native: bool) -> None:
        date = pendulum.datetime(2026, 11, 27)
        self.rendered("{{ partition_date | ds }}", "UTC", native, {}, date)
        self.rendered("{{ partition_key }}", "UTC", native, {"partition_key": "2026-11-27T00:00:00"}, date)

    def rendered(self, template: str, zone: str, native: bool, context: Any, date: pendulum.DateTime) -> None:
        with DAG("d", schedule=None, render_template_as_native_obj=native):
            operator = AltcraftDatabaseHistoryOperator(
                task_id="pull", date_from=template, date_to=template, timezone=zone, target="/tmp/x.parquet"
            ).prepare_for_execution()
        operator.render_template_fields({**context, "partition_date": date, "data_interval_start": date, "macros": dt})
        window = window_of(operator.date_from, operator.date_to, zone_of(operator.timezone))
        assert (window.start, window.end) == (date, date + DAY)


@pytest.mark.parametrize("zone", ["", "Moscow", "Europe", "../etc/passwd", "+03:00", None, 3])
def test_what_is_no_zone_is_refused_when_the_file_is_parsed(zone: Any) -> None:
    said = "timezone: expected the IANA name of a time zone, such as Europe/Moscow, got"
    days = {"date_from": "2026-01-01", "date_to": "2026-01-01", "target": "/tmp/x.parquet"}
    with pytest.raises(ValueError, match=said):
        AltcraftDatabaseHistoryOperator(task_id="pull", timezone=zone, **days)
    with pytest.raises(ValueError, match=said):
        AltcraftHistoryOperator(task_id="pull", profiles="ann@example.com", timezone=zone, **days)
    with pytest.raises(ValueError, match=said):
        AltcraftActionSensor(task_id="wait", profile="ann@example.com", actions="click", timezone=zone)


@pytest.mark.parametrize("of_database", [True, False])
def test_moscows_days_by_date_with_late_events(
    altcraft_api: Emulator, connect: Connect, tmp_path: Path, of_database: bool
) -> None:
    altcraft_api.timezone = "Europe/Moscow"
    connect(altcraft_api, timezone="Europe/Moscow")
    ann = altcraft_api.add_profile(email="ann@example.com")
    first = midnight(dt.date(2025, 11, 24), MOSCOW)
    for quarter in range(-8, 4 * 96):
        altcraft_api.add_event(ann, "open", at=first + quarter * H / 4 + H / 60, message_id=quarter + 9)
    how: dict[str, Any] = {"target": str(tmp_path / "date={date}" / "history.parquet"), "timezone": "Europe/Moscow"}
    if of_database:
        operator: Any = AltcraftDatabaseHistoryOperator(
            task_id="pull", date_from="2025-11-26", date_to="2025-11-26", lookback="P2D", **how
        )
    else:
        operator = AltcraftHistoryOperator(
            task_id="pull", profiles="ann@example.com", date_from="2025-11-24", date_to="2025-11-26", **how
        )
    result = operator.execute({})
    assert result["window"] == {"start": "2025-11-23T21:00:00+00:00", "end": "2025-11-26T21:00:00+00:00"}
    assert result["rows"] == 3 * 96
    for day in (24, 25, 26):
        found = pq.read_table(tmp_path / f"date=2025-11-{day}" / "history.parquet")["datetime"].to_pylist()
        assert found == [midnight(dt.date(2025, 11, day), MOSCOW) + n * H / 4 + H / 60 for n in range(96)]
        assert found[0].utcoffset() == dt.timedelta(0)
    if of_database:
        assert result["asked_wider_because"] is None
        asked = {(request.body["date_from"], request.body["date_to"]) for request in altcraft_api.requests}
        assert asked == {("2025-11-24", "2025-11-26")}


def test_parts_of_a_zones_days_are_refused(tmp_path: Path, connect: Connect, altcraft_api: Emulator) -> None:
    connect(altcraft_api)
    operator = AltcraftDatabaseHistoryOperator(
        task_id="pull",
        date_from="2026-01-01T00:00Z",
        date_to="2026-01-02T00:00Z",
        timezone="Europe/Moscow",
        target=str(tmp_path / "{date}.parquet"),
    )
    with pytest.raises(Exception, match="must consist of whole Europe/Moscow days, and date_from is 2026-01-01T00:00"):
        operator.execute({})


def test_since_is_the_first_instant_of_the_zones_day(altcraft_api: Emulator, connect: Connect) -> None:
    connect(altcraft_api)
    sensor = AltcraftActionSensor(
        task_id="wait", profile="ann@example.com", actions="click", since="2026-01-02", timezone="Europe/Moscow"
    )
    ann = altcraft_api.add_profile(email="ann@example.com")
    run = run_context()
    altcraft_api.add_event(ann, "click", at=at("2026-01-01T20:59:59Z"))
    assert not sensor.poke(run).is_done
    altcraft_api.add_event(ann, "click", at=at("2026-01-01T21:00:00Z"))
    assert sensor.poke(run).is_done


def test_events_count_from_the_zones_day_and_back_by_its_days() -> None:
    how: dict[str, Any] = {"lookback": DAY, "zone": RIGA}
    ledger = Ledger([Store()], "dag", "task", since=at("2026-01-01T00:00Z"), **how)
    ledger._processed.watermark = midnight(dt.date(2026, 3, 30), RIGA)
    assert ledger.horizon == midnight(dt.date(2026, 3, 29), RIGA) == ledger._processed.watermark - 23 * H
