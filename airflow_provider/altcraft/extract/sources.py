"""Where the profiles of a pull may stand: a file or object, a SQL query's result, the platform's own list.

Each is read row by row, so memory does not grow with their number. DAG files make sources while they are parsed, so
what reads them, Airflow's connections included, is imported when a task runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.altcraft.client._lookup import CHECKS, EITHER, MATCHING, lookup_text

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient

__all__ = ["FileProfiles", "PlatformProfiles", "ProfileSource", "SqlProfiles", "shard_of"]

log = logging.getLogger(__name__)


def shard_of(lookup: Mapping[str, Any], shards: int) -> int:
    """In which of so many shards a lookup is, from 0: the same on any machine, whatever stands beside it.

    Args:
        lookup: as ``check_lookup`` gives it.
        shards: 1 or more.
    """
    digest = blake2b("\0".join(lookup_text(lookup)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


@dataclass(kw_only=True)
class ProfileSource:
    """Rows, and which of their columns make a lookup.

    Args:
        matching: a matching mode, or ``xxh``.
        columns: the column that holds the value; or, for a mode of several fields, a mapping of field to column. Where
            ``None``, columns are called like the fields: ``email``, ``phone``, ``xxh``, …
        fixed: fields that are the same for all, such as ``{"field_name": "CRM_ID"}``.
        skip_empty: leave out rows whose value is null or blank, instead of refusing them.

    Raises:
        ValueError: a constant argument that does not fit.
    """

    template_fields: ClassVar[Sequence[str]] = ()

    matching: str = "email"
    columns: str | Mapping[str, str] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    skip_empty: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not fit while the DAG file is parsed."""
        self.plan()
        for name, value in self.fixed.items():
            if wanted := CHECKS[name](value):
                raise ValueError(f"fixed[{name!r}]: {wanted} is wanted")

    def lookups(self, client: AltcraftClient, list_id: int) -> Iterator[dict[str, Any]]:
        """The lookups, in the order of the rows, as ``check_lookup`` gives them.

        Args:
            client: asks the platform, where it is the source.
            list_id: the database that is meant.

        Raises:
            ValueError: a row or the source itself does not fit; the message names place, row and column, not the value.
            OSError: it cannot be read.
            AltcraftError: the platform's list cannot be had.
        """
        plan = self.plan()
        blank: dict[str, Any] = {} if self.matching == "xxh" else {"matching": self.matching}
        blank |= {name: self.fixed.get(name) for name in self._fields()}
        either = self.matching in EITHER
        checks = [(name, column, CHECKS[name]) for name, column in plan.items()]
        skipped = 0
        for number, values in self._rows(list(plan.values()), client, list_id):
            lookup = blank.copy()
            empty = None
            for (name, column, check), given in zip(checks, values, strict=True):
                # A database's whole numbers may come as decimals.
                value = int(given) if isinstance(given, Decimal) and given == given.to_integral_value() else given
                if value is None or (isinstance(value, str) and not value.strip()):
                    empty = column
                elif wanted := check(value):
                    kind = "" if isinstance(value, str) else f", not {type(value).__name__}"
                    raise ValueError(f"{self._at(number)}, column {column!r}: {name}: {wanted} is wanted{kind}")
                else:
                    lookup[name] = value
            if either:
                lookup = {name: value for name, value in lookup.items() if value is not None}
            if empty is not None and not (either and len(lookup) > 1):
                if not self.skip_empty:
                    raise ValueError(
                        f"{self._at(number)}, column {empty!r}: there is no value; skip_empty=True leaves such rows out"
                    )
                skipped += 1
                continue
            yield lookup
        if skipped:
            log.warning("%s: left out %d rows that have no value", self._name(), skipped)

    def plan(self) -> dict[str, str]:
        """The column of each field that is not fixed.

        Raises:
            ValueError: ``matching``, ``columns`` and ``fixed`` do not fit together.
        """
        fields = self._fields()
        for name in self.fixed:
            if name not in fields:
                raise ValueError(f"fixed: {name!r} is no field of matching {self.matching!r}")
        varying = [name for name in fields if name not in self.fixed]
        if not varying:
            raise ValueError("fixed: at least one field must come from a column")
        if self.columns is None:
            return {name: self._usual_column(name) for name in varying}
        if isinstance(self.columns, str):
            if len(varying) > 1:
                raise ValueError(f"columns: name those of {' and '.join(varying)} by a mapping, or fix all but one")
            return {varying[0]: self.columns}
        for name in self.columns:
            if name not in varying:
                raise ValueError(f"columns: {name!r} is no field of matching {self.matching!r} that is not fixed")
        missing = [name for name in varying if name not in self.columns]
        if not self.columns or (missing and self.matching not in EITHER):
            raise ValueError(f"columns: there is none for {missing[0]}")
        return dict(self.columns)

    def _fields(self) -> tuple[str, ...]:
        if self.matching == "xxh":
            return ("xxh",)
        if self.matching not in MATCHING:
            raise ValueError(f"matching: one of xxh, {', '.join(MATCHING)} is wanted, not {self.matching!r}")
        return MATCHING[self.matching]

    def _usual_column(self, name: str) -> str:
        return name

    def _name(self) -> str:
        """The source as messages call it."""
        raise NotImplementedError

    def _at(self, number: int) -> str:
        return f"{self._name()}, row {number}"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        """Number and values of each row."""
        raise NotImplementedError


