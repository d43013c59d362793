"""Turns errors of the Iceberg library and its catalogs into ones that name the table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    ForbiddenError,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NotInstalledError,
    TableAlreadyExistsError,
    UnauthorizedError,
    ValidationException,
)

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.targets._writer import InTheWayError, builtin_kind

# Retried, also after an unknown outcome: the next try reads what the table then holds.
_IN_THE_WAY = (
    CommitFailedException,
    CommitStateUnknownException,
    TableAlreadyExistsError,
    NamespaceAlreadyExistsError,
    ValidationException,
)


@contextlib.contextmanager
def translated_errors(uri: str, namespace: str) -> Iterator[None]:
    """Raise the library's errors with the table's name, and without addresses that give access."""
    try:
        yield
    except _IN_THE_WAY as error:
        raise InTheWayError(
            f"{uri}: another writer of the table was in the way, and nothing is lost; a retry may go through: "
            f"{_said(error)}"
        ) from None
    except NoSuchNamespaceError:
        raise ValueError(f"{uri}: the catalog has no namespace {namespace!r}; make it first") from None
    except (ForbiddenError, UnauthorizedError) as error:
        raise PermissionError(f"{uri}: the catalog refuses the connection's credentials: {_said(error)}") from None
    except (NotInstalledError, ImportError) as error:
        raise ValueError(
            f"{uri}: the catalog or the table needs a package that is not installed: {_said(error)}"
        ) from None
    except pa.ArrowException as error:  # its texts show values
        raise ValueError(f"{uri}: the rows do not fit the table: {type(error).__name__}") from None
    except ValueError as error:
        if str(error).startswith(uri):
            raise
        raise ValueError(f"{uri}: {redacted(error)}") from None
    except OSError as error:
        if uri in str(error):
            raise
        raise builtin_kind(error)(f"{uri}: cannot be read or written: {_said(error)}") from None
    except Exception as error:  # of a catalog's own library: SQLAlchemy's, boto's
        raise OSError(f"{uri}: the catalog or the table cannot be reached: {_said(error)}") from None


def _said(error: BaseException) -> str:
    # SQLAlchemy's errors have the statement and its values in their texts; the driver's own is within.
    text = str(getattr(error, "orig", None) or error)
    return redacted(f"{type(error).__name__}: {' '.join(text.split())}"[:500])
