"""Checks of the arguments of operators: constants when the DAG file is parsed, templates when the task runs.

Imports nothing heavy at the top: DAG files are parsed all day.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider.altcraft.client._lookup import check_lookup, lookup_text
from airflow_provider.altcraft.window import DAY, DateLike, Window, parse_date, zone_of

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import ProfileLookup


def is_template(value: object) -> bool:
    """Return whether the value, or anything within it, is known only when the task runs."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(map(is_template, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(is_template, value))
    return is_reference(value)


def is_reference(value: object) -> bool:
    """Return whether it is a reference that Airflow fills in, such as an earlier task's output (``XComArg``)."""
    return hasattr(value, "iter_references")


def may_differ(value: object) -> bool:
    """Return whether instances of a mapped task may render this differently; not so with names of the run alone."""
    if is_reference(value):
        return True
    if not isinstance(value, str) or not is_template(value):
        return False
    from jinja2 import Environment, TemplateError, meta

    try:
        names = meta.find_undeclared_variables(Environment(autoescape=True).parse(re.sub(_OF_A_DAY, "ds", value)))
    except TemplateError:  # the DAG may have a template syntax of its own
        return True
    return not all(re.fullmatch(_OF_THE_RUN, name) for name in names)


_OF_A_DAY = r"\bmacros\.(?:ds_add|ds_format)\b"
_OF_THE_RUN = (
    r"(?:(?:prev|next|yesterday|tomorrow)_)?ds(?:_nodash)?|ts(?:_nodash(?:_with_tz)?)?|run_id|dag|dag_run|params|conf"
    r"|var|conn|(?:prev_|next_)?(?:logical|execution)_date|(?:prev_)?data_interval_(?:start|end)(?:_success)?"
)
"""Names of Airflow's context that are equal in all instances of a mapped task."""


def is_nothing(value: object) -> bool:
    """Return whether it is the value of a template that rendered to nothing."""
    return value is None or (isinstance(value, str) and value.strip() in {"", "None"})


