"""The file beside an object that lists the profiles a pull passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from airflow_provider.altcraft.targets._paths import Place

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage import Staged

SUFFIX = ".failed.jsonl"


def keep(place: Place, failed: Sequence[Mapping[str, Any]], stage: Callable[[Place], Staged]) -> str | None:
    """Write one line a profile beside the place; with none, remove what an earlier pull left there.

    Returns:
        The URI of the file, where there is one.
    """
    beside = Place(place.uri + SUFFIX, ".jsonl", place.local and place.local + SUFFIX)
    if not failed:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path = ObjectStoragePath(beside.uri)
        if path.exists():
            path.unlink()
        return None
    staged = stage(beside)
    try:
        staged.write(b"".join(to_json(profile) + b"\n" for profile in failed))
        staged.commit()
    except BaseException:
        staged.discard()
        raise
    return beside.uri
