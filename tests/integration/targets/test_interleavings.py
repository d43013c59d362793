"""Two attempts of one task stepped through each other, with a kill of either, in one process.

An attempt is a thread that halts before each call by which it changes or reads the disk. One runs some steps, then the
other some, then the first goes on or dies, then the other ends: every course with up to two changes. After each step a
reader must see a whole state; in the end there is one right result, and nothing is left by an attempt that has ended.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.window import Window
from tests.integration.targets.batches import make_batch

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # a dead one's files are closed by nobody

SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
DAY = 86_400
UNITS = [make_batch(2, start=start, extra=None) for start in (0, DAY - 1)]
KEYS = [key for unit in UNITS for key in unit.column("event_key").to_pylist()]
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # memory, where there is some
HALTS = ("open", "replace", "link", "unlink", "scandir")


class Killed(BaseException):
    """What ends a dead one's thread, once nothing is looked at any more."""


class Attempt:
    """One attempt in a thread, which halts where ``halt`` is called until it is told to step."""

    current = threading.local()
    locks: ClassVar[dict[int, Attempt]] = {}

    def __init__(self, target, email):
        self.target, self.email, self.error = target, email, None
        self.ended = self.dead = self.waits = self.began_commit = False
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def active(self):
        return not (self.ended or self.dead)

    def step(self):
        """Go on to the next halt or the end."""
        if self.active:
            self._go.release()
            assert self._halted.acquire(timeout=60), "it neither halts nor ends"

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
        self._thread.join(60)

    def halt(self):
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
                self._pull()
        except Killed:
            pass
        except Exception as error:
            self.error = error
        self.ended = True
        self._halted.release()

    def _pull(self):
        writer = self.target.open(SCOPE)
        self.halt()
        done = 0
        if hasattr(writer, "resume"):
            done = writer.resume("pull") or 0
        for number, unit in enumerate(UNITS[done:], done + 1):
            at = unit.schema.get_field_index("email")
            writer.write(unit.set_column(at, "email", make_batch(2, email=self.email).column("email")))
            if hasattr(writer, "checkpoint"):
                writer.checkpoint(number)
            self.halt()
        self.began_commit = True
        writer.commit()


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
        while True:  # whoever would wait lets the other go on
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


class Shape:
    """How a target of each shape is made and read, by nothing but the disk."""

    def __init__(self, shape, folder):
        self.shape, self.folder = shape, folder
        path = {"object": "a.jsonl", "days": "{date}.jsonl", "parts": ""}[shape]
        more = {"format": "jsonl", "part_rows": 2} if shape == "parts" else {}
        self.target = ObjectStorageTarget(f"{folder}/{path}", **more)

    def read(self):
        """Rows by object, or of all parts that the manifest names: pairs of key and who wrote it."""
        names = sorted(path.name for path in self.folder.glob("[!._]*.jsonl"))
        groups = {name: [name] for name in names}
        if self.shape == "parts":
            manifest = self.folder / "_manifest.json"
            groups = {"": [part["name"] for part in json.loads(manifest.read_bytes())["parts"]]}
        return {group: self._rows(names) for group, names in groups.items()}

    def _rows(self, names):
        rows = [json.loads(line) for name in names for line in (self.folder / name).read_bytes().splitlines()]
        return [(row["event_key"], row["email"]) for row in rows]

    def check(self, allowed):
        """That each object, or the history, is whole, and by one of those who may have written it."""
        for group, rows in self.read().items():
            keys = KEYS
            if self.shape == "days":
                keys = KEYS[3:] if "01-02" in group else KEYS[:3]
            writers = {email for _, email in rows}
            assert Counter(key for key, _ in rows) == Counter(keys), (group, rows)
            assert writers <= allowed, (group, writers, allowed)
            assert len(writers) == 1 or self.shape == "parts", (group, writers)

    def names(self):
        return {path.name for path in self.folder.iterdir()}

    def expected(self):
        """Files that may be there when all have ended."""
        if self.shape == "object":
            return {"a.jsonl"}
        if self.shape == "days":
            return {"2024-01-01.jsonl", "2024-01-02.jsonl"}
        manifest = json.loads((self.folder / "_manifest.json").read_bytes())
        return {"_manifest.json", *(part["name"] for part in manifest["parts"])}


def play(shape, first_steps, second_steps, killed=None):
    """Run one course, and return whether each had more to do when it was interrupted."""
    with tempfile.TemporaryDirectory(prefix="altcraft-two-", dir=FAST) as folder:
        place = Shape(shape, Path(folder))
        run_alone(place, "old")
        both = [Attempt(place.target, f"attempt {number}") for number in range(2)]

        def step(attempt):
            attempt.step()
            # Of parts, those of a living one that are complete may be taken over.
            began = {each.email for each in both if each.began_commit or shape == "parts"}
            place.check({"old"} | began)

        try:
            for attempt, steps in zip(both, (first_steps, second_steps), strict=True):
                for _ in range(steps):
                    step(attempt)
            interrupted = tuple(attempt.active for attempt in both)
            if killed is not None:
                both[killed].kill()
            while both[0].active or both[1].active:
                # The one goes on, but where it waits for a lock of the other's.
                goes_on = both[0].active and not (both[0].waits and both[1].active)
                step(both[0] if goes_on else both[1])
                both[0].waits = both[0].waits and goes_on
            assert [attempt.error for attempt in both] == [None, None]
            committed = {attempt.email for attempt in both if attempt.ended}
            place.check(committed | {each.email for each in both if each.began_commit or shape == "parts"})
            if len(committed) == 2:
                assert place.names() == place.expected()  # who has ended leaves nothing
            run_alone(place, "heir")
            assert place.names() == place.expected()  # nor does a dead one, after the next
        finally:
            for attempt in both:
                attempt.kill()
                attempt.bury()
        return interrupted


def run_alone(place, email):
    alone = Attempt(place.target, email)
    while alone.active:
        alone.step()
    assert alone.error is None
    place.check({email, "attempt 0", "attempt 1"} if place.shape == "parts" else {email})


@pytest.mark.usefixtures("halting")
@pytest.mark.parametrize("killed", [None, 0, 1])
def test_every_course_of_one_object_ends_right(killed):
    played = 0
    for first in itertools.count():
        for second in itertools.count():
            more = play("object", first, second, killed)
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
    first, second = data.draw(st.integers(0, most)), data.draw(st.integers(0, most))
    play(shape, first, second, data.draw(st.sampled_from([None, 0, 1])))
