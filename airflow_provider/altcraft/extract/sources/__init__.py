"""Sources of the profiles of a pull: a file or object, the result of a SQL query, or the platform's own list.

Each is read row by row, so memory does not grow with the number of profiles. DAG files construct sources while they are
parsed, so the modules that read them are imported when a task runs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.altcraft._arguments import check_number_constant, is_template, listed, path_text, whole_number
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client._lookup import CHECKS, EITHER, MATCHING, lookup_text
from airflow_provider.altcraft.extract.sources import _files
from airflow_provider.altcraft.extract.sources._kinds import advice_of_file, advice_of_query, name_of, plain
from airflow_provider.altcraft.extract.sources._phones import PhoneReader, check_region
from airflow_provider.altcraft.extract.sources._text import check_encoding

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient

__all__ = ["FileProfiles", "PlatformProfiles", "ProfileSource", "SqlProfiles", "shard_of"]

log = logging.getLogger(__name__)

_SHORTENED = re.compile(r"\d(?:[.,]\d+)?E\+\d{2}")
"""The form in which Excel writes a number of more than 11 digits into CSV."""

_COMMON = ("matching", "columns", "fixed")
"""Fields of every source that Airflow renders."""


def shard_of(lookup: Mapping[str, Any], shards: int) -> int:
    """Return the number, from 0, of the shard of a lookup: the same on any machine, whatever other lookups there are.

    Args:
        lookup: as ``check_lookup`` gives it.
        shards: 1 or more.
    """
    digest = blake2b("\0".join(lookup_text(lookup)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


@dataclass(kw_only=True, repr=False, eq=False)
class ProfileSource:
    """A source of rows whose columns make lookups; or a user's own subclass that yields lookups.

    A user's own subclass needs the method ``lookups`` only. It yields e-mails, mappings or ``ProfileLookup``, as
    ``profiles`` of the operator takes them, which the operator checks. It may have its own ``__init__``.
    ``template_fields`` names the attributes that Airflow renders.

    Args:
        matching: a matching mode, or ``xxh``; like ``columns`` and ``fixed`` it may be a template.
        columns: the column that holds the value; or, for a mode of several fields, a mapping of field to column. Where
            ``None``, columns are called like the fields: ``email``, ``phone``, ``xxh``, …
        fixed: fields that are the same for all, such as ``{"field_name": "CRM_ID"}``.
        skip_empty: leave out rows whose value is null or blank, instead of refusing them.
        phone_region: the country, such as ``RU``, whose people wrote the phones: ``8 (900) 000-00-00`` and whole
            numbers are brought into the platform's form ``+79000000000``. Needs the extra ``phone``. Where ``None``,
            phones are asked as they are.

    Raises:
        ValueError: a constant argument that does not fit.
    """

    template_fields: ClassVar[Sequence[str]] = ()

    matching: str = "email"
    columns: str | Mapping[str, str] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    skip_empty: bool = False
    phone_region: str | None = None

    def __init_subclass__(cls) -> None:
        """Refuse a subclass without ``lookups``, when its class is made."""
        super().__init_subclass__()
        if cls.lookups is ProfileSource.lookups and cls._rows is ProfileSource._rows:
            raise ValueError(f"{cls.__name__}: give a method `lookups(self, client, list_id)` that yields the profiles")

    def __repr__(self) -> str:
        """Return a text for Airflow that is the same in each process."""
        shown = ", ".join(f"{name}={getattr(self, name, None)!r}" for name in self.template_fields)
        return f"{type(self).__name__}({shown})"

    def __post_init__(self) -> None:
        """Check constant arguments while the DAG file is parsed."""
        if not isinstance(self.skip_empty, bool):
            raise ValueError(f"skip_empty: expected True or False, got {self.skip_empty!r}")
        if self.phone_region is not None:
            check_region(self.phone_region)
        if is_template([self.matching, self.columns, self.fixed]):
            return
        if "phone" not in self.plan() and self.phone_region is not None:
            raise ValueError(f"phone_region: with matching {self.matching!r} there is no column of phones")

    def lookups(self, client: AltcraftClient, list_id: int) -> Iterator[dict[str, Any]]:
        """Yield the lookups, in the order of the rows, as ``check_lookup`` gives them.

        Args:
            client: of the platform, for a source that asks it.
            list_id: the profile database.

        Raises:
            ValueError: a row or the source itself does not fit; the message names place, row and column, not the value.
            OSError: it cannot be read.
            AltcraftError: the platform's list cannot be read.
        """
        plan = self.plan()
        blank: dict[str, Any] = {} if self.matching == "xxh" else {"matching": self.matching}
        blank |= {name: self.fixed.get(name) for name in self._fields()}
        either = self.matching in EITHER
        phones = PhoneReader(self.phone_region) if self.phone_region is not None else None
        skipped = local = 0
        for number, values in self._rows(list(plan.values()), client, list_id):
            lookup = blank.copy()
            empty = None
            for (name, column), given in zip(plan.items(), values, strict=True):
                if given is None or (isinstance(given, str) and not given.strip()):
                    empty = column
                    continue
                try:
                    lookup[name] = self._fitting(name, column, given, phones)
                except ValueError as error:
                    raise ValueError(f"{self._at(number)}, column {column!r}: {name}: {error}") from None
            if "phone" in plan and not (lookup.get("phone") or "+").startswith("+"):
                local += 1
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
            log.warning("%s: left out %s without a value", self._name(), counted(skipped, "row"))
        if local:
            log.warning(
                "%s: %d phones have no country code with a +, as the platform's own form +79000000000 has; "
                "phone_region='RU' (or another country's) brings them into it",
                self._name(),
                local,
            )

    def _fitting(self, name: str, column: str, given: Any, phones: PhoneReader | None) -> Any:
        value = plain(given)
        written = name == "phone" and (isinstance(value, str) or type(value) is int)
        if written and phones is not None:
            value = str(value).strip()
        if isinstance(value, str) and (fault := self._fault(value, column)):
            raise ValueError(fault)
        if written and phones is not None:
            phone = phones.read(value)
            if phone is None:
                raise ValueError(
                    f"expected one phone number, without an extension, that {self.phone_region} has or that begins "
                    "with + and a country code"
                )
            return phone
        if (expected := CHECKS[name](value)) is None:
            return value
        kind = advice = ""
        if not isinstance(value, str):
            kind = f", got {name_of(value)}"
            advice = self._advice(value, column)
        if written:
            advice = "phone_region='RU' (or another country's) reads phones as people write them"
        raise ValueError(f"expected {expected}{kind}{'; ' if advice else ''}{advice}")

    def plan(self) -> dict[str, str]:
        """Return the column of each field that is not fixed.

        Raises:
            ValueError: ``matching``, ``columns`` and ``fixed`` do not fit together.
        """
        fields = self._fields()
        for name, value in self.fixed.items():
            if name not in fields:
                raise ValueError(f"fixed: {name!r} is not a field of matching {self.matching!r}")
            if expected := CHECKS[name](value):
                raise ValueError(f"fixed[{name!r}]: expected {expected}")
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
                raise ValueError(f"columns: {name!r} is not a field of matching {self.matching!r} that is not fixed")
        missing = [name for name in varying if name not in self.columns]
        if not self.columns or (missing and self.matching not in EITHER):
            raise ValueError(f"columns: missing for {missing[0]}")
        return dict(self.columns)

    def _fields(self) -> tuple[str, ...]:
        if self.matching == "xxh":
            return ("xxh",)
        if self.matching not in MATCHING:
            raise ValueError(f"matching: expected one of xxh, {', '.join(MATCHING)}, got {self.matching!r}")
        return MATCHING[self.matching]

    def _usual_column(self, name: str) -> str:
        return name

    def _fault(self, text: str, column: str) -> str | None:
        """Return what is wrong with a text, although a lookup might take it."""
        return None

    def _advice(self, value: Any, column: str) -> str:
        """Return advice on a value of a wrong type."""
        return ""

    def _name(self) -> str:
        """Return the name of the source for messages."""
        raise NotImplementedError

    def _at(self, number: int) -> str:
        return f"{self._name()}, row {number}"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        """Yield number and values of each row."""
        raise NotImplementedError


@dataclass
class FileProfiles(ProfileSource):
    """Profiles in a file or object: CSV or Excel (with a header), JSON lines or Parquet.

    Args:
        path: an absolute path, ``file:///…``, or a URI such as ``s3://conn_id@bucket/key``, as text, as a
            ``pathlib.Path`` or an ``ObjectStoragePath``; may be a template. Its suffix names the format: ``.parquet``;
            ``.xlsx`` (extra ``excel``); ``.csv``, ``.jsonl`` or ``.ndjson``, these also with ``.gz``, ``.zst`` or
            ``.bz2`` after them.
        delimiter: what parts the columns of CSV; ``;`` where Excel is set to Russian.
        encoding: of CSV and JSON lines, as Python calls it; ``cp1251`` where Excel on a Russian Windows wrote "CSV".
        sheet: the sheet of a workbook; may be a template. It may be left out where only one is visible.
    """

    template_fields: ClassVar[Sequence[str]] = ("path", "sheet", *_COMMON)

    path: str | PathLike[str]
    delimiter: str = field(default=",", kw_only=True)
    encoding: str = field(default="utf-8", kw_only=True)
    sheet: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check constant arguments while the DAG file is parsed."""
        super().__post_init__()
        if not isinstance(self.delimiter, str) or len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ValueError(f"delimiter: expected one character, no quote and no line's end, got {self.delimiter!r}")
        check_encoding(self.encoding)
        self.path = path_text(self.path)
        if not is_template(self.path):
            _files.check(self._name())

    def _name(self) -> str:
        return str(path_text(self.path))

    def _at(self, number: int) -> str:
        return f"{self._name()}, {'row' if self._name().endswith(('.parquet', '.xlsx')) else 'line'} {number}"

    def _fault(self, text: str, column: str) -> str | None:
        if text != text.strip():
            return "expected no blanks before or after the value; write it without them"
        if _SHORTENED.fullmatch(text) and _files.kind_of(self._name()) == "csv":
            return "expected all digits, got a number that Excel has shortened; let the column be text when it is saved"
        return None

    _advice = staticmethod(advice_of_file)

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        return _files.rows(self._name(), columns, _files.Format(self.delimiter, self.encoding, self.sheet))


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

    template_fields: ClassVar[Sequence[str]] = ("sql", "conn_id", "parameters", *_COMMON)

    sql: str
    conn_id: str
    parameters: Sequence[Any] | Mapping[str, Any] | None = field(default=None, kw_only=True)

    def _name(self) -> str:
        return f"query on {self.conn_id}"

    def _fault(self, text: str, column: str) -> str | None:
        if text == text.strip():
            return None
        return f"expected no blanks before or after the value, as char(n) has them; select it as TRIM({column})"

    _advice = staticmethod(advice_of_query)

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        from airflow_provider.altcraft.extract.sources import _query

        return _query.rows(self.conn_id, self.sql, self.parameters, columns)


