"""What each of the sensor's modes says while it waits, and the record that it keeps of it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException, TaskDeferred
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowTaskTimeout

from airflow_provider.altcraft.sensors._moments import later, reported_at
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.sensors.modes import DUE, MODES, context, outcome, sensor

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str], caplog: pytest.LogCaptureFixture) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    caplog.set_level(logging.INFO, "airflow_provider")
    return altcraft_api


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.startswith("airflow_provider.altcraft.waiting")]


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_that_is_met(api: Emulator, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    api.add_event("ann@example.com", "form_post", at=DUE)
    api.play(*[faults.null_data()] * 11)
    run = context()
    assert outcome(sensor(mode, timeout=60, timezone="Europe/Moscow"), run)[0] == "success"
    lines = said(caplog)
    first = [line for line in lines if line.startswith("Waiting for a***@example.com to do 'form_post', since 2026-01")]
    assert len(first) == (2 if mode == "deferrable" else 1), "once in the task, once in the triggerer"
    assert all(" 06:04:05+03:00, until " in line for line in first)
    (tenth,) = [line for line in lines if line.startswith("Still waiting")]
    assert tenth.endswith("poll 10: not yet")
    assert lines[-1] == "a***@example.com did 'form_post'; poll 12 found it."
    kept = run["ti"].pushed["altcraft_wait"]
    assert (kept["status"], kept["polls"], kept["met"], kept["missing"]) == ("met", 12, 1, 0)
    assert kept["until"].endswith("+03:00")
    assert "ann@" not in str(kept) + "".join(lines)


@pytest.mark.parametrize("mode", MODES)
def test_the_record_of_a_wait_that_goes_on(api: Emulator, mode: str) -> None:
    run = context()
    with pytest.raises((TaskDeferred, AirflowRescheduleException, KeyboardInterrupt)):
        sensor(mode, timeout=60, profiles=["ann@example.com", "bob@example.com"], quorum=1).execute(
            run | {"ti": _Stopping(run["ti"])} if mode == "poke" else run
        )
    kept = run["ti"].pushed["altcraft_wait"]
    assert (kept["whom"], kept["status"], kept["polls"]) == ("1 of 2 profiles", "waiting", 1)
    assert kept["missing_names"] == ["a***@example.com", "b***@example.com"]


class _Stopping:
    """A task instance whose process is interrupted once the record is kept."""

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def xcom_push(self, key: str, value: Any) -> None:
        self._ti.xcom_push(key, value)
        raise KeyboardInterrupt


def test_a_record_that_cannot_be_kept_is_no_failure(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    api.add_event("ann@example.com", "form_post", at=DUE)
    run = context()
    run["ti"].xcom_push = lambda **_: 1 / 0
    assert outcome(sensor("poke"), run)[0] == "success"
    assert "The record altcraft_wait could not be kept: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(
    ("limits", "error", "end"),
    [
        ({"timeout": 0}, AirflowSensorTimeout, "within the timeout of 0 s."),
        (
            {"execution_timeout": dt.timedelta(0)},
            AirflowTaskTimeout,
            "within the execution_timeout of 0:00:00.",
        ),
    ],
)
def test_a_timeout_names_profile_and_action(
    api: Emulator, mode: str, limits: dict[str, Any], error: type[AirflowException], end: str
) -> None:
    with pytest.raises(error) as raised:
        sensor(mode, **limits).execute(context())
    assert str(raised.value) == f"a***@example.com did not do 'form_post' {end}"


@pytest.mark.parametrize("event", [None, {"status": "timeout"}])
def test_a_timeout_where_no_trigger_ended_it(api: Emulator, event: Any) -> None:
    """No triggerer ran it, or one of the first version."""
    failed = {"error": "Trigger timeout"}
    method, arguments = ("__fail__", failed) if event is None else ("execute_complete", {"event": event})
    with pytest.raises(AirflowSensorTimeout, match=r"^a\*\*\*@example.com did not do 'form_post' within the timeout"):
        sensor("deferrable").resume_execution(method, arguments, context())
    with pytest.raises(AirflowSensorTimeout, match=r"^The timeout of 24 h is over.$"):
        sensor("deferrable", profiles=["ann@example.com"], timeout=86_400).resume_execution(
            method, arguments, context()
        )


@pytest.mark.parametrize(
    ("minutes", "interval", "ago"),
    [(0, 60, 0), (9, 60, 9), (10, 60, 10), (11, 60, 1), (45, 3600, 45), (120, 900, 20)],
)
def test_when_a_rescheduled_wait_reported_last(minutes: int, interval: int, ago: int) -> None:
    """Its polls are processes of their own: one that is the first after ten more minutes reports."""
    now = START + dt.timedelta(minutes=minutes)
    assert now - reported_at(START, now, interval) == dt.timedelta(minutes=ago)


def test_a_deadline_across_a_change_of_the_clock() -> None:
    from zoneinfo import ZoneInfo

    before = dt.datetime(2026, 3, 28, 23, tzinfo=dt.UTC)
    found = later(before, 7200, ZoneInfo("Europe/Berlin"))
    assert (found.isoformat(), found - before) == ("2026-03-29T03:00:00+02:00", dt.timedelta(hours=2))
    assert later(before, 1e12, ZoneInfo("Europe/Berlin")).year == dt.MAXYEAR
