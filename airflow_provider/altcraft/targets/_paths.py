"""What a path of object storage may look like, checked without touching any store.

Apart from ``_formats`` and the writers so that a DAG file pays nothing for the check.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

SUFFIXES = (
    ".parquet",
    *(text + packed for text in (".jsonl", ".ndjson", ".csv") for packed in ("", ".gz", ".zst")),
)
"""Each suffix names one format; ``_formats`` knows how to write it."""

FORMATS = tuple(suffix[1:] for suffix in SUFFIXES)

DATE = "{date}"

SHARD = "{shard}"
"""Stands for which shard of how many; filled before anything is opened."""

# What is surely no store of objects. Whether any other is one, and a safe one, shows when it is opened.
NO_STORES = ("sql", "dlt", "http", "https", "ftp", "jdbc", "memory")

ACCEPTED = "'/folder/file.parquet', 'file:///folder/file.parquet' or 's3://conn_id@bucket/key.parquet'"

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_PASSWORD = re.compile(r"(://[^/@]*?):[^/@]*@")


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
        """The object of one day."""
        return self._map(lambda path: path.replace(DATE, day.isoformat()))

    def failures(self, days: tuple[dt.date, dt.date] | None = None) -> Place:
        """Where the profiles that a pull passed over are listed; for days, one place for all of the window."""
        if self.is_folder:
            return replace(self._map(lambda path: path + "_failed.jsonl"), suffix=".jsonl")
        if days is None:
            return replace(self._map(lambda path: path + ".failed.jsonl"), suffix=".jsonl")
        between = f"{days[0]}_{days[1]}"

        def beside(path: str) -> str:
            # Into the folder that all days share, and hidden from those who read that as a data set.
            folder = path[: path.rindex("/", 0, path.index(DATE)) + 1]
            return folder + "_" + path[len(folder) :].replace("/", "-").replace(DATE, between) + ".failed.jsonl"

        return replace(self._map(beside), suffix=".jsonl")

    def _map(self, change: Callable[[str], str]) -> Place:
        return replace(self, uri=change(self.uri), local=self.local and change(self.local))


def is_template(path: str) -> bool:
    """Tell whether Airflow has yet to render the path."""
    return "{{" in path or "{%" in path


def without_password(path: str) -> str:
    """Return the path as it may be shown, should someone have put a password into it."""
    return _PASSWORD.sub(r"\1:***@", path)


def check(path: object, format: str | None = None) -> Place:  # noqa: A002 - the target's argument
    """Return the place that a rendered path names.

    Args:
        path: as a user gives it.
        format: one of ``FORMATS``, for a folder; elsewhere the suffix tells it.

    Raises:
        ValueError: not a path of the three shapes, or a format that cannot be written.
    """
    if not isinstance(path, str):
        raise ValueError(f"path: a string such as {ACCEPTED} is wanted, not {type(path).__name__}")
    shown = repr(without_password(path))
    if path != path.strip() or not path.isprintable():
        raise ValueError(f"path: {shown} has white space at an end or unprintable characters within")
    uri, local = _locate(path, shown)
    return Place(uri, _suffix(path, shown, format), local)


def _locate(path: str, shown: str) -> tuple[str, str | None]:
    """Return the URI and, for a local one, its path."""
    match = _URI.match(path)
    if match is None or match["scheme"].lower() == "file":
        uri, local = _locate_local(path if match is None else match["rest"], match is not None, shown)
        _check_braces(local, path, shown)
        return uri, local
    scheme, rest = match["scheme"].lower(), match["rest"]
    if scheme in NO_STORES:
        raise ValueError(f"path: {scheme}:// is not supported as a target; what is: {ACCEPTED}")
    authority, _, key = rest.partition("/")
    conn_id, _, bucket = authority.rpartition("@")
    if ":" in conn_id:
        raise ValueError(
            f"path: {shown} has a password in it; name an Airflow connection instead: '{scheme}://conn_id@bucket/key'"
        )
    if bucket.endswith((".core.windows.net", ".storage.azure.net")):
        raise ValueError(
            f"path: {shown} names an account; that is the connection's: '{scheme}://conn_id@container/key.parquet'"
        )
    if not bucket or not key:
        raise ValueError(f"path: {shown} lacks a bucket or a key; write it as '{scheme}://conn_id@bucket/key.parquet'")
    if any(part in {"", ".", ".."} for part in key.removesuffix("/").split("/")):
        raise ValueError(
            f"path: {shown} has an empty part, '.' or '..' in its key, which stores and readers take apart"
        )
    _check_braces(key, path, shown)
    return f"{scheme}://{rest}", None


def _locate_local(path: str, is_uri: bool, shown: str) -> tuple[str, str]:
    if not path.startswith("/"):
        raise ValueError(
            f"path: {shown} is not absolute; a file's URI has three slashes: 'file:///folder/file'"
            if is_uri
            else f"path: {shown} is neither absolute nor a URI; write it as {ACCEPTED}"
        )
    local = posixpath.normpath("/" + path.lstrip("/"))
    if local == "/":
        raise ValueError(f"path: {shown} is the root of all; name a folder or a file in it")
    if path.endswith("/"):
        local += "/"
    return f"file://{local}", local


def _check_braces(within: str, path: str, shown: str) -> None:
    path = path.replace(SHARD, "")
    within = within.replace(SHARD, "")
    rest = path.replace(DATE, "")
    if "{" in rest or "}" in rest:
        raise ValueError(
            f"path: {shown} has braces that are no template; Airflow's are double: {{{{ ds }}}}, and {DATE} is each day"
            f", {SHARD} a task's own"
        )
    if rest != path and within.count(DATE) != path.count(DATE):
        raise ValueError(f"path: {shown} has {DATE} in its connection or bucket; it may stand in the key")
    if rest != path and path.endswith("/"):
        raise ValueError(f"path: {shown} names a folder for each day; name a file in it, as in 'date={DATE}/a.parquet'")


def _suffix(path: str, shown: str, given: object) -> str:
    if given is not None and given not in FORMATS:
        raise ValueError(f"format: one of {', '.join(FORMATS)} is wanted, not {given!r}")
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
        f"path: the format of {shown} is told by its suffix, one of {', '.join(SUFFIXES)}; a folder ends in '/'"
    )
