"""Which target a URI means, by its scheme: ours, or one that another package has registered.

A package registers its scheme by an entry point of the group ``airflow_provider_altcraft.targets``: its name is the
scheme, its value a callable that takes the URI and returns the target. DAG files are parsed all day, so installed
packages are looked through only for a scheme that is not ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider.altcraft._redact import without_password
from airflow_provider.altcraft.targets._locations import is_database
from airflow_provider.altcraft.targets.delta.target import SCHEMES as DELTA
from airflow_provider.altcraft.targets.delta.target import DeltaTarget
from airflow_provider.altcraft.targets.iceberg.target import SCHEMES as ICEBERG
from airflow_provider.altcraft.targets.iceberg.target import IcebergTarget
from airflow_provider.altcraft.targets.object_storage.target import ObjectStorageTarget
from airflow_provider.altcraft.targets.sql.target import SqlTarget

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from airflow_provider.altcraft.targets._protocols import Target

GROUP = "airflow_provider_altcraft.targets"

OBJECT_STORAGE = ("file", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl")
"""Schemes that nobody else can register."""

_SCHEME = re.compile(r"(?:jdbc:)?([A-Za-z][A-Za-z0-9+.-]*)://")


def target_of(uri: str) -> Target:
    """Return the target that a path or a URI means.

    Raises:
        ValueError: a URI that does not fit, or a scheme that nobody knows; the message says what is known.
    """
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match else "file"
    if scheme == "sql":
        return SqlTarget.from_uri(uri)
    if scheme in DELTA:
        return DeltaTarget.from_uri(uri)
    if scheme in ICEBERG:
        return IcebergTarget.from_uri(uri)
    if scheme in OBJECT_STORAGE:
        return ObjectStorageTarget(uri)
    registered = _registered()
    if scheme in registered:
        return _target_of_others(registered[scheme], uri)
    if is_database(scheme):
        return ObjectStorageTarget(uri)  # refuses it
    # Airflow may know it as a store of objects, by a package of its own.
    try:
        return ObjectStorageTarget(uri)
    except ValueError as error:
        known = ", ".join(f"{name}://" for name in sorted({*OBJECT_STORAGE, *DELTA, *ICEBERG, "sql", *registered}))
        raise ValueError(
            f"{error}. Known are absolute paths and {known}; a package registers another scheme by an entry point "
            f"{scheme!r} of the group {GROUP!r}"
        ) from None


def _registered() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for each in entry_points(group=GROUP):
        # A package may be found twice, by two entries of the path.
        others = found.setdefault(each.name.lower(), [])
        if each.value not in {other.value for other in others}:
            others.append(each)
    return found


def _target_of_others(entries: list[EntryPoint], uri: str) -> Target:
    from airflow_provider.altcraft.targets._protocols import Target

    scheme = entries[0].name
    if len(entries) > 1:
        values = " and ".join(sorted(each.value for each in entries))
        raise ValueError(f"target: {scheme}:// is registered by two packages: {values}; remove one of them")
    try:
        make = entries[0].load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"target: the entry point of {scheme}:// cannot be imported: {error}") from error
    target = make(uri)
    if not isinstance(target, Target) or isinstance(target, type):
        shown = without_password(uri)
        raise ValueError(f"target: {entries[0].value} made no Target of {shown!r}, but {type(target).__name__}")
    return target
