"""The trigger behind a watcher: each event once, across polls, restarts and late arrivals; and it never dies."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import ClassVar

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers._watch_state import WatchState
from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger
from airflow_provider.altcraft.waiting import processed_keys
from tests.unit.triggers.watching import (
    HOUR_AGO,
    ON_AIRFLOW_3_3,
    SOON,
    Payload,
    Store,
    fired,
    keys,
    through_airflow,
    watcher,
)

Connect = Callable[..., str]

pytestmark = pytest.mark.usefixtures("quick")

DAY = dt.timedelta(days=1)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob", "cid"):
        altcraft_api.add_profile(email=f"{name}@example.com", custom={"CRM_ID": name})
    return altcraft_api


# Each event once


def test_each_event_once(api: Emulator) -> None:
    def later() -> None:
        api.add_event("bob@example.com", "form_post")
        api.add_event("bob@example.com", "open")

    api.add_event("ann@example.com", "form_post")
    first, second = asyncio.run(fired(watcher(Store()), api, requests=8, then=later))
    assert len(first["keys"]) == len(second["keys"]) == 1
    assert first["keys"] != second["keys"]
    assert (first["list_id"], first["actions"]) == (None, ["form_post"])
    assert first["window"]["start"] == first["window"]["end"]
    assert api.requests[0].body["date_from"] == (HOUR_AGO.date() - DAY).isoformat()


def test_events_alike_are_two(api: Emulator) -> None:
    at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=1)

    def twin() -> None:
        api.add_event("ann@example.com", "form_post", at=at, event_id=...)

    twin()
    first, second = asyncio.run(fired(watcher(Store()), api, requests=8, then=twin))
    assert len({*first["keys"], *second["keys"]}) == 2


def test_before_it_began_nothing_counts_and_from_since_on_everything(api: Emulator) -> None:
    now = dt.datetime.now(dt.UTC)
    for hours in (1, 30):
        api.add_event("ann@example.com", "form_post", at=now - dt.timedelta(hours=hours))
    assert asyncio.run(fired(watcher(Store(), since=None), api, requests=6)) == []
    for since, count in ((now - 5 * DAY, 2), (now - DAY, 1)):
        assert len(keys(asyncio.run(fired(watcher(Store(), since=since), api, requests=6)))) == count


def test_a_late_one_counts_within_the_lookback(api: Emulator) -> None:
    now = dt.datetime.now(dt.UTC)

    def late() -> None:
        for minutes in (50, 70):
            api.add_event("ann@example.com", "form_post", at=now - dt.timedelta(minutes=minutes))

    trigger = watcher(Store(), since=now - DAY, lookback="PT1H")
    (event,) = asyncio.run(fired(trigger, api, requests=8, then=late))
    assert event["window"]["start"] < (now - dt.timedelta(minutes=49)).isoformat()
    assert len(event["keys"]) == 1


def test_a_time_in_the_future_holds_nothing_up(api: Emulator) -> None:
    api.add_event("ann@example.com", "form_post", at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=20))
    events = asyncio.run(
        fired(watcher(Store()), api, requests=8, then=lambda: api.add_event("bob@example.com", "form_post"))
    )
    assert len(set(keys(events))) == len(keys(events)) == 2


def test_very_many_are_several_events(api: Emulator) -> None:
    for _ in range(2500):
        api.add_event("ann@example.com", "form_post")
    events = asyncio.run(fired(watcher(Store()), api, requests=6))
    assert [len(event["keys"]) for event in events] == [1000, 1000, 500]
    assert len(set(keys(events))) == 2500


# Whose


def test_only_of_the_profiles_that_are_named(api: Emulator) -> None:
    for name in ("ann", "bob", "cid"):
        api.add_event(f"{name}@example.com", "form_post")
    twice = ["ann@example.com", {"matching": "custom", "field_name": "CRM_ID", "field_value": "ann"}]
    for profiles, count in (("bob@example.com", 1), (["ann@example.com", "cid@example.com"], 2), (twice, 1)):
        events = asyncio.run(fired(watcher(Store(), profiles=profiles), api, requests=6))
        assert len(keys(events)) == count
    assert {request.method for request in api.requests} == {"subscribers/history_get"}


# Restarts


def test_it_goes_on_where_it_was(api: Emulator) -> None:
    store = Store()
    api.add_event("ann@example.com", "form_post")
    before = asyncio.run(fired(watcher(store), api, requests=8))
    api.add_event("bob@example.com", "form_post")  # while nobody polls
    after = asyncio.run(fired(watcher(store, poll_interval=2 * SOON), api, requests=6))
    assert (len(keys(before)), len(keys(after))) == (1, 1)
    assert keys(before) != keys(after)
    assert asyncio.run(fired(watcher(store), api, requests=6)) == []


def test_killed_before_airflow_has_it_it_fires_again(api: Emulator, settles_after: Callable[[float], None]) -> None:
    """Never not at all: what is stored lags behind what was fired."""
    settles_after(60)
    store = Store()
    api.add_event("ann@example.com", "form_post")
    before, after = (asyncio.run(fired(watcher(store), api, requests=8)) for _ in range(2))
    assert keys(before) == keys(after)
    assert len(keys(before)) == 1


def test_it_is_noted_long_before_the_next_look(api: Emulator, settles_after: Callable[[float], None]) -> None:
    """Else a DAG that is paused between two polls would be started twice by one event."""
    settles_after(0.2)
    store = Store()

    async def noted() -> list[Payload]:
        found: list[Payload] = []
        async with aclosing(watcher(store, poll_interval=3600).run()) as events:
            found.append((await anext(events)).payload)
            before = dict(store.rows)
            next_one = asyncio.create_task(anext(events))
            async with asyncio.timeout(30):
                while store.rows == before:  # noqa: ASYNC110 - it is a dictionary
                    await asyncio.sleep(0.01)
            next_one.cancel()  # killed, as it were: nothing is noted at the end
            rows = dict(store.rows)
            await asyncio.wait({next_one})
        store.rows = rows
        return found

    api.add_event("ann@example.com", "form_post")
    assert len(keys(asyncio.run(noted()))) == 1
    assert asyncio.run(fired(watcher(store), api, requests=6)) == []


@pytest.mark.parametrize(("message", "again"), [("user-action", 0), (None, 1)], ids=["paused", "shut down"])
def test_on_close_it_is_noted_where_the_triggerer_lives(
    api: Emulator, settles_after: Callable[[float], None], message: str | None, again: int
) -> None:
    settles_after(60)
    store = Store()

    async def close() -> None:
        async with aclosing(watcher(store, poll_interval=3600).run()) as events:
            await anext(events)
            next_one = asyncio.create_task(anext(events))
            await asyncio.sleep(0.1)
            next_one.cancel(message)
            await asyncio.wait({next_one})

    api.add_event("ann@example.com", "form_post")
    asyncio.run(close())
    assert len(keys(asyncio.run(fired(watcher(store), api, requests=6)))) == again


def test_since_the_first_start_though_it_died_at_once(api: Emulator) -> None:
    store = Store()

    api.play_forever(faults.stall())
    asyncio.run(fired(watcher(store, since=None), api, requests=1))
    api.reset()
    at = dt.datetime.now(dt.UTC)
    api.add_event("ann@example.com", "form_post", at=at)
    while dt.datetime.now(dt.UTC) - at < dt.timedelta(seconds=1.1):
        time.sleep(0.1)  # as from the whole second before on everything counts
    assert len(keys(asyncio.run(fired(watcher(store, since=None), api, requests=6)))) == 1


def test_without_a_store_it_begins_again(api: Emulator) -> None:
    api.add_event("ann@example.com", "form_post")
    before, after = (asyncio.run(fired(watcher(), api, requests=4)) for _ in range(2))
    assert keys(before) == keys(after)
    assert len(keys(before)) == 1


def test_watchers_of_one_asset_keep_apart(api: Emulator) -> None:
    store = Store()
    api.add_event("ann@example.com", "form_post")
    api.add_event("ann@example.com", "confirm")
    for action in ("form_post", "confirm"):
        assert len(keys(asyncio.run(fired(watcher(store, actions=action), api, requests=6)))) == 1
    assert len({row.partition("/")[0] for row in store.rows}) == 2


# It never dies


def test_failures_that_pass(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    api.play(*[faults.status(503)] * 5, *[faults.status(429)] * 5)
    api.add_event("ann@example.com", "form_post")
    assert len(keys(asyncio.run(fired(watcher(Store()), api, requests=13)))) == 1
    assert "ServerError" in caplog.text


def test_a_wrong_token_is_reported_and_fixed(
    api: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(api, token="wrong-s3cr3t")
    api.add_event("ann@example.com", "form_post")
    events = asyncio.run(fired(watcher(Store()), api, requests=8, then=lambda: connect(api)))
    assert len(keys(events)) == 1
    said = [record for record in caplog.records if "TokenError" in record.message]
    assert 2 <= len(said) < len(api.requests)
    assert said[0].levelno == logging.WARNING
    assert "s3cr3t" not in caplog.text
    assert api.token not in caplog.text


def test_a_connection_that_is_not_there_yet(api: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[Payload]:
        api.add_event("ann@example.com", "form_post")
        task = asyncio.create_task(fired(watcher(Store(), altcraft_conn_id="later"), api, requests=6))
        async with asyncio.timeout(30):
            while "A watcher's poll failed" not in caplog.text:  # noqa: ASYNC110 - it says so nowhere else
                await asyncio.sleep(0.01)
        connect(api, "later")
        return await task

    assert len(keys(asyncio.run(run()))) == 1


def test_airflows_api_away(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()

    def away() -> None:
        store.fails = 2
        api.add_event("ann@example.com", "form_post")

    away()
    events = asyncio.run(fired(watcher(store), api, requests=12, then=away))
    assert len(keys(events)) == 2
    assert store.fails == 0
    assert "cannot be read yet" in caplog.text
    assert "could not be stored" in caplog.text
    assert asyncio.run(fired(watcher(store), api, requests=6)) == []


def test_cancelling_leaves_nothing(api: Emulator) -> None:
    async def left() -> int:
        await fired(watcher(Store()), api, requests=4)
        return len(asyncio.all_tasks())

    assert asyncio.run(left()) == 1


if ON_AIRFLOW_3_3:
    from airflow.triggers.base import BaseEventTrigger

    def test_airflow_takes_it_for_a_watchers_trigger() -> None:
        from airflow.sdk import Asset, AssetWatcher

        assert issubclass(AltcraftActionEventTrigger, BaseEventTrigger)
        Asset("forms", watchers=[AssetWatcher(name="forms", trigger=watcher())])

    def test_watchers_of_one_database_share_one_poll(api: Emulator) -> None:
        stores = [Store() for _ in range(4)]
        api.add_event("ann@example.com", "form_post", at=dt.datetime.now(dt.UTC) - 3 * DAY)
        triggers = [
            watcher(stores[0]),
            watcher(stores[1], actions=["confirm", "form_post"]),
            watcher(stores[2], actions="confirm", lookback="PT10M"),
            watcher(stores[3], since=dt.datetime.now(dt.UTC) - 4 * DAY),
        ]

        def act() -> None:
            api.add_event("ann@example.com", "form_post")
            api.add_event("bob@example.com", "confirm")

        api.reset()
        began = time.monotonic()
        found = asyncio.run(through_airflow(api, triggers, 24, act))
        took = time.monotonic() - began
        assert [len(keys(events)) for events in found] == [1, 2, 1, 2]
        # A page and the empty one that ends the walk, each time; never one for each watcher, but for who comes late.
        assert len(api.requests) / 2 <= took / SOON + 1 + len(triggers)
        assert asyncio.run(through_airflow(api, triggers[:1], 3, lambda: None)) == [[]]

    def test_a_failure_of_the_poll_ends_no_watcher(api: Emulator) -> None:
        def fail_and_act() -> None:
            api.play(*[faults.status(500)] * 5)
            api.add_event("ann@example.com", "form_post")

        found = asyncio.run(through_airflow(api, [watcher(Store()), watcher(Store())], 8, fail_and_act))
        assert [len(keys(events)) for events in found] == [1, 1]

    def test_a_trigger_of_two_assets_keeps_its_state_for_both() -> None:
        async def stored() -> tuple[Store, Store]:
            one, two = Store(), Store()

            class Accessors:
                _by_name: ClassVar = {"one": one, "two": two}

            state = WatchState(Accessors(), "altcraft-x", WatchTimes())
            await state.load(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
            one.rows.clear()
            seen = await state.load(dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
            assert seen.since == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
            return one, two

        assert asyncio.run(stored())[1].rows

    def test_an_asset_that_is_added_later_gets_the_whole_state(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(processed_keys, "HEAD_KEYS", 2)
        since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        one, two = Store(), Store()

        def state(**stores: Store) -> WatchState:
            return WatchState(SimpleNamespace(_by_name=stores), "altcraft-x", WatchTimes())

        async def check() -> None:
            seen = await state(one=one).load(since)
            seen.add((f"{number:016x}" * 2, since) for number in range(5))
            await state(one=one).store(seen)
            both = state(one=one, two=two)
            await both.store(await both.load(since))
            assert two.rows == one.rows
            assert len(two.rows) == 2
            assert len(await state(two=two).load(since)) == 5

        asyncio.run(check())

    def test_an_asset_that_comes_back_has_no_old_state() -> None:
        """What it has kept ended when it was taken away, and the other asset's goes on."""
        since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        one, two = Store(), Store()

        def state(**stores: Store) -> WatchState:
            return WatchState(SimpleNamespace(_by_name=stores), "altcraft-x", WatchTimes())

        async def check() -> None:
            seen = await state(one=one, two=two).load(since)
            seen.add([("0" * 32, since)])
            seen.watermark = since + dt.timedelta(hours=1)
            await state(two=two).store(seen)
            both = state(one=one, two=two)
            found = await both.load(since)
            assert (len(found), found.watermark) == (1, seen.watermark)
            await both.store(found)
            assert one.rows == two.rows

        asyncio.run(check())