@dataclass
class FileProfiles(ProfileSource):
    """Profiles in a file or object: CSV (with a header, UTF-8), JSON lines or Parquet.

    Args:
        path: an absolute path, ``file:///…``, or a URI such as ``s3://conn_id@bucket/key``; may be a template. Its
            suffix names the format: ``.parquet``; ``.csv``, ``.jsonl`` or ``.ndjson``, these also with ``.gz``,
            ``.zst`` or ``.bz2`` behind.
        delimiter: what parts the columns of CSV.
    """

    template_fields: ClassVar[Sequence[str]] = ("path",)

    path: str
    delimiter: str = field(default=",", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what does not fit while the DAG file is parsed."""
        super().__post_init__()
        from airflow_provider.altcraft.extract import _files

        if len(self.delimiter) != 1:
            raise ValueError(f"delimiter: one character is wanted, not {self.delimiter!r}")
        if "{{" not in self.path and "{%" not in self.path:
            _files.check(self.path)

    def _name(self) -> str:
        return self.path

    def _at(self, number: int) -> str:
        return f"{self.path}, {'row' if self.path.endswith('.parquet') else 'line'} {number}"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        from airflow_provider.altcraft.extract import _files

        return _files.rows(self.path, columns, self.delimiter)


@dataclass
class SqlProfiles(ProfileSource):
    """Profiles that a query gives, over any Airflow connection of a SQL database.

    PostgreSQL and MySQL keep the result on their side and send it bit by bit; how much another driver holds is its own.
    Let the query have an ``ORDER BY``, so that a retry goes on where the first try was.

    Args:
        sql: one query; may be a template.
        conn_id: the connection.
        parameters: what the query's placeholders stand for, as the driver takes them; their texts may be templates.
    """

    template_fields: ClassVar[Sequence[str]] = ("sql", "conn_id", "parameters")

    sql: str
    conn_id: str
    parameters: Sequence[Any] | Mapping[str, Any] | None = field(default=None, kw_only=True)

    def _name(self) -> str:
        return f"query on {self.conn_id}"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        from airflow_provider.altcraft.extract import _query

        return _query.rows(self.conn_id, self.sql, self.parameters, columns)


@dataclass
class PlatformProfiles(ProfileSource):
    """All profiles of the database that is asked, or those of a query, from the platform's ``profiles/list``.

    A call gives a page, one page after another. Of a row only ``id`` is documented, so that is the default; any other
    column must be a profile field's name, and is asked for.

    Args:
        query: the platform's own, in the manner of MongoDB; its texts may be templates.
        limit: profiles a page; the platform's maximum is not documented.
    """

    template_fields: ClassVar[Sequence[str]] = ("query",)

    matching: str = field(default="profile_id", kw_only=True)
    query: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    limit: int = field(default=1000, kw_only=True)

    def _usual_column(self, name: str) -> str:
        return "id" if name == "profile_id" else name

    def _name(self) -> str:
        return "profiles/list"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        from airflow_provider.altcraft.client._paging import PageWalk

        walk: PageWalk[Any] = PageWalk("profiles/list", "", self.limit)
        fields = [name for name in columns if name != "id"]
        number = 0
        while not walk.done:
            call = client.core.profiles(list_id, walk.cursor, self.limit, self.query, fields)
            for row in walk.take(client._send(call, client.core.page_of)):
                number += 1
                if not isinstance(row, Mapping):
                    raise ValueError(f"{self._at(number)}: an object is wanted")
                yield number, [row.get(name) for name in columns]
