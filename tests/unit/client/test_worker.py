"""Work in a thread next to the event loop: each caller gets its own result, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider.altcraft.client._worker import TOGETHER, WorkerThread


@pytest.fixture
def worker():
    made = WorkerThread("worker-test")
    yield made
    made.close()


class Worse(BaseException):
    """As a library may raise."""


def run(work):
    return asyncio.run(asyncio.wait_for(work, 10))


def test_results_and_errors_come_back_to_the_one_that_asked(worker):
    def work(number):
        if number % 7 == 3:
            raise (ValueError if number % 2 else Worse)(number)
        return number, threading.current_thread().name

    async def all_of_them():
        asked = (worker.do(lambda number=number: work(number)) for number in range(50))
        return await asyncio.gather(*asked, return_exceptions=True)

    for number, found in enumerate(run(all_of_them())):
        if number % 7 == 3:
            assert isinstance(found, ValueError if number % 2 else Worse)
            assert found.args == (number,)
        else:
            assert found == (number, "worker-test_0")


def test_what_waits_goes_over_together_in_the_order_it_came(worker):
    began, go_on, handed = [], threading.Event(), []
    real = worker._hand_over

    def counted():
        handed.append(min(TOGETHER, len(worker._waiting)))
        real()

    worker._hand_over = counted

    async def all_of_them():
        first = asyncio.ensure_future(worker.do(lambda: go_on.wait(10)))
        rest = [asyncio.ensure_future(worker.do(lambda n=n: began.append(n))) for n in range(2 * TOGETHER + 1)]
        await asyncio.sleep(0)
        assert worker._busy
        assert not began
        go_on.set()
        await asyncio.gather(first, *rest)

    run(all_of_them())
    assert began == list(range(2 * TOGETHER + 1))
    assert handed == [1, TOGETHER, TOGETHER, 1, 0]


def test_the_loop_goes_on(worker):
    async def both():
        go_on = threading.Event()
        slow = asyncio.ensure_future(worker.do(lambda: go_on.wait(10)))
        await asyncio.sleep(0.05)
        assert not slow.done()
        go_on.set()
        return await slow

    assert run(both()) is True


def test_a_cancelled_one_takes_nobody_with_it(worker):
    done = []

    async def some():
        go_on = threading.Event()
        under_way = asyncio.ensure_future(worker.do(lambda: go_on.wait(10)))
        waiting = [asyncio.ensure_future(worker.do(lambda n=n: done.append(n) or n)) for n in range(4)]
        await asyncio.sleep(0)
        under_way.cancel()
        waiting[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(under_way, *waiting, return_exceptions=True)

    first, *rest = run(some())
    assert isinstance(first, asyncio.CancelledError)
    assert [found if isinstance(found, int) else type(found) for found in rest] == [0, asyncio.CancelledError, 2, 3]
    assert done == [0, 2, 3]  # what nobody waits for any more is not begun


def test_closed_it_ends_what_waits_and_then_its_thread():
    worker = WorkerThread("worker-closed")

    async def some():
        go_on = threading.Event()
        asked = [asyncio.ensure_future(worker.do(lambda: go_on.wait(10)))]
        asked += [asyncio.ensure_future(worker.do(lambda: True)) for _ in range(2 * TOGETHER)]
        await asyncio.sleep(0)
        worker.close()
        go_on.set()
        return await asyncio.gather(*asked)

    assert run(some()) == [True] * (2 * TOGETHER + 1)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("worker-closed")]
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_closed_unused_or_idle_it_has_no_thread():
    unused, idle = WorkerThread("worker-unused"), WorkerThread("worker-idle")
    unused.close()
    assert run(idle.do(lambda: 5)) == 5
    idle.close()
    for thread in threading.enumerate():
        if thread.name.startswith("worker-idle"):
            thread.join(10)
            assert not thread.is_alive()
    assert not any(thread.name.startswith("worker-unused") for thread in threading.enumerate())
