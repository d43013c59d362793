"""The protocol of a folder of parts, on a disk or in a store, and of the leases in it.

Each attempt that writes into a folder holds a lease, a file ``_lease-<attempt>`` that shows that the attempt lives. On
a disk the lease is locked, and the kernel releases the lock of a killed attempt. In a store the lease is renewed; one
older than ``LeaseTimes.dead`` seconds, by the store's clock, belongs to a dead attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.staged import Staged

LEASE = re.compile(r"_lease-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds in the life of a lease in a store.

    Attributes:
        renew: between two renewals.
        valid: after a renewal, for which the lease allows a commit.
        dead: after a renewal, until others take the writer for dead. The gap is for clocks and long commits.
    """

    renew: float = 15.0
    valid: float = 60.0
    dead: float = 120.0


class Lease(Protocol):
    """A sign that an attempt lives."""

    def check(self) -> None:
        """Make sure that no other attempt takes this one for dead.

        Raises:
            OSError: another attempt may.
        """
        ...

    def release(self) -> None:
        """Remove the lease."""
        ...

    def leave(self) -> None:
        """Stop renewing the lease, which then runs out."""
        ...


class Folder(Protocol):
    """The files of a folder, by name. All methods raise ``OSError`` where it cannot be reached."""

    uri: str

    def hold(self, attempt: str) -> Lease:
        """Begin a lease, and make the folder where missing."""
        ...

    def prove(self, name: str, other: str) -> None:
        """Try each call of a commit on files of these names, and remove them.

        Raises:
            ValueError: the store does not support one of the calls.
            OSError: the store cannot be reached, or the right to one of the calls is missing.
        """
        ...

    def living(self) -> set[str]:
        """Return the attempts that hold a lease."""
        ...

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files."""
        ...

    def stage(self, name: str) -> Staged:
        """Begin a file that nobody else writes."""
        ...

    def copy(self, source: str, name: str) -> None:
        """Copy a file; raises ``FileNotFoundError`` where the source is missing."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; ``None`` where there is none."""
        ...

    def version(self, name: str) -> object | None:
        """Return a mark of the file's present content; ``None`` where there is no file."""
        ...

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Replace a small file at once if it still has that version, or is still missing; return whether it had."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""
        ...

    def drop_uploads(self, prefix: str, living: set[str]) -> None:
        """Drop unfinished uploads to ``<prefix><attempt>-…`` of attempts that do not live."""
        ...
