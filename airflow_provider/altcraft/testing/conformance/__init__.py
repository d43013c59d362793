"""The tests that a target must pass to keep the promise, a user's own target included."""

from __future__ import annotations

from airflow_provider.altcraft.testing.conformance.base import MEANINGS, Keeps
from airflow_provider.altcraft.testing.conformance.outages import FullDiskConformance, OutageConformance, Server, Space
from airflow_provider.altcraft.testing.conformance.pulls import Pull, as_table, awkward_events, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.suite import TargetConformance

__all__ = [
    "MEANINGS",
    "FullDiskConformance",
    "Keeps",
    "OutageConformance",
    "Pull",
    "Server",
    "Space",
    "TargetConformance",
    "as_table",
    "awkward_events",
    "draw_events",
    "pull_of",
]
