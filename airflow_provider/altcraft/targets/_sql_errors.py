"""What a database's errors mean, and how they are told."""

from __future__ import annotations

# SQLSTATE and, of MariaDB and MySQL, numbers: serialization failure, deadlock, a lock not had in time, and a row that
# was changed meanwhile.
_IN_THE_WAY: set[str | int] = {"40001", "40P01", "55P03", 1020, 1205, 1213}
_DENIED: set[str | int] = {"42501", 1044, 1142, 1143}


class InTheWayError(OSError):
    """Another writer was in the way, so the transaction was rolled back whole; to do it again may go through."""


def of_driver(error: BaseException) -> BaseException | None:
    """The error of the database's driver, where it is one, from within what SQLAlchemy makes of it."""
    error = getattr(error, "orig", None) or error
    # PEP 249 names the root of a driver's errors.
    return error if any(each.__name__ == "Error" for each in type(error).__mro__) else None


def in_the_way(error: BaseException) -> bool:
    """Whether a driver's error says that two transactions met."""
    return _is_of(error, _IN_THE_WAY)


def denied(error: BaseException) -> bool:
    """Whether an error, a driver's or what SQLAlchemy makes of it, says that the user lacks a right."""
    return _is_of(getattr(error, "orig", None) or error, _DENIED)


def _is_of(error: BaseException, wanted: set[str | int]) -> bool:
    codes = [getattr(error, name, None) for name in ("sqlstate", "pgcode", "errno")] + [*error.args[:1]]
    return any(isinstance(code, str | int) and code in wanted for code in codes)


def told(error: BaseException) -> str:
    """What a database says, without the values of rows that some say with it."""
    error = getattr(error, "orig", None) or error
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    text = str(primary or error).strip().partition("\n")[0]
    for word in ("Duplicate entry", "Incorrect", "Duplicate key", "Input:"):
        text, found, _ = text.partition(word)
        if found:
            text += f"{found} …"
    return f"{type(error).__name__}: {text}"
