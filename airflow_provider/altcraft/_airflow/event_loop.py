"""Runs what is asynchronous from a task, so that the task can still be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from airflow_provider.altcraft._threads import run_in_thread

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run the work in an event loop of another thread, and cancel it where this one is interrupted.

    In this thread, an event loop might take the error by which Airflow ends a task for that of one of its callbacks,
    and go on.
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
