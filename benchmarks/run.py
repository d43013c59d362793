"""One run of one contender, in a process of its own: ``python -m benchmarks.run CONTENDER JOB RESULT``.

The clock of all starts when everything is imported and the profiles are known, and ends when the output is complete.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path

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
    module.run(given) if prepared is None else module.run(given, prepared)
    took = {
        "wall": time.perf_counter() - started,
        "cpu": _processor() - before,
        "base_mb": base,
        "peak_mb": _status("VmHWM") + _children(),
    }
    Path(result).write_text(json.dumps(took))


def _processor() -> float:
    return sum(
        use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _children() -> float:
    """The most memory of one process that was started, in megabytes; there is one at most."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _status(name: str) -> float:
    """What the kernel counts of this process's memory, in megabytes; where it does not, the peak of all."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
