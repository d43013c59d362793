"""What the benchmark counts of a run is the run's own."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.run import Children


def test_the_memory_of_a_child_is_its_own() -> None:
    """Not that of the process which it was forked from, as the system's own figure would be."""
    held = bytearray(b"x" * (400 << 20))
    with Children() as children:
        subprocess.run([sys.executable, "-ISc", "import time; time.sleep(2)"], check=True)
    assert 1 < children.peak_mb < len(held) >> 21


def test_another_child_does_not_count() -> None:
    with subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE) as other:
        with Children() as children:
            time.sleep(1)
        other.communicate(b"\n")
    assert children.peak_mb == 0
