"""The provider's decode and write by themselves, for what is measured without its network."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import pyarrow as pa  # noqa: TID253 - imported before the clock starts

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.schema import RowBuffer
from airflow_provider.altcraft.targets import Scope, resolve_target
from airflow_provider.altcraft.window import Window
from benchmarks.answers import FIRST_DAY, LAST_DAY, Answers
from benchmarks.job import Job

WINDOW = Window.of(FIRST_DAY, LAST_DAY)


ROWS = RowReader()


def decode(body: bytes, matching: str, lookup: str) -> pa.RecordBatch:
    """An answer's rows."""
    sent = ROWS.read(body, "")
    assert sent is not None
    assert sent.data
    batch = fast_batch(sent.data, WINDOW, list_id=1, matching=matching, lookup=lookup)
    assert batch is not None
    return batch


def batches(job: Job) -> list[pa.RecordBatch]:
    """The rows of all profiles of a job, without any network."""
    answers = Answers(job.profiles, job.events)
    buffer, made = RowBuffer(), []
    for number, email in enumerate(job.emails):
        _, _, body = answers.history(number).partition(b"\r\n\r\n")
        buffer.extend(decode(body, "email", email))
        if len(buffer) >= PullSizes().batch_rows:
            made.append(buffer.flush())
    return [*made, buffer.flush()] if len(buffer) else made


class Away:
    """Writes batches to the job's Parquet file."""

    def __init__(self, job: Job) -> None:
        self._writer = resolve_target(f"file://{job.parquet}").open(Scope(1, None, WINDOW))
        self._buffer = RowBuffer()

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows, many at a time."""
        self._buffer.extend(batch)
        if len(self._buffer) >= PullSizes().batch_rows:
            self._writer.write(self._buffer.flush())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if len(self._buffer):
            self._writer.write(self._buffer.flush())
        self._writer.commit()
