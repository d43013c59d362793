"""What the platform demands of a request: its fields, their types, and that nothing else is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

Body: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, ...]

# Not the client's table: with that one, the emulator would take each of its mistakes for right.
MATCHING: dict[str, tuple[str, ...]] = {
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
"""Matching modes and the fields that belong to them."""

_LOOKUP = {name for fields in MATCHING.values() for name in fields}
_CHOICE = {"email_phone", "email_phone_sub"}  # one field of the two is enough
_XXH = re.compile(r"[0-9a-f]{16}")
_PROFILE_ID = re.compile(r"[0-9a-f]{24}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class RefusalError(Exception):
    """An answer with an error: the platform's code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def wrong(text: str) -> RefusalError:
    """The refusal of an incorrect request."""
    return RefusalError(400, f"incorrect request: {text}")


def no_others(body: Body, *names: str) -> None:
    """Refuse fields that the method does not know."""
    for name in body:
        if name != "token" and name not in names:
            raise wrong(f"{name}: unknown field")


def text(body: Body, name: str, *, required: bool = False) -> str:
    """A string; empty where it is absent and may be."""
    value = _given(body, name, str, "a string", required=required)
    if required and not value:
        raise wrong(f"{name} is empty")
    return value or ""


def number(body: Body, name: str, *, default: int | None = None) -> int:
    """An integer from 1 on; required where there is no default."""
    value = _given(body, name, int, "an integer", required=default is None)
    if value is None:
        return default or 0
    if value < 1 and value != default:
        raise wrong(f"{name} must be above 0")
    return int(value)


def texts(body: Body, name: str) -> list[str] | None:
    """An array of strings; None where it is absent."""
    value: list[str] | None = _given(body, name, list, "an array of strings", required=False)
    if value is not None and not all(isinstance(one, str) for one in value):
        raise wrong(f"{name} must be an array of strings")
    return value


def as_xml(body: Body) -> bool:
    """Whether the request asks for XML."""
    wanted = text(body, "format") or "json"
    if wanted not in {"json", "xml"}:
        raise wrong("format must be json or xml")
    return wanted == "xml"


def day(body: Body, name: str, *, required: bool) -> date | None:
    """A day as ``YYYY-MM-DD``; None where it is absent and may be."""
    value = text(body, name, required=required)
    if not value and name not in body:
        return None
    try:
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        """Shaped like a day, but there is none like it: the same refusal."""
    raise wrong(f"{name} must be a day as YYYY-MM-DD")


def profile_id(body: Body, name: str) -> str:
    """24 hexadecimal digits; empty where it is absent."""
    value = text(body, name)
    if value and not _PROFILE_ID.fullmatch(value):
        raise wrong(f"{name} must be 24 hexadecimal digits")
    return value


def lookup(body: Body) -> list[Key]:
    """What finds the asked profile: keys of ``Profile.lookups``, of which any may do."""
    given = _LOOKUP & body.keys()
    if "xxh" in body:
        others = sorted(given | ({"matching"} & body.keys()))
        if others:
            raise wrong(f"{others[0]}: either xxh or matching, not both")
        value = text(body, "xxh", required=True)
        if not _XXH.fullmatch(value):
            raise wrong("xxh must be 16 hexadecimal digits")
        return [("xxh", value)]
    if not given and "matching" not in body:
        raise wrong("xxh or matching with its fields is required")
    matching = text(body, "matching", required=True) if "matching" in body else "email"
    if matching not in MATCHING:
        raise wrong(f"matching: unknown mode {matching!r}")
    for name in sorted(given - set(MATCHING[matching])):
        raise wrong(f"{name} does not belong to matching {matching}")
    if matching in _CHOICE and not given:
        raise wrong(f"email or phone is required for matching {matching}")
    values = {
        name: _value(body, name)
        for name in MATCHING[matching]
        if matching not in _CHOICE or name in body
    }  # fmt: skip
    return _keys(matching, values)


def _value(body: Body, name: str) -> str:
    if name == "field_value" and isinstance(body.get(name), int) and not isinstance(body[name], bool):
        return str(body[name])
    value = text(body, name, required=True)
    if name == "profile_id":
        profile_id(body, name)
    return value


def _keys(matching: str, values: Mapping[str, str]) -> list[Key]:
    if matching == "email_profile":
        return [("email", values["email"])]
    if "email" not in values and "phone" not in values:
        return [(matching, *values.values())]
    # The rest are of e-mail and phone: in the profile or in a subscription, or in a subscription only.
    kinds = ("{}_sub",) if matching.endswith("_sub") else ("{}", "{}_sub")
    return [(kind.format(name), value) for name, value in values.items() for kind in kinds]


def _given(body: Body, name: str, kind: type, words: str, *, required: bool) -> Any:
    value = body.get(name)
    if name not in body:
        if required:
            raise wrong(f"{name} is required")
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise wrong(f"{name} must be {words}")
    return value
