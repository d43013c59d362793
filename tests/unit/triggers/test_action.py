"""The trigger by itself: what is stored of it, and how it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger

Connect = Callable[..., str]

# As a released version stored it: one that comes later must still take it.
STORED = {
    "altcraft_conn_id": "altcraft_default",
    "profile": {"matching": "email", "email": "ann@example.com"},
    "list_id": 1,
    "condition": {
        "actions": ["form_post"],
        "match": "any",
        "min_count": 1,
        "message_id": None,
        "campaign_id": None,
        "fail_on": ["complain"],
    },
    "since": "2026-01-02T00:00:00+00:00",
    "deadline": "2100-01-01T00:00:00+00:00",
    "poke_interval": 0.02,
    "silent_fail": False,
}


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


def test_what_is_stored_makes_the_same_trigger_again(api: Emulator) -> None:
    path, arguments = AltcraftActionTrigger(**STORED).serialize()
    assert path == "airflow_provider.altcraft.triggers.action.AltcraftActionTrigger"
    assert json.loads(json.dumps(arguments)) == STORED
    assert api.token not in repr(arguments)


async def _events(trigger: AltcraftActionTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]


def test_one_event_and_the_end(api: Emulator) -> None:
    api.add_event("ann@example.com", "form_post", at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    (event,) = asyncio.run(_events(AltcraftActionTrigger(**STORED)))
    assert (event["status"], [found["action"] for found in event["events"]]) == ("met", ["form_post"])
    assert api.requests[0].body["date_from"] == "2026-01-01"
    assert "date_to" not in api.requests[0].body


def test_two_copies_come_to_the_same(api: Emulator) -> None:
    api.add_event("ann@example.com", "form_post", visible_after=0.1)

    async def both() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(_events(AltcraftActionTrigger(**STORED)) for _ in range(2)))

    first, second = asyncio.run(both())
    assert first == second


def test_a_past_deadline_still_looks_once(api: Emulator) -> None:
    past = STORED | {"deadline": "2026-01-01T00:00:00+00:00"}
    assert asyncio.run(_events(AltcraftActionTrigger(**past))) == [{"status": "timeout"}]
    assert len(api.requests) == 1


def test_cancelling_amid_a_request_leaves_nothing(api: Emulator) -> None:
    api.play_forever(faults.stall())

    async def cancelled() -> int:
        task = asyncio.create_task(_events(AltcraftActionTrigger(**STORED)))
        while not api.requests:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    assert asyncio.run(cancelled()) == 1
