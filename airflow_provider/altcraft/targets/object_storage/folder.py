"""A folder of parts: what is asked of it, whether it is on a disk or in a store.

Each attempt that writes into one holds a lease in it, an object ``_lease-<attempt>`` that shows that it lives. On
a disk the lease is locked, and the kernel releases the lock of a killed attempt. In a store it is renewed all the time,
and a lease older than ``LeaseTimes.dead`` seconds, by the store's own clock, is that of a dead attempt.
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
        valid: after which one that could not be renewed no longer allows a commit.
        dead: after which others take its writer for dead. The gap is for clocks, and for a commit that takes long.
    """

    renew: float = 15.0
    valid: float = 60.0
    dead: float = 120.0


class Lease(Protocol):
    """That an attempt lives."""

    def check(self) -> None:
        """Make sure that nobody takes this attempt for dead.

        Raises:
            OSError: somebody may.
        """
        ...

    def release(self) -> None:
        """End it: from now on there is no lease to find."""
        ...

    def leave(self) -> None:
        """Let it run out."""
        ...


class Folder(Protocol):
    """Files right in a folder, by name. All methods raise ``OSError`` where the place cannot be reached."""

    uri: str

    def hold(self, attempt: str) -> Lease:
        """Begin a lease; a folder that is not there is made."""
        ...

    def prove(self, name: str, other: str) -> None:
        """Make each call of a commit once, on files of these names, which are removed again.

        Raises:
            ValueError: the store does not do one of them.
            OSError: it cannot be reached, or the right to one of them is missing.
        """
        ...

    def living(self) -> set[str]:
        """Attempts that hold a lease."""
        ...

    def sizes(self) -> dict[str, int]:
        """What is there now, and how large."""
        ...

    def stage(self, name: str) -> Staged:
        """Begin a file that nobody else writes."""
        ...

    def copy(self, source: str, name: str) -> None:
        """Have the same bytes under another name; raises FileNotFoundError where the source is missing."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small file; ``None`` where there is none."""
        ...

    def version(self, name: str) -> object | None:
        """What tells the file of now from others of its name; ``None`` where there is none."""
        ...

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Put a small file in place of that version, or of none, at once; tell whether it still was that version."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are missing are no error."""
        ...

    def drop_uploads(self, prefix: str, living: set[str]) -> None:
        """Have the store drop unfinished uploads to ``<prefix><attempt>-…`` of attempts that do not live."""
        ...
