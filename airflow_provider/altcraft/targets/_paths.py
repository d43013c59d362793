"""What a path of object storage may look like, checked without touching any store.

Apart from ``_formats`` and the writers so that a DAG file pays nothing for the check.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

SUFFIXES = (
    ".parquet",
    *(text + packed for text in (".jsonl", ".ndjson", ".csv") for packed in ("", ".gz", ".zst")),
)
"""Each suffix names one format; ``_formats`` knows how to write it."""

# Stores whose uncommitted writes were seen to stay invisible; any other could show a reader half a file.
STORES = ("s3", "s3a")

ACCEPTED = "'/folder/file.parquet', 'file:///folder/file.parquet' or 's3://conn_id@bucket/key.parquet'"

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_PASSWORD = re.compile(r"(://[^/@]*?):[^/@]*@")


@dataclass(frozen=True, slots=True)
class Place:
    """A checked path: its URI, the suffix that names the format, and the local file where it is one."""

    uri: str
    suffix: str
    local: str | None


def is_template(path: str) -> bool:
    """Tell whether Airflow has yet to render the path."""
    return "{{" in path or "{%" in path


def without_password(path: str) -> str:
    """Return the path as it may be shown, should someone have put a password into it."""
    return _PASSWORD.sub(r"\1:***@", path)


def check(path: object) -> Place:
    """Return the place that a rendered path names.

    Raises:
        ValueError: not the path of one object in a store and a format that can be written.
    """
    if not isinstance(path, str):
        raise ValueError(f"path: a string such as {ACCEPTED} is wanted, not {type(path).__name__}")
    shown = repr(without_password(path))
    if path != path.strip() or not path.isprintable():
        raise ValueError(f"path: {shown} has white space at an end or unprintable characters within")
    uri, local = _locate(path, shown)
    if path.endswith("/"):
        raise ValueError(f"path: {shown} names a folder; name one file in it, as in {ACCEPTED}")
    if "{" in path or "}" in path:
        raise ValueError(f"path: {shown} has braces that are no template; Airflow's are double: {{{{ ds }}}}")
    return Place(uri, _suffix(path, shown), local)


def _locate(path: str, shown: str) -> tuple[str, str | None]:
    """Return the URI and, for a local file, its path."""
    match = _URI.match(path)
    if match is None:
        if not path.startswith("/"):
            raise ValueError(f"path: {shown} is neither absolute nor a URI; write it as {ACCEPTED}")
        local = posixpath.normpath("/" + path.lstrip("/"))
        return f"file://{local}", local
    scheme, rest = match["scheme"].lower(), match["rest"]
    if scheme == "file":
        if not rest.startswith("/"):
            raise ValueError(f"path: {shown} is not absolute; a file's URI has three slashes: 'file:///folder/file'")
        local = posixpath.normpath("/" + rest.lstrip("/"))
        return f"file://{local}", local
    if scheme not in STORES:
        raise ValueError(f"path: {scheme}:// is not supported as a target; what is: {ACCEPTED}")
    authority, _, key = rest.partition("/")
    conn_id, _, bucket = authority.rpartition("@")
    if ":" in conn_id:
        raise ValueError(
            f"path: {shown} has a password in it; name an Airflow connection instead: '{scheme}://conn_id@bucket/key'"
        )
    if not bucket or not key:
        raise ValueError(f"path: {shown} lacks a bucket or a key; write it as '{scheme}://conn_id@bucket/key.parquet'")
    if any(part in {"", ".", ".."} for part in key.rstrip("/").split("/")):
        raise ValueError(
            f"path: {shown} has an empty part, '.' or '..' in its key, which stores and readers take apart"
        )
    return f"{scheme}://{rest}", None


def _suffix(path: str, shown: str) -> str:
    name = posixpath.basename(path)
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            if name == suffix:
                raise ValueError(f"path: {shown} has a suffix, but no name before it")
            return suffix
    raise ValueError(f"path: the format of {shown} is told by its suffix, one of {', '.join(SUFFIXES)}")
