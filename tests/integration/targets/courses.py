"""Courses of two attempts at one task, stepped through each other, one of them perhaps killed; then a third alone.

An attempt halts before each call by which it changes or reads its target. The two make steps in turns; then, if one is
to, it dies, or sleeps until the other has taken it for dead and ended, and what is left is gone through. After each
step a reader must see a whole state, and no change but to what the attempt that made the step has written. In the end
there is one right result, and after the third nothing is left by an attempt that has ended. How an attempt is made to
halt, and what a place is, is set by who plays.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch
from tests.integration.stores import S3, Azure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider.altcraft.targets import Target
    from tests.integration.stores import Store

DAY = 86_400
SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
UNITS = [make_batch(2, start=start, extra=None) for start in (0, DAY - 1)]
KEYS = [key for unit in UNITS for key in unit.column("event_key").to_pylist()]
SECONDS = 60
"""More than any course takes."""


class Attempt(Protocol):
    """One attempt, which does nothing until it is asked to step."""

    email: str
    error: str | None
    ended: bool
    dead: bool
    waits: bool
    """Whether the last step could not be made yet, as the other holds a lock."""
    began_commit: bool

    def step(self, *, alone: bool) -> None:
        """Go on to the next halt or the end, or until it waits for a lock; ``alone``: of nobody's."""
        ...

    def pass_time(self, *, slept: bool) -> None:
        """Let a day go by before its next step, which it has slept through, or in which it has heard of nobody."""
        ...

    def kill(self) -> None:
        """Let it do nothing more."""
        ...

    def bury(self) -> None:
        """End what is left of it."""
        ...


class Place(Protocol):
    """Where one course takes place."""

    target: Target
    fresh: bool
    """Whether nothing is there at first."""
    shares: bool
    """Whether one attempt may take over what another, living or dead, has completed."""

    def check(self, allowed: set[str]) -> dict[str, set[str]] | None:
        """Fail unless each part of it is whole, and by one of these; return who wrote it, None where none can look."""
        ...

    def leftovers(self) -> set[str]:
        """What is there and is not the result's."""
        ...

    def time_passes(self) -> contextlib.AbstractContextManager[None]:
        """Let so much time go by that who is silent is taken for dead."""
        ...


def write(target: Target, email: str, halt: Callable[[bool], object] = bool) -> None:
    """Pull and commit, every row marked by an e-mail; ``halt`` is given whether the commit has begun."""
    writer: Any = target.open(SCOPE)
    halt(False)
    done = 0
    if hasattr(writer, "resume"):
        done = writer.resume("pull") or 0
    for number, unit in enumerate(UNITS[done:], done + 1):
        at = unit.schema.get_field_index("email")
        writer.write(unit.set_column(at, "email", make_batch(2, email=email).column("email")))
        if hasattr(writer, "checkpoint"):
            writer.checkpoint(number)
        halt(False)
    halt(True)
    writer.commit()


def play(
    place: Place,
    start: Callable[[Target, str], Attempt],
    turns: Sequence[int],
    killed: int | None = None,
    sleeps: int | None = None,
) -> tuple[bool, bool]:
    """Run one course, and return whether each could do more than its turns."""
    if not place.fresh:
        write(place.target, "old")
    seen = place.check({"old"})
    both = [start(place.target, f"attempt {number}") for number in range(2)]
    until = time.monotonic() + SECONDS

    def begun() -> set[str]:
        return {each.email for each in both if each.began_commit or place.shares}

    def step(number: int) -> None:
        nonlocal seen
        assert time.monotonic() < until, "each waits for the other"
        attempt, other = both[number], both[1 - number]
        if attempt.ended or attempt.dead:
            return
        # Where the other seems to wait for a lock it may be slow only, and go on at the same time.
        moving = [{each.email} for each in (attempt, other) if each is attempt or each.waits]
        attempt.step(alone=other.ended or other.dead)
        now = place.check({"old"} | begun())
        if now is not None and seen is not None and not place.shares:
            for name, writers in now.items():
                assert writers in (seen.get(name), *moving), (name, writers, seen)
        seen = now

    try:
        for turn, steps in enumerate(turns):
            for _ in range(steps):
                step(turn % 2)
                if both[turn % 2].waits:
                    break
        first, second = both
        # More turns change nothing either where one waits for a lock of the other's.
        more = (not (first.ended or first.waits), not (second.ended or second.waits))
        if killed is not None:
            both[killed].kill()
        if sleeps is not None:
            both[1 - sleeps].pass_time(slept=False)
            while not both[1 - sleeps].ended:
                step(1 - sleeps)
            both[sleeps].pass_time(slept=True)
        while active := [number for number, each in enumerate(both) if not (each.ended or each.dead)]:
            # The one goes on, but where it waits for a lock of the other's.
            number = active[-1] if both[active[0]].waits else active[0]
            step(number)
            both[active[0]].waits &= number == active[0]
        # Who was taken for dead may fail; what he has left is for a retry to resume.
        failed = [each.error for number, each in enumerate(both) if each.error and number != sleeps]
        assert failed == [], failed
        place.check(begun())
        if all(each.ended and each.error is None for each in both):
            assert place.leftovers() == set(), place.leftovers()  # who has committed leaves nothing
        with place.time_passes():
            write(place.target, "heir")
        place.check({"heir"} | (begun() if place.shares else set()))
        left = place.leftovers(empty_uploads=False)
        assert left == set(), left  # nor does a dead one, after the next, but for what only a lifecycle rule ends
    finally:
        for each in both:
            each.kill()
            each.bury()
    return more


