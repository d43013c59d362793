"""The store's server stopped during a write, and started again: the task fails or goes on, and a rerun is right."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.targets.object_storage.folder_store import StoreFolder
from airflow_provider.altcraft.targets.object_storage.stores import fsspec as _fsspec
from airflow_provider.altcraft.testing.conformance import writing
from airflow_provider.altcraft.testing.conformance.pulls import Pull
from airflow_provider.altcraft.window import Window
from tests.integration.stores import S3, serve_azure, serve_gcs, serve_s3

pytestmark = pytest.mark.soak  # the stores' libraries try again for long before they give up

SERVE = {"s3": serve_s3, "azure": serve_azure, "gcs": serve_gcs}
SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
SHAPES = {"object": "a.parquet", "days": "date={date}/a.parquet", "parts": "parts/"}
SECRETS = ("s3cr3t", "Eby8vdM02xNO")
DAY = 86_400


@pytest.fixture(scope="module", params=SERVE)
def store(request):
    with SERVE[request.param](f"altcraft_test_stopped_{request.param}", relayed=True) as store:
        yield store


@pytest.fixture
def server(store):
    store.server.start()
    return store.server


def put(target, batches):
    writing.put(target, Pull(SCOPE, tuple(batches)))


def rows_of(store, prefix, shape):
    """All rows that a reader sees, by time; the reader goes past the gate."""
    if shape == "parts":
        manifest = json.loads(store.read(prefix + "parts/_manifest.json"))
        keys = [prefix + "parts/" + part["name"] for part in manifest["parts"]]
    else:
        keys = [key for key in store.keys(prefix) if not key.rpartition("/")[2].startswith((".", "_"))]
    return pa.concat_tables(pq.read_table(io.BytesIO(store.read(key))) for key in sorted(keys))


def staged(store, prefix):
    """What is in the store besides what a reader is to see."""
    names = [key.rpartition("/")[2] for key in store.keys(prefix)]
    unfinished = store.unfinished(prefix) if hasattr(store, "unfinished") else []
    return [name for name in names if name.startswith((".", "_")) and name != "_manifest.json"] + unfinished


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_store(store, server, shape, back, batch, monkeypatch):
    """``back``: it comes back while the task still writes."""
    monkeypatch.setattr(_fsspec, "_PART", 5 << 20)
    prefix = f"{shape}-{back}/"
    target = ObjectStorageTarget(store.uri(prefix + SHAPES[shape]), **({"part_rows": 100} if shape == "parts" else {}))
    old, new = (
        [batch(rows, start=day * DAY, email=email) for day in (0, 1)] for rows, email in ((50, "o"), (150, "n"))
    )
    put(target, old)
    assert rows_of(store, prefix, shape).equals(pa.Table.from_batches(old))
    writer = target.open(SCOPE)
    writer.write(new[0])
    server.stop()
    if back:
        server.start()
    failed = None
    try:
        writer.write(new[1])
        writer.commit()
    except OSError as error:
        failed = str(error)
        writer.abort()
    assert rows_of(store, prefix, shape).equals(pa.Table.from_batches(old if failed else new))
    if back:
        assert failed is None
    else:
        assert store.uri(prefix) in failed.partition(": ")[0]  # after the number that the system gives the error
        assert "cannot be written" in failed
        assert not any(secret in failed for secret in SECRETS)
        server.start()
    put(target, new)
    assert rows_of(store, prefix, shape).equals(pa.Table.from_batches(new))
    monkeypatch.setattr(StoreFolder, "living", lambda self: set())  # two minutes later
    put(target, new)
    left = staged(store, prefix)
    if isinstance(store, S3) and shape != "parts":
        # An upload that could not be aborted with the server away: nobody sees it, and a lifecycle rule ends it.
        left = [key for key in left if key not in store.unfinished(prefix)]
    assert left == []
