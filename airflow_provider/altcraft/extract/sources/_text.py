"""Reads the lines of a text file, and guesses its encoding where the given one does not fit."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import IO

_SEPARATORS = ";,\t|"
_NO_TEXT_OF_CP1251 = re.compile(r"[^\x00-\x7fА-яЁёІіЇїЄєҐґЎў№«»„“”‘’–—…•°§\xa0]|[A-Za-z][А-яЁё]|[А-яЁё][A-Za-z]")  # noqa: RUF001 - Cyrillic is meant
"""Marks of a text that is not windows-1251: other characters, and words of two alphabets."""


def check_encoding(encoding: str) -> None:
    """Refuse a name that is not an encoding of text.

    Raises:
        ValueError: the message names some that are.
    """
    try:
        text = codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):  # a null character is a ValueError
        text = False
    if not text:
        raise ValueError(f"encoding: expected one that Python knows, such as 'utf-8' or 'cp1251', got {encoding!r}")


def lines(file: IO[bytes], path: str, encoding: str, delimiter: str | None) -> Iterator[str]:
    """Yield lines with their ends, without a byte-order mark.

    Args:
        file: its bytes.
        path: for messages.
        encoding: as ``check_encoding`` lets pass.
        delimiter: of CSV, which may also end its lines by a carriage return alone.

    Raises:
        ValueError: the bytes are not in this encoding; the message names another one where they look so.
        OSError: they cannot be read.
    """
    number = 0
    first = ""
    unproved = _is_single_byte(encoding)
    try:
        with io.TextIOWrapper(file, encoding, "surrogateescape", newline="\n" if delimiter is None else "") as reader:
            for number, line in enumerate(reader, 1):
                if number == 1:
                    first = line
                if not line.isascii():
                    found = line.encode(encoding, "surrogateescape")
                    if unproved and _is_in(found, "utf-8"):
                        raise ValueError(f"{path}, line {number}: UTF-8, not {encoding}: encoding='utf-8' reads it")
                    if not _is_in(found, encoding):
                        hint = _hint(first.encode(encoding, "surrogateescape"), found, delimiter)
                        raise ValueError(f"{path}, line {number}: not {_shown(encoding)}{hint}")
                    unproved = False
                yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError:  # of encodings whose faults have no bytes of their own
        raise ValueError(f"{path}, after line {number}: not {_shown(encoding)}") from None
    except OSError as error:
        if not of_content(error):
            raise
        raise ValueError(f"{path}, after line {number}: cannot be read: {error}") from error


def of_content(error: OSError) -> bool:
    """Return whether the error is Arrow's about bytes that it cannot decode, not a temporary one of a store."""
    return type(error) is OSError and error.errno is None


def separator_of(header: str, delimiter: str) -> str | None:
    """Return another character that separates a header, where the delimiter does not."""

    def width(by: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=by), []))
        except csv.Error:
            return 0

    if width(delimiter) > 1:
        return None
    best = max(_SEPARATORS, key=width)
    return best if width(best) > 1 else None


def _shown(encoding: str) -> str:
    return "UTF-8" if codecs.lookup(encoding).name == "utf-8" else encoding


def _is_single_byte(encoding: str) -> bool:
    """Return whether the encoding decodes any bytes, so that UTF-8 would pass for it."""
    text = bytes(range(128, 256)).decode(encoding, "replace")
    return len(text) == 128 and text.count("\ufffd") < 64


def _is_in(found: bytes, encoding: str) -> bool:
    try:
        found.decode(encoding)
    except UnicodeError:
        return False
    return True


def _hint(first: bytes, found: bytes, delimiter: str | None) -> str:
    """Return advice on the encoding that the bytes seem to have."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif _is_in(found, "cp1251") and not _NO_TEXT_OF_CP1251.search(found.decode("cp1251")):
        encoding = "cp1251"
    else:
        return ""
    hint = f"; its bytes look like encoding={encoding!r}"
    separator = separator_of(first.decode(encoding, "replace"), delimiter) if delimiter else None
    return f"{hint}, and its columns like delimiter={separator!r}" if separator else hint