class Objects:
    """Objects below a prefix of a store, or files in a folder, in one of the three shapes."""

    fresh = False

    def __init__(self, shape: str, store: Store, prefix: str = "") -> None:
        self.shape, self._store, self._prefix = shape, store, prefix
        self._parts: dict[str, list[dict[str, Any]]] = {}
        self.shares = shape == "parts"
        path = {"object": "a.jsonl", "days": "{date}.jsonl", "parts": ""}[shape]
        more: dict[str, Any] = {"format": "jsonl", "part_rows": 2} if shape == "parts" else {}
        self.target = ObjectStorageTarget(store.uri(prefix + path), **more)

    def check(self, allowed: set[str]) -> dict[str, set[str]]:
        """Fail unless each object, or the history, is whole, and by one of these."""
        found: dict[str, set[str]] = {}
        for name, rows in self._read().items():
            keys = KEYS
            if self.shape == "days":
                keys = KEYS[3:] if "01-02" in name else KEYS[:3]
            found[name] = {row["email"] for row in rows}
            assert Counter(row["event_key"] for row in rows) == Counter(keys), (name, rows)
            assert found[name] <= allowed, (name, found, allowed)
            assert len(found[name]) == 1 or self.shares, (name, found)
        assert found
        return found

    def leftovers(self, *, empty_uploads: bool = True) -> set[str]:
        """What is there and is not the result's, unfinished uploads among it where they can be listed."""
        uploads: list[str] = []
        if isinstance(self._store, S3):
            uploads = self._store.unfinished(self._prefix, empty=empty_uploads)
        elif isinstance(self._store, Azure):
            uploads = self._store.unfinished(self._prefix)
        return (self._names() - self._expected()) | {f"an upload to {key}" for key in uploads}

    def time_passes(self) -> contextlib.AbstractContextManager[None]:
        """On a disk the kernel tells who lives."""
        return contextlib.nullcontext()

    def _names(self) -> set[str]:
        return {key.removeprefix(self._prefix) for key in self._store.keys(self._prefix)}

    def _get(self, name: str) -> bytes:
        return self._store.read(self._prefix + name)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by object, or of all parts that the manifest names."""
        names = self._names()
        if not self.shares:
            return {name: self._rows(name) for name in names if not name.startswith((".", "_"))}
        parts = [part["name"] for part in json.loads(self._get("_manifest.json"))["parts"]]
        assert set(parts) <= names
        for name in parts:  # which never change
            self._parts[name] = self._parts.get(name) or self._rows(name)
        return {"": [row for name in parts for row in self._parts[name]]}

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._get(name).splitlines()]

    def _expected(self) -> set[str]:
        if self.shape == "object":
            return {"a.jsonl"}
        if self.shape == "days":
            return {"2024-01-01.jsonl", "2024-01-02.jsonl"}
        return {"_manifest.json", *(part["name"] for part in json.loads(self._get("_manifest.json"))["parts"])}
