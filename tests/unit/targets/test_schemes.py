"""Which target a string means."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, resolve_target
from airflow_provider.altcraft.targets._registry import GROUP, OBJECT_STORAGE

MODULE = """
from airflow_provider.altcraft.targets import Written

class Kept:
    template_fields = ("uri",)
    def __init__(self, uri):
        self.uri = uri
    def open(self, scope):
        self.rows = 0
        return self
    def write(self, batch):
        self.rows += batch.num_rows
    def commit(self):
        return Written((self.uri,), self.rows)
    def abort(self):
        pass

def of_uri(uri):
    return Kept(uri)

def of_nothing(uri):
    return None
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package that registers schemes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kept_targets", raising=False)
    (tmp_path / "kept_targets.py").write_text(MODULE)

    def add(name: str, **schemes: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{scheme} = kept_targets:{value}" for scheme, value in schemes.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))

    return add


@pytest.mark.parametrize("scheme", OBJECT_STORAGE)
def test_stores(scheme: str) -> None:
    if scheme == "file":
        assert resolve_target("file:///a/b.parquet") == ObjectStorageTarget("file:///a/b.parquet")
    else:
        uri = f"{scheme}://conn@bucket/b.parquet"
        assert resolve_target(uri) == ObjectStorageTarget(uri)


def test_a_path() -> None:
    assert resolve_target("/a/b.parquet") == ObjectStorageTarget("/a/b.parquet")
    with pytest.raises(ValueError, match="neither absolute nor a URI"):
        resolve_target("b.parquet")


def test_another_packages_scheme(install, altcraft_api, connect) -> None:
    install("kept", Kept="of_uri")
    target = resolve_target("kept://somewhere/else?a=1")
    assert type(target).__module__ == "kept_targets"
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event("ann@example.com", "open")
    operator = AltcraftHistoryOperator(task_id="pull", profiles="ann@example.com", target="KEPT://{{ ds }}/x")
    operator.render_template_fields({"ds": "2026-01-01"})
    result = operator.execute({})
    assert (result["uris"], result["rows"]) == (["KEPT://2026-01-01/x"], 1)


def test_nobody_takes_a_scheme_of_ours(install) -> None:
    install("kept", s3="of_uri", sql="of_uri")
    assert isinstance(resolve_target("s3://conn@bucket/a.parquet"), ObjectStorageTarget)


def test_an_unknown_scheme(install) -> None:
    install("kept", kept="of_uri")
    with pytest.raises(ValueError, match="keept") as caught:
        resolve_target("keept://somewhere")
    said = str(caught.value)
    assert all(f"{name}://" in said for name in ("file", "s3", "sql", "kept"))
    assert f"entry point 'keept' of the group {GROUP!r}" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gone", "the entry point of kept:// cannot be imported: .*gone"),
        ("of_nothing", r"kept_targets:of_nothing made no Target of 'kept://me:\*\*\*@place', but NoneType"),
    ],
)
def test_a_registration_that_does_not_work(install, value: str, said: str) -> None:
    install("kept", kept=value)
    with pytest.raises(ValueError, match=said):
        resolve_target("kept://me:s3cr3t@place")


def test_two_packages_of_one_scheme(install) -> None:
    install("kept", kept="of_uri")
    install("kept2", kept="of_nothing")
    with pytest.raises(ValueError, match="registered by two packages: kept_targets:of_nothing and kept_targets:of_uri"):
        resolve_target("kept://place")


def test_a_package_that_is_found_twice_is_one(install) -> None:
    install("kept", kept="of_uri")
    install("kept_again", kept="of_uri")
    assert resolve_target("kept://place").open(Scope(1, None)).commit().rows == 0


def test_packages_are_looked_through_only_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def entry_points(group: str) -> list[EntryPoint]:
        looked.append(group)
        return []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    for uri in ("/a/b.parquet", "file:///a/b.jsonl", "s3://conn@bucket/b.csv", "S3://conn@bucket/b.csv"):
        resolve_target(uri)
    assert looked == []
    with pytest.raises(ValueError, match="other"):
        resolve_target("other://place")
    assert looked == [GROUP]


def test_a_parse_imports_no_metadata() -> None:
    code = (
        "import sys; from airflow_provider.altcraft.targets import resolve_target;"
        "before = 'importlib.metadata' in sys.modules; resolve_target('s3://c@b/k.parquet');"
        "print(before or 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