@dataclass
class PlatformProfiles(ProfileSource):
    """All profiles of the database, or those of a query, from the platform's ``profiles/list``.

    A call gives a page, one page after another. Of a row only ``id`` is documented, so that is the default; any other
    column must be a profile field's name, and is asked for.

    Args:
        query: the platform's own, in the manner of MongoDB; its texts may be templates.
        page_size: profiles a page; the platform's maximum is not documented.
    """

    template_fields: ClassVar[Sequence[str]] = ("query", "page_size", *_COMMON)

    matching: str = field(default="profile_id", kw_only=True)
    query: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    page_size: int | str = field(default=1000, kw_only=True)

    def __post_init__(self) -> None:
        """Check constant arguments while the DAG file is parsed."""
        super().__post_init__()
        check_number_constant(self.page_size, "page_size", 1)

    def _usual_column(self, name: str) -> str:
        return "id" if name == "profile_id" else name

    def _name(self) -> str:
        return "profiles/list"

    def _rows(self, columns: list[str], client: AltcraftClient, list_id: int) -> Iterable[tuple[int, Sequence[Any]]]:
        profiles = client.iter_profiles(
            list_id=list_id,
            query=listed(self.query),
            fields=[name for name in columns if name != "id"],
            page_size=whole_number(self.page_size, "page_size", 1),
        )
        for number, profile in enumerate(profiles, 1):
            yield number, [profile.get(name) for name in columns]
