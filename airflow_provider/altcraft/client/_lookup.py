"""The lookup of a profile: the platform's eleven matching modes and ``xxh``, checked without any library.

DAG files name profiles as constants, so this runs at each parse: it imports nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_XXH: Final = re.compile(r"[0-9a-f]{16}", re.IGNORECASE)
_PROFILE_ID: Final = re.compile(r"[0-9a-f]{24}", re.IGNORECASE)
_PHONE: Final = re.compile(r"\+?[0-9]{5,20}")
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _is_text(value: object) -> bool:
    # Half of a surrogate pair has no UTF-8.
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _text(value: object) -> str | None:
    return None if _is_text(value) else "a text that is not empty"


def _pattern(pattern: re.Pattern[str], expected: str) -> Callable[[object], str | None]:
    return lambda value: None if _is_text(value) and pattern.fullmatch(str(value)) else expected


def _name(value: object) -> str | None:
    # "=" separates name and value in a row's `lookup`, so a name with one would be ambiguous.
    return None if _is_text(value) and "=" not in str(value) else "a text that is not empty, without '='"


def _field_value(value: object) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return None if whole or _is_text(value) else "a whole number (of 64 bits) or a text that is not empty"


CHECKS: Final[dict[str, Callable[[object], str | None]]] = {
    "xxh": _pattern(_XXH, "16 hexadecimal characters"),
    "email": _pattern(_EMAIL, "an e-mail address"),
    "phone": _pattern(_PHONE, "a phone number such as +79000000000"),
    "profile_id": _pattern(_PROFILE_ID, "24 hexadecimal characters"),
    "provider": _name,
    "subscription_id": _text,
    "field_name": _name,
    "field_value": _field_value,
}
"""Each check returns the expected value in words, or ``None`` where the value fits."""

MATCHING: Final[dict[str, tuple[str, ...]]] = {
    "email": ("email",),
    "email_profile": ("email",),
    "email_sub": ("email",),
    "phone": ("phone",),
    "phone_sub": ("phone",),
    "profile_id": ("profile_id",),
    "push_sub": ("provider", "subscription_id"),
    "custom": ("field_name", "field_value"),
    "custom_sub": ("field_name", "field_value"),
    "email_phone": ("email", "phone"),
    "email_phone_sub": ("email", "phone"),
}
"""The fields of each matching mode, in the order of a row's ``lookup``."""

EITHER: Final = frozenset({"email_phone", "email_phone_sub"})
"""The modes that need only one of their fields."""

LOOKUP_FIELDS: Final = tuple(CHECKS)

_NAMES: Final = ("provider", "field_name")
"""Fields that name a kind of value, which may be logged."""


def check_lookup(value: object) -> dict[str, Any]:
    """Return the request fields of a lookup: ``{"xxh": …}``, or ``matching`` with its fields.

    Args:
        value: a mapping with these fields, or a string, which is an e-mail. Fields that are ``None`` count as absent.

    Raises:
        ValueError: it does not fit; the message names the field and never shows its value.
    """
    if isinstance(value, str):
        value = {"email": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"a profile is a string (its e-mail) or a mapping, not {type(value).__name__}")
    fields = {key: item for key, item in value.items() if item is not None}
    unknown = [key for key in fields if key != "matching" and key not in CHECKS]
    if unknown:
        raise ValueError(f"{unknown[0]}: no such field; known are matching, {', '.join(LOOKUP_FIELDS)}")
    if "xxh" in fields:
        if len(fields) > 1:
            other = next(key for key in fields if key != "xxh")
            raise ValueError(f"{other}: a profile is looked up by xxh or by matching, not by both")
        return _checked(fields)
    matching = fields.pop("matching", "email")
    if not isinstance(matching, str) or matching not in MATCHING:
        raise ValueError(f"matching: expected one of {', '.join(MATCHING)}, got another value (not shown)")
    names = MATCHING[matching]
    for key in fields:
        if key not in names:
            raise ValueError(f"{key}: not a field of matching {matching!r}, which takes {' and '.join(names)}")
    if matching in EITHER:
        if not fields:
            raise ValueError(f"email: matching {matching!r} takes email, phone or both")
    else:
        for key in names:
            if key not in fields:
                raise ValueError(f"{key}: missing; matching {matching!r} takes {' and '.join(names)}")
    return {"matching": matching} | _checked({key: fields[key] for key in names if key in fields})


def lookup_text(fields: Mapping[str, Any]) -> tuple[str, str]:
    """Return ``matching`` and ``lookup`` of a row: different for different lookups, the bare value where there is one.

    A custom value is one as a number and as a text.

    ``custom`` gives ``field_name=field_value``, ``push_sub`` ``provider=subscription_id``, and e-mail with phone stand
    side by side, parted by a space.
    """
    if "xxh" in fields:
        return "xxh", fields["xxh"]
    matching = fields["matching"]
    values = [str(fields[key]) for key in MATCHING[matching] if fields.get(key) is not None]
    return matching, (" " if matching in EITHER else "=").join(values)


def personal(fields: Mapping[str, Any]) -> list[str]:
    """Return the values of a lookup that must not be logged."""
    return [str(value) for key, value in fields.items() if key not in {"matching", *_NAMES}]


def masked(fields: Mapping[str, Any]) -> str:
    """Return a masked name of a profile for logs and pages, by which a person can be recognized but not reached.

    ``a***@example.com``, ``phone +7***01``, ``CRM_ID=***34``, ``xxh 12***ef``: short values are hidden whole.
    """
    if "xxh" in fields:
        return f"xxh {_masked(fields['xxh'])}"
    matching = fields["matching"]
    shown = [_masked(str(fields[key])) for key in MATCHING[matching] if key not in _NAMES and key in fields]
    name = next((f"{fields[key]}=" for key in _NAMES if key in fields), None)
    if name is None:
        name = "" if "email" in fields else f"{'phone' if 'phone' in fields else matching} "
    return name + " ".join(shown)


def _masked(value: str) -> str:
    local, at, domain = value.partition("@")
    if at:
        return f"{local[0] if len(local) > 2 else ''}***@{domain}"
    if len(value) < 6:
        return "***"
    return f"{value[:2] if len(value) > 9 else ''}***{value[-2:]}"


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    for key, item in fields.items():
        expected = CHECKS[key](item)
        if expected is not None:
            raise ValueError(f"{key}: expected {expected}, got another value (not shown)")
    return fields
