"""A write in a forked process, killed or interrupted at one of its steps.

A fork of a process that has everything loaded takes a hundredth of the time of a new interpreter, so many steps can be
tried. A step is an event of ``sys.settrace`` in any thread, such as a line that is about to run. Its number is the same
in each run, except for the timing of threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import pickle
import selectors
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import pyarrow as pa  # noqa: TID253 - loaded with the pulls

from airflow_provider.altcraft.targets import Target
from airflow_provider.altcraft.testing.conformance.pulls import Pull

T = TypeVar("T")

# An exception raised within these may leave a lock held. That may happen to an operator too, but no target can help it.
_LOCKING = ("threading.py", "queue.py", "selectors.py", "/asyncio/", "/concurrent/", "/logging/", "_weakrefset.py")


class Interrupted(BaseException):
    """Raised at any step, as Airflow's timeouts are by a signal's handler."""


class Marks(NamedTuple):
    """The number of steps up to the end of each phase of a write."""

    opened: int
    written: int
    committed: int

    def points(self, count: int) -> list[int]:
        """Return steps spread over the write: one in ``open``, a third of the rest in ``write``, some in ``commit``."""
        writing = max(1, (count - 1) // 3)
        committing = count - 1 - writing
        return [
            max(1, self.opened // 2),
            *_spread(self.opened, self.written, writing),
            *_spread(self.written, self.committed, committing),
        ]


def _spread(start: int, end: int, count: int) -> list[int]:
    return [start + 1 + (end - start - 1) * number // max(1, count - 1) for number in range(count)]


def kill() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> NoReturn:
    """Raise ``Interrupted``."""
    raise Interrupted


class _StepCounter:
    """Counts steps, and at a step, or at the next one where it is safe to ``interrupt``, calls ``act`` once."""

    def __init__(self, at: int | None, act: Callable[[], object]) -> None:
        self.count = 0
        self._at = at
        self._act = act
        self._main = threading.get_ident()

    def __call__(self, frame: FrameType, event: str, arg: object) -> _StepCounter:
        self.count += 1
        if self._at is not None and self.count >= self._at and self._may_act(frame):
            self.act()
        return self

    def _may_act(self, frame: FrameType) -> bool:
        if self._act is not interrupt:
            return True
        locking = any(part in frame.f_code.co_filename for part in _LOCKING)
        return threading.get_ident() == self._main and not locking

    def act(self) -> None:
        """Act now, unless it has acted."""
        if self._at is not None:
            self._at = None
            self._act()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        before, before_in_threads = sys.gettrace(), threading.gettrace()  # such as those of a coverage tool
        threading.settrace(self)
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)
            threading.settrace(before_in_threads)


def write(target: Target, pull: Pull, *, at: int | None = None, act: Callable[[], object] = kill) -> Marks:
    """Write a pull, and call ``act`` at step ``at``, or after the end of a write with fewer steps.

    Raises:
        Interrupted: by ``interrupt``, after the writer was aborted, as by an operator.
    """
    steps = _StepCounter(at, act)
    with steps.counting():
        writer = target.open(pull.scope)
        try:
            opened = steps.count
            for batch in pull.batches:
                writer.write(batch)
            written = steps.count
            writer.commit()
        except BaseException:
            writer.abort()
            raise
        committed = steps.count
    steps.act()
    return Marks(opened, written, committed)


class Forked(Generic[T]):
    """The result of work in a forked process: its ``value``, or that it was ``killed``."""

    def __init__(self, work: Callable[[], T], seconds: float = 120) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # It warns that a fork has no threads of the parent; what the child uses makes its own.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            _run_child(work, writing, seconds)
        os.close(writing)
        try:
            answer = _read_all(reading, seconds + 10)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            os.close(reading)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.killed = status == -signal.SIGKILL
        if self.killed:
            return
        if status:
            raise AssertionError(f"the forked write ended with {status}: {answer.decode(errors='replace')}")
        error, value = pickle.loads(answer)  # noqa: S301 - the child's own
        if error:
            raise AssertionError(f"the forked write raised {error}")
        self.value: T = value


def _run_child(work: Callable[[], Any], writing: int, seconds: float) -> NoReturn:
    """Do the work, send its result and exit, without flushing, closing or collecting anything of the parent."""
    code = 1
    try:
        gc.disable()
        forget_the_parent()
        faulthandler.dump_traceback_later(seconds, exit=True, file=writing)  # type: ignore[arg-type, unused-ignore]
        try:
            answer: tuple[str | None, Any] = (None, work())
        except BaseException:
            answer = (traceback.format_exc(), None)
        os.write(writing, pickle.dumps(answer))
        code = 0
    finally:
        os._exit(code)


def forget_the_parent() -> None:
    """Reset the parent's signal handlers in a forked process, and keep objects that only the parent may use out of it.

    File systems of fsspec refuse to work in a process that did not make them, and the collection of one waits for a
    thread that only the parent has.
    """
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    for name in ("airflow.sdk.io.store", "airflow.io.store"):
        getattr(sys.modules.get(name), "_STORE_CACHE", {}).clear()


def _read_all(descriptor: int, seconds: float) -> bytes:
    """Return what arrives until the other end is closed."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            part = os.read(descriptor, 1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
    raise AssertionError("the forked write did not end")


def reset_peak() -> None:
    """Give back what memory is free, and count the most that is held from now on, where the system does that.

    Otherwise what a process has from its parent's heap would serve the work, which would not seem to take any.
    """
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another system, or another C library
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most memory that this process has held, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10 if status.exists() else 0
