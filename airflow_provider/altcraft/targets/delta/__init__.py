"""History as a Delta Lake table (extra ``delta``), on a disk or in a store of objects."""

from __future__ import annotations

from airflow_provider.altcraft.targets.delta.target import DeltaTarget

__all__ = ["DeltaTarget"]
