"""Checks paths of object storage without touching any store.

Not in ``format`` or a writer, so that a DAG file imports nothing heavy for the check.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider.altcraft._redact import without_password
from airflow_provider.altcraft.targets._locations import locate

SUFFIXES = (
    ".parquet",
    *(text + packed for text in (".jsonl", ".ndjson", ".csv") for packed in ("", ".gz", ".zst")),
)
"""Each suffix names one format, see ``format``."""

FORMATS = tuple(suffix[1:] for suffix in SUFFIXES)

DATE = "{date}"

SHARD = "{shard}"
"""Placeholder of a shard, such as ``0000-of-0008``, filled before the target is opened."""


@dataclass(frozen=True, slots=True)
class Place:
    """A checked path: its URI, the suffix that names the format, and the local path where it is one.

    The URI of a folder ends in ``/``; that of a place of days holds ``{date}``.
    """

    uri: str
    suffix: str
    local: str | None

    @property
    def is_folder(self) -> bool:
        """Whether parts and a manifest go into it."""
        return self.uri.endswith("/")

    @property
    def is_daily(self) -> bool:
        """Whether it is an object for each day."""
        return DATE in self.uri

    def on(self, day: dt.date) -> Place:
        """Return the object of one day."""
        return self._map(lambda path: path.replace(DATE, day.isoformat()))

    def failures(self, days: tuple[dt.date, dt.date] | None = None) -> Place:
        """Return the place of the list of profiles passed over; for days, one for the whole window."""
        if self.is_folder:
            return replace(self._map(lambda path: path + "_failed.jsonl"), suffix=".jsonl")
        if days is None:
            return replace(self._map(lambda path: path + ".failed.jsonl"), suffix=".jsonl")
        between = f"{days[0]}_{days[1]}"

        def in_shared_folder(path: str) -> str:
            # Into the folder that all days share, and hidden from those who read that as a data set.
            folder = path[: path.rindex("/", 0, path.index(DATE)) + 1]
            return folder + "_" + path[len(folder) :].replace("/", "-").replace(DATE, between) + ".failed.jsonl"

        return replace(self._map(in_shared_folder), suffix=".jsonl")

    def _map(self, change: Callable[[str], str]) -> Place:
        return replace(self, uri=change(self.uri), local=self.local and change(self.local))


def check(path: object, format: str | None = None) -> Place:  # noqa: A002 - the target's argument
    """Return the place that a rendered path names.

    Args:
        path: as a user gives it.
        format: one of ``FORMATS``, for a folder; elsewhere the suffix tells it.

    Raises:
        ValueError: not a path of the three shapes, or a format that cannot be written.
    """
    uri, local = locate(path)
    path = str(path)
    shown = repr(without_password(path))
    _check_braces(local or uri.partition("://")[2].partition("/")[2], path, shown)
    return Place(uri, _suffix(path, shown, format), local)


def _check_braces(within: str, path: str, shown: str) -> None:
    path = path.replace(SHARD, "")
    within = within.replace(SHARD, "")
    rest = path.replace(DATE, "")
    if "{" in rest or "}" in rest:
        raise ValueError(
            f"path: {shown} has braces that are not a template; Airflow's are double: {{{{ ds }}}}, and {DATE} is each "
            f"day, {SHARD} a task's own"
        )
    if rest != path and within.count(DATE) != path.count(DATE):
        raise ValueError(f"path: {shown} has {DATE} in its connection or bucket; it may stand in the key")
    if rest != path and path.endswith("/"):
        raise ValueError(f"path: {shown} names a folder for each day; name a file in it, as in 'date={DATE}/a.parquet'")


def _suffix(path: str, shown: str, given: object) -> str:
    if given is not None and given not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {given!r}")
    if path.endswith("/"):
        return f".{given or 'parquet'}"
    name = posixpath.basename(path)
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            if name == suffix:
                raise ValueError(f"path: {shown} has a suffix, but no name before it")
            if given not in {None, suffix[1:]}:
                raise ValueError(f"format: {given!r} is not what the suffix of {shown} says; leave it out")
            return suffix
    raise ValueError(
        f"path: expected a suffix that names the format, one of {', '.join(SUFFIXES)}, got {shown}; "
        f"a folder ends in '/'"
    )
