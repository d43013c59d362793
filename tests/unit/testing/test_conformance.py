"""The suite for targets: a sound one passes it, and each way to be unsound fails the test that is about it."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import Scope, Written
from airflow_provider.altcraft.testing.conformance import TargetConformance


class File:
    """The least that keeps the promise: one file of Arrow's, renamed into its place."""

    template_fields = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"File({self.path})"

    def open(self, scope: Scope) -> Any:
        return self.Writer(self.path)

    class Writer:
        def __init__(self, path: Path) -> None:
            self.path, self.batches = path, []
            self.staged: Path | None = path.parent / f".{path.name}.{uuid.uuid4().hex}"
            self.file = pa.OSFile(str(self.staged), "wb")
            self.stream = pa.ipc.new_stream(self.file, SCHEMA)
            self.rows = 0

        def write(self, batch: pa.RecordBatch) -> None:
            if batch.schema != SCHEMA:
                raise ValueError("not the schema")
            self.rows += batch.num_rows
            self.stream.write_batch(batch)

        def commit(self) -> Written:
            self.stream.close()
            self.file.close()
            self.staged.replace(self.path)
            self.staged = None
            return Written((str(self.path),), self.rows)

        def abort(self) -> None:
            if self.staged:
                self.staged.unlink(missing_ok=True)


class Suite(TargetConformance):
    make: Any = File

    @pytest.fixture
    def target(self, tmp_path: Path) -> Any:
        return self.make(tmp_path / "rows.arrow")

    def read(self, target: Any) -> Any:
        try:
            return pa.ipc.open_stream(target.path.read_bytes()).read_all()
        except (FileNotFoundError, pa.ArrowInvalid):
            return []


class TestFile(Suite):
    pass


class InPlace(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.staged.rename(path)
            self.staged = path


class Copied(File):
    """Puts what it has staged in place piece by piece."""

    class Writer(File.Writer):
        def commit(self) -> Written:
            self.stream.close()
            self.file.close()
            table = pa.ipc.open_stream(self.staged.read_bytes()).read_all()
            with pa.ipc.new_stream(self.path, SCHEMA) as stream:
                for batch in table.to_batches(100):
                    stream.write_batch(batch)
                    time.sleep(0.01)  # else a reader on a crowded machine may come too late to see it
            return Written((str(self.path),), self.rows)


class Distinct(File):
    class Writer(File.Writer):
        seen: set[Any]

        def write(self, batch: pa.RecordBatch) -> None:
            self.seen = getattr(self, "seen", set())
            rows = [row for row in batch.to_pylist() if (row["xxh"], row["datetime"]) not in self.seen]
            rows = list({(row["xxh"], row["datetime"]): row for row in rows}.values())
            self.seen |= {(row["xxh"], row["datetime"]) for row in rows}
            super().write(pa.RecordBatch.from_pylist(rows, SCHEMA))


class Stripping(File):
    class Writer(File.Writer):
        def write(self, batch: pa.RecordBatch) -> None:
            rows = batch.to_pylist()
            super().write(
                pa.RecordBatch.from_pylist(
                    [row | {"message_name": row["message_name"] or None} for row in rows], SCHEMA
                )
            )


class Heavy(File):
    class Writer(File.Writer):
        def write(self, batch: pa.RecordBatch) -> None:
            super().write(batch)
            self.batches.append(batch.to_pylist())


class Adding(File):
    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            if path.exists():
                self.stream.write_table(pa.ipc.open_stream(path.read_bytes()).read_all())


class Forgetful(File):
    class Writer(File.Writer):
        def abort(self) -> None:
            super().abort()
            self.path.unlink(missing_ok=True)


class Shared(File):
    """Two attempts stage under one name."""

    class Writer(File.Writer):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            shared = path.with_name("staged")
            self.staged.rename(shared)
            self.staged = shared


class Nameless(File):
    __repr__ = object.__repr__


@pytest.mark.parametrize(
    ("make", "test", "arguments"),
    [
        (Nameless, "test_follows_the_protocol", {}),
        (InPlace, "test_nothing_is_seen_before_the_commit", {}),
        (InPlace, "test_an_abort_leaves_it_as_it_was", {}),
        (InPlace, "test_killed_at_any_point_and_run_again", {}),
        (Copied, "test_killed_at_any_point_and_run_again", {}),
        (Copied, "test_interrupted_at_any_point_and_run_again", {}),
        (Copied, "test_a_reader_never_sees_a_part", {}),
        (Distinct, "test_rows_alike_in_every_field", {}),
        (Stripping, "test_awkward_values", {}),
        (Heavy, "test_a_large_pull", {}),
        (Adding, "test_written_twice", {}),
        (Adding, "test_no_rows_after_some", {}),
        (Adding, "test_overlapping_windows", {}),
        (Forgetful, "test_an_abort_after_the_commit_does_nothing", {}),
        (Shared, "test_two_attempts_interleaved", {"first": 0}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_suite_finds_it(make: Any, test: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, OSError)):
        getattr(Suite(), test)(make(tmp_path / "rows.arrow"), **arguments)
    assert threading.active_count() < 20
