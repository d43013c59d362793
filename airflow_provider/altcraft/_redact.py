"""Errors and logs without what lets their reader into a store: passwords and queries of addresses, signatures.

Stores' libraries put the address that they asked into their errors. Of a resumable upload and of a signed URL the
address alone gives access, so nobody may read it in a task's log. The client masks its own errors where it makes them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PASSWORD: Final = re.compile(r"(://[^\s/@:]*):[^\s/@]*@")
# Of an address alone, so that its password may hold spaces.
_PASSWORD_OF_ADDRESS: Final = re.compile(r"(://[^/@]*?):[^/@]*@")
_QUERY: Final = re.compile(r"(https?://[^\s?'\"<>]*)\?(?!…)[^\s'\"<>]+", re.IGNORECASE)
# The same without the address before it: of a header, a mapping, or a URL without its host.
_PARAMETER: Final = re.compile(
    r"""\b(upload_?id|x-guploader-uploadid|x-(?:amz|goog)-(?:signature|credential|security-token)|sig|signature)
        (["']?\ *[=:]\ *["']?|>)(?!…)[^\s&'",;<>)}]+""",
    re.IGNORECASE | re.VERBOSE,
)
_KINDS: Final = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    ConnectionError,
    TimeoutError,
    OSError,
    ImportError,
    ValueError,
    RuntimeError,
)


def redacted(text: object) -> str:
    """Return the text, or an error's, without passwords, queries and signatures of addresses."""
    shown = _QUERY.sub(r"\1?…", _PASSWORD.sub(r"\1:***@", str(text)))
    return _PARAMETER.sub(r"\1\2…", shown)


def without_password(address: str) -> str:
    """Return the address as it may be shown, should someone have put a password into it."""
    return _PASSWORD_OF_ADDRESS.sub(r"\1:***@", address)


def without_user(address: str) -> str:
    """Return an address that is refused, without all that stands before its ``@``."""
    return re.sub(r"//[^/@]*@", "//***@", address)


@contextmanager
def without_secrets() -> Iterator[None]:
    """Let errors out with texts that may be read; causes of which that is not true are left behind."""
    try:
        yield
    except BaseException as error:
        if all(redacted(text) == text for each in _chain(error) for text in _texts(each)):
            raise
        raise _clean(error) from None


class RedactingFilter(logging.Filter):
    """For the logger of a library that logs the errors which it raises."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; none is left out."""
        record.msg, record.args = redacted(record.getMessage()), ()
        error = record.exc_info[1] if record.exc_info else None
        if any(redacted(text) != text for each in _chain(error) for text in _texts(each)):
            record.exc_info = None
        return True


def _clean(error: BaseException) -> BaseException:
    """The same error where its own texts can be changed, else one of the most fitting kind."""
    error.args = tuple(redacted(each) if isinstance(each, str) else each for each in error.args)
    notes = [redacted(note) for note in getattr(error, "__notes__", ())]
    if notes:
        error.__notes__ = notes
    if all(redacted(text) == text for text in _texts(error)):
        return error
    said = redacted(error)
    kind = next((kind for kind in _KINDS if isinstance(error, kind)), RuntimeError)
    number = getattr(error, "errno", None)
    clean = OSError(number, said) if isinstance(error, OSError) and number is not None else kind(said)
    for note in notes:
        clean.add_note(note)
    return clean


def _texts(error: BaseException) -> list[str]:
    return [str(error), *(each for each in error.args if isinstance(each, str)), *getattr(error, "__notes__", ())]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that a report of it shows with it."""
    while error is not None:
        yield error
        for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _chain(each)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# A quoted value, a number or a bracket behind one of these is what stood in a row; names of columns and constraints,
# which databases quote as well, stand behind other words.
_VALUE = re.compile(
    r"""\b(duplicate\ entry|(?:duplicate\ )?key|strings?|values?(?:\ is)?|input|format|syntax\ for\ [^:"']*)
        (:?\ )(?=["'(\d-])""",
    re.IGNORECASE | re.VERBOSE,
)


def database_message(error: BaseException) -> str:
    """What a database says, without the values of rows that some say with it."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    text = str(primary or error).strip().partition("\n")[0]
    value = _VALUE.search(text)
    return f"{type(error).__name__}: {text[: value.end()]}…" if value else f"{type(error).__name__}: {text}"
