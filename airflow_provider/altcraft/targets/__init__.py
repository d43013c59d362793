"""The targets that history is written to, and the protocol of a user's own.

DAG files construct targets while they are parsed, so nothing here imports pyarrow, fsspec or pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import path_text
from airflow_provider.altcraft.targets._locations import ACCEPTED
from airflow_provider.altcraft.targets._protocols import (
    Scope,
    SupportsFailureReport,
    SupportsResume,
    Target,
    TargetWriter,
    Written,
)
from airflow_provider.altcraft.targets._registry import target_of
from airflow_provider.altcraft.targets.delta.target import DeltaTarget
from airflow_provider.altcraft.targets.iceberg.target import IcebergTarget
from airflow_provider.altcraft.targets.object_storage.target import ObjectStorageTarget
from airflow_provider.altcraft.targets.sql.target import SqlTarget

__all__ = [
    "DeltaTarget",
    "IcebergTarget",
    "ObjectStorageTarget",
    "Scope",
    "SqlTarget",
    "SupportsFailureReport",
    "SupportsResume",
    "Target",
    "TargetWriter",
    "Written",
    "read_manifest",
    "resolve_target",
]

for _each in (
    DeltaTarget,
    IcebergTarget,
    ObjectStorageTarget,
    Scope,
    SqlTarget,
    SupportsFailureReport,
    SupportsResume,
    Target,
    TargetWriter,
    Written,
):
    _each.__module__ = __name__  # where users import it from, which tracebacks and `repr` show

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.manifest import read_manifest


_FORMER = {"KeepsFailures": SupportsFailureReport, "Resumable": SupportsResume}
"""Names that were documented before 0.1."""


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        return _FORMER[name]
    if name == "read_manifest":
        from airflow_provider.altcraft.targets.object_storage.manifest import read_manifest

        return read_manifest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def resolve_target(value: object) -> Target:
    """Return the target that a user means: a ``Target`` as it is, a string by its scheme.

    A path or the URI of a store is object storage, ``sql://conn_id/schema.table`` a table; what other packages have
    registered is theirs.

    Raises:
        ValueError: none of these, or a place that cannot be written; the message says what is accepted.
    """
    value = path_text(value)
    if isinstance(value, str):
        return target_of(value)
    # A class has the attributes of its instances, so the protocol alone would take a class too.
    if isinstance(value, Target) and not isinstance(value, type):
        return value
    given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise ValueError(f"target: expected a Target or a string such as {ACCEPTED}, got {given}")
