"""The kinds of database errors, by the codes and texts of the drivers, and their texts without values of rows."""

from __future__ import annotations

import re

from airflow_provider.altcraft._redact import database_message

# SQLSTATE and, of MariaDB and MySQL, numbers: serialization failure, deadlock, a lock not had in time, and a row that
# was changed by another transaction.
_IN_THE_WAY: set[str | int] = {"40001", "40P01", "55P03", 1020, 1205, 1213}
_DENIED: set[str | int] = {"42501", 1044, 1142, 1143, 1227, 1370}
# Whatever class a driver gives them. Of PostgreSQL: a table published without a key, a key that is checked late, and
# what a trigger raises, which psycopg2 takes for a failure of the server.
# Of MariaDB, MySQL and their clusters: a cluster's strict mode, no key where each table must have one, a statement that
# is not supported or not allowed with GTIDs, a trigger that refuses or reads the table itself. Of SQLite: a trigger.
_REFUSED: set[str | int] = {"55000", "P0000", "P0001", "P0002", "P0003", "P0004"}
_REFUSED |= {1105, 1173, 1235, 1442, 1644, 1786, 1787, 3750, "SQLITE_CONSTRAINT_TRIGGER"}
_NO_DATABASE: set[str | int] = {"3D000", 1049}
# A connection that failed has no code on PostgreSQL; SQLite and DuckDB have none at all.
_NO_DATABASE_TEXT = re.compile(
    r'database "[^"]*" does not exist|unable to open database file|Cannot open (file|database) .*[Nn]o such file'
)
# Of MariaDB and MySQL: no socket, no server, no such host. PostgreSQL's connection that failed has no code either; what
# it says after FATAL is final, but that it starts or stops.
_UNREACHABLE: set[str | int] = {"57P03", 2002, 2003, 2005}
_UNREACHABLE_TEXT = re.compile(
    r"connection to server .* failed: (?!FATAL)"
    r"|the database system is (starting up|not (yet )?accepting|shutting down|in recovery)"
)
_NEVER = {"ProgrammingError", "NotSupportedError"}
"""PEP 249 names the kinds."""


class UnreachableError(OSError):
    """No connection could be made, and nothing was done; a retry may succeed."""


def of_driver(error: BaseException) -> BaseException | None:
    """Return the driver's error, also from within one of SQLAlchemy's; ``None`` for any other error."""
    error = getattr(error, "orig", None) or error
    # PEP 249 names the root of a driver's errors.
    return error if any(each.__name__ == "Error" for each in type(error).__mro__) else None


def in_the_way(error: BaseException) -> bool:
    """Return whether a driver's error says that two transactions met."""
    return _is_of(error, _IN_THE_WAY)


def denied(error: BaseException) -> bool:
    """Return whether an error, a driver's or SQLAlchemy's, says that the user lacks a right."""
    return _is_of(getattr(error, "orig", None) or error, _DENIED)


def refused(error: BaseException) -> bool:
    """Return whether a driver's error says that the database will refuse a retry too."""
    return denied(error) or _is_of(getattr(error, "orig", None) or error, _REFUSED) or _is_a(error, _NEVER)


def unreachable(error: BaseException) -> bool:
    """Return whether a driver's error says that no connection could be made, as while the server restarts."""
    return _is_of(error, _UNREACHABLE) or _UNREACHABLE_TEXT.search(str(error)) is not None


def no_database(error: BaseException) -> bool:
    """Return whether a driver's error says that the database, or the folder of its file, does not exist."""
    return _is_of(error, _NO_DATABASE) or _NO_DATABASE_TEXT.search(str(error)) is not None


def of_values(error: BaseException) -> bool:
    """Return whether a driver's error is about the values of a row."""
    driver = getattr(error, "orig", None) or error
    return not _is_of(driver, _DENIED | _REFUSED) and _is_a(error, {"IntegrityError", "DataError"})


def of_list(error: BaseException) -> bool:
    """Return whether a driver's error says that a foreign key does not allow the row's ``list_id``."""
    # PostgreSQL names the column in the detail, MariaDB and MySQL in the constraint.
    return of_values(error) and _KEY_OF_LIST.search(str(error)) is not None


_KEY_OF_LIST = re.compile(r"Key \(list_id\)=.* is not present|FOREIGN KEY \(`list_id`\)")


def _is_a(error: BaseException, names: set[str]) -> bool:
    driver = of_driver(error)
    return driver is not None and any(each.__name__ in names for each in type(driver).__mro__)


def _is_of(error: BaseException, codes: set[str | int]) -> bool:
    names = ("sqlstate", "pgcode", "errno", "sqlite_errorname")
    found = [getattr(error, name, None) for name in names] + [*error.args[:1]]
    return any(isinstance(code, str | int) and code in codes for code in found)


def message_of(error: BaseException) -> str:
    """Return a database's message without values of rows."""
    return database_message(getattr(error, "orig", None) or error)
