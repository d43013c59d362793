"""The trigger by itself: what is stored of it, and how it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger
from tests.unit.sensors.modes import bare

Connect = Callable[..., str]

# As released versions stored them. What a later version stores gets files of its own; these are never changed.
FILES = sorted((Path(__file__).parent / "stored").glob("*.json"))
STORED = json.loads((Path(__file__).parent / "stored" / "one.json").read_text())["kwargs"]
THEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


async def events(trigger: AltcraftActionTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_earlier_versions_stored_is_run(api: Emulator, file: Path) -> None:
    stored = json.loads(file.read_text())
    module, _, name = stored["classpath"].rpartition(".")
    trigger = getattr(import_module(module), name)(**stored["kwargs"])
    api.add_event("ann@example.com", "form_post", at=THEN, message_id=7, campaign_id=8)
    (event,) = asyncio.run(events(trigger))
    assert event["status"] == "met"
    met = event["cohort"]["met"]["ann@example.com"] if "cohort" in event else event["events"]
    assert [found["action"] for found in met] == ["form_post"]


@pytest.mark.parametrize("name", ["one", "cohort", "polled"])
def test_what_this_version_stores(api: Emulator, name: str) -> None:
    stored = json.loads((Path(__file__).parent / "stored" / f"{name}.json").read_text())
    path, arguments = AltcraftActionTrigger(**stored["kwargs"]).serialize()
    later = {"next_look": None, "failures": 0}
    assert {"classpath": path, "kwargs": json.loads(json.dumps(arguments))} == stored | {
        "kwargs": later | stored["kwargs"]
    }
    assert api.token not in repr(arguments)


def test_what_a_later_version_stored_is_run(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    api.add_event("ann@example.com", "form_post", at=THEN)
    with caplog.at_level(logging.WARNING):
        trigger = AltcraftActionTrigger(**STORED, colour="red")
    assert asyncio.run(events(trigger))[0]["status"] == "met"
    assert "does not know of: colour" in caplog.text


def test_one_event_and_the_end(api: Emulator) -> None:
    api.add_event("ann@example.com", "form_post", at=THEN)
    (event,) = asyncio.run(events(AltcraftActionTrigger(**STORED)))
    assert (event["status"], [found["action"] for found in event["events"]]) == ("met", ["form_post"])
    assert api.requests[0].body["date_from"] == "2026-01-01"
    assert "date_to" not in api.requests[0].body


def test_two_copies_come_to_the_same_by_the_same_requests(api: Emulator) -> None:
    api.play(*[faults.null_data()] * 3)
    api.add_event("ann@example.com", "form_post", at=THEN)

    async def both() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(events(AltcraftActionTrigger(**STORED)) for _ in range(2)))

    first, second = asyncio.run(both())
    assert first == second
    assert len(api.requests) == 4


def test_a_copy_that_begins_again_comes_to_the_same(api: Emulator) -> None:
    """A triggerer is killed during a wait, and another one runs what is stored."""

    async def killed() -> None:
        task = asyncio.create_task(events(AltcraftActionTrigger(**STORED)))
        while len(api.requests) < 3:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(killed())
    api.add_event("ann@example.com", "form_post", at=THEN)
    (event,) = asyncio.run(events(AltcraftActionTrigger(**STORED)))
    assert event["status"] == "met"


def test_the_next_look_is_not_before_it_is_due(api: Emulator) -> None:
    due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.4)
    api.add_event("ann@example.com", "form_post", at=THEN)
    assert asyncio.run(events(AltcraftActionTrigger(**STORED | {"next_look": due.isoformat()})))
    assert [request.at >= due for request in api.requests] == [True]


def test_the_sensors_failed_looks_count(api: Emulator) -> None:
    api.play_forever(faults.status(503))
    arguments = STORED | {"failures": 2, "max_consecutive_failures": 3}
    (event,) = asyncio.run(events(AltcraftActionTrigger(**arguments)))
    assert (event["status"], event["error"]) == ("error", "ServerError")
    assert "in a row: 3" in event["message"]
    assert len(api.requests) == 5  # one poll


def test_a_past_deadline_still_looks_once(api: Emulator) -> None:
    past = STORED | {"deadline": "2026-01-01T00:00:00+00:00"}
    assert [bare(event) for event in asyncio.run(events(AltcraftActionTrigger(**past)))] == [{"status": "timeout"}]
    assert len(api.requests) == 1


def test_a_past_execution_timeout_does_not_poll(api: Emulator) -> None:
    past = STORED | {"execution_deadline": "2026-01-01T00:00:00+00:00"}
    assert [bare(event) for event in asyncio.run(events(AltcraftActionTrigger(**past)))] == [
        {"status": "execution_timeout"}
    ]
    assert api.requests == []


def test_an_execution_timeout_ends_a_request_too(api: Emulator) -> None:
    api.play_forever(faults.stall())
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)).isoformat()
    (event,) = asyncio.run(events(AltcraftActionTrigger(**STORED | {"execution_deadline": soon})))
    assert bare(event) == {"status": "execution_timeout"}


def test_cancelling_during_a_request_leaves_nothing(api: Emulator) -> None:
    api.play_forever(faults.stall())

    async def cancelled() -> int:
        task = asyncio.create_task(events(AltcraftActionTrigger(**STORED)))
        while not api.requests:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    assert asyncio.run(cancelled()) == 1


def test_the_record_of_a_deferred_wait(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a triggerer can write XComs, so here they are taken where Airflow would."""
    from airflow.providers.common.compat.sdk import XCom

    api.add_event("ann@example.com", "form_post", at=THEN, message_id=7, campaign_id=8)
    api.play(*[faults.null_data()] * 10)
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(XCom, "set", lambda **given: written.append(given))
    trigger = AltcraftActionTrigger(**STORED)
    of = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
    trigger.task_instance = SimpleNamespace(**of)
    (event,) = asyncio.run(events(trigger))
    assert [each.pop("value")["polls"] for each in written] == [1, 10]
    assert written == [of | {"key": "altcraft_wait"}] * 2
    assert event["progress"]["polls"] == 11
