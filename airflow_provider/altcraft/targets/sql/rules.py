"""The rules of a database for the table of a target: column types, other types that fit, and DDL that repairs it.

``TableRules`` is for PostgreSQL; the modules of other dialects have subclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa  # noqa: TID253 - imported by a writer, at run time
from sqlalchemy.dialects import mysql, postgresql  # noqa: TID253 - the same

_MANY = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """An existing column."""

    type: Any
    nullable: bool
    filled: bool = False
    """Whether the database fills the column in where a row gives no value."""


@dataclass(slots=True)
class Shape:
    """An existing table: columns by name, the columns of each unique key and of each index."""

    columns: dict[str, FoundColumn]
    unique: list[tuple[str, ...]] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[tuple[str, str | None]] = field(default_factory=list)
    """Other problems, each with the DDL that removes it."""
    primary: tuple[str, ...] = ()
    """The columns of the primary key."""
    partitioned: tuple[str, ...] = ()
    """The columns or expressions by which the table is partitioned; an expression may be an empty text."""
    instead: str | None = None
    """The kind of object that has the name, where it is not a table."""
    binding: tuple[str, ...] = ()
    """Names of indexes that prevent renaming the table."""

    def has_index(self) -> bool:
        """Return whether an index begins with the list and the time."""
        return any(columns[:2] == ("list_id", "datetime") for columns in (*self.indexes, *self.unique))


class TableRules:
    """The rules of PostgreSQL, and of databases like it."""

    key_by_index: bool = False
    """Whether a key is added to a table as a unique index."""
    indexes_follow_table: bool = False
    """Whether renaming a table frees the names of its indexes, or this is not known."""

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        """Return the type of each role; see ``table.role``."""
        # JSONB would alter numbers and refuse \u0000.
        return {
            "key": sa.Text(),
            "text": sa.Text(),
            "integer": sa.BigInteger(),
            "instant": sa.TIMESTAMP(timezone=True),
            "json": postgresql.JSON(),
        }

    def fits_integer(self, found: Any) -> bool:
        """Return whether a column of this type stores whole numbers unaltered."""
        return isinstance(found, sa.BigInteger)

    def fits_instant(self, found: Any) -> bool:
        """Return whether it stores instants unaltered."""
        return bool(
            isinstance(found, sa.TIMESTAMP) and found.timezone and getattr(found, "precision", None) in {None, 6}
        )

    def fits_json(self, found: Any) -> bool:
        """Return whether it stores JSON text unaltered."""
        if isinstance(found, sa.JSON):
            return not isinstance(found, postgresql.JSONB)
        length = length_of(found)
        return length is not None and length >= _MANY

    def fits_key(self, found: Any) -> bool:
        """Return whether it stores an ``event_key`` unaltered."""
        length = length_of(found)
        return length is not None and length >= 32

    def fits_text(self, found: Any) -> bool:
        """Return whether it stores any other text unaltered."""
        length = length_of(found)
        return length is not None and length >= 255

    def is_fixed(self, shape: Shape, name: str) -> bool:
        """Return whether the database cannot alter the column."""
        return any(name in each for each in shape.partitioned)

    def indexed_type(self, column: sa.Column[Any]) -> Any:
        """Return the type for a column in a key or an index."""
        return column.type

    def change_type(self, column: sa.Column[Any], name: str, type_: str) -> str:
        """Return the end of the ``ALTER TABLE`` that changes a column's type."""
        using = f"{name} AT TIME ZONE 'UTC'" if column.name == "datetime" else f"{name}::{type_}"
        return f"ALTER COLUMN {name} TYPE {type_} USING {using}"

    def drop_not_null(self, name: str, type_: str) -> str:
        """Return the end of the ``ALTER TABLE`` that lets a column be null."""
        return f"ALTER COLUMN {name} DROP NOT NULL"


def length_of(found: Any) -> int | None:
    """Return how many characters a text column surely holds; ``None`` where it is not a text, or alters it."""
    if not isinstance(found, sa.String) or isinstance(found, sa.Enum | sa.CHAR | mysql.TINYTEXT):
        # Of a fixed length, which a key always has.
        return found.length if isinstance(found, sa.CHAR) and found.length == 32 else None
    if type(found).__name__ == "CITEXT":
        return None
    return found.length or _MANY
