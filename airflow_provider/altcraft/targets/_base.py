"""What a target is: it opens for a scope, takes Arrow batches, and commits them whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from airflow_provider.altcraft.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pull covers: after its commit the target holds exactly these events for exactly this.

    ``lookups`` are pairs of ``matching`` and ``lookup`` as they stand in the rows, each once; ``None`` means the whole
    database. There may be millions: iterate over them, as often as you like, and keep no list.
    """

    list_id: int
    lookups: Collection[tuple[str, str]] | None
    window: Window = field(default_factory=Window)


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit left behind: where, how many rows and bytes (``None`` where the store does not say).

    ``each`` has rows and bytes of each of several ``uris``, where the target knows them.
    """

    uris: tuple[str, ...]
    rows: int
    bytes: int | None = None
    each: tuple[tuple[int, int | None], ...] = ()


@runtime_checkable
class TargetWriter(Protocol):
    """One open write. Exactly one of ``commit`` and ``abort`` ends it."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch of ``schema.SCHEMA``; no reader sees it yet."""
        ...

    def commit(self) -> Written:
        """Put all that was staged in place of what the scope held, at once."""
        ...

    def abort(self) -> None:
        """Leave the target as it was before ``open``.

        May be called twice, and after a ``write`` or ``commit`` that failed; after one that did not, it does nothing.
        """
        ...


@runtime_checkable
class KeepsFailures(Protocol):
    """What a writer has beside, where its target has a place for the profiles that a pull passed over."""

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """Write ``{"lookup": {…}, "error": "…"}`` for each profile beside the output, and return where.

        With none, what an earlier pull left there is removed, and the answer is ``None``. Called before ``commit``.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """What a writer has beside, where a retry can go on from what a killed attempt completed."""

    def resume(self, pull: str) -> Any:
        """Take over what an attempt at the same pull completed without committing it.

        Called at most once, after ``open`` and before anything else.

        Args:
            pull: a digest of all that decides the rows and their order.

        Returns:
            What ``checkpoint`` was last told of the rows taken over, or ``None`` where there are none.
        """
        ...

    def checkpoint(self, state: Any, *, keep: bool = False) -> None:
        """All rows written so far are those of what ``state``, plain JSON, says is done.

        The writer keeps them durably now, or with a later checkpoint; with ``keep`` it is time to do so, for much would
        have to be pulled again.
        """
        ...


@runtime_checkable
class Target(Protocol):
    """Where history is written. A user's own target follows this protocol.

    An operator renders the attributes named in ``template_fields`` before it opens the target. ``repr`` must be
    stable from one parse of the DAG file to the next and hold no secret.
    """

    template_fields: Sequence[str]

    def open(self, scope: Scope) -> TargetWriter:
        """Begin a write of this scope. Called before any request, so what cannot work is refused here.

        Raises:
            ValueError: the target does not fit the scope, or its own arguments are wrong.
            OSError: the place cannot be reached or written.
        """
        ...
