"""Soaks of the waits: what a triggerer's loop bears, with the figures printed. Run by ``make test-soak``."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.testing.conformance.killing import peak, reset_peak
from airflow_provider.altcraft.triggers import _shared_client
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

Connect = Callable[..., str]
WAITS = 1000
LARGE = 100_000


def trigger(number: int, seconds: float, **arguments: Any) -> AltcraftActionTrigger:
    given: dict[str, Any] = {
        "altcraft_conn_id": "altcraft_default",
        "condition": {"actions": ["form_post"], "fail_on": ["complain"]},
        "deadline": (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat(),
        "poke_interval": 5.0,
        "profile": {"matching": "email", "email": f"user{number}@example.com"},
        "since": "2020-01-02T03:04:05+00:00",
    }
    return AltcraftActionTrigger(**given | arguments)


class Steps:
    """How long single calls held the loop, by the thread's own processor time.

    Full collections of garbage stand apart: how long one takes goes by all objects of the process, and most are
    Airflow's. Those of young objects, which the waits make, count as the call's.
    """

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.full_collections: list[float] = []

    @property
    def longest(self) -> float:
        """Milliseconds."""
        return max(self.cpu) * 1000

    def __str__(self) -> str:
        full = ", ".join(f"{seconds * 1000:.0f}" for seconds in self.full_collections) or "none"
        return f"longest call of the loop {self.longest:.1f} ms of CPU; full garbage collections: {full} (ms)"

    @contextmanager
    def measured(self) -> Iterator[None]:
        run = asyncio.Handle._run
        thread = threading.get_ident()
        began = apart = 0.0

        def timed(handle: asyncio.Handle) -> None:
            nonlocal apart
            if threading.get_ident() != thread:  # the emulator's loop
                run(handle)
                return
            cpu, apart = time.thread_time(), 0.0
            run(handle)
            self.cpu.append(time.thread_time() - cpu - apart)

        def collecting(phase: str, info: dict[str, int]) -> None:
            nonlocal began, apart
            if threading.get_ident() != thread or info["generation"] < 2:
                return
            if phase == "start":
                began = time.thread_time()
            else:
                self.full_collections.append(time.thread_time() - began)
                apart += self.full_collections[-1]

        asyncio.Handle._run = timed  # type: ignore[method-assign]
        gc.callbacks.append(collecting)
        try:
            yield
        finally:
            gc.callbacks.remove(collecting)
            asyncio.Handle._run = run  # type: ignore[method-assign]


@pytest.fixture(scope="module", autouse=True)
def triggerer() -> None:
    """What a triggerer has imported before any trigger runs."""
    import airflow.jobs.triggerer_job_runner  # noqa: F401


@pytest.fixture
def api(connect: Connect) -> Iterator[Emulator]:
    with Emulator() as api:
        # What happened before the waits began to count.
        api.seed(profiles=WAITS, events_per_profile=20, start=dt.datetime(2019, 1, 1, tzinfo=dt.UTC), days=30)
        connect(api)
        yield api


def test_a_thousand_waits_on_one_connection(api: Emulator, connect: Connect) -> None:
    connect(api, requests_per_second=100)
    steps, process = Steps(), psutil.Process()

    async def wait() -> tuple[list[str], int, int, int, float]:
        gc.collect()
        before, objects_before = process.memory_info().rss, len(gc.get_objects())
        began = time.monotonic()
        with steps.measured():
            tasks = [asyncio.ensure_future(anext(trigger(number, 45).run())) for number in range(WAITS)]
            await asyncio.sleep(30)
            after, connections = process.memory_info().rss, api.open_connections
            gc.collect()
            objects = len(gc.get_objects()) - objects_before
            steps.full_collections.pop()  # this one
            events = await asyncio.gather(*tasks)
        took = time.monotonic() - began
        return [event.payload["status"] for event in events], after - before, objects, connections, took

    statuses, memory, objects, connections, took = asyncio.run(wait())
    by_second = Counter(int(request.at.timestamp()) for request in api.requests)
    busiest = max(by_second.values())
    print(f"\n{WAITS} waits, one connection, requests_per_second=100, poke_interval=5:")
    print(f"  requests {len(api.requests)} in {took:.0f} s; a second: median {statistics.median(by_second.values())},")
    print(f"  at most {busiest}; connections open {connections}")
    print(f"  {steps}")
    print(f"  for each wait, emulator and its record of requests included: {memory / WAITS / 1024:.1f} KiB of memory,")
    print(f"  {objects / WAITS:.0f} objects for a collection to go through")
    assert set(statuses) == {"timeout"}
    assert steps.longest < 100
    assert objects < 200 * WAITS
    assert connections <= 16
    # Evenly paced; a second may get what was under way at its border.
    assert len(api.requests) <= 100 * (took + 1)
    assert busiest <= 120


def test_memory_of_each_wait(api: Emulator, connect: Connect) -> None:
    """By what Python allocates: between two polls, once all have polled."""
    import tracemalloc

    connect(api, max_connections=64)
    api.record = False

    async def held(count: int) -> float:
        tasks = [
            asyncio.ensure_future(anext(trigger(number % WAITS, 600, poke_interval=300).run()))
            for number in range(count)
        ]
        while api.request_count < count:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        api.reset()
        return size

    asyncio.run(held(10))
    tracemalloc.start()
    try:
        few, many = asyncio.run(held(10)), asyncio.run(held(WAITS))
    finally:
        tracemalloc.stop()
    each = (many - few) / (WAITS - 10)
    print(f"\nmemory that a wait holds between two polls: {each / 1024:.1f} KiB")
    assert each < 64 * 1024


def test_a_thousand_waits_that_ask_the_same(api: Emulator) -> None:
    async def wait() -> list[Any]:
        return await asyncio.gather(*(anext(trigger(7, 20).run()) for _ in range(WAITS)))

    events = asyncio.run(wait())
    print(f"\n{WAITS} waits that ask the same, poke_interval=5, 20 s: {len(api.requests)} requests")
    assert {event.payload["status"] for event in events} == {"timeout"}
    assert len(api.requests) <= 7


def test_large_histories_do_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator in a process of its own: what it does must not count."""
    steps, passed = Steps(), list[float]()
    command = [sys.executable, "-m", "airflow_provider.altcraft.testing", "--profiles=1", f"--events={LARGE}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    said = dict(re.split(r":\s+", server.stdout.readline().strip(), maxsplit=1) for _ in range(2))
    value = {"conn_type": "altcraft", "host": said["URL"], "password": said["Token"]}
    extra = {"list_id": 1, "timeout": 120}
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps(value | {"extra": extra}))

    async def tick() -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(0.01)
            passed.append(time.process_time() - before)

    async def poll() -> str:
        ticking = asyncio.create_task(tick())
        condition = {"actions": ["nobody_did_this"]}
        event = await anext(trigger(0, 0, condition=condition, since=None).run())
        ticking.cancel()
        return str(event.payload["status"])

    reset_peak()
    before = peak()
    try:
        with steps.measured():
            assert asyncio.run(poll()) == "timeout"
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
    print(f"\na history of {LARGE:,} events: {steps}")
    print(f"  most that other threads worked between two turns of the loop: {max(passed) * 1000:.0f} ms of CPU")
    print(f"  memory: {(peak() - before) / 2**20:.0f} MiB")
    assert steps.longest < 100


