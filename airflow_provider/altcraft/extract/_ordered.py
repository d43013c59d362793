"""Many things done at once by a fixed number of workers, their results handed on in the order of the things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

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
    """Each item with what ``work`` makes of it, in order.

    Whoever takes them slowly slows the work: results that are not taken yet are bounded, in number and in size.

    Args:
        items: taken one by one, as workers become free.
        work: what a worker does with an item; the first error that it raises ends everything.
        workers: items under way at once.
        size: how large a result is.
        most: the size of all results that wait at which nothing new is begun.
    """
    ahead = 4 * workers
    numbered = enumerate(items)
    results: dict[int, tuple[T, R]] = {}
    begun = given = waiting = 0
    news, room = asyncio.Event(), asyncio.Event()

    over: list[asyncio.Task[None]] = []

    async def run() -> None:
        nonlocal begun, waiting
        while True:
            while begun - given >= ahead or waiting >= most:
                room.clear()
                await room.wait()
            following = next(numbered, None)
            if following is None:
                return
            begun += 1
            number, item = following
            result = await work(item)
            results[number] = item, result
            waiting += size(result)
            if number == given:
                news.set()

    def end(task: asyncio.Task[None]) -> None:
        over.append(task)
        news.set()

    running = {asyncio.create_task(run()) for _ in range(workers)}
    for task in running:
        task.add_done_callback(end)
    try:
        while True:
            while given in results:
                item, result = results.pop(given)
                given += 1
                waiting -= size(result)
                # All workers at once, and not too often: each that wakes costs more than what it finds.
                if begun - given <= ahead // 2 and waiting <= most // 2:
                    room.set()
                yield item, result
            while over:
                task = over.pop()
                task.result()
                running.remove(task)
            if not running and given not in results:
                return
            news.clear()
            if given not in results:
                await news.wait()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
