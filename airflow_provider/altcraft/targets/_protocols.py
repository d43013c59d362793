"""The protocols of a target: it opens for a scope, takes Arrow batches, and commits them whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from airflow_provider.altcraft.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a pull: after its commit the target holds exactly the pull's events for it.

    ``lookups`` are pairs of ``matching`` and ``lookup`` as they stand in the rows, each once; ``None`` means the whole
    database. There may be millions: iterate over them, as often as you like, and keep no list. ``event_key_by`` says
    what the keys are made of: those by ``event_id`` begin with an ``i``.
    """

    list_id: int
    lookups: Collection[tuple[str, str]] | None
    window: Window = field(default_factory=Window)
    event_key_by: Literal["row", "event_id"] = "row"


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a commit: addresses, rows and bytes (``None`` where the store does not tell them).

    ``each`` holds rows and bytes of each of several ``uris``, where the target knows them.
    """

    uris: tuple[str, ...]
    rows: int
    bytes: int | None = None
    each: tuple[tuple[int, int | None], ...] = ()


@runtime_checkable
class TargetWriter(Protocol):
    """One open write. Exactly one of ``commit`` and ``abort`` ends it.

    An operator calls ``open``, ``commit`` and ``abort`` in the task's main thread, and each ``write`` in another one,
    never two of them at once: a writer keeps nothing that works in one thread only. Another writer of the same target
    may be open at the same time, in this process or in another one; the later commit wins, or the later ``open``.
    """

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch of ``schema.SCHEMA``, outside of memory; no reader sees it yet.

        Raises:
            ValueError: the batch has another schema (the message names the schema), or the store cannot hold a value.
        """
        ...

    def commit(self) -> Written:
        """Replace the scope's rows by the staged ones in one atomic step, also where nothing was staged.

        The scope's rows are those of the same ``list_id``, the same pairs of ``matching`` and ``lookup`` and the
        same window; all others stay. Killed at any point, it leaves the old rows or the new ones.
        """
        ...

    def abort(self) -> None:
        """Leave the target as it was before ``open``, with nothing staged.

        May be called several times, and after a ``write`` or ``commit`` that failed; after a commit it does nothing.
        """
        ...


@runtime_checkable
class SupportsFailureReport(Protocol):
    """A writer that can list the profiles that a pull passed over next to its output."""

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """Write ``{"lookup": {…}, "error": "…"}`` for each profile next to the output, and return where.

        With none, what an earlier pull left there is removed, and the answer is ``None``. Called before ``commit``.
        """
        ...


@runtime_checkable
class SupportsResume(Protocol):
    """A writer whose retry can go on from what a killed attempt completed."""

    def resume(self, pull: str) -> Any:
        """Take over what an attempt at the same pull completed without committing it.

        Called at most once, after ``open`` and before anything else.

        Args:
            pull: a digest of all that decides the rows and their order.

        Returns:
            What ``checkpoint`` was last given for the rows taken over, or ``None`` where there are none.
        """
        ...

    def checkpoint(self, state: Any, *, keep: bool = False) -> None:
        """Note that the rows written so far are those of ``state``, plain JSON.

        The writer makes them durable now, or with a later checkpoint; with ``keep`` it should do so now, as much would
        have to be pulled again.
        """
        ...


@runtime_checkable
class Target(Protocol):
    """A place that history is written to. A user's own target follows this protocol.

    An operator renders the attributes named in ``template_fields`` before it opens the target. ``repr`` must be
    stable from one parse of the DAG file to the next and hold no secret. ``testing.conformance.TargetConformance``
    tests all that is said here.
    """

    @property
    def template_fields(self) -> Sequence[str]:
        """Names of the attributes that may be templates."""
        ...

    def open(self, scope: Scope) -> TargetWriter:
        """Begin a write of this scope. Called before any request, so what cannot work is refused here.

        No reader sees a change yet. What killed attempts have left is removed here or by the commit.

        Raises:
            ValueError: the target does not fit the scope, or its own arguments are wrong.
            OSError: the place cannot be reached or written.
        """
        ...


def check_keys(rows: Iterable[Sequence[Any]], scope: Scope) -> None:
    """Refuse to merge with rows whose ``event_key`` is of another kind than the scope's.

    Args:
        rows: ``event_key`` and ``event_id`` of each. Without an ``event_id`` both kinds are the same.
        scope: what is about to be merged.

    Raises:
        ValueError: there is such a row.
    """
    for key, event_id in rows:
        found = "event_id" if key.startswith("i") else "row"
        if event_id and found != scope.event_key_by:
            raise ValueError(
                f"event_key_by: the table holds events of this list and window by {found!r}, got "
                f"{scope.event_key_by!r}, by which each would be there twice; use {found!r}, another table, or delete "
                f"these rows first"
            )
