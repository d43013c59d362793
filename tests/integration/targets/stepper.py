"""Writes a target step by step, and waits for a line after each: `stepper.py PATH BATCHES ROWS`.

The steps are `opened`, `wrote 1` …, `before replace` and `after replace` around the call that makes the new object
visible, and `committed`. With no one to answer it runs through.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider.altcraft.targets import Scope, resolve_target

sys.path.insert(0, str(Path(__file__).parent))
from conftest import make_batch


def step(name: str) -> None:
    print("step:", name, flush=True)
    sys.stdin.readline()


def stop_around(owner: object, name: str, only: Callable[..., bool] = lambda *args, **kwargs: True) -> None:
    real = getattr(owner, name)

    def halting(*args: Any, **kwargs: Any) -> Any:
        if not only(*args, **kwargs):
            return real(*args, **kwargs)
        step("before replace")
        result = real(*args, **kwargs)
        step("after replace")
        return result

    setattr(owner, name, halting)


path, batches, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if path.startswith(("/", "file:")):
    stop_around(os, "replace")
else:
    from airflow_provider.altcraft.targets import _azure, _store

    _store._PART = (5 if path.startswith("s3:") else 1) << 20
    if path.startswith("s3:"):
        from s3fs.core import S3File

        stop_around(S3File, "commit")
    elif path.startswith("gs:"):
        from gcsfs.core import GCSFile

        stop_around(GCSFile, "commit")
    else:
        stop_around(_azure, "run", lambda *args, **kwargs: "commit_block_list" in args)

writer = resolve_target(path).open(Scope(1, None))
step("opened")
for number in range(batches):
    writer.write(make_batch(rows, start=number * rows))
    step(f"wrote {number + 1}")
writer.commit()
step("committed")
