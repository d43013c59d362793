"""What the waits of one event loop share: a client for each connection, and one poll for all who ask the same."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.client import FatalError, RetriableError, TokenError
from airflow_provider.altcraft.client.transport._httpx import AsyncHttpxTransport
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers import _shared_client
from airflow_provider.altcraft.triggers._shared_client import SharedClient
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger

Connect = Callable[..., str]
ANN = {"matching": "email", "email": "ann@example.com"}
DAY = dt.date(2026, 1, 2)
POSTED = frozenset({"form_post"})


def after(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def trigger(name: str = "ann", **arguments: Any) -> AltcraftActionTrigger:
    given: dict[str, Any] = {
        "altcraft_conn_id": "altcraft_default",
        "condition": {"actions": ["form_post"]},
        "deadline": after(2),
        "poke_interval": 0.5,
        "profile": {"matching": "email", "email": f"{name}@example.com"},
        "since": "2026-01-02T03:04:05+00:00",
    }
    return AltcraftActionTrigger(**given | arguments)


async def statuses(*triggers: AltcraftActionTrigger) -> list[str]:
    events = await asyncio.gather(*(anext(each.run()) for each in triggers))
    return [event.payload["status"] for event in events]


def test_waits_that_ask_the_same_share_each_poll(api: Emulator) -> None:
    # What is imported for the first poll may take as long as the waits do.
    asyncio.run(statuses(trigger("bob", deadline=dt.datetime.now(dt.UTC).isoformat())))
    earlier = len(api.requests)
    # They differ in what they wait for and since which second, not in what they ask.
    waits = [
        trigger(condition={"actions": [action]}, since=f"2026-01-02T03:04:0{second}+00:00")
        for action in ("form_post", "click")
        for second in range(10)
    ]
    began = time.monotonic()
    assert set(asyncio.run(statuses(*waits))) == {"timeout"}
    took = time.monotonic() - began
    # A poll each half a second and one at the end, whether one waits or twenty.
    assert 2 <= len(api.requests) - earlier <= took / 0.45 + 2


def test_waits_that_ask_for_other_things_do_not(api: Emulator) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    others = [trigger("bob"), trigger(since="2026-01-03T00:00:00+00:00"), trigger(since=None), trigger(list_id=1)]
    api.add_database(2)
    assert len(asyncio.run(statuses(*(trigger(deadline=now),), *others))) == 5
    assert len({json.dumps(request.body, sort_keys=True) for request in api.requests}) == 4


def test_one_client_for_each_connection(api: Emulator, connect: Connect) -> None:
    connect(api, max_connections=2)
    now = dt.datetime.now(dt.UTC).isoformat()
    names = [f"user{number}" for number in range(40)]
    for name in names:
        api.add_profile(email=f"{name}@example.com")
    asyncio.run(statuses(*(trigger(name, deadline=now) for name in names)))
    assert len(api.requests) == 40
    assert len({request.connection for request in api.requests}) <= 2
    assert not any(every for every in _shared_client._SHARED.values())


def test_the_connections_pace_is_kept(api: Emulator, connect: Connect) -> None:
    connect(api, requests_per_second=20)
    names = [f"user{number}" for number in range(30)]
    for name in names:
        api.add_profile(email=f"{name}@example.com")
    asyncio.run(statuses(*(trigger(name, poke_interval=0.01) for name in names)))
    by_second = Counter(int(request.at.timestamp() * 2) for request in api.requests)
    assert len(api.requests) > 30
    # In half a second ten, and what a loaded machine lets arrive together.
    assert sum(by_second.values()) / max(1, len(by_second) - 1) <= 15


def test_a_poll_of_anothers_is_heard_before_the_pause_is_over(api: Emulator) -> None:
    async def heard() -> float:
        async with SharedClient.acquire("altcraft_default") as shared:
            patient = asyncio.create_task(shared.poll(ANN, list_id=None, day=DAY, actions=POSTED, pause=60))
            await asyncio.sleep(0)
            began = time.monotonic()
            await shared.poll(ANN, list_id=None, day=DAY, actions=POSTED)
            assert isinstance(await patient, list)
            return time.monotonic() - began

    assert asyncio.run(heard()) < 30
    assert len(api.requests) == 1


def test_a_failure_of_anothers_is_not_ones_own(api: Emulator) -> None:
    api.play(*[faults.status(503)] * 5)

    async def both() -> tuple[Any, Any]:
        async with SharedClient.acquire("altcraft_default") as shared:
            patient = asyncio.create_task(shared.poll(ANN, list_id=None, day=DAY, actions=POSTED, pause=1.5))
            await asyncio.sleep(0)
            return await shared.poll(ANN, list_id=None, day=DAY, actions=POSTED), await patient

    eager, patient = asyncio.run(both())
    assert isinstance(eager, RetriableError)
    assert patient == []


def test_what_is_final_for_another_is_final_for_all(api: Emulator) -> None:
    api.play_forever(faults.error(403, "no"))

    async def both() -> list[Any]:
        async with SharedClient.acquire("altcraft_default") as shared:
            polls = (shared.poll(ANN, list_id=None, day=DAY, actions=POSTED, pause=pause) for pause in (60, 0))
            return await asyncio.gather(*polls)

    assert all(isinstance(each, FatalError) for each in asyncio.run(both()))
    assert len(api.requests) == 1


def test_a_new_token_is_learnt_of_during_a_wait(api: Emulator, connect: Connect) -> None:
    async def wait() -> str:
        task = asyncio.create_task(statuses(trigger(poke_interval=0.05, deadline=after(60))))
        while len(api.requests) < 2:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        api.token = "another"
        connect(api)
        api.add_event("ann@example.com", "form_post", at=dt.datetime(2026, 1, 3, tzinfo=dt.UTC))
        return (await task)[0]

    assert asyncio.run(wait()) == "met"


def test_a_token_that_is_wrong_stays_wrong(api: Emulator, connect: Connect) -> None:
    connect(api, token="wrong")

    async def poll() -> Any:
        async with SharedClient.acquire("altcraft_default") as shared:
            return await shared.poll(ANN, list_id=None, day=DAY, actions=POSTED)

    assert isinstance(asyncio.run(poll()), TokenError)
    assert len(api.requests) == 1


def test_changed_settings_are_learnt_of_in_time(
    api: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shared_client, "_REREAD_AFTER", 0.0)

    async def polls() -> list[Any]:
        async with SharedClient.acquire("altcraft_default") as shared:
            first = await shared.poll(ANN, list_id=None, day=DAY, actions=POSTED)
            connect(api, list_id=7)
            return [first, await shared.poll(ANN, list_id=None, day=DAY, actions=POSTED)]

    first, second = asyncio.run(polls())
    assert first == []
    assert "7" in str(second)
    assert [request.body["list_id"] for request in api.requests] == [1, 7]


def test_a_connection_that_cannot_be_read_may_come_back(
    api: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = connect(api)
    monkeypatch.delenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT")

    async def wait() -> str:
        task = asyncio.create_task(statuses(trigger(poke_interval=0.3, deadline=after(60))))
        await asyncio.sleep(0.5)
        connect(api)
        api.add_event("ann@example.com", "form_post", at=dt.datetime(2026, 1, 3, tzinfo=dt.UTC))
        return (await task)[0]

    assert kept == "altcraft_default"
    assert asyncio.run(wait()) == "met"


def test_one_deferral_costs_one_poll_in_flight_at_the_most(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that take longer than the pause between polls do not pile up."""
    api.play_forever(faults.latency(0.2))
    under_way, most = 0, 0
    send = AsyncHttpxTransport.send

    async def counted(transport: AsyncHttpxTransport, *request: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await send(transport, *request)
        finally:
            under_way -= 1

    monkeypatch.setattr(AsyncHttpxTransport, "send", counted)
    assert asyncio.run(statuses(trigger(poke_interval=0.01), trigger(poke_interval=0.01))) == ["timeout"] * 2
    assert len(api.requests) >= 2
    assert (most, under_way) == (1, 0)


def test_a_poll_for_other_actions_is_no_answer(api: Emulator) -> None:
    """Polls give only what was asked for when they began, so who comes during one must not take it for its own."""
    api.play(faults.latency(0.5))
    for action in ("form_post", "click"):
        api.add_event("ann@example.com", action, at=dt.datetime(2026, 1, 3, tzinfo=dt.UTC))

    async def found() -> tuple[list[str], list[str]]:
        async with SharedClient.acquire("altcraft_default") as shared:
            first = asyncio.create_task(shared.poll(ANN, list_id=None, day=DAY, actions=POSTED))
            while not api.requests:  # noqa: ASYNC110 - the emulator lives in another thread
                await asyncio.sleep(0.01)
            second = await shared.poll(ANN, list_id=None, day=DAY, actions=frozenset({"click"}))
            posted = await first
            assert isinstance(posted, list)
            assert isinstance(second, list)
            return [event.action for event in posted], [event.action for event in second]

    posted, second = asyncio.run(found())
    assert posted == ["form_post"]
    assert "click" in second
    assert len(api.requests) == 2


def test_clients_are_made_outside_the_loop(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CA file and what is imported with the first client take some 0.1 s."""
    made = list[int]()
    init = AsyncHttpxTransport.__init__

    def spied(transport: AsyncHttpxTransport, **options: Any) -> None:
        made.append(threading.get_ident())
        init(transport, **options)

    monkeypatch.setattr(AsyncHttpxTransport, "__init__", spied)
    assert asyncio.run(statuses(trigger(deadline=dt.datetime.now(dt.UTC).isoformat()))) == ["timeout"]
    assert len(made) == 1
    assert made[0] != threading.get_ident()


@pytest.mark.parametrize("during", ["request", "pause"])
def test_who_leaves_does_not_disturb_who_stays(api: Emulator, during: str) -> None:
    api.play(faults.latency(0.3) if during == "request" else faults.null_data())
    api.add_event("ann@example.com", "form_post", at=dt.datetime(2026, 1, 3, tzinfo=dt.UTC))

    async def wait() -> str:
        leaver = asyncio.create_task(statuses(trigger(deadline=after(60))))
        stayer = asyncio.create_task(statuses(trigger(deadline=after(60))))
        while not api.requests:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        leaver.cancel()
        return (await stayer)[0]

    assert asyncio.run(wait()) == "met"
    assert len(api.requests) <= 2
