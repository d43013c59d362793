"""History as one object, an object for each day, or parts in a folder; in a store or on a disk."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets._base import Scope, TargetWriter, Written
from airflow_provider.altcraft.targets._paths import SHARD, Place, check, is_template, without_password
from airflow_provider.altcraft.targets._staged import Staged, stage_at
from airflow_provider.altcraft.targets._steps import StorageSteps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets._formats import Encoder

PART_ROWS = 250_000


class ObjectStorageTarget:
    """Objects or files, in one of three shapes, which the path tells.

    - ``…/history.parquet``: one object, replaced at once by each commit, whatever the scope.
    - ``…/date={date}/history.parquet``: an object for each UTC day of the window, days without events too, each
      replaced at once. The window must consist of whole days.
    - ``…/history/``: parts in a folder and, last, a ``_manifest.json`` that names them (``read_manifest``). A retry
      goes on from the parts that are complete. A commit removes the parts of earlier pulls.

    Args:
        path: ``s3://conn_id@bucket/key``, ``abfs://conn_id@container/key``, ``gs://conn_id@bucket/key``, any other
            that Airflow knows and that is safe to write, ``file:///…`` or an absolute path; may be a template. Its
            suffix names the format: ``.parquet``, or ``.jsonl``, ``.ndjson`` or ``.csv``, these three also with
            ``.gz`` or ``.zst`` behind.
        format: the same without the first dot, for a folder: ``parquet`` where it is not given.
        part_rows: rows of a part, about; a folder's only. A pull of profiles has fewer where it wants them kept.

    Raises:
        ValueError: the path cannot be a target; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("path",)

    def __init__(self, path: str, *, format: str | None = None, part_rows: int = PART_ROWS) -> None:  # noqa: A002
        if not (isinstance(path, str) and is_template(path)):
            check(path, format)
        if isinstance(part_rows, bool) or not isinstance(part_rows, int) or part_rows < 1:
            raise ValueError(f"part_rows: 1 or more is wanted, not {part_rows!r}")
        self.path = path
        self.format = format
        self.part_rows = part_rows

    def __repr__(self) -> str:
        """Return what made the target, alike at each parse of the DAG file."""
        more = "" if self.format is None else f", format={self.format!r}"
        more += "" if self.part_rows == PART_ROWS else f", part_rows={self.part_rows}"
        return f"{type(self).__name__}(path={without_password(str(self.path))!r}{more})"

    def __eq__(self, other: object) -> bool:
        """Compare kind and arguments."""
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]  # rendering changes the path

    def for_shard(self, number: int, count: int) -> ObjectStorageTarget:
        """Return the target of one shard, a place of its own; the number is from 0.

        Raises:
            ValueError: the path does not tell the shards apart, so that each would replace what another has written.
        """
        if count > 1 and SHARD not in self.path:
            raise ValueError(
                f"path: {without_password(self.path)!r} is the same for all shards, so each would replace what another "
                f"has written; put {SHARD} into it, as in '/folder/history-{SHARD}.parquet'"
            )
        own = copy.copy(self)
        own.path = self.path.replace(SHARD, f"{number:04d}-of-{count:04d}")
        return own

    def open(self, scope: Scope) -> TargetWriter:
        """Begin a write: the store is reached, and the place proved writable.

        Raises:
            ValueError: the rendered path cannot be a target, or its shape does not fit the window.
            OSError: the place cannot be written; what it holds is untouched.
        """
        place = check(self.path, self.format)
        if SHARD in self.path:
            raise ValueError(f"path: {without_password(self.path)!r} has {SHARD}, but the pull is none of a shard")
        # Imported before anything is staged, so that a broken pyarrow leaves nothing behind.
        from airflow_provider.altcraft.targets._formats import Encoder

        if place.is_folder:
            from airflow_provider.altcraft.targets._parts import PartsWriter

            return PartsWriter(place, scope, self.part_rows)
        if place.is_daily:
            from airflow_provider.altcraft.targets._days import DaysWriter

            return DaysWriter(place, scope)
        staged = stage_at(place)
        return ObjectWriter(place, staged, Encoder(place.suffix, staged.write))


class ObjectWriter(StorageSteps):
    """Encodes batches into a staged object. An error ends the writer and leaves nothing staged."""

    def __init__(self, place: Place, staged: Staged, encoder: Encoder) -> None:
        super().__init__(staged.uri)
        self._place = place
        self._staged = staged
        self._encoder = encoder
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._one_step():
            self._encoder.write(batch)
            self._rows += batch.num_rows

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """List the profiles passed over in ``<path>.failed.jsonl``, or remove that file where there are none."""
        from airflow_provider.altcraft.targets._failures import keep

        with self._one_step():
            return keep(self._place.failures(), failed)

    def commit(self) -> Written:
        """Put what was staged in place of the object."""
        with self._one_step():
            size = self._encoder.finish()
            self._staged.commit()
            self._ended = "committed"
        return Written(uris=(self._uri,), rows=self._rows, bytes=size)

    def _drop(self) -> None:
        self._encoder.drop()
        self._staged.discard()
