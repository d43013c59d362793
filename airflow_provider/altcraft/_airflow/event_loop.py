"""Runs what is asynchronous from a task, so that the task can still be interrupted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run the work in an event loop of another thread, and end it where this one is interrupted.

    A time-out (Airflow) and a termination (``on_kill`` on Airflow 3, Airflow 2 by itself) are raised by a signal's
    handler in the main thread, in the middle of whatever runs there: an event loop may take an error for that of one of
    its callbacks and go on.
    """
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()
    interrupted = threading.Event()

    async def run() -> T:
        task = asyncio.ensure_future(work)
        begun.set_result((asyncio.get_running_loop(), task))
        if interrupted.is_set():
            task.cancel()
        return await task

    with ThreadPoolExecutor(1, "altcraft-loop") as pool:
        try:
            return pool.submit(asyncio.run, run()).result()
        except BaseException:
            interrupted.set()
            if begun.done():
                loop, task = begun.result()
                with suppress(RuntimeError):  # it has ended by itself
                    loop.call_soon_threadsafe(task.cancel)
            raise
