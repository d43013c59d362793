"""Parses a response into rows without a dictionary for each: fields with a column, and the JSON of all others.

It takes only answers of the shapes that the platform is known to send. All others are left to the client and its
models, which may repair or refuse them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec

from airflow_provider.altcraft.client._json import decode
from airflow_provider.altcraft.client._responses import charset_of

R = TypeVar("R")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_MOST = 30
"""Fields without a column, at most; rows with more are left to the models."""


class RawRow(msgspec.Struct, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A row. Subclasses add a field of JSON for each field without a column, empty where it was not sent."""

    # The names of the fields without a column, in the order of the added fields.
    others: ClassVar[tuple[str, ...]] = ()

    action: str
    datetime: str
    count: Int64 = 1
    list_id: Int64 | None = None
    xxh: str | None = None
    profile_id: str | None = None
    email: str | None = None
    channel: str | None = None
    message_id: Int64 | None = None
    message_name: str | None = None
    campaign_id: Int64 | None = None
    campaign_name: str | None = None
    smid: str | None = None
    event_id: str | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field with a column, as a mapping does."""
        return getattr(self, name, default)

    def mapping(self) -> dict[str, Any]:
        """Return the row as the models take it.

        Raises:
            ValueError: a field is not JSON.
        """
        row: dict[str, Any] = decode(msgspec.json.encode(self))
        return row


RAW_COLUMNS = RawRow.__struct_fields__


class Envelope(msgspec.Struct, Generic[R]):
    """A response. Of other fields only the JSON grammar is checked."""

    error: int
    error_text: str | None = None
    data: list[R] | None = None
    next_from_id: int | str | None = None


class RowReader:
    """Reads the answers of one pull, and learns from them the fields without a column."""

    def __init__(self) -> None:
        self._others = frozenset({"subscription", "subscriptions"})
        self._decoder = _decoder(self._others, "list_id")

    def read(self, body: bytes | memoryview, content_type: str) -> Envelope[RawRow] | None:
        """Return a response if it is a success and all its rows have a known shape."""
        if charset_of(content_type):
            return None
        try:
            try:
                sent = self._decoder.decode(body)
            except msgspec.ValidationError:
                if not self._learn(decode(body)["data"]):
                    return None
                sent = self._decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return None if sent.error else sent

    def _learn(self, rows: list[dict[str, Any]]) -> bool:
        """Learn the fields of rows, and return whether there are new ones."""
        if set(map(type, rows)) != {dict}:
            return False
        names = frozenset().union(*rows)
        base = "db_id" if "db_id" in names and "list_id" not in names else "list_id"
        others = self._others | (names - {*RAW_COLUMNS, "db_id"})
        learnt = _decoder(others, base) if len(others) <= _MOST else self._decoder
        if learnt is self._decoder:
            return False
        self._others, self._decoder = others, learnt
        return True


@lru_cache
def _decoder(others: frozenset[str], base: str) -> msgspec.json.Decoder[Envelope[RawRow]]:
    """Return a decoder of rows with these fields without a column.

    Args:
        others: their names.
        base: the name of ``list_id`` in the rows.
    """
    names = tuple(sorted(others))
    fields = {f"other_{number}": name for number, name in enumerate(names)}
    kind = msgspec.defstruct(
        "Row",
        [(field, msgspec.Raw, msgspec.Raw()) for field in fields] + [("list_id", Int64 | None, None)],
        bases=(RawRow,),
        namespace={"others": names},
        rename={**fields, "list_id": base},
        gc=False,
    )
    return msgspec.json.Decoder(Envelope[kind])  # type: ignore[valid-type]
