"""Two attempts on the local disk, stepped through each other in one process, which is quick enough for every course.

An attempt is a thread that halts before each call by which it changes or reads the disk. One runs some steps, then the
other some, then the first goes on or dies, then the other ends. Other targets are in ``test_interleavings_apart``.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import Disk

from tests.integration.targets.courses import SECONDS, Objects, play, write

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # a dead one's files are closed by nobody

FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # memory, where there is some
HALTS = ("open", "replace", "link", "unlink", "scandir")


class Killed(BaseException):
    """What ends a dead one's thread, once nothing is looked at any more."""


class Attempt:
    """One attempt in a thread, which halts where ``halt`` is called until it is asked to step."""

    current = threading.local()
    locks: ClassVar[dict[int, Attempt]] = {}

    def __init__(self, target, email):
        self._target, self.email, self.error = target, email, None
        self.ended = self.dead = self.waits = self.began_commit = False
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self, *, alone):
        """Go on to the next halt or the end; one that would wait for a lock halts."""
        self._go.release()
        assert self._halted.acquire(timeout=SECONDS), "it neither halts nor ends"

    def kill(self):
        """Let it do nothing more; the kernel lets go of its locks."""
        self.dead = not self.ended
        for descriptor, owner in self.locks.items():
            if self.dead and owner is self:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                except OSError:
                    continue  # closed since

    def bury(self):
        """End the thread of a dead one."""
        if self._thread.is_alive():
            self._go.release()
        self._thread.join(SECONDS)

    def halt(self, committing=False):
        self.began_commit |= committing
        if not self.dead:
            self._halted.release()
            self._go.acquire()
        if self.dead:
            raise Killed

    def _run(self):
        self.current.attempt = self
        self._go.acquire()
        try:
            if not self.dead:
                write(self._target, self.email, self.halt)
        except Killed:
            pass
        except Exception as error:
            self.error = error
        self.ended = True
        self._halted.release()


@pytest.fixture
def halting(monkeypatch):
    """Calls that reach the disk halt the attempt that makes them."""

    def around(real):
        def call(*args, **kwargs):
            attempt = getattr(Attempt.current, "attempt", None)
            if attempt is not None:
                attempt.halt()
            return real(*args, **kwargs)

        return call

    def lock(descriptor, operation, real=fcntl.flock):
        attempt = getattr(Attempt.current, "attempt", None)
        if attempt is None or operation & fcntl.LOCK_NB:
            return real(descriptor, operation)
        while True:  # one that would wait lets the other go on
            try:
                real(descriptor, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                attempt.waits = True
                attempt.halt()
            else:
                attempt.waits = False
                Attempt.locks[descriptor] = attempt
                return None

    for name in HALTS:
        monkeypatch.setattr(os, name, around(getattr(os, name)))
    monkeypatch.setattr(fcntl, "flock", lock)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)  # what a power cut does is not looked at here


def play_on_disk(shape, turns, killed):
    with tempfile.TemporaryDirectory(prefix="altcraft-two-", dir=FAST) as folder:
        return play(Objects(shape, Disk(Path(folder))), Attempt, turns, killed)


@pytest.mark.usefixtures("halting")
@pytest.mark.parametrize("killed", [None, 0, 1])
def test_every_course_of_one_object_ends_right(killed):
    played = 0
    for first in itertools.count():
        for second in itertools.count():
            more = play_on_disk("object", (first, second), killed)
            played += 1
            if not more[1]:
                break
        if not more[0]:
            break
    assert played > 50


@pytest.mark.usefixtures("halting")
@pytest.mark.parametrize(("shape", "most"), [("days", 20), ("parts", 60)])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_courses_of_days_and_parts_end_right(shape, most, data):
    turns = data.draw(st.integers(0, most)), data.draw(st.integers(0, most))
    play_on_disk(shape, turns, data.draw(st.sampled_from([None, 0, 1])))
