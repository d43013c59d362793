"""Where history is written: the targets shipped, and the protocol that a user's own follows.

DAG files construct targets while they are parsed, so nothing here imports pyarrow, fsspec or pydantic.
"""

from __future__ import annotations

from airflow_provider.altcraft.targets._base import KeepsFailures, Resumable, Scope, Target, TargetWriter, Written
from airflow_provider.altcraft.targets._paths import ACCEPTED
from airflow_provider.altcraft.targets.object_storage import ObjectStorageTarget
from airflow_provider.altcraft.targets.sql import SqlTarget

__all__ = [
    "KeepsFailures",
    "ObjectStorageTarget",
    "Resumable",
    "Scope",
    "SqlTarget",
    "Target",
    "TargetWriter",
    "Written",
    "resolve_target",
]


def resolve_target(value: object) -> Target:
    """Return the target that a user means: a ``Target`` as it is, a string by its scheme.

    Raises:
        ValueError: neither of these, or a path that cannot be written; the message says what is accepted.
    """
    if isinstance(value, str):
        return SqlTarget.from_uri(value) if value.startswith("sql://") else ObjectStorageTarget(value)
    # A class has the attributes of its instances, so the protocol alone would take a class too.
    if isinstance(value, Target) and not isinstance(value, type):
        return value
    given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise ValueError(f"target: a Target or a string such as {ACCEPTED} is wanted, not {given}")
