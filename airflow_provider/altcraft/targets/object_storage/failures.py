"""The file that lists the profiles a pull passed over, next to its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from airflow_provider.altcraft.targets.object_storage.choice import stage_at
from airflow_provider.altcraft.targets.object_storage.path import Place
from airflow_provider.altcraft.targets.object_storage.staged import writing


def keep(place: Place, failed: Sequence[Mapping[str, Any]]) -> str | None:
    """Write one line a profile into the place; with none, remove what an earlier pull left there.

    Returns:
        The URI of the file, where there is one.
    """
    if not failed:
        if place.local is not None:
            Path(place.local).unlink(missing_ok=True)
        else:
            from airflow_provider.altcraft.targets.object_storage.stores.choice import reach_store

            reach_store(place.uri).remove_any()
        return None
    with writing(stage_at(place)) as staged:
        staged.write(b"".join(to_json(profile) + b"\n" for profile in failed))
    return place.uri
