"""Chooses the implementation for a place, on a disk or in a store. The one module that knows all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.folder import Folder
    from airflow_provider.altcraft.targets.object_storage.order import Stamp
    from airflow_provider.altcraft.targets.object_storage.path import Place
    from airflow_provider.altcraft.targets.object_storage.staged import Staged


def stage_at(place: Place, stamp: Stamp | None = None) -> Staged:
    """Begin an object, with the stamp where the store can keep one.

    Raises:
        ValueError: the connection or a package is missing.
        OSError: the place cannot be written.
    """
    if place.local is not None:
        from airflow_provider.altcraft.targets.object_storage.stores.local import StagedFile

        return StagedFile(place.local, stamp)
    from airflow_provider.altcraft.targets.object_storage.stores.choice import reach_store

    return reach_store(place.uri).stage(shared=True, stamp=stamp)


def folder_at(place: Place) -> Folder:
    """Reach a folder.

    Raises:
        ValueError: the connection or a package is missing, or the store has no safe way to write.
        OSError: the place cannot be reached.
    """
    if place.local is not None:
        from airflow_provider.altcraft.targets.object_storage.folder_local import LocalFolder

        return LocalFolder(place.local)
    from airflow_provider.altcraft.targets.object_storage.folder_store import StoreFolder

    return StoreFolder(place.uri)
