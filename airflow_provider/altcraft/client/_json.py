"""Reads and writes JSON without changing any number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

import msgspec

_SURE = 16
"""Characters, with sign and point, up to which a number without an exponent is the same as a float."""


class ExactFloat(float):
    """A number that a float cannot hold exactly, with the text in which it was sent."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Take the nearest float, and keep the text."""
        made = super().__new__(cls, text)
        made.text = text
        return made


def _sent(text: str) -> float:
    number = float(text)
    if len(text) <= _SURE and "e" not in text and "E" not in text:
        return number
    try:
        return number if Decimal(text) == Decimal(repr(number)) else ExactFloat(text)
    except ArithmeticError:  # its exponent is beyond a Decimal's too
        return ExactFloat(text)


def _raw(value: object) -> msgspec.Raw:
    if isinstance(value, ExactFloat):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"{type(value).__name__} is not JSON")


_DECODER = msgspec.json.Decoder(float_hook=_sent)
_SORTED = msgspec.json.Encoder(order="sorted", enc_hook=_raw)


def decode(body: str | bytes | memoryview) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON; the message shows nothing of it.
        RecursionError: it is nested too deeply.
    """
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError:
        raise ValueError("a whole number in it has too many digits") from None
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def encode_sorted(value: Any) -> str:
    """Return JSON with sorted keys, and numbers as they were sent."""
    return _SORTED.encode(value).decode()
