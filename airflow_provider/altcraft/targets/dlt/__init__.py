"""History through dlt (extra ``dlt``), for warehouses that this package does not write itself."""

from __future__ import annotations

from airflow_provider.altcraft.targets.dlt.target import DltTarget, from_uri

__all__ = ["DltTarget", "from_uri"]
