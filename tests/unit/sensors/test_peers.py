"""What other providers' sensors and triggers got wrong, by the number of Airflow's thread.

Watchers' triggers: ``tests/unit/triggers/test_peers.py``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.exceptions import TaskDeferred
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseHook,
)

from airflow_provider.altcraft.client import ServerError
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger
from tests.unit.sensors.modes import DUE, MODES, bare, context, outcome, sensor

Connect = Callable[..., str]
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


def deferred(**arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        sensor("deferrable", **arguments).execute(context())
    return raised.value


def gaps(api: Emulator) -> list[float]:
    times = [request.at.timestamp() for request in api.requests]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@each_mode
def test_airflow_69903_errors_are_treated_alike_whether_deferred_or_not(api: Emulator, mode: str) -> None:
    api.add_event("ann@example.com", "form_post", at=DUE)
    api.play(faults.status(404))
    assert outcome(sensor(mode, timeout=60))[0] == "failed for good"
    api.play(faults.status(500))
    assert outcome(sensor(mode, timeout=60))[0] == "success"


@each_mode
def test_airflow_69904_an_error_is_not_retried_in_a_tight_loop(api: Emulator, mode: str) -> None:
    api.play_forever(faults.status(503))
    arguments: dict[str, Any] = {"poke_interval": 0.5, "max_consecutive_failures": 3, "timeout": 60}
    assert outcome(sensor(mode, **arguments)) == ("failed", ServerError)
    polls = gaps(api)[4::5]  # a poll is five tries
    assert len(polls) == 2
    assert min(polls) > 0.4


def test_airflow_72376_a_trigger_outlives_failed_requests_up_to_a_cap(api: Emulator) -> None:
    api.play_forever(faults.reset())
    assert outcome(sensor("deferrable", max_consecutive_failures=4, timeout=60))[0] == "failed"
    assert len(api.requests) == 20


@each_mode
def test_airflow_57583_there_is_an_interval_between_requests(api: Emulator, mode: str) -> None:
    assert outcome(sensor(mode, poke_interval=0.4, timeout=1.5))[0] == "timed out"
    assert len(api.requests) <= 5
    assert min(gaps(api)[:-1]) > 0.3


@each_mode
def test_airflow_61130_soft_fail_skips_on_a_timeout(api: Emulator, mode: str) -> None:
    assert api.url
    assert outcome(sensor(mode, timeout=0.3, soft_fail=True))[0] == "skipped"


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
def test_airflow_61132_soft_fail_skips_also_on_airflows_own_timeout_of_a_trigger(error: str) -> None:
    resume = {"next_method": "__fail__", "next_kwargs": {"error": error}}
    with pytest.raises(AirflowSkipException):
        sensor("deferrable", soft_fail=True).resume_execution(**resume, context=context())
    with pytest.raises(AirflowSensorTimeout):
        sensor("deferrable").resume_execution(**resume, context=context())


@each_mode
@pytest.mark.parametrize("fault", [faults.error(401, "no"), faults.error(400, "no"), faults.redirect("https://x.test")])
def test_airflow_71255_soft_fail_hides_no_misconfiguration(api: Emulator, mode: str, fault: Any) -> None:
    api.play_forever(fault)
    assert outcome(sensor(mode, soft_fail=True, timeout=60))[0] == "failed for good"


def test_airflow_72053_soft_fail_hides_no_broken_trigger(api: Emulator) -> None:
    assert api.url
    resume = {"next_method": "__fail__", "next_kwargs": {"error": "Trigger failure", "traceback": ["boom"]}}
    with pytest.raises(AirflowException) as raised:
        sensor("deferrable", soft_fail=True).resume_execution(**resume, context=context())
    assert not isinstance(raised.value, AirflowSkipException)


@each_mode
def test_airflow_36734_timeout_and_execution_timeout_are_kept_apart(api: Emulator, mode: str) -> None:
    assert api.url
    long, short = dt.timedelta(seconds=60), dt.timedelta(seconds=0.2)
    assert outcome(sensor(mode, timeout=0.2, execution_timeout=long))[0] == "timed out"
    assert outcome(sensor(mode, timeout=60, execution_timeout=short))[0] == "execution timed out"


@pytest.mark.usefixtures("api")
def test_airflow_43948_a_deferral_lasts_as_long_as_the_sensors_timeout() -> None:
    assert deferred(timeout=100).timeout == dt.timedelta(seconds=160)
    left = deferred(timeout=100, execution_timeout=dt.timedelta(seconds=10)).timeout
    assert dt.timedelta(seconds=60) < left <= dt.timedelta(seconds=70)


@pytest.mark.usefixtures("api")
def test_airflow_33718_the_deadline_is_the_sensors_timeout_from_now() -> None:
    before = dt.datetime.now(dt.UTC)
    trigger: Any = deferred(timeout=100).trigger
    deadline = dt.datetime.fromisoformat(trigger.deadline) - dt.timedelta(seconds=100)
    assert before <= deadline <= dt.datetime.now(dt.UTC)


@each_mode
def test_airflow_30289_an_exception_in_the_first_poll_does_not_break_the_timeout(api: Emulator, mode: str) -> None:
    api.play(*[faults.status(503)] * 5)
    began = time.monotonic()
    assert outcome(sensor(mode, timeout=1, poke_interval=0.1))[0] == "timed out"
    assert 1 <= time.monotonic() - began < 10


@each_mode
def test_airflow_61467_execution_timeout_is_enforced(api: Emulator, mode: str) -> None:
    assert api.url
    limit = dt.timedelta(seconds=0.3)
    assert outcome(sensor(mode, timeout=3600, execution_timeout=limit))[0] == "execution timed out"


@each_mode
def test_airflow_57359_one_503_fails_nothing(api: Emulator, mode: str) -> None:
    api.add_event("ann@example.com", "form_post", at=DUE)
    api.play(*[faults.status(503)] * 6)
    assert outcome(sensor(mode, timeout=60))[0] == "success"


def test_airflow_57359_a_retry_makes_a_trigger_again(api: Emulator) -> None:
    api.play(*[faults.status(503)] * 5)
    api.add_event("ann@example.com", "form_post", at=DUE)
    found = sensor("deferrable", max_consecutive_failures=1, timeout=60)
    assert outcome(found) == ("failed", ServerError)
    assert outcome(found)[0] == "success"


@each_mode
@pytest.mark.parametrize("fault", [faults.status(500), faults.stall(), faults.reset()], ids=["51801", "43128", "43080"])
def test_airflow_51801_43128_43080_what_may_pass_is_asked_again(
    api: Emulator, connect: Connect, mode: str, fault: Any
) -> None:
    connect(api, timeout=1)
    api.add_event("ann@example.com", "form_post", at=DUE)
    api.play(fault)
    assert outcome(sensor(mode, timeout=60))[0] == "success"


@pytest.mark.usefixtures("api")
def test_airflow_68017_all_that_shapes_a_wait_crosses_to_the_trigger() -> None:
    given: dict[str, Any] = {
        "exponential_backoff": True,
        "max_wait": 7,
        "max_consecutive_failures": 3,
        "silent_fail": True,
        "poke_interval": 5,
    }
    _, arguments = deferred(**given).trigger.serialize()
    assert {key: arguments[key] for key in given} == given


def test_airflow_67945_a_trigger_that_runs_again_only_reads(api: Emulator) -> None:
    _, arguments = deferred().trigger.serialize()
    api.add_event("ann@example.com", "form_post", at=DUE)
    for _ in range(2):
        asyncio.run(anext(AltcraftActionTrigger(**arguments).run()))
    assert {request.method for request in api.requests} == {"subscribers/history_get"}


def test_airflow_21616_20150_copies_of_a_trigger_do_no_harm(api: Emulator) -> None:
    _, arguments = deferred(timeout=60).trigger.serialize()
    api.add_event("ann@example.com", "form_post", at=DUE)

    async def copies() -> list[Any]:
        return await asyncio.gather(*(anext(AltcraftActionTrigger(**arguments).run()) for _ in range(5)))

    assert len({json.dumps(event.payload, sort_keys=True) for event in asyncio.run(copies())}) == 1


def test_airflow_71580_72716_resuming_twice_gives_the_same(api: Emulator) -> None:
    later = deferred(timeout=60)
    api.add_event("ann@example.com", "form_post", at=DUE)
    event = asyncio.run(anext(later.trigger.run())).payload
    found = sensor("deferrable")
    values = [found.resume_execution(later.method_name, {"event": event}, context()) for _ in range(2)]
    assert values[0] == values[1]
    assert values[0][0]["action"] == "form_post"


def test_airflow_72716_what_is_there_already_is_not_deferred_for(api: Emulator) -> None:
    """Airflow 3.3 fails a try whose trigger fires before the scheduler has noticed that the task deferred."""
    api.add_event("ann@example.com", "form_post", at=DUE)
    assert [event["action"] for event in sensor("deferrable").execute(context())] == ["form_post"]
    api.add_event("ann@example.com", "complain", at=DUE)
    with pytest.raises(AirflowFailException):
        sensor("deferrable", actions="open", fail_on="complain").execute(context())
    api.play(faults.error(401, "no"))
    with pytest.raises(AirflowFailException):
        sensor("deferrable").execute(context())
    assert len(api.requests) == 3


def test_airflow_72716_a_trigger_looks_only_when_the_next_look_is_due(api: Emulator) -> None:
    before = dt.datetime.now(dt.UTC)
    trigger: Any = deferred(poke_interval=60, timeout=3600).trigger
    assert len(api.requests) == 1
    pause = dt.datetime.fromisoformat(trigger.next_look) - before
    assert dt.timedelta(seconds=57) <= pause <= dt.timedelta(seconds=73)


def test_airflow_53447_55799_55812_57145_a_trigger_reads_its_connection_without_blocking(
    api: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, arguments = deferred(poke_interval=60, timeout=3).trigger.serialize()
    plain = BaseHook.get_connection

    def refused(*given: Any, **named: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # in a thread, as Airflow 2.11 does it
            return plain(*given, **named)
        raise AssertionError("it would block the triggerer")

    monkeypatch.setattr(BaseHook, "get_connection", refused)
    event = asyncio.run(anext(AltcraftActionTrigger(**arguments).run()))
    assert bare(event.payload) == {"status": "timeout"}
    assert len(api.requests) == 2  # the sensor's, and the trigger's as the time was up


def test_airflow_56910_the_modes_ask_the_same(api: Emulator) -> None:
    bodies = []
    for mode in MODES:
        api.reset()
        outcome(sensor(mode, timeout=0))
        bodies.append([request.body for request in api.requests])
    assert bodies[0] == bodies[1] == bodies[2]


def test_airflow_36492_a_triggers_arguments_hold_no_secret(api: Emulator) -> None:
    later = deferred()
    assert api.token not in json.dumps(later.trigger.serialize())
    assert api.token not in repr(vars(later.trigger))
