"""The emulated platform without its server: the data, the recorded requests, the cursors and the token's rights."""

from __future__ import annotations

from typing import Literal

from airflow_provider.altcraft.testing.emulator.contents import Contents
from airflow_provider.altcraft.testing.emulator.record import Record


class Platform(Contents, Record):
    """The part of an emulator that the API methods and the HTTP app use; ``Emulator`` documents and sets the knobs."""

    token: str
    path: str
    order: Literal["newest", "oldest", "shuffled"]
    empty_data: Literal["list", "null", "absent"]
    http_status: bool
    unknown_profile: Literal["empty", "error"]
    cursor: Literal["exclusive", "inclusive"]
    database_order: Literal["xxh", "time"]
    composed_cursors: Literal["taken", "refused", "ignored"]
    cursor_of_deleted: Literal["taken", "refused"]
    limit_counts: Literal["rows", "profiles"]
    missing_slash: Literal["refused", "redirected", "taken"]
    auth: tuple[Literal["body", "header"], ...]
    latency: float
    tariff_exhausted: bool

    def __init__(self, *, record: bool | int) -> None:
        super().__init__(record=record)
        self._revoked: set[int] = set()
        self._issued_cursors: set[str] = set()

    # Cursors

    def issue_cursor(self, cursor: str) -> str:
        """Return the cursor, and remember it where only issued cursors are accepted."""
        if self.composed_cursors != "taken":
            self._issued_cursors.add(cursor)
        return cursor

    def has_issued(self, cursor: str) -> bool:
        """Return whether a response had this cursor."""
        return cursor in self._issued_cursors

    # Rights

    @property
    def rights(self) -> frozenset[int]:
        """The databases that the token has rights on."""
        return frozenset(self._databases) - self._revoked

    def revoke(self, *list_ids: int) -> None:
        """Take the token's rights on these databases: requests for one get 403."""
        self._revoked.update(list_ids)

    def grant(self, *list_ids: int) -> None:
        """Restore the token's rights on these databases."""
        self._revoked.difference_update(list_ids)
