"""Targets with one fault each, and which test of the suite must fail for it, in which words."""

from __future__ import annotations

import datetime as dt
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import Scope, Written
from tests.unit.testing.own_targets import File, Table, rows_of


class Changing(File):
    """Writes other rows than it is given."""

    class Writer(File.Writer):
        def write(self, batch: pa.RecordBatch) -> None:
            super().write(pa.RecordBatch.from_pylist([self.changed(row) for row in batch.to_pylist()], SCHEMA))

        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            raise NotImplementedError


class Nameless(File):
    __repr__ = object.__repr__


# What is seen


class Staged(File):
    """Stages under a name of its own in the folder, which a killed attempt leaves."""

    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.place = path
            self.path = path.with_name(f"staged-{uuid.uuid4().hex}")
            self.path.touch()

        def commit(self) -> Written:
            written = super().commit()
            self.path.replace(self.place)
            return written

        def abort(self) -> None:
            super().abort()
            self.path.unlink(missing_ok=True)


class Stray(Staged):
    class Writer(Staged.Writer):
        def abort(self) -> None:
            self.staged.close()


class Untidy(File):
    """Leaves a file at each commit."""

    class Writer(File.Writer):
        def commit(self) -> Written:
            self.path.with_name(f"done-{uuid.uuid4().hex}").touch()
            return super().commit()


