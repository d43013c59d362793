"""Checks of a request, as the platform makes them: which fields it may have, which it must have, and their types."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

Body: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, ...]

# Not imported from the client: a mistake in its table would then pass the emulator unnoticed.
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

LOOKUP_FIELDS = {name for fields in MATCHING.values() for name in fields}
_ONE_IS_ENOUGH = {"email_phone", "email_phone_sub"}
_XXH = re.compile(r"[0-9a-f]{16}")
_PROFILE_ID = re.compile(r"[0-9a-f]{24}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class RefusalError(Exception):
    """Raised to answer a request with an error: the platform's code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def bad_request(text: str) -> RefusalError:
    """Return the refusal of an incorrect request."""
    return RefusalError(400, f"incorrect request: {text}")


def refuse_unknown(body: Body, *names: str) -> None:
    """Refuse fields that the method does not know."""
    for name in body:
        if name != "token" and name not in names:
            raise bad_request(f"{name}: unknown field")


def text(body: Body, name: str, *, required: bool = False) -> str:
    """Return a string; empty where it is absent and not required."""
    value = _value(body, name, str, "a string", required=required)
    if required and not value:
        raise bad_request(f"{name} is empty")
    return value or ""


def integer(body: Body, name: str, *, default: int | None = None) -> int:
    """Return an integer from 1 on; required where there is no default."""
    value = _value(body, name, int, "an integer", required=default is None)
    if value is None:
        return default or 0
    if value < 1 and value != default:
        raise bad_request(f"{name} must be above 0")
    return int(value)


def text_list(body: Body, name: str) -> list[str] | None:
    """Return an array of strings; None where it is absent."""
    value: list[str] | None = _value(body, name, list, "an array of strings", required=False)
    if value is not None and not all(isinstance(each, str) for each in value):
        raise bad_request(f"{name} must be an array of strings")
    return value


def asks_for_xml(body: Body) -> bool:
    """Return whether the request asks for XML."""
    value = text(body, "format") or "json"
    if value not in {"json", "xml"}:
        raise bad_request("format must be json or xml")
    return value == "xml"


def day(body: Body, name: str, *, required: bool) -> date | None:
    """Return a day, written ``YYYY-MM-DD``; None where it is absent and not required."""
    value = text(body, name, required=required)
    if not value and name not in body:
        return None
    if _DATE.fullmatch(value):
        with contextlib.suppress(ValueError):  # such as February 30
            return date.fromisoformat(value)
    raise bad_request(f"{name} must be a day as YYYY-MM-DD")


def profile_id(body: Body, name: str) -> str:
    """Return 24 hexadecimal digits; empty where it is absent."""
    value = text(body, name)
    if value and not _PROFILE_ID.fullmatch(value):
        raise bad_request(f"{name} must be 24 hexadecimal digits")
    return value


def lookup_keys(body: Body) -> list[Key]:
    """Return keys of ``Profile.lookups``; the requested profile has at least one of them."""
    given = LOOKUP_FIELDS & body.keys()
    if "xxh" in body:
        others = sorted(given | ({"matching"} & body.keys()))
        if others:
            raise bad_request(f"{others[0]}: either xxh or matching, not both")
        value = text(body, "xxh", required=True)
        if not _XXH.fullmatch(value):
            raise bad_request("xxh must be 16 hexadecimal digits")
        return [("xxh", value)]
    if not given and "matching" not in body:
        raise bad_request("xxh or matching with its fields is required")
    matching = text(body, "matching", required=True) if "matching" in body else "email"
    if matching not in MATCHING:
        raise bad_request(f"matching: unknown mode {matching!r}")
    for name in sorted(given - set(MATCHING[matching])):
        raise bad_request(f"{name} does not belong to matching {matching}")
    if matching in _ONE_IS_ENOUGH and not given:
        raise bad_request(f"email or phone is required for matching {matching}")
    values = {
        name: _lookup_value(body, name)
        for name in MATCHING[matching]
        if matching not in _ONE_IS_ENOUGH or name in body
    }  # fmt: skip
    return _keys(matching, values)


def _lookup_value(body: Body, name: str) -> str:
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
    # An e-mail or a phone: of a subscription or, in the modes without ``_sub``, of the profile too.
    kinds = ("{}_sub",) if matching.endswith("_sub") else ("{}", "{}_sub")
    return [(kind.format(name), value) for name, value in values.items() for kind in kinds]


def _value(body: Body, name: str, kind: type, words: str, *, required: bool) -> Any:
    value = body.get(name)
    if name not in body:
        if required:
            raise bad_request(f"{name} is required")
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise bad_request(f"{name} must be {words}")
    return value
