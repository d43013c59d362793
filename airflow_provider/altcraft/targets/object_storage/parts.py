"""Writes history as part files in a folder, and last a manifest that names them.

During the pull a part has a hidden name with the id of its attempt. Once complete, it has a note next to it: its rows
and how far the pull was. A commit gives the parts visible names, checks that all are there, and replaces the manifest,
which makes them the history at once. Then it removes the files that neither the manifest names nor a living attempt may
need: earlier parts, and those of dead attempts.

Why no work of others is removed: a part belongs to one attempt, whose lease is older than the part. The clean-up lists
the files, then the leases, then reads the manifest. So a file without a lease and not in the manifest is of an attempt
that has ended, uncommitted or replaced. Why nothing is left: an attempt ends its lease before it cleans up. So of two
that commit at once, the one that lists the leases later sees no lease for the other's parts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import re
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.targets._order import say_overtaken
from airflow_provider.altcraft.targets._protocols import Written
from airflow_provider.altcraft.targets.object_storage import manifest as _manifest
from airflow_provider.altcraft.targets.object_storage.failures import ReportingWriter
from airflow_provider.altcraft.targets.object_storage.folder import LEASE
from airflow_provider.altcraft.targets.object_storage.format import Encoder
from airflow_provider.altcraft.targets.object_storage.manifest import Part
from airflow_provider.altcraft.targets.object_storage.staged import writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets.object_storage.folder import Folder
    from airflow_provider.altcraft.targets.object_storage.path import Place
    from airflow_provider.altcraft.targets.object_storage.staged import Staged

log = logging.getLogger(__name__)

FRESH = 24 * 3600.0
"""Seconds after which a later attempt takes over a part no more: late events may have come since."""

_OWN = re.compile(r"_?part-([0-9a-f]{16})-\d{6}\.[a-z.]+")
_COMMITS = 20


@dataclass(frozen=True, slots=True)
class Note:
    """The note of a complete part: its rows, and the state of the pull after it."""

    pull: str | None
    state: Any
    rows: int
    bytes: int
    sha256: str
    written: float
    began: str | None = None


class PartsWriter(ReportingWriter):
    """Writes parts of at least ``part_rows`` rows, or fewer where a checkpoint is to be kept. An error ends the writer.

    A part ends at a checkpoint, from which a retry can go on.
    """

    def __init__(self, place: Place, folder: Folder, scope: Scope, part_rows: int) -> None:
        super().__init__(place.uri, place.failures())
        self._place = place
        self._scope = scope
        self._part_rows = part_rows
        self._folder = folder
        self._attempt = uuid.uuid4().hex[:16]
        self._pull: str | None = None
        self._notes: list[Note] = []
        self._open: _OpenPart | None = None
        self._replacing = False
        self._began = dt.datetime.now(dt.UTC)
        self._lease = self._folder.hold(self._attempt)
        try:
            self._folder.prove(self._staged(0), self._visible(0))
        except BaseException:
            self.abort()
            raise

    def resume(self, pull: str) -> Any:
        """Take over the complete parts of the attempt at the same pull that wrote the most rows."""
        with self._guard():
            self._pull = pull
            for attempt, notes in self._left_by_others():
                if (taken := self._take_over(attempt, notes)) is not None:
                    parts = counted(len(self._notes), "part")
                    log.info("%s: %s of an earlier attempt taken over", self._folder.uri, parts)
                    return taken
            return None

    def checkpoint(self, state: Any, *, keep: bool = False) -> None:
        """Close the part with this state, where it is large enough or to be kept."""
        with self._guard():
            if self.is_due(keep=keep):
                self._close(state)

    def is_due(self, *, keep: bool = False) -> bool:
        """Return whether a checkpoint would close the part now; else its state need not be computed."""
        return self._open is not None and (keep or self._open.rows >= self._part_rows)

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._guard():
            # A pull with checkpoints may write twice as much before a part is closed without a state to resume from.
            most = self._part_rows * (1 if self._pull is None else 2)
            start = 0
            while start < batch.num_rows:
                if self._open is None:
                    self._open = _OpenPart(self._folder.stage(self._staged(len(self._notes))), self._place.suffix)
                piece = batch.slice(start, most - self._open.rows)
                self._open.write(piece)
                start += piece.num_rows
                if self._open.rows >= most:
                    self._close(None)

    def commit(self) -> Written:
        """Rename the parts to visible names, and replace the manifest."""
        with self._guard():
            if self._open is not None or not self._notes:
                if self._open is None:  # no rows are a part too: readers find the schema
                    self._open = _OpenPart(self._folder.stage(self._staged(0)), self._place.suffix)
                self._close(None)
            parts = [
                Part(self._visible(number), note.rows, note.bytes, note.sha256)
                for number, note in enumerate(self._notes)
            ]
            for number, part in enumerate(parts):
                self._folder.copy(self._staged(number), part.name)
            manifest = _manifest.of_parts(parts, self._scope, self._place.suffix, self._began)
            if not self._replace(manifest):
                self._pull = None  # so that the abort keeps nothing for a retry
                self.abort()
                return Written(uris=(self._folder.uri + _manifest.NAME,), rows=0, bytes=0)
            self._ended = "committed"
        try:
            self._lease.release()
            self._clean_up()
        except Exception as error:  # the history is there; the next commit cleans up
            log.warning("%s: what is not needed any more could not be removed: %s", self._folder.uri, redacted(error))
        return Written(uris=(self._folder.uri + _manifest.NAME,), rows=manifest.rows, bytes=manifest.bytes)

    def _drop(self) -> None:
        """Drop what was staged, except complete parts that a retry can resume from."""
        try:
            if self._open is not None:
                self._open.drop()
            if self._replacing:
                return  # the store may have taken the manifest in spite of its error: the parts stay protected
            kept = 0 if self._pull is None else _resumable(self._notes)
            numbers = range(len(self._notes) + 1)
            self._folder.remove(self._visible(number) for number in numbers)
            self._folder.remove(
                name for number in numbers[kept:] for name in (self._note(number), self._staged(number))
            )
            self._lease.release()
        finally:
            self._lease.leave()

    def _close(self, state: Any) -> None:
        """Complete the part, then write its note."""
        assert self._open is not None  # noqa: S101 - the callers check it
        note = self._open.close(self._pull, state, self._began)
        self._open = None
        self._write_note(len(self._notes), note)
        self._notes.append(note)

    def _write_note(self, number: int, note: Note) -> None:
        with writing(self._folder.stage(self._note(number))) as staged:
            staged.write(json.dumps(asdict(note)).encode())

    def _replace(self, manifest: _manifest.Manifest) -> bool:
        """Replace the manifest while all parts are there, unless it is of a later pull of the same scope."""
        data = manifest.to_json().encode()
        for _ in range(_COMMITS):
            # In this order: an attempt removes parts only after its commit, so if one of these was removed since,
            # the version has changed.
            version = self._folder.version(_manifest.NAME)
            self._lease.check()
            if self._overtaken(manifest.scope):
                return False
            if missing := _manifest.incomplete(self._folder, manifest.parts):
                raise OSError(
                    f"{self._folder.uri}: parts of this write are missing: {missing[:3]}; nothing was committed"
                )
            self._replacing = True
            if self._folder.replace(_manifest.NAME, data, version):
                return True
            self._replacing = False
        raise OSError(f"{self._folder.uri}: others committed first, {_COMMITS} times in a row; nothing was committed")

    def _overtaken(self, scope: str) -> bool:
        data = self._folder.read(_manifest.NAME)
        try:
            there = data and _manifest.parse(data, self._folder.uri)
        except ValueError:  # not a manifest, so not a later pull's
            return False
        if not there or there.scope != scope or not there.began:
            return False
        if dt.datetime.fromisoformat(there.began) <= self._began:
            return False
        say_overtaken(self._folder.uri, there.began)
        return True

    def _clean_up(self) -> None:
        names = self._folder.sizes()
        living = self._folder.living()
        data = self._folder.read(_manifest.NAME)
        named = {part.name for part in _manifest.parse(data, "").parts} if data else set()
        self._folder.remove(
            name
            for name in names
            if name not in named and (owner := _OWN.fullmatch(name) or LEASE.fullmatch(name)) and owner[1] not in living
        )
        for prefix in ("_part-", "part-"):
            self._folder.drop_uploads(prefix, living)

    def _left_by_others(self) -> list[tuple[str, list[Note]]]:
        """Return other attempts at the same pull with the notes of their parts, the one with the most rows first."""
        names = self._folder.sizes()
        found = []
        for attempt in {match[1] for name in names if (match := _OWN.fullmatch(name))} - {self._attempt}:
            notes: list[Note] = []
            while self._note(len(notes), attempt) in names:
                note = self._read_note(len(notes), attempt)
                at_hand = names.get(self._staged(len(notes), attempt))
                if note is None or note.pull != self._pull or note.bytes != at_hand:
                    break
                if time.time() - note.written > FRESH:
                    break
                notes.append(note)
            if kept := _resumable(notes):
                found.append((attempt, notes[:kept]))
        return sorted(found, key=lambda each: sum(note.rows for note in each[1]), reverse=True)

    def _read_note(self, number: int, attempt: str) -> Note | None:
        data = self._folder.read(self._note(number, attempt))
        try:
            return None if data is None else Note(**json.loads(data))
        except (ValueError, TypeError):
            return None  # its writer was killed

    def _take_over(self, attempt: str, notes: list[Note]) -> Any:
        """Copy parts to names of this attempt, as their owner may end and remove them at any time."""
        for number, note in enumerate(notes):
            try:
                self._folder.copy(self._staged(number, attempt), self._staged(number))
            except FileNotFoundError:
                break
            self._write_note(number, note)
            self._notes.append(note)
            if note.began:
                self._began = min(self._began, dt.datetime.fromisoformat(note.began))
        kept = _resumable(self._notes)
        self._folder.remove(
            name for number in range(kept, len(self._notes) + 1) for name in (self._note(number), self._staged(number))
        )
        del self._notes[kept:]
        return self._notes[-1].state if self._notes else None

    def _staged(self, number: int, attempt: str | None = None) -> str:
        return f"_part-{attempt or self._attempt}-{number:06}{self._place.suffix}.staged"

    def _note(self, number: int, attempt: str | None = None) -> str:
        return f"_part-{attempt or self._attempt}-{number:06}.json"

    def _visible(self, number: int) -> str:
        return f"part-{self._attempt}-{number:06}{self._place.suffix}"


class _OpenPart:
    """The part that is being written."""

    def __init__(self, staged: Staged, suffix: str) -> None:
        self.rows = 0
        self._staged = staged
        self._digest = hashlib.sha256()
        self._encoder = Encoder(suffix, self._send)

    def write(self, batch: pa.RecordBatch) -> None:
        self._encoder.write(batch)
        self.rows += batch.num_rows

    def close(self, pull: str | None, state: Any, began: dt.datetime) -> Note:
        size = self._encoder.finish()
        self._staged.commit()
        return Note(pull, state, self.rows, size, self._digest.hexdigest(), time.time(), began.isoformat())

    def drop(self) -> None:
        self._encoder.drop()
        self._staged.discard()

    def _send(self, data: bytes) -> None:
        self._staged.write(data)
        self._digest.update(data)


def _resumable(notes: Sequence[Note]) -> int:
    """Return the number of parts up to the last one that has a state to resume from."""
    return max((number for number, note in enumerate(notes, 1) if note.state is not None), default=0)
