"""The sensor's three modes without an Airflow around them: each try run to its end, as Airflow would run it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from types import SimpleNamespace
from typing import Any

from airflow.exceptions import AirflowRescheduleException, TaskDeferred
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger

DUE = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
MODES = ["poke", "reschedule", "deferrable"]


class Store:
    """The task's state store of Airflow 3.3."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = json.loads(json.dumps(value))


class TaskInstance:
    """What the sensor asks of one."""

    def __init__(self) -> None:
        self.try_number = 1
        self.start_date = dt.datetime.now(dt.UTC)
        self.rescheduled_at: dt.datetime | None = None
        self.pushed: dict[str, Any] = {}

    def get_first_reschedule_date(self, context: Any) -> dt.datetime | None:
        return self.rescheduled_at

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


def context(**run: Any) -> Any:
    return {
        "dag_run": SimpleNamespace(**{"run_after": DUE, "run_type": "manual"} | run),
        "ti": TaskInstance(),
        "task_reschedule_count": 0,
        "task_state_store": Store(),
    }


def sensor(mode: str, **arguments: Any) -> AltcraftActionSensor:
    way: dict[str, Any] = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
    given = {"actions": "form_post", "poke_interval": 0.02, "timeout": 15}
    whom = {} if "profiles" in arguments else {"profile": "ann@example.com"}
    return AltcraftActionSensor(task_id="wait", **whom | given | arguments | way)


def outcome(found: AltcraftActionSensor, run: Any = None) -> tuple[str, Any]:
    """State and XCom of one try, or what its error says."""
    run = context() if run is None else run
    ti = run["ti"]
    ti.start_date, ti.rescheduled_at, run["task_reschedule_count"] = dt.datetime.now(dt.UTC), None, 0
    try:
        while True:
            began = dt.datetime.now(dt.UTC)
            try:
                value = found.execute(run)
            except TaskDeferred as deferred:
                value = found.resume_execution(deferred.method_name, {"event": _fired(deferred)}, run)
            except AirflowRescheduleException as later:
                ti.rescheduled_at = ti.rescheduled_at or began
                run["task_reschedule_count"] += 1
                time.sleep(max(0.0, (later.reschedule_date - dt.datetime.now(dt.UTC)).total_seconds()))
                continue
            return "success", value
    except AirflowSkipException:
        return "skipped", None
    except AirflowFailException as error:
        return "failed for good", str(error)
    except AirflowSensorTimeout:
        return "timed out", None
    except AirflowTaskTimeout:
        return "execution timed out", None
    except Exception as error:  # whatever Airflow would retry
        return "failed", type(error)


def bare(outcome: Any) -> Any:
    """An outcome without its record of the wait, which has tests of its own."""
    return outcome and {name: value for name, value in outcome.items() if name != "progress"}


def _fired(deferred: TaskDeferred) -> Any:
    """The event of the trigger, made again from what Airflow stores of it."""
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_provider.altcraft.triggers.action.AltcraftActionTrigger"
    trigger = AltcraftActionTrigger(**json.loads(json.dumps(arguments)))

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(events())
    return json.loads(json.dumps(event))
