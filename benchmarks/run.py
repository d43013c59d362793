"""One run of one contender, in a process of its own: ``python -m benchmarks.run CONTENDER JOB RESULT``.

The clock of all starts when everything is imported and the profiles are known, and ends when the output is complete.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Self

import pyarrow as pa  # noqa: TID253 - imported before the clock starts

from benchmarks.job import Job


def main(contender: str, job: str, result: str) -> None:
    """Run the contender and write down what it took."""
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    pa.array([0])  # at its first array pyarrow imports pandas, where it is installed
    given = Job(**json.loads(job))
    prepared = module.prepare(given) if hasattr(module, "prepare") else None
    before, started = _processor(), time.perf_counter()
    base = _status("VmRSS")
    with Children() as children:
        module.run(given) if prepared is None else module.run(given, prepared)
    took = {
        "wall": time.perf_counter() - started,
        "cpu": _processor() - before,
        "base_mb": base,
        "peak_mb": _status("VmHWM") + children.peak_mb,
    }
    Path(result).write_text(json.dumps(took))


class Children:
    """The most memory of each process that is started during a run, in megabytes, read every tenth of a second.

    Pages of files are left out: those of libraries are the parent's too, and are counted there. What the system keeps
    of a child that has ended (``RUSAGE_CHILDREN``) would count the parent's whole memory again: the peak of a process
    includes that of the one it was forked from.
    """

    def __init__(self) -> None:
        self._others = _children()
        self._peaks: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def peak_mb(self) -> float:
        """Of all together."""
        return sum(self._peaks.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for child in _children() - self._others:
                if child not in self._peaks:
                    self._peaks[child] = 0  # until it has begun its own program, it is a copy of this process
                    continue
                with contextlib.suppress(OSError, StopIteration):  # it has ended
                    own = _status("RssAnon", child) + _status("RssShmem", child)
                    self._peaks[child] = max(own, self._peaks[child])


def _children() -> set[int]:
    """The processes that threads of this one have started. psutil reads all of the machine's, at 5 % of a short run."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                found.update(map(int, (thread / "children").read_text().split()))
    return found


def _processor() -> float:
    return sum(
        use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _status(name: str, pid: int | str = "self") -> float:
    """What the kernel counts of a process's memory, in megabytes; where it does not, this one's peak of all."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        if pid != "self":
            raise
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
