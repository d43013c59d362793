"""Bytes that nobody sees until they are committed: on a disk or in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._paths import Place


class Staged(Protocol):
    """What a writer stands on.

    Its constructor refuses a place that cannot be written.
    """

    uri: str

    def write(self, data: bytes) -> None:
        """Append; the data is not kept after the call."""
        ...

    def finish(self) -> None:
        """Send or keep all that was written, so that a commit is quick; ``commit`` does it where it was not done."""
        ...

    def commit(self) -> None:
        """Replace the object at once, durably."""
        ...

    def discard(self) -> None:
        """Drop what was staged; also after a failed ``write`` or ``commit``."""
        ...


def stage_at(place: Place) -> Staged:
    """Begin an object.

    Raises:
        ValueError: what the place needs is not there.
        OSError: the place cannot be written.
    """
    if place.local is not None:
        from airflow_provider.altcraft.targets._local import StagedFile

        return StagedFile(place.local)
    from airflow_provider.altcraft.targets import _store

    return _store.stage(place.uri, shared=True)
