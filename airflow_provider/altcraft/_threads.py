"""Runs work in another thread, and interrupts it where the waiting thread is interrupted."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_LOOK: Final = 0.5
"""Seconds after which the caller handles signals, at the latest."""


def run_in_thread(work: Callable[[], T], interrupt: Callable[[], object]) -> T:
    """Run the work in a thread of its own, and return its result or raise its error.

    Airflow ends a task by an error that a signal's handler raises at any point of the main thread: at a time-out, and
    on Airflow 2 at a termination. Another thread is safe from that.

    Args:
        work: not begun where the caller is interrupted before.
        interrupt: called where the caller is interrupted while the work runs; makes the work end soon. It may be called
            before the work has come to the part that can be interrupted.
    """
    return _Thread(work, interrupt).result()


class _Thread(Generic[T]):
    """A thread that is started and waited for by calls into C only.

    An error that a signal's handler raises within a ``Condition``, and so within a ``Future``, an ``Event`` or
    ``Thread.start``, may leave its lock held forever: a deadlock between the thread and the caller.
    """

    def __init__(self, work: Callable[[], T], interrupt: Callable[[], object]) -> None:
        self._work = work
        self._interrupt = interrupt
        self._running = _thread.allocate_lock()
        self._begun = self._over = self._interrupted = False
        self._given: list[T] = []
        self._error: BaseException | None = None

    def result(self) -> T:
        try:
            self._running.acquire()
            _thread.start_new_thread(self._run, ())
            self._wait()
        except BaseException:
            self._interrupted = True
            if self._begun and not self._over:  # a thread that begins after this does nothing
                self._interrupt()
                self._wait()
            raise
        if self._error is not None:
            raise self._error
        return self._given[0]

    def _wait(self) -> None:
        # A signal that comes just before the wait, or to another thread, does not end it.
        while not self._running.acquire(timeout=_LOOK):
            pass

    def _run(self) -> None:
        self._begun = True
        try:
            if not self._interrupted:
                self._given.append(self._work())
        except BaseException as error:  # raised again by the caller
            self._error = error
        finally:
            self._over = True
            self._running.release()
