"""The file that lists the profiles a pull passed over, beside its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from airflow_provider.altcraft.targets._paths import Place
from airflow_provider.altcraft.targets._staged import stage_at


def keep(place: Place, failed: Sequence[Mapping[str, Any]]) -> str | None:
    """Write one line a profile into the place; with none, remove what an earlier pull left there.

    Returns:
        The URI of the file, where there is one.
    """
    if not failed:
        if place.local is not None:
            Path(place.local).unlink(missing_ok=True)
        else:
            from airflow_provider.altcraft.targets import _store

            _store.remove(place.uri)
        return None
    staged = stage_at(place)
    try:
        staged.write(b"".join(to_json(profile) + b"\n" for profile in failed))
        staged.commit()
    except BaseException:
        staged.discard()
        raise
    return place.uri
