"""Lines of a file of text, and what its bytes look like where they are not in the encoding that was named."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import IO

_SEPARATORS = ";,\t|"
_NO_TEXT_OF_CP1251 = re.compile(r"[^\x00-\x7fА-яЁёІіЇїЄєҐґЎў№«»„“”‘’–—…•°§\xa0]|[A-Za-z][А-яЁё]|[А-яЁё][A-Za-z]")  # noqa: RUF001 - Cyrillic is meant
"""What a text in windows-1251 does not have: other characters, and words of two alphabets."""


def check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of text.

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
    """Lines with their ends, without the mark of the byte order.

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
    """Whether Arrow says so of bytes it cannot make sense of; the system and stores say more of what may pass."""
    return type(error) is OSError and error.errno is None


def separator_of(header: str, delimiter: str) -> str | None:
    """Another character that parts a header, where the delimiter does not."""

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
    """Whether any bytes are a text in it, so that UTF-8 would pass for one."""
    text = bytes(range(128, 256)).decode(encoding, "replace")
    return len(text) == 128 and text.count("\ufffd") < 64


def _is_in(found: bytes, encoding: str) -> bool:
    try:
        found.decode(encoding)
    except UnicodeError:
        return False
    return True


def _hint(first: bytes, found: bytes, delimiter: str | None) -> str:
    """What would read the bytes, as far as they show it."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif _is_in(found, "cp1251") and not _NO_TEXT_OF_CP1251.search(found.decode("cp1251")):
        encoding = "cp1251"
    else:
        return ""
    hint = f"; its bytes look like encoding={encoding!r}"
    separator = separator_of(first.decode(encoding, "replace"), delimiter) if delimiter else None
    return f"{hint}, and its columns like delimiter={separator!r}" if separator else hint
