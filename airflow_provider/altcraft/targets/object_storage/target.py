"""History as one object, an object for each day, or parts in a folder; in a store or on a disk."""

from __future__ import annotations

import copy
from os import PathLike
from typing import TYPE_CHECKING

from airflow_provider.altcraft._arguments import (
    check_number_constant,
    is_template,
    may_differ,
    path_text,
    whole_number,
)
from airflow_provider.altcraft._redact import without_password
from airflow_provider.altcraft.targets._equality import EqualByArguments
from airflow_provider.altcraft.targets._protocols import Scope, TargetWriter, Written
from airflow_provider.altcraft.targets.object_storage.choice import folder_at, stage_at
from airflow_provider.altcraft.targets.object_storage.failures import ReportingWriter
from airflow_provider.altcraft.targets.object_storage.path import DATE, SHARD, Place, check
from airflow_provider.altcraft.targets.object_storage.staged import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets.object_storage.format import Encoder

PART_ROWS = 250_000


class ObjectStorageTarget(EqualByArguments):
    """Objects or files, in one of three shapes, which the path tells.

    - ``…/history.parquet``: one object, replaced at once by each commit, whatever the scope.
    - ``…/date={date}/history.parquet``: an object for each day of the window, days without events too, each
      replaced at once. The window must consist of whole days.
    - ``…/history/``: parts in a folder and, last, a ``_manifest.json`` that names them (``read_manifest``). A retry
      goes on from the parts that are complete. A commit removes the parts of earlier pulls.

    Args:
        path: ``s3://conn_id@bucket/key``, ``abfs://conn_id@container/key``, ``gs://conn_id@bucket/key``, any other
            that Airflow knows and that is safe to write, ``file:///…`` or an absolute path; a text, a ``pathlib.Path``
            or an ``ObjectStoragePath`` (a folder as text, for these lose its last ``/``). Its suffix names
            the format: ``.parquet``, or ``.jsonl``, ``.ndjson`` or ``.csv``, these three also with ``.gz`` or ``.zst``
            behind.
        format: the same without the first dot, for a folder: ``parquet`` where it is not given.
        part_rows: rows of a part, about; a folder's only. A pull of profiles has fewer where it wants them kept.

    Raises:
        ValueError: the path cannot be a target. Each argument may be a template, which ``open`` checks once rendered.
    """

    template_fields: Sequence[str] = ("path", "format", "part_rows")

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        part_rows: int | str = PART_ROWS,
    ) -> None:
        self.path: str = path_text(path)
        if not is_template([self.path, format]):
            check(self.path, format)
        check_number_constant(part_rows, "part_rows", 1)
        self.format = format
        self.part_rows = part_rows

    def __repr__(self) -> str:
        """Return the arguments, the same at each parse of the DAG file."""
        more = "" if self.format is None else f", format={self.format!r}"
        more += "" if self.part_rows == PART_ROWS else f", part_rows={self.part_rows}"
        return f"{type(self).__name__}(path={without_password(str(self.path))!r}{more})"

    def for_shard(self, number: int, count: int) -> ObjectStorageTarget:
        """Return the target of one shard, a place of its own; the number is from 0.

        Raises:
            ValueError: the path does not tell the shards apart, so that each would replace what another has written.
        """
        path = path_text(self.path)
        if count > 1 and SHARD not in path:
            raise ValueError(
                f"path: {without_password(path)!r} is the same for all shards, so each would replace what another "
                f"has written; put {SHARD} into it, as in '/folder/history-{SHARD}.parquet'"
            )
        own = copy.copy(self)
        own.path = path.replace(SHARD, f"{number:04d}-of-{count:04d}")
        return own

    def check_mapped(self, over: frozenset[str] | None) -> None:
        """Refuse one path for all instances of a mapped task: each would replace what another has written.

        Args:
            over: the arguments that differ between the instances; ``None`` where an earlier task gives them.

        Raises:
            ValueError: nothing in the path tells the instances apart.
        """
        path = path_text(self.path)
        if may_differ(path):
            return
        apart = [name for mark, name in ((SHARD, "shard"), (DATE, "date_from"), (DATE, "date_to")) if mark in path]
        if apart if over is None else over.intersection(apart):
            return
        raise ValueError(
            f"path: {without_password(path)!r} is the same for all instances of a mapped task, so each would replace "
            f"what another has written; put {{{{ ti.map_index }}}} into it, {SHARD} where they are shards, or {DATE} "
            f"where they pull different days"
        )

    def open(self, scope: Scope) -> TargetWriter:
        """Begin a write: check that the place can be written.

        Raises:
            ValueError: the rendered path cannot be a target, or its shape does not fit the window.
            OSError: the place cannot be written; what it holds is untouched.
        """
        path = path_text(self.path)
        place = check(path, self.format)
        if SHARD in path:
            raise ValueError(f"path: {without_password(path)!r} has {SHARD}, but the pull has no shard")
        # Imported before anything is staged, so that a broken pyarrow leaves nothing behind.
        from airflow_provider.altcraft.targets.object_storage.format import Encoder

        if place.is_folder:
            from airflow_provider.altcraft.targets.object_storage.parts import PartsWriter

            return PartsWriter(place, folder_at(place), scope, whole_number(self.part_rows, "part_rows", 1))
        if place.is_daily:
            from airflow_provider.altcraft.targets.object_storage.daily import DaysWriter

            return DaysWriter(place, scope)
        from airflow_provider.altcraft.targets.object_storage.order import Stamps

        staged = stage_at(place, Stamps(scope).of(scope.window))
        return ObjectWriter(place, staged, Encoder(place.suffix, staged.write))


class ObjectWriter(ReportingWriter):
    """Encodes batches into a staged object. An error ends the writer and leaves nothing staged."""

    def __init__(self, place: Place, staged: Staged, encoder: Encoder) -> None:
        super().__init__(staged.uri, place.failures())
        self._staged = staged
        self._encoder = encoder
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._guard():
            self._encoder.write(batch)
            self._rows += batch.num_rows

    def commit(self) -> Written:
        """Replace the object by the staged one."""
        with self._guard():
            size = self._encoder.finish()
            stays = not self._staged.commit()
            self._ended = "committed"
        return Written((self._uri,), rows=0, bytes=0) if stays else Written((self._uri,), self._rows, size)

    def _drop(self) -> None:
        self._encoder.drop()
        self._staged.discard()
