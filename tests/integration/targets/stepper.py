"""Writes a target step by step in a process of its own, and waits for an answer after each.

The steps are `opened`, `wrote 1` …, `before replace` and `after replace` around the call that makes the new object
visible, and `committed`. The process is forked from one that has imported Airflow already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider.altcraft.targets import Scope, resolve_target
from tests.batches import make_batch

ObjectStoragePath("file:///").fs  # Airflow looks for the file systems of its providers once, for seconds  # noqa: B018


def run(environment: dict[str, str], pipe: Any, target: Any, batches: int, rows: int, wait: bool) -> None:
    """Write so many batches of so many rows, the end of each a checkpoint; report each step into the pipe."""
    logging.disable(logging.INFO)
    os.environ.update(environment)

    def step(name: str) -> None:
        pipe.send(name)
        if wait:
            pipe.recv()

    path = target if isinstance(target, str) else target.path
    _stop_around_what_makes_visible(path, step)
    writer = resolve_target(target).open(Scope(1, None))
    step("opened")
    done = 0
    if hasattr(writer, "resume"):
        done = writer.resume("pull") or 0
        step(f"resumed {done}")
    for number in range(done, batches):
        writer.write(make_batch(rows, start=number * rows))
        if hasattr(writer, "checkpoint"):
            writer.checkpoint(number + 1)
        step(f"wrote {number + 1}")
    writer.commit()
    step("committed")


def _stop_around_what_makes_visible(path: str, step: Callable[[str], None]) -> None:
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

    from airflow_provider.altcraft.targets.object_storage import folder_local as _folder_local
    from airflow_provider.altcraft.targets.object_storage import folder_store as _folder_store
    from airflow_provider.altcraft.targets.object_storage.stores import azure as _azure
    from airflow_provider.altcraft.targets.object_storage.stores import fsspec as _fsspec

    _fsspec._PART = (5 if path.startswith("s3:") else 1) << 20
    if path.endswith("/"):
        for folder in (_folder_local.LocalFolder, _folder_store.StoreFolder):
            stop_around(folder, "replace")
    elif path.startswith(("/", "file:")):
        stop_around(os, "replace")
    elif path.startswith("s3:"):
        from s3fs.core import S3File

        stop_around(S3File, "commit")
    elif path.startswith("gs:"):
        from gcsfs.core import GCSFile

        stop_around(GCSFile, "commit")
    else:
        stop_around(_azure, "call_blob", lambda *args, **kwargs: "commit_block_list" in args)
