"""History as rows of a table, written by each commit in one transaction."""

from __future__ import annotations

from airflow_provider.altcraft.targets.sql.target import SqlTarget

__all__ = ["SqlTarget"]
