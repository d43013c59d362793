"""The platform that an emulator plays: what it knows, what it was asked, its cursors and rights. Serves nothing."""

from __future__ import annotations

from typing import Literal

from airflow_provider.altcraft.testing.emulator.contents import Contents
from airflow_provider.altcraft.testing.emulator.record import Record


class Platform(Contents, Record):
    """What the methods and the HTTP app see of an emulator; ``Emulator`` documents and sets the knobs."""

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
        self._given: set[str] = set()

    # Cursors

    def gave(self, cursor: str) -> str:
        """Remember a cursor that is given to a client, where others are not taken."""
        if self.composed_cursors != "taken":
            self._given.add(cursor)
        return cursor

    def has_given(self, cursor: str) -> bool:
        """Whether a client was given this cursor."""
        return cursor in self._given

    # Rights

    @property
    def rights(self) -> frozenset[int]:
        """The databases that the token has rights on."""
        return frozenset(self._databases) - self._revoked

    def revoke(self, *list_ids: int) -> None:
        """Take the token's rights on these databases: what asks for one gets 403."""
        self._revoked.update(list_ids)

    def grant(self, *list_ids: int) -> None:
        """Give the token's rights on these databases back."""
        self._revoked.difference_update(list_ids)
