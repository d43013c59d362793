"""Names of tables as a user writes them: ``table``, ``schema.table``, a part in double quotes where it is unusual.

Apart from what talks to databases so that a DAG file pays nothing for the check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit

Disposition: TypeAlias = Literal["merge", "replace", "append"]
DISPOSITIONS: tuple[str, ...] = get_args(Disposition)

ACCEPTED = "'table', 'schema.table' or '\"odd schema\".\"odd table\"'"
ACCEPTED_URI = "'sql://conn_id/schema.table'"

_PLAIN = re.compile(r"[\w$#@-]+")
_PART = re.compile(r'"((?:[^"]|"")+)"|([\w$#@-]+)')


@dataclass(frozen=True, slots=True)
class Name:
    """A table's name as the database has it, without quotes."""

    table: str
    schema: str | None = None

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return ".".join(map(_written, filter(None, (self.schema, self.table))))


def parse(table: object) -> Name:
    """Return the name that is meant; nothing in it is ever taken for SQL.

    Raises:
        ValueError: not the name of a table.
    """
    if not isinstance(table, str):
        raise ValueError(f"table: a name such as {ACCEPTED} is wanted, not {type(table).__name__}")
    parts, at = [], 0
    while True:
        match = _PART.match(table, at)
        if match is None:
            raise ValueError(
                f"table: {table!r} is not a table's name such as {ACCEPTED}; a part with other characters than "
                f"letters, digits and _ $ # @ - stands in double quotes"
            )
        parts.append(match[2] or match[1].replace('""', '"'))
        at = match.end()
        if at == len(table):
            break
        if table[at] != ".":
            raise ValueError(f"table: {table!r} goes on after a part's end; write it as {ACCEPTED}")
        at += 1
    if len(parts) > 2:
        raise ValueError(f"table: {table!r} has more than two parts; the connection names the database")
    for part in parts:
        if set(part) & {"%", "?"} or not part.isprintable() or part != part.strip():
            raise ValueError(
                f"table: {table!r} has a percent or question mark, unprintable characters or white space at an end, "
                f"which databases and their drivers do not take alike"
            )
    return Name(*reversed(parts))


def check_disposition(value: object) -> None:
    """Refuse what is no write disposition."""
    if value not in DISPOSITIONS:
        raise ValueError(f"write_disposition: 'merge', 'replace' or 'append' is wanted, not {value!r}")


def check_connection(conn_id: object) -> None:
    """Refuse what cannot be the id of a connection."""
    if not isinstance(conn_id, str) or not re.fullmatch(r"[\w.-]+", conn_id):
        raise ValueError(f"conn_id: the id of an Airflow connection is wanted, not {conn_id!r}")


def to_uri(conn_id: str, name: Name) -> str:
    """Return ``sql://conn_id/schema.table``."""
    return f"sql://{conn_id}/{quote(str(name), safe='.$@-')}"


def from_uri(uri: str) -> dict[str, str]:
    """Return the arguments of a target that a URI stands for.

    Raises:
        ValueError: not such a URI.
    """
    shown = re.sub(r"//[^/@]*@", "//***@", uri)
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "sql" or not parts.netloc or len(parts.path) < 2 or parts.fragment:
        raise ValueError(f"target: {shown!r} is not the URI of a table; write it as {ACCEPTED_URI}")
    if "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError(f"target: {shown!r} names a server; name an Airflow connection instead: {ACCEPTED_URI}")
    if set(options) - {"write_disposition"}:
        raise ValueError(f"target: {shown!r} has an option other than write_disposition=merge, replace or append")
    return {"conn_id": parts.netloc, "table": unquote(parts.path[1:]), **options}


def _written(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    escaped = part.replace('"', '""')
    return f'"{escaped}"'
