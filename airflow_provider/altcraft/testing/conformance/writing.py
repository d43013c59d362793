"""Helpers of the tests of targets: write as Airflow would, read while it does, and compare."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pyarrow as pa  # noqa: TID253 - the tests of a target move Arrow batches
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import Target, Written
from airflow_provider.altcraft.testing.conformance.pulls import Pull


def put(target: Target, pull: Pull) -> Written:
    """Write a pull as an operator does."""
    writer = target.open(pull.scope)
    try:
        for batch in pull.batches:
            writer.write(batch)
        return writer.commit()
    except BaseException:
        writer.abort()
        raise


def persist(target: Target, pull: Pull) -> Written:
    """Write a pull as Airflow does, with three retries."""
    for _ in range(3):
        with contextlib.suppress(Exception):
            return put(target, pull)
    return put(target, pull)


def put_from_threads(target: Target, pull: Pull, *, abort: bool = False) -> None:
    """Write a pull, each batch from another thread than that of ``open``, ``commit`` and ``abort``."""
    with working(
        "An operator calls `open`, `commit` and `abort` in the main thread, and each `write` in another: keep nothing "
        "in the writer that works in one thread only, such as a connection of sqlite3"
    ):
        writer = target.open(pull.scope)
        for batch in pull.batches:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(writer.write, batch).result()
        if abort:
            writer.abort()
        else:
            writer.commit()


@contextlib.contextmanager
def working(advice: str) -> Iterator[None]:
    """Fail where something is raised, and say what to do."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"expected no error, got {error!r}. {advice}")


@contextlib.contextmanager
def refused(said: str, advice: str) -> Iterator[None]:
    """Fail unless a ``ValueError`` comes whose message fits the pattern, and say what to do."""
    try:
        yield
    except ValueError as error:
        if not re.search(said, str(error), re.IGNORECASE):
            pytest.fail(f"expected a ValueError whose message matches {said!r}, got {str(error)!r}. {advice}")
    except Exception as error:
        pytest.fail(f"expected a ValueError, got {error!r}. {advice}")
    else:
        pytest.fail(f"expected a ValueError, and none was raised. {advice}")


def same(state: pa.Table, expected: pa.Table, rule: str) -> None:
    """Fail where two tables in one order differ, and say in what and by which rule."""
    if state.equals(expected):
        return
    found, due = state.to_pylist(), expected.to_pylist()
    odd = [(a, b) for a, b in zip(found, due, strict=False) if a != b][:1]
    differing = {name: (a[name], b[name]) for a, b in odd for name in SCHEMA.names if a[name] != b[name]}
    shown = {name: tuple(repr(value)[:200] for value in pair) for name, pair in differing.items()}
    pytest.fail(
        f"`read` gave {len(found)} rows, expected {len(due)}; the first that differs (given, expected): {shown}. {rule}"
    )


class Watching:
    """A reader that polls in a thread of its own; ``states`` are what it saw, without repetition."""

    def __init__(self, look: Callable[[], pa.Table]) -> None:
        self._look = look
        self._polls = 0
        self._polled = threading.Condition()
        self._error: BaseException | None = None
        self._stop = False
        self.states: list[pa.Table] = []
        self._thread = threading.Thread(target=self._poll)

    @property
    def last(self) -> pa.Table:
        """The last state that it read."""
        return self.states[-1]

    def twice_more(self) -> None:
        """Wait until it has looked again, from the beginning of the look to its end."""
        with self._polled:
            enough = self._polls + 2
            assert self._polled.wait_for(lambda: self._polls >= enough or self._error, 60)
        self._raise()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise AssertionError("a reader failed") from self._error

    def _poll(self) -> None:
        try:
            while not self._stop:
                state = self._look()
                with self._polled:
                    if not self.states or not state.equals(self.last):
                        self.states.append(state)
                    self._polls += 1
                    self._polled.notify_all()
        except BaseException as error:
            with self._polled:
                self._error = error
                self._polled.notify_all()
