"""What DAG authors give, checked: constants when the DAG file is parsed, templates when the task runs.

Imports nothing heavy at the top: DAG files are parsed all day.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider.altcraft.client._lookup import check_lookup, lookup_text
from airflow_provider.altcraft.window import DateLike, Window, parse_date

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import ProfileLookup


def is_template(value: object) -> bool:
    """Whether the value, or anything within it, is known only when the task runs."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(map(is_template, value.values()))
    if isinstance(value, list | tuple | set):
        return any(map(is_template, value))
    # An XComArg and its kin stand for a value that an earlier task will give.
    return hasattr(value, "iter_references")


def check_profile_constants(profiles: object) -> None:
    """Refuse constant profiles that do not fit.

    Raises:
        ValueError: the message names the place and the field.
    """
    if isinstance(profiles, str | Mapping):
        if not is_template(profiles):
            check_lookup(profiles)
    elif isinstance(profiles, list | tuple):
        for index, profile in enumerate(profiles):
            if isinstance(profile, str | Mapping) and not is_template(profile):
                with _at(f"profiles[{index}]"):
                    check_lookup(profile)


def check_window_constants(date_from: object, date_to: object) -> None:
    """Refuse a constant window that does not fit.

    Raises:
        ValueError: the message names the argument.
    """
    constant = [None if is_template(value) else value for value in (date_from, date_to)]
    Window.of(*constant)  # type: ignore[arg-type] # what it is not, it refuses


def check_list_id_constant(list_id: object) -> None:
    """Refuse a constant ``list_id`` that is no number of a database."""
    if not is_template(list_id):
        list_id_of(list_id)


def list_id_of(list_id: object) -> int | None:
    """The number of a database, also out of a template's text; ``None`` for the connection's own.

    Raises:
        ValueError: it is no such number.
    """
    if list_id is None:
        return None
    if isinstance(list_id, str) and list_id.strip().isdecimal():
        list_id = int(list_id)
    if not isinstance(list_id, int) or isinstance(list_id, bool) or list_id < 1:
        raise ValueError(f"list_id: the number of a profile database is wanted, not {list_id!r}")
    return list_id


def shard_pair(shard: object) -> tuple[int, int] | None:
    """Which shard of how many, also out of templates' texts and an XCom's list; ``None`` for all.

    Raises:
        ValueError: it is no such pair.
    """
    if shard is None:
        return None
    pair = [int(each) if isinstance(each, str) and each.isdecimal() else each for each in _items(shard)]
    if len(pair) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in pair):
        raise ValueError(f"shard: a pair such as (0, 8), the first of eight, is wanted, not {shard!r}")
    number, count = pair
    if not 0 <= number < count:
        raise ValueError(f"shard: of {count!r} shards the numbers are 0 to {count - 1}, not {number}")
    return number, count


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def lookups_of(profiles: object) -> Iterator[dict[str, Any]]:
    """The lookups that are meant, as ``check_lookup`` gives them, one by one.

    Args:
        profiles: one profile or an iterable of them: a ``ProfileLookup``, a mapping, an e-mail; or the same as JSON
            text, which is what a template with ``| tojson`` renders to; or a callable that gives them.

    Raises:
        ValueError: one does not fit; the message names its place and field and shows no value.
    """
    if callable(profiles):
        profiles = profiles()
    if isinstance(profiles, str) and profiles.lstrip().startswith(("[", "{")):
        try:
            profiles = json.loads(profiles)
        except ValueError:
            raise ValueError(
                "profiles: the text is neither an e-mail nor JSON; let the template end in '| tojson', or set "
                "render_template_as_native_obj=True on the DAG"
            ) from None
    if isinstance(profiles, str | Mapping) or _is_lookup(profiles):
        profiles = [profiles]
    if not isinstance(profiles, Iterable):
        raise ValueError(f"profiles: one profile or a list of them is wanted, not {type(profiles).__name__}")
    for index, profile in enumerate(profiles):
        with _at(f"profiles[{index}]"):
            yield profile.fields if _is_lookup(profile) else check_lookup(profile)


def profiles_of(profiles: object) -> list[ProfileLookup]:
    """As ``lookups_of``, each once, as a list."""
    from airflow_provider.altcraft.client import ProfileLookup

    # By what stands in the rows: the numbers 7 and "7" are one custom value there.
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for fields in lookups_of(profiles):
        found.setdefault(lookup_text(fields), fields)
    return [ProfileLookup.of(fields) for fields in found.values()]


def _is_lookup(value: object) -> TypeGuard[ProfileLookup]:
    # One that was made has loaded its class, so nothing is imported to know it.
    models = sys.modules.get("airflow_provider.altcraft.client._models")
    return models is not None and isinstance(value, models.ProfileLookup)


def instant_of(value: DateLike, name: str) -> dt.datetime | None:
    """An aware date-time out of what is given; a date is its first instant in UTC."""
    return Window.of(parse_date(value, name)).start


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Errors that leave here say of which place they speak."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
