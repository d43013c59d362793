"""Turns arguments of the command line into lookups, windows and the like; a wrong one is an error of usage."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider.altcraft._arguments import list_id_of, window_of
from airflow_provider.altcraft.cli._errors import UsageError
from airflow_provider.altcraft.client._lookup import LOOKUP_FIELDS, MATCHING, check_lookup
from airflow_provider.altcraft.window import Window, zone_of


@contextmanager
def usage(**flags: str) -> Iterator[None]:
    """Turn a ``ValueError`` into an error of usage.

    Args:
        flags: how an argument that the message names is called there.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        for name, flag in flags.items():
            # A plain word may be one of the message's own, or part of a path.
            text = re.sub(rf"\b{name}\b" if "_" in name else f"^{name}(?=:)", flag, text)
        raise UsageError(text) from None


def lookup_of(options: Namespace) -> dict[str, Any]:
    """Return the lookup of ``PROFILE``, ``--matching`` and the fields."""
    fields = {name: value for name in LOOKUP_FIELDS if (value := getattr(options, name)) is not None}
    if options.profile is not None:
        name = field_of(options.matching, "PROFILE")
        if name in fields:
            raise UsageError(f"{_flag(name)}: given twice, by PROFILE too")
        fields[name] = options.profile
    if not fields:
        raise UsageError("PROFILE: missing; expected an e-mail, or fields of a lookup such as --phone")
    with usage():
        return check_lookup(fields | _mode(options.matching, fields))


def field_of(matching: str | None, argument: str) -> str:
    """Return the one field of a matching mode; ``email`` without a mode."""
    names = ("xxh",) if matching == "xxh" else MATCHING[matching or "email"]
    if len(names) > 1:
        flags = " and ".join(map(_flag, names))
        raise UsageError(f"{argument}: expected none with --matching {matching}, which takes {flags}")
    return names[0]


def _mode(matching: str | None, fields: dict[str, Any]) -> dict[str, str]:
    if matching is None:  # the first mode that takes just these, else the check says what is wrong
        matching = next((mode for mode, names in MATCHING.items() if set(names) == set(fields)), None)
    return {} if matching in {None, "xxh"} else {"matching": str(matching)}


def window_between(options: Namespace, first: str, last: str) -> Window:
    with usage(date_from=_flag(first), date_to=_flag(last)):
        return window_of(getattr(options, first), getattr(options, last), zone_of(options.timezone, "--timezone"))


def list_id_given(options: Namespace) -> int | None:
    """Return the database of ``--list-id``, if given."""
    with usage(list_id="--list-id"):
        return list_id_of(options.list_id)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
