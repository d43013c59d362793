"""History as an Apache Iceberg table (extra ``iceberg``), by any catalog of Airflow's Iceberg connection."""

from __future__ import annotations

from airflow_provider.altcraft.targets.iceberg.target import IcebergTarget

__all__ = ["IcebergTarget"]
