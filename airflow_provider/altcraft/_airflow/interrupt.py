"""Ends a task at once where Airflow terminates it, so that it cleans up before it is killed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Interruptible:
    """An operator whose methods marked ``interruptible`` end at once where Airflow terminates the task.

    Where a user marks the task failed or its worker shuts down, Airflow 3 calls ``on_kill`` in the middle of whatever
    the main thread does, waits some seconds, and kills the process. Airflow 2 raises an error there by itself.
    """

    _working: int | None = None
    """The thread that works, until it is interrupted."""

    def on_kill(self) -> None:
        """Interrupt the work. Airflow calls this after a time-out too, when the work has ended already."""
        if self._working == threading.get_ident() and find_spec("airflow.sdk"):
            self._working = None  # once: the clean-up is not to be interrupted
            # Neither an event loop nor `except Exception` takes it for a failure of its own, and Airflow retries.
            raise SystemExit("Airflow terminated the task (SIGTERM)")


def interruptible(work: F) -> F:
    """Let ``on_kill`` interrupt this method."""

    @functools.wraps(work)
    def wrapped(self: Interruptible, *args: Any, **kwargs: Any) -> Any:
        before, self._working = self._working, threading.get_ident()
        try:
            return work(self, *args, **kwargs)
        finally:
            self._working = self._working and before

    return cast("F", wrapped)
