"""The clients on the emulator: lookups, windows, whole databases, limits, cancelling, closing."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import pickle
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider.altcraft import client
from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, ProfileLookup, Response, Retry
from airflow_provider.altcraft.client._core import Core
from airflow_provider.altcraft.client.transport import _httpx as _transport
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import SLACK

ONE = Retry(attempts=1)
ANN = "ann@example.com"
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
SUBSCRIPTIONS = [
    {"channel": "push", "provider": "android-firebase", "subscription_id": "abc"},
    {"channel": "email", "email": "sub@example.com"},
    {"channel": "sms", "phone": "+79000000001"},
    {"channel": "custom", "custom_fields": {"vk": "7"}},
]


@pytest.fixture
def api(altcraft_api: Emulator) -> Emulator:
    altcraft_api.add_profile(
        email=ANN,
        phone="+79000000000",
        xxh="00000000000000aa",
        profile_id="66f66973096b3b454bbbccec",
        custom={"CRM_ID": "7"},
        subscriptions=SUBSCRIPTIONS,
    )
    altcraft_api.add_event(ANN, "open", at=NOON)
    return altcraft_api


def connected(api: Emulator, **options: Any) -> AltcraftClient:
    return AltcraftClient(api.url, api.token, **{"list_id": 1, "retry": ONE} | options)


def connected_async(api: Emulator, **options: Any) -> AsyncAltcraftClient:
    return AsyncAltcraftClient(api.url, api.token, **{"list_id": 1, "retry": ONE} | options)


@pytest.mark.parametrize(
    "lookup",
    [
        ANN,
        {"xxh": "00000000000000aa"},
        {"matching": "email_profile", "email": ANN},
        {"matching": "email_sub", "email": "sub@example.com"},
        {"matching": "phone", "phone": "+79000000000"},
        {"matching": "phone_sub", "phone": "+79000000001"},
        {"matching": "profile_id", "profile_id": "66f66973096b3b454bbbccec"},
        {"matching": "push_sub", "provider": "android-firebase", "subscription_id": "abc"},
        {"matching": "custom", "field_name": "CRM_ID", "field_value": 7},
        {"matching": "custom_sub", "field_name": "vk", "field_value": "7"},
        {"matching": "email_phone", "phone": "+79000000000"},
        {"matching": "email_phone", "email": ANN, "phone": "+79000000000"},
        {"matching": "email_phone_sub", "email": "sub@example.com"},
    ],
    ids=str,
)
def test_every_way_to_look_up(api: Emulator, lookup: Any) -> None:
    with connected(api) as asking:
        (event,) = asking.get_history(lookup)
        assert event.xxh == "00000000000000aa"
        assert asking.get_history(ProfileLookup.of(lookup)) == [event]
    sent = api.requests[0].body
    wanted = lookup if isinstance(lookup, dict) else {"matching": "email", "email": lookup}
    assert sent == {"token": "***", "format": "json", "list_id": 1, **wanted}


@pytest.mark.parametrize("hours", [-12, 0, 3, 14])
@pytest.mark.parametrize("inclusive", [True, False])
def test_a_day_is_whole_whatever_the_platforms_zone(api: Emulator, hours: int, inclusive: bool) -> None:
    api.timezone, api.date_to_inclusive = dt.timezone(dt.timedelta(hours=hours)), inclusive
    first, last = dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, 23, 59, 59, 999_000, tzinfo=dt.UTC)
    step = dt.timedelta(milliseconds=1)
    for number, at in enumerate((first - step, first, last, last + step)):
        api.add_event(ANN, "click", at=at, message_id=number)
    with connected(api) as asking:
        found = asking.get_history(ANN, date_from="2026-01-02", date_to="2026-01-02")
        interval = asking.get_history(ANN, date_from=first, date_to=last)
    assert [event.message_id for event in found if event.action == "click"] == [1, 2]
    assert [event.message_id for event in interval if event.action == "click"] == [1]


@pytest.mark.parametrize("wrong", [{"profile": "no address"}, {"list_id": 0}, {"list_id": "1"}, {"date_from": "soon"}])
def test_wrong_input_costs_no_request(api: Emulator, wrong: dict[str, Any]) -> None:
    with connected(api) as asking, pytest.raises(ValueError, match=r"email|list_id|date_from"):
        asking.get_history(**{"profile": ANN} | wrong)
    assert api.requests == []


def test_databases(api: Emulator) -> None:
    for number in range(2, 8):
        api.add_database(number, name=f"№ {number}")
    with connected(api) as asking:
        assert [found.id for found in asking.list_databases(page_size=3)] == [1, 2, 3, 4, 5, 6, 7]
        assert asking.count_databases() == 7
        assert asking.get_database(7).name == "№ 7"
        assert asking.get_database().id == 1

    async def ask() -> Any:
        async with connected_async(api) as asking:
            return (
                [found.id for found in await asking.list_databases(page_size=3)],
                await asking.count_databases(),
                (await asking.get_database(7)).name,
            )

    assert asyncio.run(ask()) == ([1, 2, 3, 4, 5, 6, 7], 7, "№ 7")


def test_profiles(api: Emulator) -> None:
    for number in range(5):
        api.add_profile(email=f"user{number}@example.com", custom={"CRM_ID": f"a{number}"})
    with connected(api) as asking:
        found = list(asking.iter_profiles(fields=["CRM_ID"], page_size=2))
        (one,) = asking.iter_profiles(query={"CRM_ID": "a3"})
        with pytest.raises(ValueError, match="page_size: expected rows a page from 1 on, got 0"):
            next(asking.iter_profiles(page_size=0))
    by_crm_id = {profile.get("CRM_ID"): profile["id"] for profile in found}
    assert by_crm_id.keys() >= {"a0", "a1", "a2", "a3", "a4"}
    assert one["id"] == by_crm_id["a3"]

    async def ask() -> Any:
        async with connected_async(api) as asking:
            return [profile async for profile in asking.iter_profiles(fields=["CRM_ID"], page_size=2)]

    assert asyncio.run(ask()) == found


def identity(row: Any) -> tuple[Any, ...]:
    row = row if isinstance(row, dict) else row.model_dump()
    at = row["datetime"]
    at = at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(at)
    return (row["xxh"], at, row["action"], row.get("message_id"), row.get("event_id"))


@pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
@pytest.mark.parametrize("limit", [2, 7, 1000])
@pytest.mark.parametrize("style", ["new", "old"])
def test_a_whole_database(api: Emulator, cursor: Any, limit: int, style: Any, caplog: pytest.LogCaptureFixture) -> None:
    api.cursor, api.style = cursor, style
    api.seed(profiles=5, events_per_profile=7, start=NOON, days=1)
    # Real events alike in everything. Where they fill a whole page no rule tells them from rows that came twice.
    for _ in range(3 if limit > 3 else 1):
        api.add_event(ANN, "click", at=NOON, event_id="twin", smid="twin")
    window: dict[str, Any] = {"date_from": "2026-01-01", "date_to": "2026-01-31"}

    async def ask() -> list[Any]:
        async with connected_async(api) as asking:
            return [event async for event in asking.iter_database_history(**window, page_size=limit)]

    with connected(api) as asking:
        found = list(asking.iter_database_history(**window, page_size=limit))
    assert found == asyncio.run(ask())
    expected = Counter(map(identity, api.events()))
    assert Counter(map(identity, found)) == expected
    assert "rows may be missing" not in caplog.text


def test_a_whole_database_wants_both_dates_and_a_page(api: Emulator) -> None:
    with connected(api) as asking:
        for wrong in ({"date_to": None}, {"page_size": 0}, {"fields": "CRM_ID"}):
            arguments: dict[str, Any] = {"date_from": "2026-01-01", "date_to": "2026-01-31"} | wrong
            with pytest.raises(ValueError, match=r"date_to|page_size|fields"):
                list(asking.iter_database_history(**arguments))
    assert api.requests == []


def test_no_more_calls_at_once_than_connections(api: Emulator) -> None:
    api.latency = 0.03
    with connected(api, max_connections=3) as asking, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: asking.get_history(ANN), range(24)))
        assert api.open_connections <= 3

    async def ask() -> None:
        async with connected_async(api, max_connections=3) as asking:
            await asyncio.gather(*(asking.get_history(ANN) for _ in range(24)))
            assert api.open_connections <= 3

    asyncio.run(ask())
    assert len({request.peer for request in api.requests}) == 6


def test_no_more_calls_a_second_than_asked_for() -> None:
    """The n-th call leaves n gaps after the first could have: that holds on a machine of any speed."""
    left: list[float] = []
    nothing = Response(200, {}, b'{"error": 0, "data": []}')

    class Watched:
        def send(self, url: str, headers: Any, body: bytes) -> Response:
            left.append(time.monotonic())
            return nothing

        def close(self) -> None:
            """Nothing is open."""

    class WatchedAsync:
        async def send(self, url: str, headers: Any, body: bytes) -> Response:
            left.append(time.monotonic())
            return nothing

        async def aclose(self) -> None:
            """Nothing is open."""

    def in_threads() -> None:
        with (
            AltcraftClient("https://example.com", "token", transport=Watched(), **options) as asking,
            ThreadPoolExecutor(8) as pool,
        ):
            list(pool.map(lambda _: asking.get_history(ANN), range(20)))

    async def in_a_loop() -> None:
        async with AsyncAltcraftClient("https://example.com", "token", transport=WatchedAsync(), **options) as asking:
            await asyncio.gather(*(asking.get_history(ANN) for _ in range(20)))

    options: dict[str, Any] = {"list_id": 1, "requests_per_second": 50}
    for ask in (in_threads, lambda: asyncio.run(in_a_loop())):
        left.clear()
        started = time.monotonic()
        ask()
        assert len(left) == 20
        assert all(at - started > number / 50 - 1e-3 for number, at in enumerate(sorted(left)))


def test_cancelled_by_the_thousand(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """httpx's own pool loses its connections to this."""
    caplog.set_level(logging.DEBUG, "asyncio")
    draw = random.Random(5)

    async def ask() -> int:
        async with connected_async(api, max_connections=4, timeout=5) as asking:
            for _ in range(100):
                tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(10)]
                for task in tasks:
                    for _ in range(draw.randrange(12)):
                        await asyncio.sleep(0)
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            answers = await asyncio.wait_for(asyncio.gather(*(asking.get_history(ANN) for _ in range(50))), 10)
            assert [len(answer) for answer in answers] == [1] * 50
            assert api.open_connections <= 4
        return len(asyncio.all_tasks())

    assert asyncio.run(ask()) == 1
    assert "never retrieved" not in caplog.text


