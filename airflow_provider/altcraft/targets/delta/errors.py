"""Turns errors of the Delta Lake library into ones that name the table and show no rows."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from deltalake.exceptions import CommitFailedError, DeltaError

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.targets._writer import InTheWayError, builtin_kind

# The start of values or rows within a text.
_VALUE = re.compile(r"""["'`\[({+|\n]""")

_DRAWN = re.compile(r"\x1b\[[0-9;]*m|↳")


@contextlib.contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Raise the library's errors with the table's name; not chained, as they show rows."""
    try:
        yield
    except CommitFailedError as error:
        raise InTheWayError(
            f"{uri}: another writer of the table was in the way, and nothing was written; a retry may go through: "
            f"{_said(error)}"
        ) from None
    except DeltaError as error:
        # Another writer has made the table since it was opened.
        if "already exists" in str(error):
            raise InTheWayError(f"{uri}: another writer has made the table; a retry may go through") from None
        raise OSError(f"{uri}: the table cannot be read or written: {_said(error)}") from None
    except pa.ArrowException as error:  # its texts show values
        raise ValueError(f"{uri}: the rows do not fit the table: {_said(error)}") from None
    except OSError as error:
        if uri in str(error):
            raise
        raise builtin_kind(error)(f"{uri}: cannot be read or written: {_in_one_line(redacted(error))}") from None
    except ValueError as error:
        if str(error).startswith(uri):
            raise
        raise ValueError(f"{uri}: {redacted(error)}") from None


def _in_one_line(text: str) -> str:
    """Return the text without the colours and the tree that the library draws for a terminal."""
    return " ".join(_DRAWN.sub(" ", text).split())


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_VALUE.split(str(error), maxsplit=1)[0].strip()}…"
