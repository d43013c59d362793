"""The command that pulls: an operator without a task."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft.cli._arguments import field_of, list_id_given, usage, window_between
from airflow_provider.altcraft.cli._errors import UsageError
from airflow_provider.altcraft.cli._output import Record
from airflow_provider.altcraft.extract.sources import FileProfiles
from airflow_provider.altcraft.operators._base import SUMMARY
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider.altcraft.extract._progress import Progress
    from airflow_provider.altcraft.operators._base import PullOperator

_SHOWN: Final = (
    "uris",
    "rows",
    "bytes",
    "window",
    "profiles",
    "failed_profiles",
    "failed_profiles_uri",
    "pages",
    "partition_fallback_reason",
    "asked_wider_because",
)
"""The fields of a result in a table. The other formats have all but the counts of events for the page in Airflow."""


def pull(options: Namespace) -> Record:
    """Pull and write; the result is that of the operator."""
    operator = _operator(options)
    with _cleaning_up(), _bar(options) as operator.follow:
        result = operator.pull()
        del result[SUMMARY]
    return Record(record=result, columns=_SHOWN)


def _operator(options: Namespace) -> PullOperator:
    common: dict[str, Any] = {
        "task_id": "pull",
        "target": _place(options.target, "--target"),
        "list_id": list_id_given(options),
        "date_from": options.date_from,
        "date_to": options.date_to,
        "timezone": options.timezone,
        "altcraft_conn_id": options.conn_id,
    }
    window = window_between(options, "date_from", "date_to")
    profiles = _profiles(options)
    with usage(target="--target", path="--target"):
        if profiles is not None:
            return AltcraftHistoryOperator(
                profiles=profiles, on_profile_error=options.on_profile_error or "fail", **common
            )
        if window.start is None or window.end is None:
            raise UsageError("--date-from, --date-to: the history of a whole database needs both")
        return AltcraftDatabaseHistoryOperator(**common)


def _profiles(options: Namespace) -> Any:
    """Return the operator's ``profiles``; ``None`` for a whole database."""
    if options.profiles is not None and options.profile:
        raise UsageError("--profiles, --profile: expected one of the two, got both")
    if options.profiles is not None:
        fixed = {} if options.field_name is None else {"field_name": options.field_name}
        with usage(path="--profiles", columns="--column", field_name="--field-name"):
            return FileProfiles(
                _place(options.profiles, "--profiles"),
                matching=options.matching or "email",
                columns=options.column,
                fixed=fixed,
            )
    _refuse_without_use(options)
    if not options.profile:
        return None
    if options.field_name is not None:
        mode = {"matching": options.matching or "custom", "field_name": options.field_name}
        return [mode | {"field_value": value} for value in options.profile]
    name = field_of(options.matching, "--profile")
    mode = {} if options.matching in {None, "xxh"} else {"matching": options.matching}
    return [mode | {name: value} for value in options.profile]


def _refuse_without_use(options: Namespace) -> None:
    """Refuse arguments that have no effect without a file, or without profiles."""
    if options.column is not None:
        raise UsageError("--column: expected --profiles with it")
    for name in ("matching", "field_name", "on_profile_error"):
        if getattr(options, name) is not None and not options.profile:
            raise UsageError(f"--{name.replace('_', '-')}: expected --profiles or --profile with it")


def _place(given: str, argument: str) -> str:
    """Return a URI, or a path made absolute."""
    if is_template(given):
        raise UsageError(f"{argument}: expected a path or URI, got a template, for which there is no run here")
    if "://" in given:
        return given
    ending = "/" if given.endswith("/") else ""  # a folder of parts
    return f"{Path(given).absolute()}{ending}"


def _bar(options: Namespace) -> AbstractContextManager[Callable[[Progress], object] | None]:
    """Return the progress bar on a terminal, unless that shows the log."""
    if options.verbose or not sys.stderr.isatty():
        return nullcontext()
    from airflow_provider.altcraft.cli._bar import ProgressBar

    return ProgressBar()


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Raise ``SystemExit`` on SIGTERM and SIGHUP, so that staged files are removed as on Ctrl-C."""
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for each in numbers:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
