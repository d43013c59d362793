"""What DAG authors give, checked: constants when the DAG file is parsed, templates when the task runs.

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
    """Whether the value, or anything within it, is known only when the task runs."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(map(is_template, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(is_template, value))
    return is_reference(value)


def is_reference(value: object) -> bool:
    """Whether it stands for a value that Airflow fills in, such as the output of an earlier task (``XComArg``)."""
    return hasattr(value, "iter_references")


def may_differ(value: object) -> bool:
    """Whether the instances of a mapped task may each have another value of this; not so of a template of the run's."""
    if is_reference(value):
        return True
    if not isinstance(value, str) or not is_template(value):
        return False
    from jinja2 import Environment, TemplateError, meta

    try:
        names = meta.find_undeclared_variables(Environment(autoescape=True).parse(_OF_A_DAY.sub("ds", value)))
    except TemplateError:  # of a DAG with syntax of its own
        return True
    return not all(_OF_THE_RUN.fullmatch(name) for name in names)


_OF_A_DAY = re.compile(r"\bmacros\.(?:ds_add|ds_format)\b")
_OF_THE_RUN = re.compile(
    r"(?:(?:prev|next|yesterday|tomorrow)_)?ds(?:_nodash)?|ts(?:_nodash(?:_with_tz)?)?|run_id|dag|dag_run|params|conf"
    r"|var|conn|(?:prev_|next_)?(?:logical|execution)_date|(?:prev_)?data_interval_(?:start|end)(?:_success)?"
)
"""Names of Airflow's context that are alike in all instances of a mapped task."""


def is_nothing(value: object) -> bool:
    """Whether it is what a template leaves that renders to nothing."""
    return value is None or (isinstance(value, str) and value.strip() in {"", "None"})


def ordered(value: object) -> Any:
    """A set as a list whose order is the same in each process, so that the serialized DAG is; any other as it is."""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def listed(value: object) -> Any:
    """A value with lists in place of the sequences that Airflow gives for mapped outputs, which are no JSON."""
    if isinstance(value, Mapping):
        return {key: listed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [listed(item) for item in value]
    return value


def path_text(path: Any) -> Any:
    """The text of a ``pathlib.Path`` or an ``ObjectStoragePath``; anything else as it is."""
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
    """Whether it is called for its value: a callable, but no class and no object with fields to render."""
    return callable(value) and not isinstance(value, type) and not hasattr(value, "template_fields")


def bound(function: Callable[..., Any], name: str, **given: Any) -> Callable[[], Any]:
    """A callable without arguments out of one that may take those given, as Airflow's do, or only some.

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
    """The window of a pull, which holds at least an instant.

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
"""The ``since`` that is the moment at which the run was due."""


def check_since_constant(since: object, timezone: object) -> None:
    """Refuse a constant ``since`` or time zone that does not fit.

    Raises:
        ValueError: the message names the argument.
    """
    zone = zone_of("UTC" if is_template(timezone) else timezone)
    if since != RUN_DUE and not is_template(since):
        instant_of(since, "since", zone)  # type: ignore[arg-type] # what it is not, it refuses


def check_list_id_constant(list_id: object) -> None:
    """Refuse a constant ``list_id`` that is no number of a database."""
    if not is_template(list_id):
        list_id_of(list_id)


def check_event_key_by(value: object) -> None:
    """Refuse what an ``event_key`` cannot be made of.

    Raises:
        ValueError: it is neither ``row`` nor ``event_id``.
    """
    if value not in ("row", "event_id"):
        raise ValueError(f"event_key_by: expected 'row' or 'event_id', got {value!r}")


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
        raise ValueError(f"list_id: expected the integer id of a profile database, got {list_id!r}")
    return list_id


def whole_number(value: object, name: str, least: int | None = None) -> int:
    """A whole number, also as the text that a template renders to.

    Raises:
        ValueError: it is none, or too small; the message names the argument.
    """
    found = int(value) if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else value
    if not isinstance(found, int) or isinstance(found, bool) or (least is not None and found < least):
        raise _no_whole_number(value, name, least)
    return found


def _no_whole_number(value: object, name: str, least: int | None) -> ValueError:
    from_on = "" if least is None else f" from {least} on"
    return ValueError(f"{name}: expected a whole number{from_on}, got {value!r}")


def timedelta_of(value: object, name: str, *, whole_days: bool = False) -> dt.timedelta:
    """A duration, also as the ISO 8601 text that a template gives: ``P3D``, ``PT6H``.

    Raises:
        ValueError: it is none, negative or, where it must, not of whole days; the message names the argument.
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
    # Years and months have no length of their own.
    return found.as_timedelta() if isinstance(found, pendulum.Duration) and not (found.years or found.months) else None


def check_number_constant(value: object, name: str, least: int) -> None:
    """Refuse a constant that is no such number; ``None`` is not one, and a text is one only out of a template."""
    if isinstance(value, str) and not is_template(value):
        raise _no_whole_number(value, name, least)
    if not is_template(value):
        whole_number(value, name, least)


def pair_of(value: object, name: str) -> tuple[int, int] | None:
    """Which part of how many, also out of templates' texts, JSON text and an XCom's list; ``None`` for all.

    Raises:
        ValueError: it is no such pair; the message names the argument.
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
    """What JSON text of a list or an object holds, as a template with ``| tojson`` gives it; anything else as it is.

    Raises:
        ValueError: it begins as such a text and is none; the message names the argument and shows no value.
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
    """The lookups that are meant, as ``check_lookup`` gives them, one by one.

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
    """As ``lookups_of``, each once, as a list."""
    # By what stands in the rows: the numbers 7 and "7" are one custom value there.
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for fields in lookups_of(profiles):
        found.setdefault(lookup_text(fields), fields)
    return list(found.values())


def profiles_of(profiles: object) -> list[ProfileLookup]:
    """As ``distinct_lookups_of``, as models."""
    from airflow_provider.altcraft.client import ProfileLookup

    return [ProfileLookup.of(fields) for fields in distinct_lookups_of(profiles)]


def _checked(profile: object) -> dict[str, Any]:
    """As ``check_lookup``; of a number in place of a text it says what may have made it one."""
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
    # One that was made has loaded its class, so nothing is imported to know it.
    models = sys.modules.get("airflow_provider.altcraft.client._models")
    return models is not None and isinstance(value, models.ProfileLookup)


def instant_of(value: DateLike, name: str, zone: dt.tzinfo | None = None) -> dt.datetime | None:
    """An aware date-time out of what is given; a date is its first instant in the zone, or in UTC."""
    return Window.of(parse_date(value, name, zone), zone=zone).start


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Errors that leave here say of which place they speak."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
