"""Runs a coroutine from a task so that Airflow can still interrupt the task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from airflow_provider.altcraft._threads import run_in_thread

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of another thread, and cancel it where this thread is interrupted.

    An event loop in this thread might take the error by which Airflow ends a task for an error of a callback, and go
    on.
    """
    task: asyncio.Task[T] | None = None
    interrupted = False

    async def run() -> T:
        nonlocal task
        task = asyncio.ensure_future(work)
        if interrupted:
            task.cancel()
        return await task

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        if task is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                task.get_loop().call_soon_threadsafe(task.cancel)

    return run_in_thread(lambda: asyncio.run(run()), interrupt)
