"""The times of a watcher, which tests shorten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """Seconds in the life of a watcher.

    Attributes:
        slow: between polls while the token or connection does not work, and the longest pause after other failures.
        gather: before the first poll, for more watchers to come, as when a triggerer starts.
        settled: until Airflow has kept what a trigger fired, which the triggerer collects each second or so.
        store_every: until the watermark is stored without any event.
        store_check: between two checks of whether there is something to store.
        store_retry: between tries to read or store the state while Airflow's API does not take part.
    """

    slow: float = 300.0
    gather: float = 0.5
    settled: float = 5.0
    store_every: float = 60.0
    store_check: float = 1.0
    store_retry: float = 10.0
