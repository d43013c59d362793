"""Processes to be halted and killed: forks of one that has loaded Airflow and the stores, and real all the same."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

# By their plain names: there, `tests.integration` may be another package's.
_FOLDERS = [Path(__file__).parents[2], Path(__file__).parent, Path(__file__).parent / "targets"]
sys.path += [str(folder) for folder in _FOLDERS if str(folder) not in sys.path]

# Python has one process to fork from, which loads what the first to start it asks for.
_LOADED = [
    "killed",
    "stepper",
    "adlfs",
    "gcsfs.extended_gcsfs",
    "s3fs",
    "airflow.providers.amazon.aws.fs.s3",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.google.cloud.fs.gcs",
    "airflow.providers.google.common.hooks.base_google",
    "airflow.providers.microsoft.azure.fs.adls",
    "airflow.sdk.execution_time.supervisor",
    "airflow_provider.altcraft.client._bulk",
    "airflow_provider.altcraft.extract.profiles.pull",
    "airflow_provider.altcraft.targets.object_storage.format",
    "airflow_provider.altcraft.targets.object_storage.folder_local",
    "airflow_provider.altcraft.targets.object_storage.folder_store",
    "airflow_provider.altcraft.targets.object_storage.stores.azure",
    "airflow_provider.altcraft.targets.object_storage.stores.gcs",
    "airflow_provider.altcraft.targets.object_storage.stores.local",
    "airflow_provider.altcraft.targets.object_storage.stores.s3",
    "airflow_provider.altcraft.targets.object_storage.parts",
    "pandas",  # which pyarrow imports at its first array
]


def pipe() -> tuple[Connection, Connection]:
    """Two ends, one of which may be an argument of ``start``."""
    return multiprocessing.get_context("forkserver").Pipe()


def start(work: Callable[..., object], *arguments: Any) -> ForkServerProcess:
    """Begin a piece of work, which gets this process's environment before its arguments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 hands its path on too late, and what cannot be imported is passed over without a word.
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, _FOLDERS)))
        forkserver.ensure_running()
    process = context.Process(target=work, args=(dict(os.environ), *arguments), daemon=True)
    process.start()
    return process
