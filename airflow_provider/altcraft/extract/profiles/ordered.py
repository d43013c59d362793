"""Processes items by parallel workers, and yields the results in the order of the items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def ordered(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    *,
    workers: int,
    size: Callable[[R], int],
    most: int,
) -> AsyncIterator[tuple[T, R]]:
    """Yield each item with the result of ``work``, in order.

    A slow consumer slows the work: waiting results are bounded in number and in size.

    Args:
        items: taken one by one, as workers become free.
        work: processes an item; its first error ends everything.
        workers: items under way at once.
        size: returns the size of a result.
        most: the size of all waiting results at which no item is begun.
    """
    buffer: _Buffer[T, R] = _Buffer(4 * workers, most, size)
    numbered = enumerate(items)
    over: list[asyncio.Task[None]] = []

    async def run() -> None:
        while True:
            await buffer.wait_for_room()
            following = next(numbered, None)
            if following is None:
                return
            buffer.begun += 1
            number, item = following
            buffer.put(number, item, await work(item))

    def end(task: asyncio.Task[None]) -> None:
        over.append(task)
        buffer.changed.set()

    running = {asyncio.create_task(run()) for _ in range(workers)}
    for task in running:
        task.add_done_callback(end)
    try:
        while True:
            for pair in buffer.take():
                yield pair
            while over:
                task = over.pop()
                task.result()
                running.remove(task)
            if not running and not buffer.has_next():
                return
            await buffer.wait_for_next()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class _Buffer(Generic[T, R]):
    """Results that wait for an earlier one, bounded in number and in size.

    Attributes:
        begun: items that were begun so far.
        changed: set when the next result is there, or a worker has ended.
    """

    def __init__(self, ahead: int, most: int, size: Callable[[R], int]) -> None:
        self.begun = 0
        self.changed = asyncio.Event()
        self._ahead, self._most, self._size = ahead, most, size
        self._results: dict[int, tuple[T, R]] = {}
        self._taken = self._waiting = 0
        self._room = asyncio.Event()

    async def wait_for_room(self) -> None:
        while self.begun - self._taken >= self._ahead or self._waiting >= self._most:
            self._room.clear()
            await self._room.wait()

    def put(self, number: int, item: T, result: R) -> None:
        self._results[number] = item, result
        self._waiting += self._size(result)
        if number == self._taken:
            self.changed.set()

    def has_next(self) -> bool:
        return self._taken in self._results

    def take(self) -> Iterator[tuple[T, R]]:
        """Yield the results whose turn it is."""
        while self.has_next():
            item, result = self._results.pop(self._taken)
            self._taken += 1
            self._waiting -= self._size(result)
            # Wake the workers together and not too often: waking costs more than a single item.
            if self.begun - self._taken <= self._ahead // 2 and self._waiting <= self._most // 2:
                self._room.set()
            yield item, result

    async def wait_for_next(self) -> None:
        self.changed.clear()
        if not self.has_next():
            await self.changed.wait()
