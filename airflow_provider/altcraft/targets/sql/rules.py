"""What differs between databases in the table of a target: types, which others fit, and DDL that repairs it.

``TableRules`` is PostgreSQL's; the module of another dialect has a subclass, which its session names.
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
    """A column that is there."""

    type: Any
    nullable: bool
    filled: bool = False
    """Whether the database has a value for it where a row gives none."""


@dataclass(slots=True)
class Shape:
    """A table that is there: columns by name, the columns of each unique key and of each index."""

    columns: dict[str, FoundColumn]
    unique: list[tuple[str, ...]] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[tuple[str, str | None]] = field(default_factory=list)
    """What else hinders, with the DDL that removes it."""
    primary: tuple[str, ...] = ()
    """The columns of the primary key."""
    partitioned: tuple[str, ...] = ()
    """The columns or expressions by which the table is partitioned; an expression may be an empty text."""
    instead: str | None = None
    """What has the name, where that is no table."""
    binding: tuple[str, ...] = ()
    """Names of indexes that the table cannot be renamed with."""

    def has_index(self) -> bool:
        """Whether some index begins with the list and the time."""
        return any(columns[:2] == ("list_id", "datetime") for columns in (*self.indexes, *self.unique))


class TableRules:
    """The rules of PostgreSQL, and of databases like it."""

    key_by_index: bool = False
    """Whether a key is added to a table as a unique index."""
    indexes_follow_table: bool = False
    """Whether a table's indexes have names of its own, or nobody knows, so that renaming it frees them."""

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        """The type of each role; see ``table.role``."""
        # JSONB would alter numbers and refuse \u0000.
        return {
            "key": sa.Text(),
            "text": sa.Text(),
            "integer": sa.BigInteger(),
            "instant": sa.TIMESTAMP(timezone=True),
            "json": postgresql.JSON(),
        }

    def fits_integer(self, found: Any) -> bool:
        """Whether a column of this type takes the whole numbers and gives them back unaltered."""
        return isinstance(found, sa.BigInteger)

    def fits_instant(self, found: Any) -> bool:
        """The same of instants."""
        return bool(
            isinstance(found, sa.TIMESTAMP) and found.timezone and getattr(found, "precision", None) in {None, 6}
        )

    def fits_json(self, found: Any) -> bool:
        """The same of JSON."""
        if isinstance(found, sa.JSON):
            return not isinstance(found, postgresql.JSONB)
        length = length_of(found)
        return length is not None and length >= _MANY

    def fits_key(self, found: Any) -> bool:
        """The same of ``event_key``."""
        length = length_of(found)
        return length is not None and length >= 32

    def fits_text(self, found: Any) -> bool:
        """The same of any other text."""
        length = length_of(found)
        return length is not None and length >= 255

    def is_fixed(self, shape: Shape, name: str) -> bool:
        """Whether the database cannot alter the column."""
        return any(name in each for each in shape.partitioned)

    def indexed_type(self, column: sa.Column[Any]) -> Any:
        """The type to give a column that is in a key or an index."""
        return column.type

    def change_type(self, column: sa.Column[Any], name: str, type_: str) -> str:
        """The end of the ``ALTER TABLE`` that gives a column another type."""
        using = f"{name} AT TIME ZONE 'UTC'" if column.name == "datetime" else f"{name}::{type_}"
        return f"ALTER COLUMN {name} TYPE {type_} USING {using}"

    def drop_not_null(self, name: str, type_: str) -> str:
        """The end of the ``ALTER TABLE`` after which a column may be null."""
        return f"ALTER COLUMN {name} DROP NOT NULL"


def length_of(found: Any) -> int | None:
    """How many characters a text column holds at least; ``None`` for one that is no text, or alters it."""
    if not isinstance(found, sa.String) or isinstance(found, sa.Enum | sa.CHAR | mysql.TINYTEXT):
        # Of a fixed length, but a key always has that.
        return found.length if isinstance(found, sa.CHAR) and found.length == 32 else None
    if type(found).__name__ == "CITEXT":
        return None
    return found.length or _MANY