class InPlace(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.staged = path.open("w+b")
            self.stream = ipc.new_stream(self.staged, SCHEMA)

        def write(self, batch: pa.RecordBatch) -> None:
            super().write(batch)
            self.staged.flush()


class Copied(File):
    """Puts what it has staged in place piece by piece."""

    class Writer(File.Writer):
        def commit(self) -> Written:
            self.stream.close()
            self.staged.seek(0)
            with ipc.new_stream(str(self.path), SCHEMA) as stream:
                for batch in ipc.open_stream(self.staged).read_all().to_batches(100):
                    stream.write_batch(batch)
                    time.sleep(0.01)  # else a reader on a crowded machine may come too late to see it
            return Written((str(self.path),), self.rows)


class Forgetful(File):
    class Writer(File.Writer):
        def abort(self) -> None:
            super().abort()
            self.path.unlink(missing_ok=True)


class Miscounting(File):
    class Writer(File.Writer):
        def commit(self) -> Written:
            return Written(super().commit().uris, self.rows + 1)


class Heavy(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.batches: list[Any] = []

        def write(self, batch: pa.RecordBatch) -> None:
            super().write(batch)
            self.batches.append(batch.to_pylist())


class Lenient(File):
    """Fills up what a batch lacks."""

    class Writer(File.Writer):
        def write(self, batch: pa.RecordBatch) -> None:
            super().write(pa.RecordBatch.from_pylist(batch.to_pylist(), SCHEMA))


class Vague(File):
    class Writer(File.Writer):
        def write(self, batch: pa.RecordBatch) -> None:
            if batch.schema != SCHEMA:
                raise ValueError("what is this?")
            super().write(batch)


class Impatient(File):
    class Writer(File.Writer):
        def abort(self) -> None:
            if self.staged.closed:
                raise RuntimeError("aborted twice")
            super().abort()


# Values


class Distinct(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.seen: set[Any] = set()

        def write(self, batch: pa.RecordBatch) -> None:
            rows = {(row["xxh"], row["datetime"]): row for row in batch.to_pylist()}
            super().write(
                pa.RecordBatch.from_pylist([row for key, row in rows.items() if key not in self.seen], SCHEMA)
            )
            self.seen |= rows.keys()


class Stripping(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            return row | {"message_name": row["message_name"] or None}


class Latin(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            return row | {
                "message_name": row["message_name"]
                and row["message_name"].encode("latin-1", "replace").decode("latin-1")
            }


class Composed(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            return row | {"message_name": unicodedata.normalize("NFC", row["message_name"] or "") or None}


class Lines(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            return row | {"message_name": row["message_name"] and row["message_name"].replace("\r\n", "\n")}


class Floats(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            number = row["message_id"]
            return row | {"message_id": number and min(int(float(number)), 2**63 - 1025)}


class Milliseconds(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            at = row["datetime"]
            return row | {"datetime": at.replace(microsecond=at.microsecond // 1000 * 1000)}


class LocalTime(Changing):
    class Writer(Changing.Writer):
        def changed(self, row: dict[str, Any]) -> dict[str, Any]:
            """By the local time, which has an hour twice."""
            local = dt.datetime.fromtimestamp(row["datetime"].timestamp()).replace(fold=0)  # noqa: DTZ006
            return row | {"datetime": local.astimezone(dt.UTC)}


# Several pulls


class Adding(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            for batch in rows_of(path).to_batches() if path.exists() else []:
                self.stream.write_batch(batch)


class Shared(File):
    """Two attempts stage under one name."""

    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.staged = path.with_name("history.staged").open("w+b")
            self.stream = ipc.new_stream(self.staged, SCHEMA)


class Exclusive(File):
    """Lets in one writer at a time."""

    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.lock = path.with_name("history.lock")
            if self.lock.exists():
                raise BlockingIOError("somebody else writes")
            self.lock.touch()

        def commit(self) -> Written:
            self.lock.unlink()
            return super().commit()

        def abort(self) -> None:
            self.lock.unlink(missing_ok=True)
            super().abort()


class LastOpened(File):
    """What was opened last loses, whenever it commits; a target may keep it, never drop it."""

    class Writer(File.Writer):
        latest: Any = None

        def __init__(self, path: Path) -> None:
            super().__init__(path)
            type(self).latest = self

        def commit(self) -> Written:
            if self.latest is not self:
                return super().commit()
            return Written((str(self.path),), self.rows)


class AnyMatching(Table):
    class Writer(Table.Writer):
        where = "list_id = ? AND ? IS NOT NULL AND lookup = ? AND datetime >= ? AND datetime < ?"


class AnyDatabase(Table):
    class Writer(Table.Writer):
        where = "? IS NOT NULL AND matching = ? AND lookup = ? AND datetime >= ? AND datetime < ?"
        everywhere = "? IS NOT NULL AND datetime >= ? AND datetime < ?"


class AnyCase(Table):
    class Writer(Table.Writer):
        where = "list_id = ? AND matching = ? AND lookup LIKE ? AND datetime >= ? AND datetime < ?"


class AnyTime(Table):
    class Writer(Table.Writer):
        where = "list_id = ? AND matching = ? AND lookup = ? AND ? < ?"
        everywhere = "list_id = ? AND ? < ?"


class Inclusive(Table):
    class Writer(Table.Writer):
        where = Table.Writer.where.replace("datetime < ?", "datetime <= ?")


class OfRows(Table):
    """Replaces what it has rows for."""

    class Writer(Table.Writer):
        def scopes(self) -> Iterator[tuple[Any, ...]]:
            return super().scopes() if self.staged.rows else iter(())


class OneThread(Table):
    """Keeps a connection from ``open`` on, which sqlite3 lets nobody use from another thread."""

    class Writer(Table.Writer):
        def __init__(self, target: Table, scope: Scope) -> None:
            super().__init__(target, scope)
            self.connection = target.connect()

        def write(self, batch: pa.RecordBatch) -> None:
            self.connection.execute("SELECT 1")
            super().write(batch)

        def abort(self) -> None:
            self.connection.close()
            super().abort()


class Merged(Table):
    """Sound: the union of all pulls."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        with closing(self.connect()) as connection:
            connection.execute("CREATE UNIQUE INDEX IF NOT EXISTS history_key ON history (event_key)")

    class Writer(Table.Writer):
        insert = "INSERT OR REPLACE"

        def scopes(self) -> Iterator[tuple[Any, ...]]:
            return iter(())


class OldestKept(Merged):
    class Writer(Merged.Writer):
        insert = "INSERT OR IGNORE"


def _killed() -> Iterator[Any]:
    def by(make: Any, test: str, said: str | None = None, *, keeps: str = "pull", **arguments: Any) -> Any:
        return pytest.param(make, keeps, test, arguments, said, id=f"{make.__name__}-{test}")

    yield by(Nameless, "test_follows_the_protocol", "give a `__repr__`")
    killed, interrupted = "test_killed_at_any_point_and_run_again", "test_interrupted_at_any_point_and_run_again"
    aborted, seen = "test_an_abort_leaves_it_as_it_was", "test_nothing_is_seen_before_the_commit"
    yield by(Staged, killed, "things are left in the store, the first is 'staged-")
    yield by(Stray, aborted, "An abort removes what it has staged")
    yield by(Untidy, "test_rows", "is left|are left", count=0)
    yield by(InPlace, seen, "`write` must change nothing")
    yield by(InPlace, aborted)
    yield by(InPlace, killed, "in one atomic step")
    yield by(Copied, killed, "in one atomic step")
    yield by(Copied, interrupted, "in one atomic step")
    yield by(Copied, "test_a_reader_never_sees_a_part")
    yield by(Forgetful, "test_an_abort_after_the_commit_does_nothing")
    yield by(Impatient, aborted)
    yield by(Miscounting, "test_rows", "Written.rows", count=1)
    yield by(Heavy, "test_a_large_pull", "stage batches outside of memory")
    yield by(Lenient, "test_what_is_no_row_is_refused", "expected a ValueError, and none was raised.*schema.SCHEMA")
    yield by(Vague, "test_what_is_no_row_is_refused", "got 'what is this.*names the schema")

    yield by(Distinct, "test_rows_alike_in_every_field")
    for make in (Stripping, Latin, Composed, Lines, Floats, Milliseconds):
        yield by(make, "test_awkward_values", "the first that differs")
    yield by(LocalTime, "test_in_another_time_zone", "datetime")

    yield by(Adding, "test_written_twice", "only the last pull")
    yield by(Adding, "test_no_rows_after_some")
    yield by(Adding, "test_overlapping_windows")
    yield by(Shared, "test_two_attempts_interleaved", first=0)
    yield by(Exclusive, "test_two_attempts_interleaved", "Two writers are open at once: stage", first=0)
    yield by(Exclusive, killed, "must not keep the next one from succeeding")
    yield by(LastOpened, "test_two_attempts_interleaved", first=0)

    yield by(AnyMatching, "test_the_same_value_by_another_matching", "of each scope, the last pull", keeps="scope")
    yield by(AnyDatabase, "test_another_database", lookups=None, keeps="scope")
    yield by(AnyDatabase, "test_another_database", lookups=(("email", "ann@example.com"),), keeps="scope")
    yield by(AnyCase, "test_other_profiles_of_the_same_days", keeps="scope")
    yield by(AnyTime, "test_overlapping_windows", keeps="scope")
    yield by(Inclusive, "test_instants_as_the_ends_of_the_window", keeps="scope")
    yield by(OfRows, "test_no_rows_after_some", keeps="scope")
    yield by(OneThread, "test_written_from_several_threads", "each `write` in another", keeps="scope")
    yield by(OldestKept, "test_overlapping_windows", keeps="union")


KILLED = list(_killed())
