"""The file that lists the profiles a pull passed over, next to its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets._writer import StorageWriter
from airflow_provider.altcraft.targets.object_storage.choice import stage_at
from airflow_provider.altcraft.targets.object_storage.staged import writing

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.path import Place


class ReportingWriter(StorageWriter):
    """A writer that can list the profiles passed over in a file at ``failures``, unless that is ``None``."""

    def __init__(self, uri: str, failures: Place | None) -> None:
        super().__init__(uri)
        self._failures = failures

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """Write a line for each profile; without any, remove the file of an earlier pull.

        Returns:
            The URI of the file, where there is one.
        """
        with self._guard():
            place = self._failures
            if place is None:
                return None
            if failed:
                from pydantic_core import to_json

                with writing(stage_at(place)) as staged:
                    staged.write(b"".join(to_json(profile) + b"\n" for profile in failed))
                return place.uri
            if place.local is not None:
                Path(place.local).unlink(missing_ok=True)
            else:
                from airflow_provider.altcraft.targets.object_storage.stores.choice import reach_store

                reach_store(place.uri).remove_any()
            return None
