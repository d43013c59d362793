"""What the writers stand on: bytes that nobody sees until they are committed."""

from __future__ import annotations

from typing import Protocol


class Staged(Protocol):
    """An object being written. Its constructor refuses a place that cannot be written."""

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
