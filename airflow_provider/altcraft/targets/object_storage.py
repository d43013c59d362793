"""History as one object in a store or one local file, replaced whole by a commit."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider.altcraft.targets._base import Scope, Written
from airflow_provider.altcraft.targets._paths import Place, check, is_template, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets._formats import Encoder

log = logging.getLogger(__name__)


class ObjectStorageTarget:
    """One object, replaced atomically by each commit, whatever the scope.

    Args:
        path: ``s3://conn_id@bucket/key``, ``file:///…`` or an absolute path; may be a template. Its suffix names
            the format: ``.parquet``, or ``.jsonl``, ``.ndjson`` or ``.csv``, these three also with ``.gz`` or
            ``.zst`` behind.

    Raises:
        ValueError: the path cannot be a target; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("path",)

    def __init__(self, path: str) -> None:
        if not (isinstance(path, str) and is_template(path)):
            check(path)
        self.path = path

    def __repr__(self) -> str:
        """Return what made the target, alike at each parse of the DAG file."""
        return f"{type(self).__name__}(path={without_password(str(self.path))!r})"

    def __eq__(self, other: object) -> bool:
        """Compare kind and path."""
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]  # rendering changes the path

    def open(self, scope: Scope) -> ObjectWriter:
        """Begin a write: the store is reached, and the place proved writable.

        Raises:
            ValueError: the rendered path cannot be a target.
            OSError: the place cannot be written; what it holds is untouched.
        """
        place = check(self.path)
        # Imported before anything is staged, so that a broken pyarrow leaves nothing behind.
        from airflow_provider.altcraft.targets._formats import Encoder

        staged = _stage(place)
        return ObjectWriter(place, staged, Encoder(place.suffix, staged.write))


class Staged(Protocol):
    """What a writer stands on: bytes that nobody sees until they are committed.

    Its constructor refuses a place that cannot be written.
    """

    uri: str

    def write(self, data: bytes) -> None:
        """Append; the data is not kept after the call."""
        ...

    def commit(self) -> None:
        """Replace the object at once, durably."""
        ...

    def discard(self) -> None:
        """Drop what was staged; also after a failed ``write`` or ``commit``."""
        ...


def _stage(place: Place) -> Staged:
    if place.local is not None:
        from airflow_provider.altcraft.targets._local import StagedFile

        return StagedFile(place.local)
    from airflow_provider.altcraft.targets._store import StagedObject

    return StagedObject(place.uri)


class ObjectWriter:
    """Encodes batches into a staged object. An error ends the writer and leaves nothing staged."""

    def __init__(self, place: Place, staged: Staged, encoder: Encoder) -> None:
        self._place = place
        self._staged = staged
        self._encoder = encoder
        self._rows = 0
        self._ended: str | None = None
        # A cancelled operator aborts while a thread of its own may still write or commit, and must not cut that off
        # half way: dropped bytes would be missing from what the commit then puts in place.
        self._lock = threading.RLock()

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._one_step():
            self._encoder.write(batch)
            self._rows += batch.num_rows

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """List the profiles passed over in ``<path>.failed.jsonl``, or remove that file where there are none."""
        from airflow_provider.altcraft.targets._failures import keep

        with self._one_step():
            return keep(self._place, failed, _stage)

    def commit(self) -> Written:
        """Put what was staged in place of the object."""
        with self._one_step():
            size = self._encoder.finish()
            self._staged.commit()
            self._ended = "committed"
        return Written(uris=(self._staged.uri,), rows=self._rows, bytes=size)

    def abort(self) -> None:
        """Drop what was staged; does nothing where the writer has ended."""
        with self._lock:
            if self._ended:
                return
            self._ended = "aborted"
            self._encoder.drop()
            try:
                self._staged.discard()
            except Exception as error:  # whatever a store that is gone may raise
                log.warning("%s: what was staged could not be removed: %s", self._staged.uri, error)

    @contextlib.contextmanager
    def _one_step(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise RuntimeError(f"{self._staged.uri}: this write was {self._ended} already; open the target again")
            try:
                yield
            except BaseException:
                self.abort()
                raise
