"""A thread next to the event loop that runs one piece of work after the other, in groups."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

TOGETHER = 8
"""Pieces in a group, at most: a hand-over costs a tenth of reading a response, and results wait for their group."""

_Outcome: TypeAlias = tuple[Any, BaseException | None]


class WorkerThread:
    """A worker thread of one event loop. Several threads would only wait for one another."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = self._closed = False

    async def do(self, work: Callable[[], T]) -> T:
        """Run the work, and return its result. When the caller is cancelled, work that has begun still ends."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if not self._busy:
            self._hand_over()
        return await future

    def close(self) -> None:
        """End the thread once all waiting work is done."""
        self._closed = True
        if not self._busy:
            self._pool.shutdown(wait=False)

    def _hand_over(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        self._busy = bool(group)
        if group:
            waited_for = [(work, future) for work, future in group if not future.done()]  # nobody cancelled it
            works, futures = [work for work, _ in waited_for], [future for _, future in waited_for]
            done = asyncio.get_running_loop().run_in_executor(self._pool, _outcomes, works)
            done.add_done_callback(partial(self._bring_back, futures))
        elif self._closed:
            self._pool.shutdown(wait=False)

    def _bring_back(self, futures: Sequence[asyncio.Future[Any]], done: asyncio.Future[list[_Outcome]]) -> None:
        try:
            self._hand_over()  # first, so that the thread goes on
        finally:
            for future, (result, error) in zip(futures, done.result(), strict=True):
                if future.done():  # cancelled
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


def _outcomes(works: Sequence[Callable[[], Any]]) -> list[_Outcome]:
    found: list[_Outcome] = []
    for work in works:
        try:
            found.append((work(), None))
        except BaseException as error:  # raised again where it is waited for
            found.append((None, error))
    return found