def ordered(value: object) -> Any:
    """Return a set as a sorted list, so that the serialized DAG is always the same; any other value as it is."""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def listed(value: object) -> Any:
    """Return a value with lists for the sequences that Airflow gives for mapped outputs, which are not JSON."""
    if isinstance(value, Mapping):
        return {key: listed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [listed(item) for item in value]
    return value


def path_text(path: Any) -> Any:
    """Return the text of a ``pathlib.Path`` or an ``ObjectStoragePath``; any other value as it is."""
    return str(path) if isinstance(path, os.PathLike) or hasattr(path, "storage_options") else path


def check_profile_constants(profiles: object) -> None:
    """Refuse constant profiles that do not fit, and a callable that cannot be called.

    Raises:
        ValueError: the message names the place and the field.
    """
    if is_function(profiles):
        bound(profiles, "profiles", context=None, jinja_env=None)
    elif isinstance(profiles, str | Mapping):
        if not is_template(profiles):
            _checked(profiles)
    elif isinstance(profiles, list | tuple | set | frozenset):
        for index, profile in enumerate(ordered(profiles)):
            if isinstance(profile, str | Mapping) and not is_template(profile):
                with _at(f"profiles[{index}]"):
                    _checked(profile)


def is_function(value: object) -> TypeGuard[Callable[..., Any]]:
    """Return whether it is called for its value: a callable, but not a class or an object with fields to render."""
    return callable(value) and not isinstance(value, type) and not hasattr(value, "template_fields")


def bound(function: Callable[..., Any], name: str, **given: Any) -> Callable[[], Any]:
    """Return a callable without arguments, of one that takes all or some of those given, as Airflow allows.

    Raises:
        ValueError: it takes others; the message names the argument of ours.
    """
    if hasattr(function, "operator_class"):
        raise ValueError(f"{name}: expected profiles or a callable, got a task; call the task to give its output")
    signature = inspect.signature(function)
    takes_all = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    taken = {key: value for key, value in given.items() if takes_all or key in signature.parameters}
    try:
        signature.bind(**taken)
    except TypeError:
        what = f"{getattr(function, '__name__', type(function).__name__)}{signature}"
        raise ValueError(
            f"{name}: expected a callable that takes nothing, or {' and '.join(given)}, got {what}"
        ) from None
    # Shown under the user's own name, and without the values.
    return functools.wraps(function)(lambda: function(**taken)) if taken else function


def check_window_constants(date_from: object, date_to: object, timezone: object = "UTC") -> None:
    """Refuse a constant window or time zone that does not fit.

    Raises:
        ValueError: the message names the argument.
    """
    zone = zone_of("UTC" if is_template(timezone) else timezone)
    first, last = (None if is_template(value) else value for value in (date_from, date_to))
    window_of(first, last, zone)  # type: ignore[arg-type] # what it is not, it refuses


def window_of(date_from: DateLike, date_to: DateLike, zone: dt.tzinfo | None = None) -> Window:
    """Return the window of a pull, which must not be empty.

    Raises:
        ValueError: it does not fit, or is empty; the message names the arguments.
    """
    window = Window.of(date_from, date_to, zone)
    if window.start is not None and window.start == window.end:
        raise ValueError(
            f"date_from, date_to: expected a window, got one without length, from {window.start.isoformat()} on; the "
            f"data interval of a plain '@daily' on Airflow 3, and of a run without a schedule, has none: use "
            f"CronDataIntervalTimetable, or days such as '{{{{ ds }}}}'"
        )
    return window


RUN_DUE = "run_due"
"""The value of ``since`` for the moment at which the run was due."""


def check_since_constant(since: object, timezone: object) -> None:
    """Refuse a constant ``since`` or time zone that does not fit.

    Raises:
        ValueError: the message names the argument.
    """
    zone = zone_of("UTC" if is_template(timezone) else timezone)
    if since != RUN_DUE and not is_template(since):
        instant_of(since, "since", zone)  # type: ignore[arg-type] # what it is not, it refuses


def check_list_id_constant(list_id: object) -> None:
    """Refuse a constant ``list_id`` that is not the number of a database."""
    if not is_template(list_id):
        list_id_of(list_id)


def check_event_key_by(value: object) -> None:
    """Refuse any other source of an ``event_key``.

    Raises:
        ValueError: it is neither ``row`` nor ``event_id``.
    """
    if value not in ("row", "event_id"):
        raise ValueError(f"event_key_by: expected 'row' or 'event_id', got {value!r}")


def list_id_of(list_id: object) -> int | None:
    """Return the number of a database, also from a template's text; ``None`` for the connection's own.

    Raises:
        ValueError: it is not such a number.
    """
    if list_id is None:
        return None
    if isinstance(list_id, str) and list_id.strip().isdecimal():
        list_id = int(list_id)
    if not isinstance(list_id, int) or isinstance(list_id, bool) or list_id < 1:
        raise ValueError(f"list_id: expected the integer id of a profile database, got {list_id!r}")
    return list_id


def whole_number(value: object, name: str, least: int | None = None) -> int:
    """Return a whole number, also from the text of a rendered template.

    Raises:
        ValueError: it is not one, or too small; the message names the argument.
    """
    found = int(value) if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else value
    if not isinstance(found, int) or isinstance(found, bool) or (least is not None and found < least):
        raise _no_whole_number(value, name, least)
    return found


def _no_whole_number(value: object, name: str, least: int | None) -> ValueError:
    from_on = "" if least is None else f" from {least} on"
    return ValueError(f"{name}: expected a whole number{from_on}, got {value!r}")


def timedelta_of(value: object, name: str, *, whole_days: bool = False) -> dt.timedelta:
    """Return a duration, also from the ISO 8601 text of a rendered template: ``P3D``, ``PT6H``.

    Raises:
        ValueError: it is not a duration, negative or, with ``whole_days``, not of whole days; the message names the
            argument.
    """
    found = _iso_duration(value) if isinstance(value, str) else value
    kind, example = ("whole days, as a timedelta", "'P3D'") if whole_days else ("a timedelta", "'P3D' or 'PT6H'")
    expected = f"{kind} or its ISO 8601 text such as {example}"
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\d.]+", value.strip())):
        raise ValueError(f"{name}: expected {expected}, got the number {value}, which has no unit")
    if not isinstance(found, dt.timedelta) or found < dt.timedelta(0) or (whole_days and found % DAY):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return found


def _iso_duration(text: str) -> dt.timedelta | None:
    import pendulum

    try:
        found = pendulum.parse(text.strip(), exact=True)
    except ValueError:
        return None
    # Years and months have no fixed length.
    return found.as_timedelta() if isinstance(found, pendulum.Duration) and not (found.years or found.months) else None


