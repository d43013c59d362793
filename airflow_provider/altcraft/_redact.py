"""Removes secrets from errors and logs: passwords and queries in addresses, and signatures.

The libraries of stores put the requested address into their errors. The address of a resumable upload or a signed URL
alone gives access, so it must not appear in a task's log. The client masks its own errors where it makes them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Texts, which re compiles where they are first used: most processes mask nothing.
_LOGIN: Final = r"(://[^\s/@:]*):[^\s/@]*@"
# Of an address alone, so that its password may hold spaces.
_LOGIN_OF_ADDRESS: Final = r"(://[^/@]*?):[^/@]*@"
_QUERY: Final = r"(?i)(https?://[^\s?'\"<>]*)\?(?!…)[^\s'\"<>]+"
# The same without the address before it: of a header, a mapping, or a URL without its host.
_PARAMETER: Final = r"""(?ix)
    \b(upload_?id|x-guploader-uploadid|x-(?:amz|goog)-(?:signature|credential|security-token)|sig|signature)
    (["']?\ *[=:]\ *["']?|>)(?!…)[^\s&'",;<>)}]+"""
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
    shown = re.sub(_QUERY, r"\1?…", re.sub(_LOGIN, r"\1:***@", str(text)))
    return re.sub(_PARAMETER, r"\1\2…", shown)


def without_password(address: str) -> str:
    """Return the address with its password masked."""
    return re.sub(_LOGIN_OF_ADDRESS, r"\1:***@", address)


def without_user(address: str) -> str:
    """Return the address with all before its ``@`` masked."""
    return re.sub(r"//[^/@]*@", "//***@", address)


@contextmanager
def without_secrets() -> Iterator[None]:
    """Raise errors without secrets in their texts; a cause that holds one is dropped."""
    try:
        yield
    except BaseException as error:
        if all(redacted(text) == text for each in _chain(error) for text in _texts(each)):
            raise
        raise _clean(error) from None


class RedactingFilter(logging.Filter):
    """A filter for the logger of a library that logs its own errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; none is left out."""
        record.msg, record.args = redacted(record.getMessage()), ()
        error = record.exc_info[1] if record.exc_info else None
        if any(redacted(text) != text for each in _chain(error) for text in _texts(each)):
            record.exc_info = None
        return True


def _clean(error: BaseException) -> BaseException:
    """Return the same error where its texts can be changed, else one of the nearest built-in class."""
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
    """Yield the error and all others that a traceback shows with it."""
    while error is not None:
        yield error
        for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _chain(each)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# A quoted value, a number or a bracket behind one of these is what stood in a row; names of columns and constraints,
# which databases quote as well, stand behind other words.
_VALUE: Final = r"""(?ix)
    \b(duplicate\ entry|(?:duplicate\ )?key|strings?|values?(?:\ is)?|input|format|syntax\ for\ [^:"']*)
    (:?\ )(?=["'(\d-])"""


def database_message(error: BaseException) -> str:
    """Return a database's message without values of rows."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    text = str(primary or error).strip().partition("\n")[0]
    value = re.search(_VALUE, text)
    return f"{type(error).__name__}: {text[: value.end()]}…" if value else f"{type(error).__name__}: {text}"