def test_closed_with_calls_under_way(api: Emulator) -> None:
    api.play_forever(faults.stall())

    async def ask() -> list[Any]:
        asking = connected_async(api)
        tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(5)]
        while len(api.requests) < 5:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await asking.aclose()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - started < SLACK
        assert len(asyncio.all_tasks()) == 1
        with pytest.raises(client.FatalError, match="closed"):
            await asking.get_history(ANN)
        return found

    assert [str(error) for error in asyncio.run(ask())] == ["subscribers/history_get: the client is closed"] * 5
    asking = connected(api)
    asking.close()
    with pytest.raises(client.FatalError, match="closed"):
        asking.get_history(ANN)


def test_errors_travel_between_processes(api: Emulator) -> None:
    api.play(faults.error(403, "no", http_status=403))
    with connected(api) as asking, pytest.raises(client.AccessError) as caught:
        asking.get_history(ANN)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), vars(again)) == (client.AccessError, str(caught.value), vars(caught.value))


def test_only_events_of_the_actions_that_are_asked_for(api: Emulator) -> None:
    api.add_event(ANN, "click", at=NOON)
    with connected(api) as sync:
        assert [event.action for event in sync.get_history(ANN, actions={"click"})] == ["click"]
        assert sync.get_history(ANN, actions=()) == []
        # A row of which nobody knows whose action it is may be one of them.
        api.play(faults.rows({"datetime": "2026-01-02T12:00:00Z"}))
        with pytest.raises(client.UnreadableAnswerError, match=r"data\[2\]"):
            sync.get_history(ANN, actions={"click"})


def test_large_answers_are_read_outside_the_loop(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    api.add_profile(email="large@example.com")
    for minute in range(300):
        api.add_event("large@example.com", "click", at=NOON + dt.timedelta(minutes=minute), message_name="x" * 200)
    threads = dict[str, set[int]]()

    def spied(name: str, function: Any) -> Any:
        def spy(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return function(*arguments)

        return spy

    monkeypatch.setattr(_transport, "decompressed", spied("unpack", _transport.decompressed))
    monkeypatch.setattr(Core, "page_of", spied("read", Core.page_of))

    async def pulled(email: str) -> int:
        async with connected_async(api) as found:
            return len(await found.get_history(email))

    assert asyncio.run(pulled("large@example.com")) == 300
    assert threads.keys() == {"unpack", "read"}
    assert threading.get_ident() not in threads["unpack"] | threads["read"]
    threads.clear()
    assert asyncio.run(pulled(ANN)) == 1  # small: sooner read than handed over
    assert threads == {"unpack": {threading.get_ident()}, "read": {threading.get_ident()}}
