"""A folder of parts in a store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.targets.object_storage.folder import LEASE, LeaseTimes
from airflow_provider.altcraft.targets.object_storage.stores.choice import reach_store
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import statuses

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.staged import Staged

log = logging.getLogger(__name__)


class StoreFolder:
    """The folder at ``uri``, which ends in ``/``."""

    def __init__(self, uri: str, times: LeaseTimes | None = None) -> None:
        self.uri = uri
        self.times = times or LeaseTimes()
        self._store = reach_store(uri)

    def hold(self, attempt: str) -> StoreLease:
        """Write a lease, and renew it from now on."""
        with self._store.translated_errors(self.uri):
            return StoreLease(self, f"_lease-{attempt}")

    def prove(self, name: str, other: str) -> None:
        """Stage, copy, remove, and replace on conditions that hold and that do not."""
        with self._store.translated_errors(self.uri):
            try:
                self._store.put_staged(name, b"-")
                self.copy(name, other)
                self.remove([name])
                does = self._replaces_on_conditions(name)
            except Exception as error:
                if 501 not in statuses(error):
                    raise
                does = False
            finally:
                self.remove([name, other])
            if not does:
                raise ValueError(
                    f"{self.uri}: the store cannot replace an object on the condition that nobody else has done so, by "
                    f"which a manifest is committed; write one object instead of a folder"
                )

    def _replaces_on_conditions(self, name: str) -> bool:
        made = self._store.replace(name, b"-", None)
        first = self.version(name)
        if not (made and self._store.replace(name, b"+", first)):
            return False
        # Some that only speak like S3 write whatever the condition says.
        return not self._store.has_conditions or not any(
            self._store.replace(name, b"-", version) for version in (None, first)
        )

    def living(self) -> set[str]:
        """Return the attempts whose lease is younger than ``LeaseTimes.dead``."""
        entries = {name: self._store.modified(entry) for name, entry in self._store.entries().items()}
        # The newest entry stands for the time by the store's clock; it is never later than that.
        now = max(entries.values(), default=None)
        return {
            match[1]
            for name, modified in entries.items()
            if (match := LEASE.fullmatch(name))
            and now is not None
            and (now - modified).total_seconds() < self.times.dead
        }

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files."""
        return {name: int(entry["size"] or 0) for name, entry in self._store.entries().items()}

    def stage(self, name: str) -> Staged:
        """Begin an object that nobody else writes."""
        return self._store.stage(name, shared=False)

    def copy(self, source: str, name: str) -> None:
        """Copy in the store where its call returns only when done; else by way of this machine."""
        self._store.copy(source, name)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small object; ``None`` where there is none."""
        try:
            return self._store.read(name)
        except FileNotFoundError:
            return None

    def version(self, name: str) -> str | None:
        """Return the store's mark of a version: an ETag or a generation."""
        entry = self._store.entries().get(name)
        return None if entry is None else self._store.version(entry)

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Replace on the condition, which S3, Azure and Google support; elsewhere without one."""
        return self._store.replace(name, data, version)

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, whether or not there is one."""
        self._store.put(name, data)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; missing ones are ignored."""
        self._store.remove(names)

    def drop_uploads(self, prefix: str, living: set[str]) -> None:
        """Abort unfinished uploads of dead attempts, where the store lists uploads."""

        def is_dead(name: str) -> bool:
            return name.startswith(prefix) and name.removeprefix(prefix).partition("-")[0] not in living

        self._store.drop_uploads(prefix, is_dead)


class StoreLease:
    """A lease: an object that a thread renews."""

    def __init__(self, folder: StoreFolder, name: str) -> None:
        self._folder = folder
        self._times = folder.times
        self._name = name
        # Locked until the end. An Event that is interrupted may stay locked within itself.
        self._end = threading.Lock()
        self._end.acquire()
        self._lock = threading.Lock()
        self._lost = False
        self._renewed = _now()
        self._renew()
        self._thread = threading.Thread(target=self._keep, name="altcraft-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that no other attempt takes this one for dead; renew the lease where the thread could not."""
        with self._lock:
            if _now() - self._renewed > self._times.valid and not self._lost:
                self._renew()
            if self._lost:
                raise OSError(
                    f"{self._folder.uri}: the lease of this write could not be renewed for {self._times.dead:.0f} s, "
                    f"so another attempt may have taken it for dead and removed its parts; nothing was committed"
                )

    def release(self) -> None:
        """Remove the object."""
        self.leave()
        self._folder.remove([self._name])

    def leave(self) -> None:
        """Stop renewing."""
        if self._end.locked():
            self._end.release()
        self._thread.join()

    def _keep(self) -> None:
        while not self._end.acquire(timeout=self._times.renew):
            try:
                with self._lock:
                    self._renew()
            except Exception as error:  # whatever a store that cannot be reached may raise; `check` decides
                log.warning("%s%s could not be renewed: %s", self._folder.uri, self._name, redacted(error))

    def _renew(self) -> None:
        began = _now()
        self._folder.put(self._name, b"")
        if _now() - self._renewed > self._times.dead * 0.9:
            self._lost = True
        self._renewed = began


def _now() -> float:
    """Return seconds that also count while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
