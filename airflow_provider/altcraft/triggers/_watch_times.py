"""How long a watcher waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """Seconds in the life of a watcher.

    Attributes:
        slow: between polls, at least, while polling cannot work; and the longest pause after failures that may pass.
        gather: for more watchers to come before the first poll, as all do when a triggerer starts.
        settled: after which Airflow has kept what a trigger fired: the triggerer collects that each second or so.
        store_every: after which the watermark is stored though nothing happened.
        store_check: between two checks of whether there is something to store.
        store_retry: between tries to read or store the state while Airflow's API does not take part.
    """

    slow: float = 300.0
    gather: float = 0.5
    settled: float = 5.0
    store_every: float = 60.0
    store_check: float = 1.0
    store_retry: float = 10.0
