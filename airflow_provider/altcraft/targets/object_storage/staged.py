"""The protocol of a staged object, on a disk or in a store: readers see its bytes only after the commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Staged(Protocol):
    """An object being written. Its constructor refuses a place that cannot be written."""

    uri: str

    def write(self, data: bytes) -> None:
        """Append; the data is not kept after the call."""
        ...

    def finish(self) -> None:
        """Send all that was written, so that the commit is quick; else ``commit`` does it."""
        ...

    def commit(self) -> bool:
        """Replace the object at once, durably; ``False`` where it stays, as a later pull has written it."""
        ...

    def discard(self) -> None:
        """Drop what was staged; also after a failed ``write`` or ``commit``."""
        ...


@contextmanager
def writing(staged: Staged) -> Iterator[Staged]:
    """Commit what the block has written, or discard it where that fails."""
    try:
        yield staged
        staged.commit()
    except BaseException:
        staged.discard()
        raise
