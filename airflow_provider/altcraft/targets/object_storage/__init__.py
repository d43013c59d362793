"""History as one object, an object for each day, or parts in a folder; in a store or on a disk."""

from __future__ import annotations

from airflow_provider.altcraft.targets.object_storage.target import ObjectStorageTarget

__all__ = ["ObjectStorageTarget"]
