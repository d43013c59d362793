"""A write in a forked process, killed or interrupted at one of its steps.

A fork of a process that has everything loaded costs a hundredth of a new interpreter, so many points can be tried. A
step is a line of Python that is about to run, in any thread: the same from one run to the next, but for what threads
make of it.
"""

from __future__ import annotations

import contextlib
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

from airflow_provider.altcraft.targets import Target
from airflow_provider.altcraft.testing.conformance.pulls import Pull

T = TypeVar("T")

# An exception raised within these leaves locks held; a signal's handler may do so too, and no target can prevent it.
_LOCKING = ("threading.py", "queue.py", "selectors.py", "/asyncio/", "/concurrent/", "/logging/", "_weakrefset.py")


class Interrupted(BaseException):
    """As Airflow's time-outs come: out of a signal's handler, at any point."""


class Marks(NamedTuple):
    """How many steps had been made when a phase of the write ended."""

    opened: int
    written: int
    committed: int

    def points(self, count: int) -> list[int]:
        """Steps spread over the write: one within ``open``, a third of the rest while it writes, and the commit."""
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
    """End the process without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> NoReturn:
    """Come at any point."""
    raise Interrupted


class _Steps:
    """Counts steps; at the n-th it acts, once."""

    def __init__(self, at: int | None, act: Callable[[], object]) -> None:
        self.count = 0
        self._at = at
        self._act = act
        self._main = threading.get_ident()

    def __call__(self, frame: FrameType, event: str, arg: object) -> _Steps:
        self.count += 1
        if self._at is not None and self.count >= self._at and self._fits(frame):
            self._at = None
            self._act()
        return self

    def _fits(self, frame: FrameType) -> bool:
        if self._act is not interrupt:
            return True
        held = any(part in frame.f_code.co_filename for part in _LOCKING)
        return threading.get_ident() == self._main and not held

    def end(self) -> None:
        """Act now, if it has not been done."""
        if self._at is not None:
            self._at = None
            self._act()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        before, before_in_threads = sys.gettrace(), threading.gettrace()  # who measures coverage goes on afterwards
        threading.settrace(self)
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)
            threading.settrace(before_in_threads)


def write(target: Target, pull: Pull, *, at: int | None = None, act: Callable[[], object] = kill) -> Marks:
    """One whole write. At a step, or just after its end if it had fewer, it acts: it is killed, say.

    Raises:
        Interrupted: by ``interrupt`` at that step; the writer has been aborted, as an operator does.
    """
    steps = _Steps(at, act)
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
    steps.end()
    return Marks(opened, written, committed)


class Forked(Generic[T]):
    """What became of a forked piece of work: its value, or that it was killed."""

    def __init__(self, work: Callable[[], T], seconds: float = 120) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Threads do not come along; what is used in the child makes its own.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            _be_the_child(work, writing, seconds)
        os.close(writing)
        try:
            answer = _read(reading, seconds + 10)
        finally:
            os.close(reading)
            with contextlib.suppress(ProcessLookupError):
                if sys.exc_info()[0] is not None:
                    os.kill(pid, signal.SIGKILL)
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


def _be_the_child(work: Callable[[], Any], writing: int, seconds: float) -> NoReturn:
    """Work and tell; nothing of the parent's is flushed, closed or collected here."""
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
    """Have a forked process neither end with the parent's handlers nor use or collect what only the parent can.

    Object stores of fsspec refuse to work in a process that they were not made in, and one that is collected waits for
    a thread that did not come along.
    """
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    for name in ("airflow.sdk.io.store", "airflow.io.store"):
        getattr(sys.modules.get(name), "_STORE_CACHE", {}).clear()


def _read(descriptor: int, seconds: float) -> bytes:
    """All that comes, until the other end is closed."""
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


def peak() -> int:
    """The most memory that this process has held, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10 if status.exists() else 0