def check_number_constant(value: object, name: str, least: int) -> None:
    """Refuse a constant that is not a whole number; only a rendered template may give a text."""
    if isinstance(value, str) and not is_template(value):
        raise _no_whole_number(value, name, least)
    if not is_template(value):
        whole_number(value, name, least)


def pair_of(value: object, name: str) -> tuple[int, int] | None:
    """Return a part and the number of parts, also from templates' texts, JSON text or an XCom's list; ``None`` for all.

    Raises:
        ValueError: it is not such a pair; the message names the argument.
    """
    if value is None:
        return None
    items = from_json(value, name)
    wrong = ValueError(f"{name}: expected a pair such as (0, 8), the first of eight, got {value!r}")
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) != 2:
        raise wrong
    try:
        number, count = (whole_number(each, name) for each in items)
    except ValueError:
        raise wrong from None
    if not 0 <= number < count:
        raise ValueError(f"{name}: expected a number from 0 to below {count}, of {count}, got {number}")
    return number, count


def from_json(value: object, name: str) -> Any:
    """Return the list or object of a JSON text, as of a template with ``| tojson``; any other value as it is.

    Raises:
        ValueError: it begins like such a text but is not JSON; the message names the argument and shows no value.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(
            f"{name}: the text is not JSON; let the template end in '| tojson', or set "
            f"render_template_as_native_obj=True on the DAG"
        ) from None


def lookups_of(profiles: object) -> Iterator[dict[str, Any]]:
    """Yield the lookups of profiles, as ``check_lookup`` gives them.

    Args:
        profiles: one profile or an iterable of them: a ``ProfileLookup``, a mapping, an e-mail; or the same as JSON
            text, which is what a template with ``| tojson`` renders to; or a callable that gives them.

    Raises:
        ValueError: one does not fit; the message names its place and field and shows no value.
    """
    if is_function(profiles):
        profiles = profiles()
    profiles = from_json(profiles, "profiles")
    if isinstance(profiles, str | Mapping) or _is_lookup(profiles):
        profiles = [profiles]
    if not isinstance(profiles, Iterable):
        raise ValueError(f"profiles: expected one profile or a list of them, got {type(profiles).__name__}")
    for index, profile in enumerate(profiles):
        with _at(f"profiles[{index}]"):
            yield profile.fields if _is_lookup(profile) else _checked(profile)


def distinct_lookups_of(profiles: object) -> list[dict[str, Any]]:
    """Return the lookups of profiles as a list, each once."""
    # Compared as in the rows, where 7 and "7" are the same custom value.
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for fields in lookups_of(profiles):
        found.setdefault(lookup_text(fields), fields)
    return list(found.values())


def profiles_of(profiles: object) -> list[ProfileLookup]:
    """Return the lookups of profiles as models, each once."""
    from airflow_provider.altcraft.client import ProfileLookup

    return [ProfileLookup.of(fields) for fields in distinct_lookups_of(profiles)]


def _checked(profile: object) -> dict[str, Any]:
    """Check a lookup; the error for a number instead of a text says where it may come from."""
    try:
        return check_lookup(profile)
    except ValueError as error:
        values = profile.values() if isinstance(profile, Mapping) else [profile]
        if not any(isinstance(value, int | float) for value in values):
            raise
        raise ValueError(
            f"{error}; got a number: with render_template_as_native_obj=True Airflow makes numbers of such texts in "
            f"other tasks' templates, and a plus and leading zeros are lost; give a text, for example "
            f"'{{{{ params.phone | tojson }}}}' there, or a task that takes it from params or XCom itself"
        ) from None


def _is_lookup(value: object) -> TypeGuard[ProfileLookup]:
    # Not imported: where there is a ``ProfileLookup``, its module is loaded.
    models = sys.modules.get("airflow_provider.altcraft.client._models")
    return models is not None and isinstance(value, models.ProfileLookup)


def instant_of(value: DateLike, name: str, zone: dt.tzinfo | None = None) -> dt.datetime | None:
    """Return an aware date-time; of a date its first instant in the zone, or in UTC."""
    return Window.of(parse_date(value, name, zone), zone=zone).start


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Put the place before the text of errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