@pytest.mark.parametrize("during", ["request", "pause", "start"])
def test_ten_thousand_starts_and_cancels(api: Emulator, during: str) -> None:
    api.record = False
    if during == "request":
        api.play_forever(faults.stall())
    process = psutil.Process()
    figures: list[dict[str, float]] = []

    async def round_of(count: int) -> None:
        api.reset()
        if during == "request":
            api.play_forever(faults.stall())
        tasks = [asyncio.ensure_future(anext(trigger(number, 600).run())) for number in range(count)]
        wanted = {"request": 16, "pause": count, "start": 0}[during]
        while api.request_count < wanted:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        while api.open_connections:  # noqa: ASYNC110 - it hears of the ends in its own thread
            await asyncio.sleep(0.005)

    async def rounds() -> None:
        for number in range(101):
            await round_of(100)
            if number in {0, 100}:  # the first has made what stays
                gc.collect()
                figures.append(
                    {
                        "descriptors": process.num_fds(),
                        "tasks": len(asyncio.all_tasks()),
                        "connections": api.open_connections,
                        "MiB": round(process.memory_info().rss / 2**20, 1),
                        "shared": sum(len(every) for every in _shared_client._SHARED.values()),
                    }
                )

    asyncio.run(rounds())
    before, after = figures
    print(f"\n10,000 starts and cancels during a {during}: before {before}, after {after}")
    growth = after.pop("MiB") - before.pop("MiB")
    assert after == before
    assert growth < 20


def test_the_soaks_are_on_a_system_that_counts_descriptors() -> None:
    assert Path("/proc/self/fd").is_dir()
